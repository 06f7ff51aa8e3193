"""Difference maps: where an image and its healthy translation disagree."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy import ndimage

from evaluation.checks import check_images, check_same_shape, check_stack

Reduction = Literal["max", "mean"] | int


def foreground_of(images: np.ndarray) -> np.ndarray:
    """(S, H, W) bool: pixels where any channel of `images` (S, C, H, W) is not 0."""
    check_images("images", images)
    return (images != 0).any(axis=1)


def difference_map(images: np.ndarray, healthy: np.ndarray, *, reduction: Reduction = "max") -> np.ndarray:
    """|G(x, healthy) − x| reduced over channels, 0 outside the foreground.

    Args:
        images: x, (S, C, H, W) in [0, 1], background exactly 0.
        healthy: their translations, same shape.
        reduction: "max", the largest over channels; "mean", their mean; or the number of one channel, from 0.

    Returns:
        (S, H, W) float32 in [0, 1].

    Raises:
        ValueError: for arrays of other or different shapes, or a channel that the images lack.
    """
    change = np.abs(_change(images, healthy))
    return np.where(foreground_of(images), _reduce(change, reduction), 0)


def signed_difference_map(images: np.ndarray, healthy: np.ndarray, *, reduction: Reduction = "max") -> np.ndarray:
    """x − G(x, healthy) reduced over channels, 0 outside the foreground.

    Positive where the image is brighter than healthy tissue, negative where it is darker. Its absolute value is
    `difference_map`, save for "mean", where channels of opposite sign cancel.

    Args:
        images: x, (S, C, H, W) in [0, 1], background exactly 0.
        healthy: their translations, same shape.
        reduction: "max", the channel that differs most, of equal ones the first; "mean", the mean over channels; or
            the number of one channel, from 0.

    Returns:
        (S, H, W) float32 in [-1, 1].

    Raises:
        ValueError: for arrays of other or different shapes, or a channel that the images lack.
    """
    return np.where(foreground_of(images), _reduce(_change(images, healthy), reduction), 0)


def clean_map(
    maps: np.ndarray, foreground: np.ndarray, *, rim_px: int = 0, median_px: int = 1, gaussian_px: float = 0.0
) -> np.ndarray:
    """Maps without what often is no lesion: changes along the patient's outline, single pixels, and speckles.

    None of the steps belongs to the method: the patent (US 11,164,021 B2) and the paper (ICCV 2019) take difference
    maps as they are. The defaults do nothing to a map that is 0 outside the foreground.

    First, pixels nearer than `rim_px` to the rim become 0: the foreground of each slice is eroded `rim_px` times by a
    square of 3 × 3 pixels, so that holes count as background. The image border is no rim: where it cuts through the
    patient, pixels stay. Second, a median over a square; third, a Gaussian filter, which lets places win where much
    changes over those where a pixel does. To both, removed pixels and background count as 0 and the map beyond the
    image border as at the border. Background and rim remain 0.

    Args:
        maps: (S, H, W), signed or not.
        foreground: bool, same shape.
        rim_px: width of the rim in pixels, from 0.
        median_px: side of the square in pixels, odd; 1 is no filter.
        gaussian_px: standard deviation in pixels; 0 is no filter.

    Returns:
        (S, H, W) of the type of `maps`.

    Raises:
        ValueError: for arrays of other or different shapes, a negative width or deviation, or a side that is not odd.
    """
    check_stack("maps", maps)
    check_stack("foreground", foreground)
    check_same_shape(maps=maps, foreground=foreground)
    if rim_px < 0:
        raise ValueError(f"`rim_px` must be at least 0, got {rim_px}")
    if median_px < 1 or median_px % 2 == 0:
        raise ValueError(f"`median_px` must be odd and at least 1, got {median_px}")
    if not 0 <= gaussian_px < math.inf:
        raise ValueError(f"`gaussian_px` must be at least 0 and finite, got {gaussian_px}")
    # As many erosions by 3 × 3 as one by their sum, and a minimum over a square costs the same for every side. SciPy
    # reflects it at the image border, so it never sees more than the image.
    side = 2 * rim_px + 1
    kept = ndimage.minimum_filter(foreground.astype(bool, copy=False), size=(1, side, side))
    cleaned = np.where(kept, maps, 0)
    if median_px > 1:
        cleaned = _median_at(kept, cleaned, median_px)
    if gaussian_px:
        cleaned = np.where(kept, ndimage.gaussian_filter(cleaned, (0, gaussian_px, gaussian_px), mode="nearest"), 0)
    return cleaned


def _change(images: np.ndarray, healthy: np.ndarray) -> np.ndarray:
    check_images("images", images)
    check_images("healthy", healthy)
    check_same_shape(images=images, healthy=healthy)
    return np.subtract(images, healthy, dtype=np.float32)


def _reduce(change: np.ndarray, reduction: Reduction) -> np.ndarray:
    channels = change.shape[1]
    if reduction == "max":
        strongest = change[:, 0].copy()
        for own in np.moveaxis(change, 1, 0)[1:]:
            np.copyto(strongest, own, where=np.abs(own) > np.abs(strongest))
        return strongest
    if reduction == "mean":
        return change.mean(axis=1)
    if not isinstance(reduction, int | np.integer) or not 0 <= reduction < channels:
        raise ValueError(f"`reduction` must be 'max', 'mean' or a channel below {channels}, got {reduction!r}")
    return change[:, reduction]


def _median_at(places: np.ndarray, maps: np.ndarray, side: int) -> np.ndarray:
    """The median over squares around `places`, 0 elsewhere.

    Equal to SciPy's median filter there, and a multiple as fast: only pixels of the patient are looked at, and a
    partition of many windows is vectorized.
    """
    margin = side // 2
    padded = np.pad(maps, ((0, 0), (margin, margin), (margin, margin)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), axis=(1, 2))  # (S, H, W, side, side)
    medians = np.zeros_like(maps)
    # Windows are copied, so one slice at a time.
    for median, window, wanted in zip(medians, windows, places, strict=True):
        median[wanted] = np.partition(window[wanted].reshape(-1, side**2), side**2 // 2, axis=1)[:, side**2 // 2]
    return medians
