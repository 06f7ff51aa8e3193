"""The one exception that leaves this package when an input cannot be used."""

from __future__ import annotations

from pathlib import Path


class DataError(ValueError):
    """An input that cannot be used: the message, one line, names the file, what is wrong and what to do."""

    def __init__(self, problem: str, *, path: Path | str | None = None) -> None:
        super().__init__(one_line(f"{path}: {problem}" if path is not None else problem))


def one_line(text: str) -> str:
    """`text` with its line breaks and other control characters written as escapes, as in `scan\\n2`."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
