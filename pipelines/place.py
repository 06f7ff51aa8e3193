"""Where a part of a patient lies, in the words and numbers of a report."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

from data_prep.foreground import bounding_box
from data_prep.volume import Volume
from pipelines.reporting.record import Side

MIDLINE_MM = 5.0
"""What lies as near to the middle of the patient belongs to no side."""

Box = tuple[slice, slice, slice]


@dataclass(frozen=True, kw_only=True)
class Anatomy:
    """What places are told relative to.

    `volume` is the patient's; `slice_axis` its RAS+ axis along which slices are counted; `extent` (3, 2) the first and
    last index of the foreground along each RAS+ axis.
    """

    volume: Volume
    slice_axis: int
    extent: np.ndarray

    @classmethod
    def of(cls, volume: Volume, foreground: np.ndarray, slice_axis: int) -> Anatomy:
        """Of a patient whose `foreground` is (I, J, K) bool in RAS+ order, not empty."""
        box = bounding_box(foreground)
        assert box is not None
        extent = np.array([(used.start, used.stop - 1) for used in box])
        return cls(volume=volume, slice_axis=slice_axis, extent=extent)

    def describe(self, inside: np.ndarray, box: Box) -> dict[str, Any]:
        """The fields of a `Place` for the voxels that `inside` (bool, not empty) marks within a box of the volume."""
        volume = self.volume
        center = centroid_of(inside, box)
        center_mm = volume.affine[:3, :3] @ center + volume.affine[:3, 3]
        to_file = np.linalg.inv(volume.source.affine)
        center_in_file = to_file[:3, :3] @ center_mm + to_file[:3, 3]
        axis = self.slice_axis
        digits = max(2, 2 - math.floor(math.log10(min(volume.spacing_mm))))  # of a voxel a hundredth
        used = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis}))) + box[axis].start
        first, last = sorted(volume.index_in_file(axis, int(end)) for end in (used[0], used[-1]))
        return {
            "center_mm": tuple(round(float(value), digits) + 0.0 for value in center_mm),
            "center_voxel": tuple(round(float(value), 2) + 0.0 for value in center_in_file),
            "hemisphere": self._hemisphere(center) if volume.source.has_anatomy else None,
            "height": self._height(center) if volume.source.has_anatomy else None,
            "volume_mm3": _six_digits(np.count_nonzero(inside) * abs(np.linalg.det(volume.affine[:3, :3]))),
            "longest_diameter_mm": _six_digits(longest_diameter_mm(inside, volume.affine)),
            "first_slice": first,
            "last_slice": last,
        }

    def _hemisphere(self, center: np.ndarray) -> Side:
        aside_mm = (center[0] - self.extent[0].mean()) * self.volume.spacing_mm[0]
        return "midline" if abs(aside_mm) <= MIDLINE_MM else "right" if aside_mm > 0 else "left"

    def _height(self, center: np.ndarray) -> float:
        bottom, top = self.extent[2]
        return round(float(np.clip((center[2] - bottom) / max(1, top - bottom), 0, 1)), 3)


def centroid_of(inside: np.ndarray, box: Box) -> np.ndarray:
    """(3,) mean index in the volume of the voxels that `inside` marks within a box of it."""
    centroid: np.ndarray = np.argwhere(inside).mean(axis=0) + [part.start for part in box]
    return centroid


def longest_diameter_mm(inside: np.ndarray, affine: np.ndarray) -> float:
    """The largest distance between two points of the voxels that `inside` (I, J, K; bool, not empty) marks, in mm.

    Voxels are boxes, so a single one has the length of its diagonal.
    """
    lines = np.argwhere(inside.any(axis=2))
    columns = inside[tuple(lines.T)]
    first = columns.argmax(axis=1)
    last = inside.shape[2] - 1 - columns[:, ::-1].argmax(axis=1)
    # Of each line of voxels only the ends can be outermost; a voxel's corners lie half a voxel around its center.
    corners = np.array([(i, j) for i in (-0.5, 0.5) for j in (-0.5, 0.5)])
    points = np.concatenate(
        [np.column_stack([lines + corner, ends]) for corner in corners for ends in (first - 0.5, last + 0.5)]
    )
    in_mm = points @ affine[:3, :3].T
    return float(pdist(in_mm[ConvexHull(in_mm).vertices]).max())


def _six_digits(value: float) -> float:
    return float(f"{value:.6g}")
