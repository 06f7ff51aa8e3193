"""Slices of one series to one regular grid, from their positions alone, or the reason why they form none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from nibabel.affines import from_matvec

from data_prep.errors import DataError
from data_prep.readers.dicom_frames import Frame
from data_prep.volume import is_usable

SAME_DIRECTION = 1e-3
"""Largest difference between direction cosines of slices that count as parallel; headers round to four digits."""
SAME_SPACING = 1e-3
"""As a share of the pixel spacing, for the same reason."""
UNEVEN_SHARE = 0.1
"""How far a slice may lie from its place on the even grid, as a share of the spacing. Rounded positions (0.1 mm) of
thin slices need some room; a missing slice is ten times as far, and a voxel that is off by a tenth of its own height
is less wrong than one that is resampled."""
TILT_DEGREES = 0.5
TILT_MM = 0.1
"""Slices count as shifted sideways beyond both: a small angle over few thin slices is only rounding."""
LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
"""DICOM's x runs to the patient's left and y to the back (LPS); world positions here run to the right and to the front
(RAS+), as nibabel has them. This is the only place that converts."""


def stack(frames: Sequence[Frame], series: Path) -> tuple[list[int], np.ndarray]:
    """The order in which `frames` ascend along their normal, and the affine from (column, row, slice) to RAS+ mm.

    Only ImagePositionPatient, ImageOrientationPatient and PixelSpacing count: file order, numbers and thicknesses of
    slices are often wrong.

    Raises:
        DataError: when the frames do not lie on one regular grid; the message names the series, positions and files.
    """
    _check_same(frames, series)
    if len(frames) == 1:
        raise DataError(f"has only one slice, {frames[0]}; a volume needs two or more", path=series)
    along_row, along_column = frames[0].orientation
    normal = np.cross(along_row, along_column)
    normal /= np.linalg.norm(normal)
    positions = np.array([frame.position_mm for frame in frames])
    heights = positions @ normal
    order = [int(index) for index in np.argsort(heights, kind="stable")]
    _check_heights(heights[order], [frames[index] for index in order], series)
    first, last = positions[order[0]], positions[order[-1]]
    step = (last - first) / (len(frames) - 1)
    _check_sideways(positions[order], step, normal, [frames[index] for index in order], series)
    between_rows, between_columns = frames[0].spacing_mm
    axes = np.column_stack([along_row * between_columns, along_column * between_rows, step])
    affine = LPS_TO_RAS @ from_matvec(axes, first)
    if not is_usable(affine):
        raise DataError("has voxel sizes that cannot be real; export it again", path=series)
    return order, affine


def _check_same(frames: Sequence[Frame], series: Path) -> None:
    first = frames[0]
    for frame in frames:
        if np.abs(frame.orientation - first.orientation).max() > SAME_DIRECTION:
            raise DataError(
                f"has slices of several orientations, as in a localizer: {first} and {frame} differ; leave it out or "
                "separate them",
                path=series,
            )
    for frame in frames:
        if (frame.rows, frame.columns) != (first.rows, first.columns):
            raise DataError(
                f"has slices of different size: {first} has {first.columns}×{first.rows} pixels, {frame} "
                f"{frame.columns}×{frame.rows}; separate them",
                path=series,
            )
        if not np.allclose(frame.spacing_mm, first.spacing_mm, rtol=SAME_SPACING, atol=0):
            raise DataError(
                f"has slices of different pixel spacing: {first} has {first.spacing_mm.tolist()} mm, {frame} "
                f"{frame.spacing_mm.tolist()} mm; separate them",
                path=series,
            )


def _check_heights(heights: np.ndarray, frames: list[Frame], series: Path) -> None:
    """Ascending positions along the normal must be even, within `UNEVEN_SHARE` of their distance."""
    gaps = np.diff(heights)
    apart = gaps[gaps > 1e-3]
    smallest = UNEVEN_SHARE * np.median(apart) if len(apart) else np.inf
    if gaps.min() < smallest:
        k = int(gaps.argmin())
        raise DataError(
            f"has two slices at one position, {heights[k]:.2f} mm along the normal: {frames[k]} and {frames[k + 1]}; "
            "it may hold several echoes or time points, separate them",
            path=series,
        )
    multiples = np.round(gaps / gaps.min())
    spacing = (heights[-1] - heights[0]) / multiples.sum()
    places = heights[0] + spacing * np.concatenate([[0], np.cumsum(multiples)])
    fits = np.abs(heights - places).max() <= UNEVEN_SHARE * spacing
    if fits and (multiples == 1).all():
        return
    if fits and (multiples == 1).sum() >= len(gaps) / 2:
        raise DataError(_missing(heights, multiples.astype(int), frames), path=series)
    k = int(np.abs(gaps - np.median(gaps)).argmax())
    raise DataError(
        f"is unevenly spaced: slices are {gaps.min():.2f} to {gaps.max():.2f} mm apart, as {frames[k]} at "
        f"{heights[k]:.2f} mm and {frames[k + 1]} at {heights[k + 1]:.2f} mm along the normal; resample it",
        path=series,
    )


def _missing(heights: np.ndarray, multiples: np.ndarray, frames: list[Frame]) -> str:
    places = []
    for k, ((low, high), multiple) in enumerate(zip(pairwise(heights), multiples, strict=True)):
        if multiple > 1:
            absent = [f"{height:.2f}" for height in np.linspace(low, high, multiple + 1)[1:-1]]
            shown = ", ".join(absent if len(absent) <= 4 else [absent[0], "…", absent[-1]])
            places.append(f"at {shown} mm between {frames[k]} and {frames[k + 1]}")
    more = f", and in {len(places) - 4} more places" if len(places) > 4 else ""
    absent_count = int((multiples - 1).sum())
    what = "a slice is missing" if absent_count == 1 else f"{absent_count} slices are missing"
    return f"{what} along the normal: {', '.join(places[:4])}{more}; copy the whole series"


def _check_sideways(
    positions: np.ndarray, step: np.ndarray, normal: np.ndarray, frames: list[Frame], series: Path
) -> None:
    """Slices must stand above each other: the shear of a tilted gantry is no voxel grid."""
    rise = float(step @ normal)
    sideways = step - rise * normal
    degrees = float(np.degrees(np.arctan2(np.linalg.norm(sideways), rise)))
    if degrees > TILT_DEGREES and np.linalg.norm(sideways) * (len(frames) - 1) > TILT_MM:
        raise DataError(
            f"has slices shifted sideways: the gantry was tilted by {degrees:.1f}°; resample it, dcm2niix does",
            path=series,
        )
    off = positions - positions[0] - np.arange(len(frames))[:, None] * step
    off_mm = np.linalg.norm(off - (off @ normal)[:, None] * normal, axis=1)
    k = int(off_mm.argmax())
    if off_mm[k] > max(UNEVEN_SHARE * rise, TILT_MM):
        raise DataError(f"has a slice shifted sideways by {off_mm[k]:.2f} mm: {frames[k]}; leave it out", path=series)
