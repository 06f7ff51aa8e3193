"""What the text headers of MetaImage and NRRD say, and how both are taken apart."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path, PureWindowsPath

import numpy as np

from data_prep.errors import DataError, quote_private


@dataclass(frozen=True, kw_only=True)
class ItkHeader:
    """A header, in which every size and number is known to be sane, but not that the file holds what it promises.

    Attributes:
        dtype: of the voxels, with their byte order.
        sizes: voxels along each axis; the first axis runs fastest on disk.
        channel_axis: the one of four axes that does not lie in space; None for an image of three.
        axes: (3, 3) a column for each axis in space: the step from a voxel to the next in mm.
        origin: (3,) position of the first voxel in mm.
        to_ras: signs that turn the header's coordinates into RAS+.
        data_file: name of the file that holds the voxels, beside the header; None where they follow it.
        data_start: the byte they begin at, as inflated; -1 for the last bytes of a file that is not compressed.
        is_compressed: with deflate.
    """

    dtype: np.dtype
    sizes: tuple[int, ...]
    channel_axis: int | None
    axes: np.ndarray
    origin: np.ndarray
    to_ras: tuple[int, int, int]
    data_file: str | None
    data_start: int
    is_compressed: bool


MAX_DIMENSIONS = 10
"""Of any array that these formats know."""
_LONGEST_NAME = 255


def need(fields: Mapping[str, str], name: str) -> str:
    """A field that must be there.

    Raises:
        ValueError: when it is missing or empty.
    """
    if not fields.get(name):
        raise ValueError(f"it has no field {name}")
    return fields[name]


def whole_numbers(text: str, *, least: int, count: int | None = None) -> list[int]:
    """Numbers from words, `count` of them where it is given.

    Raises:
        ValueError: when a word is no whole number or less than `least`, or there are more or fewer.
    """
    numbers = [int(word) for word in text.split()]
    if min(numbers, default=least) < least or len(numbers) != (count or len(numbers)):
        raise ValueError(f"{text.strip()!r} must be {count or 'some'} whole numbers of at least {least}")
    return numbers


def real_numbers(words: Iterable[str], count: int) -> np.ndarray:
    """(count,) finite numbers from words.

    Raises:
        ValueError: when a word is no finite number, or there are more or fewer.
    """
    numbers = [float(word) for word in words]
    if len(numbers) != count or not all(map(isfinite, numbers)):
        raise ValueError(f"{numbers[:16]} must be {count} finite numbers")
    return np.array(numbers)


def beside(path: Path, name: str) -> Path:
    """The file `name` that a header at `path` speaks of.

    Raises:
        DataError: when `name` is absolute, leads out of the header's folder, or is a list or pattern of files.
    """
    name = os.fsdecode(name.encode("latin-1"))  # headers are taken apart as latin-1, which no bytes contradict
    if not name or "\0" in name or len(name) > _LONGEST_NAME:
        raise DataError("names no data file; save it again", path=path)
    windows = PureWindowsPath(name)  # knows both kinds of separators
    if windows.drive or windows.root or ".." in windows.parts:
        raise DataError(
            f"names a data file outside of its folder, {quote_private(name)}; put it beside the header", path=path
        )
    if name.split()[:1] == ["LIST"] or "%" in name:
        raise DataError(
            f"spreads its voxels over several files ({quote_private(name)}); save it as one file", path=path
        )
    return path.parent / name
