"""What lies under an image's name and is none: empty files, pointers of Git LFS, web pages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from data_prep.errors import DataError

HEAD_BYTES = 544
"""Enough for any NIfTI header, and to tell what else a file is."""


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """`path` opened for reading; failures of the file system while it is read become `DataError`.

    Raises:
        DataError: when the file is missing, unreadable or no regular file.
    """
    try:
        if path.exists() and not path.is_file():
            raise DataError("is not a file; give the path of an image file", path=path)
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error}); check path and permissions", path=path) from error


def refuse_foreign(path: Path, head: bytes) -> None:
    """Say what a file is that begins with `head`, where it is a well-known thing that is no image.

    Raises:
        DataError: when it is one.
    """
    if not head:
        raise DataError("is an empty file; copy or download it again", path=path)
    if head.startswith(b"version https://git-lfs"):
        raise DataError("is a Git LFS pointer, not the image; run `git lfs pull`", path=path)
    text = head[:HEAD_BYTES].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<!doctype html", b"<html", b"<head", b"<?xml")):
        raise DataError("is a web page or an XML message, not the image; download it again", path=path)


def read_image_bytes(path: Path) -> bytes:
    """All bytes of a file that may be an image.

    Raises:
        DataError: when it cannot be read, or is a well-known thing that is no image.
    """
    with opened(path) as file:
        head = file.read(HEAD_BYTES)
        refuse_foreign(path, head)
        return head + file.read()


@contextmanager
def bounded_by_memory(path: Path) -> Iterator[None]:
    """What the machine's memory cannot hold becomes `DataError`.

    Raises:
        DataError: when memory runs out.
    """
    try:
        yield
    except MemoryError as error:
        raise DataError("needs more memory than there is; use a machine with more", path=path) from error
