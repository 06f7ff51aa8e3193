"""Libraries in C that write to the terminal by themselves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

_STDERR = 2
_lock = Lock()


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """What is written to the standard error meanwhile, by whatever code of this process, is lost.

    libtiff says there that a file is damaged, and Pillow leaves no other way to keep it from that.
    """
    with _lock:  # Two threads that redirect at once would never find the way back.
        try:
            saved = os.dup(_STDERR)
        except OSError:  # there is no standard error, as in a service
            saved = None
        if saved is None:
            yield
            return
        try:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), _STDERR)
            yield
        finally:
            os.dup2(saved, _STDERR)
            os.close(saved)
