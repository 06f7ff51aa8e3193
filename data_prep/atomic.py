"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

_MARK = ".part."


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`; what the block writes there gets the name `path` when the block ends well."""
    # The suffix stays, because some writers choose a format by it.
    temporary = path.with_name(f".{os.getpid()}{_MARK}{path.name[-200:]}")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        if error.filename not in (None, os.fspath(temporary)):
            raise  # of a file that was read meanwhile
        # The system's errors of a full disk name no file, and NumPy's no reason.
        problem = f"cannot be written ({error.strerror or error}); check free space and permissions"
        raise OSError(error.errno, problem, os.fspath(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then give it its name."""
    with atomic_path(path) as temporary:
        write(temporary)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed process left half-written in a folder."""
    for path in folder.glob(f".*{_MARK}*"):
        path.unlink(missing_ok=True)
