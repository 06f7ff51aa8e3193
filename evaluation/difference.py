"""Difference maps: where an image and its healthy translation disagree."""

from __future__ import annotations

from typing import Literal

import numpy as np

Reduction = Literal["max", "mean"]


def foreground_of(images: np.ndarray) -> np.ndarray:
    """(S, H, W) bool: pixels where any channel of `images` (S, C, H, W) is not 0."""
    return (images != 0).any(axis=1)


def difference_map(images: np.ndarray, healthy: np.ndarray, *, reduction: Reduction = "max") -> np.ndarray:
    """|G(x, healthy) − x| reduced over channels, 0 outside the foreground.

    Args:
        images: x, (S, C, H, W) in [0, 1], background exactly 0.
        healthy: their translations, same shape.
        reduction: over channels, the largest or the mean.

    Returns:
        (S, H, W) float32 in [0, 1].
    """
    _check(images, healthy)
    if reduction not in ("max", "mean"):
        raise ValueError(f"`reduction` must be 'max' or 'mean', got {reduction!r}")
    change = np.abs(images - healthy)
    reduced = change.max(axis=1) if reduction == "max" else change.mean(axis=1)
    return np.where(foreground_of(images), reduced, 0).astype(np.float32)


def signed_difference_map(images: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    """x − G(x, healthy) of the channel that differs most, 0 outside the foreground: (S, H, W) float32 in [-1, 1].

    Positive where the image is brighter than healthy tissue, negative where it is darker. Its absolute value is
    `difference_map` with `reduction="max"`.
    """
    _check(images, healthy)
    change = images - healthy
    strongest = np.abs(change).argmax(axis=1, keepdims=True)
    reduced = np.take_along_axis(change, strongest, axis=1)[:, 0]
    return np.where(foreground_of(images), reduced, 0).astype(np.float32)


def _check(images: np.ndarray, healthy: np.ndarray) -> None:
    if images.ndim != 4 or images.shape != healthy.shape:
        raise ValueError(f"`images` and `healthy` must both be (S, C, H, W), got {images.shape} and {healthy.shape}")
