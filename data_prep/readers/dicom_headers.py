"""`SeriesHeaders`: what other DICOM objects must know of a series to refer to its slices, and nothing more."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.errors import DataError, quote_private
from data_prep.readers.dicom import series_path
from data_prep.readers.dicom_file import dicom_errors, read_header
from data_prep.readers.dicom_frames import Frame, frames_of
from data_prep.readers.dicom_geometry import stack
from data_prep.readers.dicom_kind import why_no_slice

HEADER_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("StudyDate", "Modality", "ImageType", "LossyImageCompression"),
    *("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    *("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
)
"""All that is read: no name, number or description of a patient gets even into memory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One file of a series, as others refer to it: its SOPClassUID and SOPInstanceUID."""

    sop_class: str
    uid: str


@dataclass(frozen=True, kw_only=True)
class SeriesHeaders:
    """What the headers of one series say.

    Attributes:
        path: the file, the zip archive or the folder of the series.
        instances: by their files, those with the lowest slices first.
        frames: its slices in the order of the volume's K axis; their `file` leads to the instance.
        study, series: StudyInstanceUID and SeriesInstanceUID.
        frame_of_reference: FrameOfReferenceUID; None where the headers have none.
        study_date, modality: as the first header has them, unchecked; empty where it has none.
        is_lossy: whether compression has changed the values of any slice.
    """

    path: Path
    instances: dict[Path, Instance]
    frames: tuple[Frame, ...]
    study: str
    series: str
    frame_of_reference: str | None
    study_date: str
    modality: str
    is_lossy: bool


def read_headers(files: Sequence[Path]) -> SeriesHeaders:
    """Read the headers of one series that `read_dicom_series` can read; paths may lead into zip archives.

    Raises:
        DataError: when the files are no images, do not form one regular grid, or lack the UIDs to refer to them by.
    """
    files = sorted({Path(file) for file in files})
    if not files:
        raise DataError("a DICOM series needs files, got none")
    path = series_path(files)
    frames: list[Frame] = []
    instances: dict[Path, Instance] = {}
    common: list[tuple[str, str, str | None]] = []
    is_lossy = False
    for file in files:
        dataset = read_header(file, HEADER_TAGS)
        with dicom_errors(file):
            reason = why_no_slice(dataset)
            if reason is not None:
                raise DataError(reason, path=file)
            frames += frames_of(dataset, file)
            instances[file] = Instance(
                sop_class=_uid(dataset, "SOPClassUID", file), uid=_uid(dataset, "SOPInstanceUID", file)
            )
            common.append(_common_uids(dataset, file))
            is_lossy |= _text(dataset, "LossyImageCompression") == "01"
            if file == files[0]:
                date, modality = (_text(dataset, keyword) for keyword in ("StudyDate", "Modality"))
    _check_uids(instances, common, path)
    order, _ = stack(frames, path)
    frames = [frames[index] for index in order]
    study, series, frame_of_reference = common[0]
    return SeriesHeaders(
        path=path,
        instances={frame.file: instances[frame.file] for frame in frames},
        frames=tuple(frames),
        study=study,
        series=series,
        frame_of_reference=frame_of_reference,
        study_date=date,
        modality=modality,
        is_lossy=is_lossy,
    )


def _common_uids(dataset: Dataset, path: Path) -> tuple[str, str, str | None]:
    has_frame_of_reference = _text(dataset, "FrameOfReferenceUID") != ""
    return (
        _uid(dataset, "StudyInstanceUID", path),
        _uid(dataset, "SeriesInstanceUID", path),
        _uid(dataset, "FrameOfReferenceUID", path) if has_frame_of_reference else None,
    )


def _uid(dataset: Dataset, keyword: str, path: Path) -> str:
    value = _text(dataset, keyword)
    # Leading zeros in a component are against the standard, too, but frequent, and readers take them.
    if not re.fullmatch(r"[0-9.]{1,64}", value):
        problem = f"has {keyword} {quote_private(value[:64])}, which is no UID" if value else f"has no {keyword}"
        raise DataError(f"{problem}, so no DICOM object can refer to it; export it again", path=path)
    return value


def _check_uids(instances: dict[Path, Instance], common: list[tuple[str, str, str | None]], series: Path) -> None:
    for index, keyword in enumerate(("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")):
        if len({uids[index] for uids in common}) > 1:
            raise DataError(f"has files of different {keyword}; give one series", path=series)
    seen: dict[str, Path] = {}
    for path, instance in instances.items():
        other = seen.setdefault(instance.uid, path)
        if other is not path:
            names = f"{quote_private(other.name)} and {quote_private(path.name)}"
            raise DataError(f"has one SOPInstanceUID in {names}; export it again", path=series)


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else str(value).strip("\0 ")
