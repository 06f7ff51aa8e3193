"""From a map to candidates: which of its pixels stand out."""

from __future__ import annotations

import numpy as np


def quantize(values: np.ndarray) -> float:
    """The boundary of the best quantization of `values` (N,) to two levels; pixels > it belong to the upper level.

    Two-level color quantization is 2-means in one dimension. There the optimum is a cut of the sorted values, so
    trying every cut finds it exactly: no start to choose, no iteration. All-equal or no values give infinity: nothing
    stands out.
    """
    ordered = np.sort(np.asarray(values, np.float64).ravel())
    if len(ordered) == 0 or ordered[0] == ordered[-1]:
        return float("inf")
    count = np.arange(1, len(ordered))
    total = np.cumsum(ordered)
    low_mean = total[:-1] / count
    high_mean = (total[-1] - total[:-1]) / (len(ordered) - count)
    # Least squares within both parts is most squares between them.
    between = count * (len(ordered) - count) * (high_mean - low_mean) ** 2
    between[ordered[1:] == ordered[:-1]] = -1  # a cut cannot part equal values
    return float(ordered[np.argmax(between)])


def binarize_by_quantization(anomaly: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Pixels of the upper of two levels of a map (H, W), levels found over its foreground: (H, W) bool."""
    return foreground & (anomaly > quantize(anomaly[foreground]))
