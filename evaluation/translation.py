"""Is the fixed point one: what a translation changes that it should have left alone."""

from __future__ import annotations

import numpy as np

from evaluation.checks import check_images, check_same_shape, check_stack
from evaluation.undefined import undefined


def same_domain_l1(images: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Mean |G(x, c_x) − x| of each image (S, C, H, W) in [0, 1], over all its pixels: (S,) float64.

    Raises:
        ValueError: for arrays of other or different shapes.
    """
    check_images("images", images)
    check_images("same", same)
    check_same_shape(images=images, same=same)
    return np.abs(np.subtract(images, same, dtype=np.float32)).mean(axis=(1, 2, 3), dtype=np.float64)


def collateral_change(maps: np.ndarray, masks: np.ndarray, foreground: np.ndarray) -> float:
    """Mean of difference maps (S, H, W) over foreground pixels outside the lesion; NaN where there is none.

    Raises:
        ValueError: for arrays of other or different shapes.
    """
    total, count = collateral_sums(maps, masks, foreground)
    return total / count if count else undefined("collateral change", "no foreground lies outside the lesions")


def collateral_sums(maps: np.ndarray, masks: np.ndarray, foreground: np.ndarray) -> tuple[float, int]:
    """Sum of difference maps (S, H, W) over foreground pixels outside the lesion, and how many these are.

    The mean of many patients' pixels is the sum of their sums over that of their counts, so a resampling of patients
    need not look at pixels again.

    Args:
        maps: difference maps of any slices, such as those of one patient.
        masks: > 0 where there is a lesion.
        foreground: bool.

    Raises:
        ValueError: for arrays of other or different shapes.
    """
    check_stack("maps", maps)
    check_stack("masks", masks)
    check_stack("foreground", foreground)
    check_same_shape(maps=maps, masks=masks, foreground=foreground)
    outside = foreground.astype(bool, copy=False) & ~(masks > 0)
    return float(maps[outside].sum(dtype=float)), int(np.count_nonzero(outside))


def labels_with_one_attribute_changed(labels: np.ndarray) -> np.ndarray:
    """The targets of a cross-domain grid: for each label, the K that differ from it in one attribute.

    Args:
        labels: (N, K), 1 where the attribute holds, else 0.

    Returns:
        (N, K, K) of the type of `labels`; [n, k] is label n with attribute k changed.

    Raises:
        ValueError: for an array of another shape or other values.
    """
    if not isinstance(labels, np.ndarray):
        raise TypeError(f"`labels` must be a NumPy array, got {type(labels).__name__}")
    if labels.ndim != 2:
        raise ValueError(f"`labels` must be (N, K), got {labels.shape}")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError("`labels` must hold 0 and 1 alone")
    # (N, 1, K) against (K, K): of 0 and 1, unequal is exclusive or.
    return (labels[:, None] != np.eye(labels.shape[1])).astype(labels.dtype)
