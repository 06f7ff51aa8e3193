"""`Frame`: where one slice of a DICOM file lies and how its stored values become real ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from data_prep.errors import DataError, quote_private

FARTHEST_MM = 1e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One slice, as the header describes it.

    Attributes:
        file: where it is stored.
        number: which of its file's frames it is, from 1; None where the file holds one slice.
        rows, columns: its size in pixels.
        position_mm: ImagePositionPatient, the center of the first pixel, LPS.
        orientation: ImageOrientationPatient, (2, 3): unit vectors along a row and along a column, LPS.
        spacing_mm: PixelSpacing: between rows, between columns.
        slope, intercept: real value = stored value · slope + intercept.
    """

    file: Path
    number: int | None
    rows: int
    columns: int
    position_mm: np.ndarray
    orientation: np.ndarray
    spacing_mm: np.ndarray
    slope: float
    intercept: float

    def __str__(self) -> str:
        name = quote_private(self.file.name)
        return name if self.number is None else f"frame {self.number} of {name}"


def frames_of(dataset: Dataset, path: Path) -> Iterator[Frame]:
    """The slices of one file in stored order; of multi-frame files as their functional groups place them.

    Raises:
        DataError: when position, orientation or spacing is missing or no number, or frames and groups differ in number.
    """
    count = number_of_frames(dataset)
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    shared = next(iter(dataset.get("SharedFunctionalGroupsSequence") or []), Dataset())
    has_table = bool(dataset.get("ModalityLUTSequence"))  # which stands in place of slope and intercept
    if per_frame and len(per_frame) != count:
        raise DataError(f"has {count} frames, but places {len(per_frame)}; export it again", path=path)
    if count > 1 and not per_frame:
        raise DataError(_no_geometry("position of its frames"), path=path)
    for index in range(count):
        places = [per_frame[index], shared, dataset] if per_frame else [shared, dataset]
        # A position beside the groups can only be one frame's; scanners write it there for the first.
        places_of_position = places[:-1] if count > 1 else places
        yield Frame(
            file=path,
            number=index + 1 if count > 1 else None,
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            position_mm=_geometry(path, places_of_position, "PlanePositionSequence", "ImagePositionPatient", 3),
            orientation=_orientation(path, places),
            spacing_mm=_spacing(path, places),
            # A slope of 0 means that none was set; ITK reads it as 1, too.
            slope=1.0 if has_table else _number(path, places, "RescaleSlope", 1.0) or 1.0,
            intercept=0.0 if has_table else _number(path, places, "RescaleIntercept", 0.0),
        )


def number_of_frames(dataset: Dataset) -> int:
    """NumberOfFrames; 1 where it is missing, as in files of one slice."""
    return max(1, int(dataset.get("NumberOfFrames") or 1))


def _orientation(path: Path, places: list[Dataset]) -> np.ndarray:
    vectors = _geometry(path, places, "PlaneOrientationSequence", "ImageOrientationPatient", 6).reshape(2, 3)
    lengths = np.linalg.norm(vectors, axis=1)
    # Headers round to as few as four digits.
    if not (np.abs(lengths - 1) < 1e-2).all() or abs(vectors[0] @ vectors[1]) > 1e-2:
        raise DataError(
            f"has ImageOrientationPatient {vectors.ravel().tolist()}, which are no two perpendicular directions; "
            "export it again",
            path=path,
        )
    return vectors / lengths[:, None]


def _spacing(path: Path, places: list[Dataset]) -> np.ndarray:
    spacing = _geometry(path, places, "PixelMeasuresSequence", "PixelSpacing", 2)
    if not (spacing > 0).all():
        raise DataError(f"has PixelSpacing {spacing.tolist()} mm; it must be positive, export it again", path=path)
    return spacing


def _geometry(path: Path, places: list[Dataset], group: str, keyword: str, count: int) -> np.ndarray:
    value = _first(places, group, keyword)
    if value is None or value == "":
        raise DataError(_no_geometry(keyword), path=path)
    numbers = np.atleast_1d(np.asarray(value, float))
    if numbers.shape != (count,) or not (np.abs(numbers) < FARTHEST_MM).all():  # nor NaN
        raise DataError(
            f"has {keyword} {numbers.tolist()}; {count} numbers of a patient's size are needed, export it again",
            path=path,
        )
    return numbers


def _no_geometry(missing: str) -> str:
    return f"has no {missing}, so it is no slice of a volume: a radiograph, a secondary capture? Leave its series out"


def _number(path: Path, places: list[Dataset], keyword: str, default: float) -> float:
    value = _first(places, "PixelValueTransformationSequence", keyword)
    if value is None or value == "":
        return default
    number = float(value)
    if not np.isfinite(number):
        raise DataError(f"has {keyword} {number}; its values cannot be used", path=path)
    return number


def _first(places: list[Dataset], group: str, keyword: str) -> Any:
    """The element in the first place that has it: within the group's only item, or, at the top of a file, as it is."""
    for place in places:
        holders = [*(place.get(group) or [])[:1], place]
        for holder in holders:
            if keyword in holder:
                return holder[keyword].value
    return None
