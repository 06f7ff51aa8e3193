"""What a user could do with no training: numbers to print beside every model's."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from evaluation.checks import check_cases, check_images, check_stack
from evaluation.undefined import undefined


def intensity_map(images: np.ndarray) -> np.ndarray:
    """Raw intensity as if it were a difference map: the brightest channel of (S, C, H, W), so (S, H, W)."""
    check_images("images", images)
    return images.max(axis=1)


def local_contrast_map(images: np.ndarray, foreground: np.ndarray, *, window_px: int | None = None) -> np.ndarray:
    """How far each pixel stands out from its surroundings: |x − mean of x around it|, 0 outside the foreground.

    The mean is over the foreground pixels of a square centered on the pixel, itself included; the largest contrast
    over channels counts.

    Args:
        images: x, (S, C, H, W).
        foreground: bool, (S, H, W).
        window_px: side of the square in pixels, odd and at least 3; None for about an eighth of the image's width,
            which is wider than most lesions: 31 for 240 pixels.

    Returns:
        (S, H, W) float32.

    Raises:
        ValueError: for arrays of other shapes or that do not fit, or a side that is even or below 3.
    """
    _check(images, foreground)
    side = max(3, images.shape[3] // 16 * 2 + 1) if window_px is None else window_px
    if side < 3 or side % 2 == 0:
        raise ValueError(f"`window_px` must be odd and at least 3, got {side}")
    inside = foreground.astype(bool, copy=False)
    # Both means are over whole squares, padded with 0: their ratio is the mean over the foreground alone.
    share = _window_mean(inside.astype(np.float32), side)
    contrast = np.zeros(inside.shape, np.float32)
    for channel in np.moveaxis(images, 1, 0):
        shown = np.where(inside, channel, 0).astype(np.float32)
        mean = np.divide(_window_mean(shown, side), share, out=np.zeros_like(shown), where=inside)
        np.maximum(contrast, np.abs(shown - mean), out=contrast)
    return contrast


def mirror_difference_map(images: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """How far each pixel differs from its left–right mirror image: |x − mirrored x|, largest over channels.

    Columns must run along the patient's left–right axis, as in axial and coronal slices. All slices are mirrored at
    one column, the middle of the columns in which any of them shows the patient; it may lie between two pixels.

    Args:
        images: x, (S, C, H, W), slices of one patient.
        foreground: bool, (S, H, W).

    Returns:
        (S, H, W) float32, the same on both sides, 0 where a pixel or its mirror image is outside the foreground.

    Raises:
        ValueError: for arrays of other shapes or that do not fit.
    """
    _check(images, foreground)
    difference = np.zeros(foreground.shape, np.float32)
    columns = np.flatnonzero(foreground.any(axis=(0, 1)))
    if not len(columns):
        return difference
    middle = slice(columns[0], columns[-1] + 1)
    own, inside = images[..., middle], foreground[..., middle].astype(bool, copy=False)
    change = np.abs(np.subtract(own, own[..., ::-1], dtype=np.float32)).max(axis=1)
    difference[..., middle] = np.where(inside & inside[..., ::-1], change, 0)
    return difference


def foreground_areas(foreground: np.ndarray) -> np.ndarray:
    """Share of the pixels of each slice (S, H, W) that show the patient: (S,) in [0, 1]."""
    check_stack("foreground", foreground)
    return np.count_nonzero(foreground, axis=(1, 2)) / (foreground.shape[1] * foreground.shape[2])


def areas_above(maps: np.ndarray, threshold: float) -> np.ndarray:
    """Number of pixels ≥ `threshold` of each map (S, H, W): (S,) integers.

    Of `intensity_map` it is the score of thresholding, with a threshold chosen on other patients.

    Raises:
        ValueError: for maps of another shape, or a threshold that is NaN.
    """
    check_stack("maps", maps)
    if math.isnan(threshold):
        raise ValueError("`threshold` must be a number, got NaN")
    return np.count_nonzero(maps >= threshold, axis=(1, 2))


@dataclass(frozen=True, kw_only=True)
class PositionTable:
    """Share of abnormal slices at each height, learned from training patients; it never looks at a pixel.

    `edges` (B + 1,) and `shares` (B,).
    """

    edges: np.ndarray
    shares: np.ndarray

    def score(self, heights: np.ndarray) -> np.ndarray:
        """The share at each height (N,)."""
        check_cases(heights=heights)
        bins = np.clip(np.searchsorted(self.edges, heights, side="right") - 1, 0, len(self.shares) - 1)
        return self.shares[bins]


def learn_position_table(labels: np.ndarray, heights: np.ndarray, *, bins: int = 20) -> PositionTable:
    """Tabulate `labels` (N,), true for abnormal, by height (N,) in [0, 1]; an empty bin has the overall share.

    Without slices all shares are NaN.

    Raises:
        ValueError: for arrays of other or different lengths.
    """
    check_cases(labels=labels, heights=heights)
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, heights, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    abnormal = np.bincount(place, weights=labels.astype(float), minlength=bins)
    overall = float(labels.mean()) if len(labels) else undefined("slice position", "there is no slice to learn from")
    return PositionTable(edges=edges, shares=np.where(counts > 0, abnormal / np.maximum(counts, 1), overall))


def _check(images: np.ndarray, foreground: np.ndarray) -> None:
    check_images("images", images)
    check_stack("foreground", foreground)
    if images[:, 0].shape != foreground.shape:
        shapes = f"{images.shape} and {foreground.shape}"
        raise ValueError(f"`images` must be (S, C, H, W) and `foreground` (S, H, W) of the same slices, got {shapes}")


def _window_mean(maps: np.ndarray, side: int) -> np.ndarray:
    return ndimage.uniform_filter(maps, size=side, mode="constant", axes=(1, 2))
