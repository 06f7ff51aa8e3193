"""Output folders: never overwritten silently."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from enum import Enum
from pathlib import Path

from data_prep.layouts.walk import OUTPUT_MARKER
from pipelines.errors import UsageError

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked
    fcntl = None  # type: ignore[assignment]


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
    """Make `output` ready to be written to, and mark it as this command's, in which no other process writes meanwhile.

    The mark stays locked until this process ends, however it does; this process itself may claim the folder again.

    Args:
        output: a folder; absent, or empty but for a mark, is always fine.
        existing: what to do when it holds something. Only a folder that the same command marked is ever gone on with,
            or emptied.
        command: name of the command.
        inputs: what the command reads; none of it may lie in a folder that is not empty.
        can_resume: whether the command knows `--resume`, for the message.

    Raises:
        UsageError: when `output` may not or cannot be written to, or another process has claimed it.
    """
    if output.is_file():
        raise UsageError(f"{output}: is a file; give a folder")
    marker = output / OUTPUT_MARKER
    try:
        output.mkdir(parents=True, exist_ok=True)
        if marker.is_file() or not any(output.iterdir()):
            _lock(marker)
        # The mark alone is left by a command that could not start; there is nothing to lose.
        contents = [child for child in output.iterdir() if child.name != OUTPUT_MARKER]
        if contents:
            _check_reuse(output, existing, command, inputs, can_resume)
        if existing is Existing.OVERWRITE:
            for child in contents:
                shutil.rmtree(child) if child.is_dir() and not child.is_symlink() else child.unlink()
        marker.write_text(f"{command}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{output}: cannot be written to ({error.strerror}); give another folder") from error


_MOST_LOCKS = 64
"""A process that claims one folder after another would run out of files to open; it lets go of the oldest."""

_locked: dict[tuple[int, int], int] = {}
"""By device and inode, the open files of the marks that this process has locked."""


def _lock(marker: Path) -> None:
    """Lock a mark, which is made if need be, for the life of this process, unless it has done so already."""
    if fcntl is None:
        return
    descriptor = os.open(marker, os.O_RDWR | os.O_CREAT, 0o666)
    status = os.fstat(descriptor)
    if (status.st_dev, status.st_ino) in _locked:
        os.close(descriptor)
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        problem = "another run is writing there; wait for it, or give another folder"
        raise UsageError(f"{marker.parent}: {problem}") from error
    except OSError:  # a file system without locks
        os.close(descriptor)
        return
    if len(_locked) == _MOST_LOCKS:
        os.close(_locked.pop(next(iter(_locked))))
    _locked[status.st_dev, status.st_ino] = descriptor


def _leave_locks_to_the_parent() -> None:
    """A forked process, such as a reader of training images, may outlive its parent for some seconds."""
    for descriptor in _locked.values():
        os.close(descriptor)
    _locked.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_locks_to_the_parent)


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
