"""What goes wrong with models and trainings, said so that a user can act on it."""

from __future__ import annotations

from pathlib import Path


class ModelError(ValueError):
    """A model or checkpoint that cannot be used: the message names the file, what is wrong and what to do."""

    def __init__(self, problem: str, *, path: Path | str | None = None) -> None:
        super().__init__(f"{path}: {problem}" if path is not None else problem)


def check_format(found: object, reads: int, *, kind: str, path: Path) -> None:
    """Raise `ModelError` unless a file of this kind has the format that this version reads."""
    if not isinstance(found, int):
        raise ModelError(f"is not a {kind} of this program", path=path)
    if found != reads:
        age, remedy = ("a newer", "update it") if found > reads else ("an older", "train anew")
        problem = f"was written by {age} version of this program (format {found}, this one reads {reads}); {remedy}"
        raise ModelError(problem, path=path)


class TrainingError(ValueError):
    """A training that cannot start with what it was given."""


class NonFiniteLossError(RuntimeError):
    """A training with too many losses or gradients that are NaN or infinite."""


class MemoryLimitError(RuntimeError):
    """A training that needs more memory than there is."""


class TrackingWarning(UserWarning):
    """A log outside the run's folder that missed something; the training goes on."""


class TrainingStopped(KeyboardInterrupt):
    """A training that was asked to stop, by Ctrl-C or a scheduler's signal, and has saved where it was."""


class DeviceError(ValueError):
    """A device that does not exist here."""
