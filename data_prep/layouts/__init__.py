"""A path in, the cases below it out: each layout a module, chosen by name or by what the path holds."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from data_prep.errors import DataError
from data_prep.layouts.channels import Channel
from data_prep.layouts.finding import Finding
from data_prep.layouts.walk import exists

_LAYOUTS = {  # in the order in which `auto` asks: the most telling first
    "table": ("table", "find_table_cases"),
    "decathlon": ("decathlon", "find_decathlon_cases"),
    "bids": ("bids", "find_bids_cases"),
    "brats": ("brats", "find_brats_cases"),
    "folder": ("folder", "find_folder_cases"),
    "pictures": ("pictures", "find_picture_cases"),
    "video": ("videos", "find_video_cases"),
    "dicom": ("dicom_tree", "find_dicom_cases"),
}
LAYOUTS = ("auto", *_LAYOUTS)


def find_cases(
    root: Path,
    *,
    layout: str = "auto",
    channels: tuple[Channel, ...] = (),
    frames_per_second: float | None = None,
) -> Finding:
    """All cases at or below a path.

    Args:
        root: a folder; a CSV file; a DICOM file or a zip archive of some; a video.
        layout: one of `LAYOUTS`; `auto` takes the first that recognizes the path.
        channels: what is wanted; none: what the layout takes by default.
        frames_per_second: how many frames of a video become slices; None: all.

    Raises:
        DataError: when the path does not exist, is of no known layout, or holds no patient at all.
    """
    if layout not in LAYOUTS:
        raise DataError(f"layout must be one of {', '.join(LAYOUTS)}, got {layout!r}")
    if not exists(root):
        raise DataError("does not exist; check the path", path=root)
    if layout != "auto":
        return _find(layout, root, channels, frames_per_second)
    for name in _LAYOUTS:
        recognize: Callable[[Path], str | None] = _module(name).recognize
        if recognize(root):
            return _find(name, root, channels, frames_per_second)
    known = ", ".join(_LAYOUTS)
    raise DataError(f"holds no images in a layout this program knows ({known}); docs/data.md shows each", path=root)


def _find(name: str, root: Path, channels: tuple[Channel, ...], frames_per_second: float | None) -> Finding:
    find: Callable[..., Finding] = getattr(_module(name), _LAYOUTS[name][1])
    more = {"frames_per_second": frames_per_second} if name == "video" else {}
    return find(root, channels, **more)


def _module(name: str) -> Any:
    # One at a time: a user of one layout need not wait for the readers of all others.
    return import_module(f"data_prep.layouts.{_LAYOUTS[name][0]}")
