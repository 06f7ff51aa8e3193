"""Walking a folder as all layouts do: links followed once, hidden files and our own results left out."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from data_prep.case import Format
from data_prep.errors import DataError

OUTPUT_MARKER = ".fpgan"
"""A folder that holds a file of this name was written by this toolkit: what lies below it are results, not patients."""

SUFFIXES: dict[Format, tuple[str, ...]] = {
    "nifti": (".nii", ".nii.gz", ".hdr", ".hdr.gz"),
    "itk": (".mha", ".mhd", ".nrrd", ".nhdr"),
    "picture": (".png", ".jpg", ".jpeg", ".tif", ".tiff"),
    "video": (".mp4", ".avi", ".mov", ".mkv"),
    "dicom": (".dcm", ".dicom", ".ima"),
}
"""File name endings, in lower case. DICOM files may have any name; these are only the usual ones."""


def walk(root: Path, *, on_error: Callable[[OSError], object] | None = None) -> Iterator[tuple[Path, list[str]]]:
    """Folders at or below `root` with the names of their files, both sorted.

    A folder that links lead to twice, or back to, comes once; one that cannot be entered is left out, and `on_error`
    called.

    Raises:
        DataError: when `root` is not an existing folder.
    """
    if not is_folder(root):
        raise DataError("is a file, not a folder" if exists(root) else "does not exist; check the path", path=root)
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True, onerror=on_error):
        real = os.path.realpath(folder)
        if real in seen or OUTPUT_MARKER in files:
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield Path(folder), sorted(name for name in files if not name.startswith("."))


def format_of(name: str) -> Format | None:
    """The format that a file's name stands for; None for any other file, and for the `.img` of a pair."""
    lower = name.lower()
    return next((known for known, endings in SUFFIXES.items() if lower.endswith(endings)), None)


def stem(name: str) -> str:
    """A file's name without its ending: `a` for `a.nii.gz`; unchanged where the ending is unknown."""
    endings = sorted((ending for group in SUFFIXES.values() for ending in group), key=len, reverse=True)
    return next((name[: -len(ending)] for ending in endings if name.lower().endswith(ending)), name)


def exists(path: Path) -> bool:
    """Whether a file or folder is there; False also for names that no file system takes, and what cannot be reached."""
    return _mode(path) is not None


def is_folder(path: Path) -> bool:
    """Whether a folder is there, with the same care."""
    mode = _mode(path)
    return mode is not None and stat.S_ISDIR(mode)


def _mode(path: Path) -> int | None:
    try:
        return path.stat().st_mode
    except (OSError, ValueError):
        return None
