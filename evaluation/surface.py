"""Distance between the surfaces of a predicted and a true lesion."""

from __future__ import annotations

import warnings

import numpy as np

from evaluation.checks import check_same_shape, check_stack
from evaluation.undefined import undefined


def hausdorff95(predicted: np.ndarray, truth: np.ndarray, *, spacing_mm: tuple[float, float, float]) -> float:
    """95th percentile Hausdorff distance in mm between two masks (S, H, W), by MONAI.

    The larger of the 95th percentiles of distances from one surface to the other and back. A surface is made of the
    voxels with one of six neighbors, or the end of the array, outside the mask.

    Args:
        predicted, truth: bool, or more than 0 where there is lesion.
        spacing_mm: distance of slices, rows and columns.

    Returns:
        NaN, with a warning, where one of the masks is empty.
    """
    check_stack("predicted", predicted)
    check_stack("truth", truth)
    check_same_shape(predicted=predicted, truth=truth)
    own, other = predicted > 0, truth > 0
    if not own.any() or not other.any():
        return undefined("the Hausdorff distance", "one of the masks is empty")
    from monai.metrics import compute_hausdorff_distance  # seconds to import, and nothing else here needs it

    box = _bounding_box(own | other)
    pair = (own[box][None, None], other[box][None, None])
    spacing = [float(step) for step in spacing_mm]  # MONAI refuses integers among floats
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # MONAI's, of its own inner calls
        distance = compute_hausdorff_distance(*pair, include_background=True, percentile=95, spacing=spacing)
    return float(distance)


def _bounding_box(mask: np.ndarray) -> tuple[slice, ...]:
    ranges = []
    for axis in range(mask.ndim):
        used = np.flatnonzero(mask.any(axis=tuple(other for other in range(mask.ndim) if other != axis)))
        ranges.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(ranges)
