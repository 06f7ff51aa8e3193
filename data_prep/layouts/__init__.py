"""A path in, the cases below it out: each layout a module, chosen by name or by what the path holds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from data_prep.case import Failure
from data_prep.errors import DataError
from data_prep.layouts.channels import Channel
from data_prep.layouts.finding import Finding
from data_prep.layouts.walk import exists, is_folder, walk

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
    """All cases at or below a path. A folder that cannot be entered is a failure: it may well hold a patient.

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
    unreadable = _unreadable_folders(root) if is_folder(root) else []
    if layout == "auto":
        layout = recognize(root) or ""
        if not layout and unreadable:
            raise DataError(unreadable[0].reason)
        if not layout:
            if not is_folder(root):
                problem = "is a file of no layout this program knows; single pictures are not taken: give their folder"
                raise DataError(f"{problem}; docs/data.md shows what is taken", path=root)
            known = ", ".join(_LAYOUTS)
            problem = f"holds no images in a layout this program knows ({known}); docs/data.md shows each"
            raise DataError(problem, path=root)
    find: Callable[..., Finding] = getattr(_module(layout), _LAYOUTS[layout][1])
    more = {"frames_per_second": frames_per_second} if layout == "video" else {}
    finding = find(root, channels, **more)
    return replace(finding, failures=[*finding.failures, *unreadable])


def recognize(root: Path) -> str | None:
    """The first layout that recognizes an existing path; None where none does."""
    return next((name for name in _LAYOUTS if _module(name).recognize(root)), None)


def _unreadable_folders(root: Path) -> list[Failure]:
    errors: list[OSError] = []
    for _ in walk(root, on_error=errors.append):
        pass
    folders = {Path(error.filename): error.strerror for error in errors}
    return [
        Failure.of(folder.name, DataError(f"cannot be read ({reason}); check path and permissions", path=folder))
        for folder, reason in folders.items()
    ]


def _module(name: str) -> Any:
    # One at a time: a user of one layout need not wait for the readers of all others.
    return import_module(f"data_prep.layouts.{_LAYOUTS[name][0]}")
