"""The one exception that leaves this package when an input cannot be used."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """An input that cannot be used: the message names the file, what is wrong and what to do."""

    def __init__(self, problem: str, *, path: Path | str | None = None) -> None:
        super().__init__(f"{path}: {problem}" if path is not None else problem)
