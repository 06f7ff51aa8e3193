"""The volumes that a page shows of one patient."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

_LEAST_LIMIT = 0.1


@dataclass(frozen=True, kw_only=True)
class ShownVolumes:
    """Volumes (I, J, K) of one channel on the patient's own grid, in RAS+ order, in [0, 1], 0 outside the foreground.

    Attributes:
        image: the input, float32.
        healthy: its healthy translation, float32.
        difference: signed difference float32 in [-1, 1], positive where the input is brighter than healthy.
        lesions: uint16, the number of each lesion candidate, 0 elsewhere.
        truth: bool, the lesions of the patient's own mask; None without one.
        foreground: bool, voxels that show the patient.
        affine: (4, 4), from (i, j, k) to world positions (RAS+, mm). An oblique scan keeps its rotation here.
        spacing_mm: voxel sizes along the three axes.
        channel: name of the channel.
        anatomy: whether the source says where the patient's sides are, and lengths; pictures do not: the axes are those
            of the picture, and what is called a mm is a pixel.
    """

    image: np.ndarray
    healthy: np.ndarray
    difference: np.ndarray
    lesions: np.ndarray
    truth: np.ndarray | None
    foreground: np.ndarray
    affine: np.ndarray
    spacing_mm: tuple[float, float, float]
    channel: str
    anatomy: bool = True

    @cached_property
    def limit(self) -> float:
        """The difference at the ends of all color scales; differences that are tiny all over keep faint colors."""
        largest = max(float(self.difference.max()), -float(self.difference.min()))
        return math.ceil(100 * max(_LEAST_LIMIT, largest)) / 100

    def index_of(self, center_mm: tuple[float, float, float]) -> tuple[int, int, int]:
        """The voxel nearest to a world position, within the volume."""
        place = np.linalg.inv(self.affine) @ (*center_mm, 1)
        i, j, k = (int(np.clip(np.round(p), 0, n - 1)) for p, n in zip(place[:3], self.image.shape, strict=True))
        return i, j, k
