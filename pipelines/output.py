"""Output folders: never overwritten silently."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from data_prep.layouts.walk import OUTPUT_MARKER
from pipelines.errors import UsageError


class Existing(Enum):
    """What to do when the output is already there."""

    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    RESUME = "resume"


def existing_policy(*, overwrite: bool, resume: bool = False) -> Existing:
    """The policy that two flags of a command ask for."""
    if overwrite and resume:
        raise UsageError("--overwrite and --resume exclude each other")
    return Existing.OVERWRITE if overwrite else Existing.RESUME if resume else Existing.REFUSE


def claim_output(
    output: Path, existing: Existing, *, command: str, inputs: Sequence[Path] = (), can_resume: bool = False
) -> None:
    """Make `output` ready to be written to, and mark it as this command's.

    Args:
        output: a folder; absent, or empty but for a mark, is always fine.
        existing: what to do when it holds something. Only a folder that the same command marked is ever gone on with,
            or emptied.
        command: name of the command.
        inputs: what the command reads; none of it may lie in a folder that is not empty.
        can_resume: whether the command knows `--resume`, for the message.
    """
    if output.is_file():
        raise UsageError(f"{output}: is a file; give a folder")
    # The mark alone is left by a command that could not start; there is nothing to lose.
    if output.is_dir() and any(child.name != OUTPUT_MARKER for child in output.iterdir()):
        _check_reuse(output, existing, command, inputs, can_resume)
        if existing is Existing.OVERWRITE:
            for child in output.iterdir():
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
    try:
        output.mkdir(parents=True, exist_ok=True)
        (output / OUTPUT_MARKER).write_text(f"{command}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written to ({error.strerror}); give another folder") from error


def _check_reuse(output: Path, existing: Existing, command: str, inputs: Sequence[Path], can_resume: bool) -> None:
    if existing is Existing.REFUSE:
        choices = "`--overwrite` to replace it or `--resume` to go on" if can_resume else "`--overwrite` to replace it"
        raise UsageError(f"{output}: already exists; give {choices}")
    marker = output / OUTPUT_MARKER
    if not marker.is_file() or marker.read_text(encoding="utf-8").strip() != command:
        raise UsageError(f"{output}: was not written by `fpgan {command}`; give another folder")
    for path in inputs:
        if path.resolve().is_relative_to(output.resolve()):
            raise UsageError(f"{output}: holds {path}, which the command reads; give another folder")
