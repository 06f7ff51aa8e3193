"""Files that hold a volume (NIfTI, MetaImage, NRRD): telling them by name, and what belongs to one of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.layouts.walk import exists, format_of, stem


def is_volume(name: str) -> bool:
    """Whether a file of this name holds a volume; the `.img` of a pair does not count, its `.hdr` does."""
    return not name.startswith(".") and format_of(name) in ("nifti", "itk")


def volume_source(file: Path, *, channel: int | None = None) -> Source:
    """One volume file, or a `.hdr` with the `.img` beside it.

    Raises:
        DataError: when the name is not that of a volume, or the `.img` is not there.
    """
    format = format_of(file.name)
    if format not in ("nifti", "itk"):
        raise DataError("has no ending of a volume file, such as .nii.gz, .mha or .nrrd", path=file)
    if not file.name.lower().endswith((".hdr", ".hdr.gz")):
        return Source(format=format, files=(file,), channel=channel)
    data = [file.with_name(stem(file.name) + ending) for ending in (".img", ".IMG", ".img.gz", ".IMG.GZ")]
    partner = next((path for path in data if exists(path)), None)
    if partner is None:
        raise DataError(f"is a header without its data; {data[0].name} must lie beside it", path=file)
    return Source(format=format, files=(file, partner), channel=channel)


def listed(names: Iterable[str], *, quote: Callable[[str], str] = repr) -> str:
    """Names for a message, at most eight of them."""
    shown = sorted(names)
    more = f" and {len(shown) - 8} more" if len(shown) > 8 else ""
    return ", ".join(map(quote, shown[:8])) + more if shown else "nothing"
