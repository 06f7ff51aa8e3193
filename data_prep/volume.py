"""`Volume`: an image in RAS+ voxel order that knows the file it came from, and the way back to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import voxel_sizes

from data_prep.errors import DataError

SAME_GRID_TOLERANCE_MM = 1e-3


@dataclass(frozen=True, kw_only=True)
class SourceGrid:
    """The voxel grid of a file as it lies on disk.

    `shape` is (I, J, K) in file order and `affine` maps those indices to world positions (RAS+, mm).
    `qform` and `sform` are the header's two transforms with their NIfTI codes; `units` is the header's xyzt code.
    """

    path: Path
    sha256: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    qform: tuple[np.ndarray, int]
    sform: tuple[np.ndarray, int]
    units: int

    def from_ras(self, array: np.ndarray) -> np.ndarray:
        """Reorder an (I, J, K) array from RAS+ order into the order of the file."""
        ras = nib.orientations.axcodes2ornt("RAS")
        back = nib.orientations.ornt_transform(ras, nib.orientations.io_orientation(self.affine))
        return nib.orientations.apply_orientation(array, back)

    def is_flipped(self, ras_axis: int) -> bool:
        """Whether the file runs against axis 0 (right), 1 (anterior) or 2 (superior) of the RAS+ array."""
        orientation = nib.orientations.io_orientation(self.affine)
        return bool(orientation[orientation[:, 0] == ras_axis][0, 1] < 0)

    def difference_from(self, other: SourceGrid) -> str | None:
        """How this grid differs from `other` in words, None when both are the same within 1e-3 mm."""
        if self.shape != other.shape:
            return f"shape {self.shape}, but {other.path.name} has {other.shape}"
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
        corners[:, :3] *= np.array(self.shape) - 1
        distance_mm = np.abs((corners @ self.affine.T - corners @ other.affine.T)[:, :3]).max()
        if distance_mm > SAME_GRID_TOLERANCE_MM:
            return f"an affine that puts a corner {distance_mm:.3g} mm away from where {other.path.name} has it"
        return None


@dataclass(frozen=True, kw_only=True)
class Volume:
    """An image with channels.

    `array` is (C, I, J, K) float32 with axes running right, anterior, superior as nearly as the scan allows (RAS+);
    an oblique scan keeps its rotation in `affine`, which maps (i, j, k) to world positions in mm.
    `source` is the grid of the first channel's file, which all channels share; `paths` holds a file a channel.
    """

    array: np.ndarray
    affine: np.ndarray
    source: SourceGrid
    paths: tuple[Path, ...]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each axis."""
        i, j, k = voxel_sizes(self.affine)
        return float(i), float(j), float(k)

    def index_in_file(self, ras_axis: int, index: int) -> int:
        """An index along axis 0, 1 or 2 of the RAS+ array as the file counts it along the same anatomical axis."""
        return self.array.shape[1 + ras_axis] - 1 - index if self.source.is_flipped(ras_axis) else index

    def __post_init__(self) -> None:
        if self.array.ndim != 4:
            raise ValueError(f"`array` must be (C, I, J, K), got shape {self.array.shape}")


def stack_channels(volumes: list[Volume]) -> Volume:
    """Join volumes of one grid along the channel axis.

    Raises:
        DataError: when a volume lies on another grid than the first.
    """
    first = volumes[0]
    for other in volumes[1:]:
        difference = other.source.difference_from(first.source)
        if difference:
            raise DataError(f"has {difference}; resample it onto the same grid", path=other.source.path)
    return Volume(
        array=np.concatenate([v.array for v in volumes]),
        affine=first.affine,
        source=first.source,
        paths=tuple(path for v in volumes for path in v.paths),
    )
