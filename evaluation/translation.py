"""Is the fixed point one: what a translation changes that it should have left alone."""

from __future__ import annotations

import numpy as np

from evaluation.undefined import undefined


def same_domain_l1(images: np.ndarray, same: np.ndarray) -> np.ndarray:
    """Mean |G(x, c_x) − x| of each image (S, C, H, W) in [0, 1], over all its pixels: (S,)."""
    if images.shape != same.shape:
        raise ValueError(f"`images` and `same` must have one shape, got {images.shape} and {same.shape}")
    return np.abs(images - same).mean(axis=(1, 2, 3))


def collateral_change(maps: np.ndarray, masks: np.ndarray, foreground: np.ndarray) -> float:
    """Mean of difference maps (S, H, W) over foreground pixels outside the lesion."""
    outside = foreground & (masks == 0)
    if not outside.any():
        return undefined("collateral change", "no foreground lies outside the lesions")
    return float(maps[outside].mean())
