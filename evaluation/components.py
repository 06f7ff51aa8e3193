"""Connected components over an area, and what is known of each."""

from __future__ import annotations

from dataclasses import dataclass

import cc3d
import numpy as np


@dataclass(frozen=True, kw_only=True)
class Components:
    """The N components of a mask, numbered from 1 in `labels`, which has the mask's shape.

    `sizes` (N,) in pixels or voxels; `centroids` (N, D) in index coordinates; `peaks` and `means` (N,) of the map.
    """

    labels: np.ndarray
    sizes: np.ndarray
    centroids: np.ndarray
    peaks: np.ndarray
    means: np.ndarray

    def __len__(self) -> int:
        return len(self.sizes)


def find_components(mask: np.ndarray, anomaly: np.ndarray, *, min_size: int = 10) -> Components:
    """Components of a 2D or 3D mask with more than `min_size` pixels; diagonal neighbors are connected.

    Args:
        mask: bool, (H, W) or (S, H, W).
        anomaly: the map that `peaks` and `means` are taken of, same shape.
        min_size: components of this size or smaller are dropped.
    """
    if mask.shape != anomaly.shape or mask.ndim not in (2, 3):
        raise ValueError(f"`mask` and `anomaly` must both be 2D or 3D, got {mask.shape} and {anomaly.shape}")
    labels = cc3d.connected_components(mask.astype(np.uint8), connectivity=8 if mask.ndim == 2 else 26)
    statistics = cc3d.statistics(labels)
    # Row 0 is the background.
    kept = [n for n in range(1, len(statistics["voxel_counts"])) if statistics["voxel_counts"][n] > min_size]
    renumber = np.zeros(len(statistics["voxel_counts"]), np.int32)
    renumber[kept] = np.arange(1, len(kept) + 1)
    renumbered = renumber[labels]
    values = [anomaly[renumbered == n] for n in range(1, len(kept) + 1)]
    return Components(
        labels=renumbered,
        sizes=statistics["voxel_counts"][kept].astype(np.int64),
        centroids=statistics["centroids"][kept].reshape(len(kept), mask.ndim),
        peaks=np.array([v.max() for v in values], float),
        means=np.array([v.mean() for v in values], float),
    )
