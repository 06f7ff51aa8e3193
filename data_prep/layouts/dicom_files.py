"""Which files below a folder may be DICOM, in zip archives, too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from data_prep.archive import archive_members, read_bytes
from data_prep.case import Failure
from data_prep.errors import DataError
from data_prep.layouts.walk import format_of, walk

HEAD = 132
"""Bytes that tell a DICOM file: a preamble of 128, then `DICM`."""


def dicom_files(root: Path, failures: list[Failure]) -> Iterator[tuple[Path, bool]]:
    """Files at or below `root`, and members of its zip archives, that begin as DICOM files do, sorted within folders.

    With each comes whether it has the mark; without, it may be something else. What cannot be read is added to
    `failures`.

    Raises:
        DataError: when `root` does not exist, or is itself an archive that cannot be read.
    """
    for path in files_and_members(root, failures):
        try:
            head = read_bytes(path, at_most=HEAD)
        except DataError as error:
            failures.append(Failure.of(path.stem, error))
            continue
        if has_mark(head) or has_first_element(head):
            yield path, has_mark(head)


def files_and_members(root: Path, failures: list[Failure]) -> Iterator[Path]:
    """All files at or below `root` that are not known to be of another format; archives are opened, hidden files not.

    Raises:
        DataError: when `root` does not exist, or is itself an archive that cannot be read.
    """
    if is_archive(root):
        yield from _members(root)
    elif root.is_file():
        yield root
    else:
        for folder, names in walk(root):
            for path in (folder / name for name in names if _may_be_dicom(name)):
                if not path.is_file():  # a pipe would be waited for without end
                    continue
                try:
                    yield from _members(path) if is_archive(path) else [path]
                except DataError as error:
                    failures.append(Failure.of(path.stem, error))


def is_archive(path: Path) -> bool:
    """Whether a file is a zip archive, by its name."""
    return path.name.lower().endswith(".zip") and path.is_file()


def has_mark(head: bytes) -> bool:
    """Whether the mark of DICOM files stands where it should."""
    return head[128:HEAD] == b"DICM"


def has_first_element(head: bytes) -> bool:
    """Whether a file without preamble begins with an element of group 0002 or 0008, as old DICOM files do."""
    return (head[:2] in (b"\x02\x00", b"\x08\x00") and head[3:4] == b"\0") or head[:3] == b"\0\x08\0"


def _members(archive: Path) -> list[Path]:
    return [path for path in archive_members(archive) if not _is_hidden(path.relative_to(archive))]


def _is_hidden(inner: Path) -> bool:
    """macOS puts a second, useless file beside each in its archives."""
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in inner.parts)
    return is_hidden or not _may_be_dicom(inner.name) or inner.name.lower().endswith(".zip")


def _may_be_dicom(name: str) -> bool:
    return format_of(name) in (None, "dicom") and name != "DICOMDIR"
