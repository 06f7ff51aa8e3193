"""Output folders: never overwritten silently."""

from __future__ import annotations

import shutil
from enum import Enum
from pathlib import Path

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


def claim_output(output: Path, existing: Existing, *, ours: str, can_resume: bool = False) -> None:
    """Make `output` ready to be written to.

    Args:
        output: a folder; absent or empty is always fine.
        existing: what to do when it holds something.
        ours: a file or folder name that tells an earlier output of this command from a user's own folder; nothing
            else is ever deleted.
        can_resume: whether the command knows `--resume`, for the message.
    """
    if output.is_file():
        raise UsageError(f"{output}: is a file; give a folder")
    if not output.is_dir() or not any(output.iterdir()):
        output.mkdir(parents=True, exist_ok=True)
        return
    if existing is Existing.REFUSE:
        choices = "`--overwrite` to replace it or `--resume` to go on" if can_resume else "`--overwrite` to replace it"
        raise UsageError(f"{output}: already exists; give {choices}")
    if existing is Existing.OVERWRITE:
        if not (output / ours).exists():
            raise UsageError(f"{output}: holds no {ours}, so this command did not write it; give another folder")
        shutil.rmtree(output)
        output.mkdir(parents=True)
