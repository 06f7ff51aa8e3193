"""`Volume`: an image in RAS+ voxel order that knows the file it came from, and the way back to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from data_prep.errors import DataError, quote_private
from data_prep.grid import Grid

SAME_GRID_TOLERANCE_MM = 1e-3


VOXEL_SIZES_MM = (1e-6, 1e3)
"""The sizes a voxel can have; others come from damaged headers."""


@dataclass(frozen=True, kw_only=True)
class SourceGrid:
    """The voxel grid of a file, or of the files of one series, as it lies on disk.

    Attributes:
        path: the file, or the folder of the series.
        sha256: of the bytes of all files.
        shape: (I, J, K) in file order.
        affine: maps those indices to world positions (RAS+, mm).
        qform, sform: the two transforms of a NIfTI header with their codes; None in other formats.
        units: the xyzt code of a NIfTI header; 2 is mm.
        has_anatomy: whether it says how large the patient is and how the patient lies; pictures and videos do not.
        slice_names: for volumes made of files, the file of each position along the last axis, in file order.
    """

    path: Path
    sha256: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    qform: tuple[np.ndarray, int] | None = None
    sform: tuple[np.ndarray, int] | None = None
    units: int = 2
    has_anatomy: bool = True
    slice_names: tuple[str, ...] = ()

    @property
    def is_sized(self) -> bool:
        """Whether it says how large a voxel is; of pictures, which do not, the affine is the identity."""
        return not np.array_equal(self.affine, np.eye(4))

    def from_ras(self, array: np.ndarray) -> np.ndarray:
        """Reorder an (I, J, K) array from RAS+ order into the order of the file."""
        ras = nib.orientations.axcodes2ornt("RAS")
        back = nib.orientations.ornt_transform(ras, nib.orientations.io_orientation(self.affine))
        return nib.orientations.apply_orientation(array, back)

    def runs_along(self, ras_axis: int) -> bool:
        """Whether the file's last axis is axis 0 (right), 1 (anterior) or 2 (superior) of the RAS+ array."""
        return bool(nib.orientations.io_orientation(self.affine)[2, 0] == ras_axis)

    def is_flipped(self, ras_axis: int) -> bool:
        """Whether the file runs against axis 0 (right), 1 (anterior) or 2 (superior) of the RAS+ array."""
        orientation = nib.orientations.io_orientation(self.affine)
        return bool(orientation[orientation[:, 0] == ras_axis][0, 1] < 0)


@dataclass(frozen=True, kw_only=True)
class Volume:
    """An image with channels.

    Attributes:
        channels: an (I, J, K) array a channel, float32 or the integers of its file, with axes running right, anterior,
            superior as nearly as the scan allows (RAS+). They are kept apart because joining them costs a copy.
        affine: maps (i, j, k) to world positions in mm; an oblique scan keeps its rotation here.
        source: the grid of the first channel's file, on which all channels lie.
        paths: a file, or the folder of a series, a channel.
        sha256: of the bytes each channel was read from.
    """

    channels: tuple[np.ndarray, ...]
    affine: np.ndarray
    source: SourceGrid
    paths: tuple[Path, ...]
    sha256: tuple[str, ...]

    @classmethod
    def from_file_order(cls, array: np.ndarray, source: SourceGrid) -> Volume:
        """Turn (C, I, J, K) voxels in the order of `source` to RAS+; views where possible, nothing is copied."""
        orientation = nib.orientations.io_orientation(source.affine)
        return cls(
            channels=tuple(nib.orientations.apply_orientation(channel, orientation) for channel in array),
            affine=source.affine @ nib.orientations.inv_ornt_aff(orientation, source.shape),
            source=source,
            paths=(source.path,) * len(array),
            sha256=(source.sha256,) * len(array),
        )

    @property
    def array(self) -> np.ndarray:
        """All channels as one (C, I, J, K) array; a view where there is one."""
        return self.channels[0][None] if len(self.channels) == 1 else np.stack(self.channels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(I, J, K) of every channel."""
        i, j, k = self.channels[0].shape
        return i, j, k

    @property
    def grid(self) -> Grid:
        """Where its voxels lie, in RAS+ order."""
        return Grid(shape=self.shape, affine=self.affine)

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Distance between voxel centers along each axis."""
        return self.grid.spacing_mm

    def index_in_file(self, ras_axis: int, index: int) -> int:
        """An index along axis 0, 1 or 2 of the RAS+ array as the file counts it along the same anatomical axis."""
        return self.shape[ras_axis] - 1 - index if self.source.is_flipped(ras_axis) else index

    def difference_from(self, other: Volume) -> str | None:
        """How this volume's grid differs from that of `other` in words, None when both are the same within 1e-3 mm.

        In which order files store the voxels does not matter.
        """
        name = quote_private(other.paths[0].name)
        if self.shape != other.shape:
            mine, theirs = self.source.shape, other.source.shape
            if mine == theirs:
                return f"shape {mine} along other directions than {name}"
            return f"shape {mine}, but {name} has {theirs}"
        corners = np.array([[i, j, k, 1] for i in (0, 1) for j in (0, 1) for k in (0, 1)], float)
        corners[:, :3] *= np.array(self.shape) - 1
        distance_mm = np.abs((corners @ self.affine.T - corners @ other.affine.T)[:, :3]).max()
        if distance_mm > SAME_GRID_TOLERANCE_MM:
            return f"an affine that puts a corner {distance_mm:.3g} mm away from where {name} has it"
        return None

    def __post_init__(self) -> None:
        shapes = {channel.shape for channel in self.channels}
        if len(shapes) != 1 or len(next(iter(shapes))) != 3:
            raise ValueError(f"`channels` must be (I, J, K) arrays of one shape, got {shapes}")


def is_usable(affine: np.ndarray) -> bool:
    """Whether a (4, 4) affine is finite, its axes span space, and its voxels have a size that images can have."""
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(0))
    smallest, largest = VOXEL_SIZES_MM
    if not np.isfinite(affine).all() or lengths.min() < smallest or lengths.max() > largest:
        return False
    # Relative to the axis lengths, so that tiny voxels are not mistaken for degenerate ones.
    return abs(float(np.linalg.det(affine[:3, :3] / lengths))) >= 1e-3


def stack_channels(volumes: list[Volume]) -> Volume:
    """Join volumes of one grid along the channel axis.

    Raises:
        DataError: when a volume lies on another grid than the first.
    """
    first = volumes[0]
    for other in volumes[1:]:
        difference = other.difference_from(first)
        if difference:
            problem = f"has {difference}; resample it onto the same grid, or give --resample-to-first"
            raise DataError(problem, path=other.paths[0])
    return Volume(
        channels=tuple(channel for v in volumes for channel in v.channels),
        affine=first.affine,
        source=first.source,
        paths=tuple(path for v in volumes for path in v.paths),
        sha256=tuple(digest for v in volumes for digest in v.sha256),
    )
