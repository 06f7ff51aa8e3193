"""`Grid`: where the voxels of a volume lie in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from nibabel.affines import voxel_sizes

MAX_VOXELS = 2**31
"""Larger images are refused before memory is taken for them."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Voxels (I, J, K) in RAS+ order; `affine` maps their indices to world positions in mm."""

    shape: tuple[int, int, int]
    affine: np.ndarray

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each axis."""
        i, j, k = voxel_sizes(self.affine)
        return float(i), float(j), float(k)

    def is_same(self, other: Grid) -> bool:
        """Whether both are one grid, within rounding."""
        return self.shape == other.shape and np.allclose(self.affine, other.affine, rtol=0, atol=1e-6)

    def with_spacing(self, spacing_mm: tuple[float, float, float]) -> Grid:
        """The grid of other voxel sizes over the same box of space: its outer faces stay, up to half a voxel."""
        old, new = voxel_sizes(self.affine), np.array(spacing_mm)
        shape = np.clip(np.round(np.array(self.shape) * old / new), 1, MAX_VOXELS + 1).astype(int)
        affine = self.affine.copy()
        affine[:3, :3] = self.affine[:3, :3] * (new / old)
        # Voxel 0's center lies half a voxel inside the face; what is left over is shared by both ends.
        first = ((np.array(self.shape) - 1) - (shape - 1) * new / old) / 2
        affine[:3, 3] = self.affine[:3, :3] @ first + self.affine[:3, 3]
        return Grid(shape=(int(shape[0]), int(shape[1]), int(shape[2])), affine=affine)
