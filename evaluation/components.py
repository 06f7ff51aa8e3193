"""Connected components over an area, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cc3d
import numpy as np

from evaluation.checks import check_same_shape, check_stack

SpatialDims = Literal[2, 3]
MIN_SIZE = 10
"""Components of so many pixels or fewer are none: the patent keeps areas of more than 10 pixels."""
_NEIGHBORS = {(2, 1): 4, (2, 2): 8, (3, 1): 6, (3, 2): 18, (3, 3): 26}
"""By spatial dimensions and connectivity, how many neighbors a pixel has."""


@dataclass(frozen=True, kw_only=True)
class Components:
    """The N components of a mask, numbered from 1 in `labels` (S, H, W) int32; 0 is what belongs to none.

    Attributes:
        labels: the number of each pixel's component.
        sizes: (N,) in pixels or voxels.
        centroids: (N, 3) mean slice, row and column.
        peaks: (N,) the largest map value of each.
        peak_places: (N, 3) slice, row and column of the peak; of equal ones the first.
        means: (N,) mean map value.
        boxes: (N, 3, 2) extent: first slice, row and column, and one past the last.
    """

    labels: np.ndarray
    sizes: np.ndarray
    centroids: np.ndarray
    peaks: np.ndarray
    peak_places: np.ndarray
    means: np.ndarray
    boxes: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)

    def pixels_of(self, chosen: np.ndarray) -> np.ndarray:
        """(S, H, W) bool: the pixels of the components that `chosen` (N,) bool names."""
        return np.append(False, chosen)[self.labels]

    @property
    def slices(self) -> np.ndarray:
        """(N,) the slice of each component; of one in 3D, its first."""
        return self.boxes[:, 0, 0]


def find_components(
    mask: np.ndarray,
    anomaly: np.ndarray,
    *,
    spatial_dims: SpatialDims = 2,
    connectivity: int | None = None,
    min_size: int = MIN_SIZE,
) -> Components:
    """Components of a mask (S, H, W) with more than `min_size` pixels.

    Args:
        mask: bool.
        anomaly: the map that `peaks` and `means` are taken of, same shape.
        spatial_dims: 2, each slice by itself as in the patent; 3, through slices, of which each touches the next.
        connectivity: how many axes a step between neighbors may change: 1 for those that share an edge (2D) or a face
            (3D), and so on; None for all, diagonals included.
        min_size: components of this size or smaller are dropped; the patent keeps areas of more than 10 pixels.

    Raises:
        ValueError: for arrays of other or different shapes, or an impossible connectivity.
    """
    check_stack("mask", mask)
    check_stack("anomaly", anomaly)
    check_same_shape(mask=mask, anomaly=anomaly)
    mask = np.ascontiguousarray(mask, bool)
    # With bool, cc3d 4.1 errs: with 8 neighbors on an even number of odd rows, with 26 on volumes of a single line.
    labels = _label(mask.view(np.uint8), spatial_dims, connectivity)
    return _describe(labels, mask, anomaly, min_size)


def _label(mask: np.ndarray, spatial_dims: int, connectivity: int | None) -> np.ndarray:
    connectivity = spatial_dims if connectivity is None else connectivity
    if (spatial_dims, connectivity) not in _NEIGHBORS:
        raise ValueError(f"`connectivity` must be 1 to `spatial_dims`, 2 or 3, got {connectivity} and {spatial_dims}")
    neighbors = _NEIGHBORS[spatial_dims, connectivity]
    if spatial_dims == 3:
        return cc3d.connected_components(mask, connectivity=neighbors, out_dtype=np.uint32).view(np.int32)
    labels = np.zeros(mask.shape, np.int32)
    used = 0
    for number in np.flatnonzero(mask.any(axis=(1, 2))):
        own, count = cc3d.connected_components(mask[number], connectivity=neighbors, return_N=True)
        np.add(own, np.int32(used), out=labels[number], where=own > 0, casting="unsafe")  # `own` may be 16 bits
        used += count
    return labels


def _describe(labels: np.ndarray, mask: np.ndarray, anomaly: np.ndarray, min_size: int) -> Components:
    """Drop small components, number the others anew, in `labels` itself, and measure them.

    Only their pixels are looked at: the mask is the one array that is searched from end to end.
    """
    places = np.flatnonzero(mask)
    own = labels.take(places)
    sizes = np.bincount(own, minlength=1)
    kept = 1 + np.flatnonzero(sizes[1:] > min_size)
    numbers = np.zeros(len(sizes), np.int32)
    numbers[kept] = np.arange(1, len(kept) + 1)
    own = numbers[own]
    labels.put(places, own)
    places, own = places[own > 0], own[own > 0] - 1
    # Pixels of one component side by side, in the order they had. NumPy sorts numbers of 16 bits in linear time.
    order = np.argsort(own.astype(np.min_scalar_type(len(kept))), kind="stable")
    places, own = places[order], own[order]
    coordinates = np.stack(np.unravel_index(places, labels.shape))
    values = anomaly.take(places).astype(float)
    sizes = sizes[kept]
    starts = np.cumsum(sizes) - sizes

    def reduced(function: np.ufunc, array: np.ndarray) -> np.ndarray:
        return function.reduceat(array, starts, axis=-1) if len(starts) else array[..., :0]

    peaks = reduced(np.maximum, values)
    at_peak = np.flatnonzero(values == np.repeat(peaks, sizes))
    first = at_peak[np.unique(own[at_peak], return_index=True)[1]]
    return Components(
        labels=labels,
        sizes=sizes,
        centroids=(reduced(np.add, coordinates) / sizes).T,
        peaks=peaks,
        peak_places=coordinates[:, first].T,
        means=reduced(np.add, values) / sizes,
        boxes=np.stack([reduced(np.minimum, coordinates).T, reduced(np.maximum, coordinates).T + 1], axis=-1),
    )
