"""What goes wrong with models and trainings, said so that a user can act on it."""

from __future__ import annotations

from pathlib import Path


class ModelError(ValueError):
    """A model or checkpoint that cannot be used: the message names the file, what is wrong and what to do."""

    def __init__(self, problem: str, *, path: Path | str | None = None) -> None:
        super().__init__(f"{path}: {problem}" if path is not None else problem)


class TrainingError(ValueError):
    """A training that cannot start with what it was given."""


class NonFiniteLossError(RuntimeError):
    """A training whose losses became NaN or infinite."""


class DeviceError(ValueError):
    """A device that does not exist here."""
