"""Detection scores: one number a slice, one a patient."""

from __future__ import annotations

from typing import Literal

import numpy as np

from evaluation.checks import check_cases, check_same_shape, check_stack

ScoreRule = Literal["max", "percentile", "mean"]


def slice_scores(
    maps: np.ndarray, foreground: np.ndarray | None = None, *, rule: ScoreRule = "max", percentile: float = 99.0
) -> np.ndarray:
    """One score for each map.

    Args:
        maps: (S, H, W).
        foreground: bool, same shape; needed by every rule but "max", which does not look at it.
        rule: "max", the maximum pixel, which is the patent's detection score; "percentile", that of the foreground's
            pixels; "mean", their mean. The last two score a slice without foreground 0.
        percentile: in [0, 100], interpolated linearly between pixels; other rules ignore it.

    Returns:
        (S,).

    Raises:
        ValueError: for arrays of other or different shapes, a missing foreground, or an impossible rule or percentile.
    """
    check_stack("maps", maps)
    if rule == "max":
        return maps.max(axis=(1, 2))
    if rule not in ("percentile", "mean"):
        raise ValueError(f"`rule` must be 'max', 'percentile' or 'mean', got {rule!r}")
    if foreground is None:
        raise ValueError(f"`foreground` is needed by the rule {rule!r}")
    check_stack("foreground", foreground)
    check_same_shape(maps=maps, foreground=foreground)
    if not 0 <= percentile <= 100:
        raise ValueError(f"`percentile` must be in [0, 100], got {percentile}")
    scores = np.zeros(len(maps))
    for number, (own, inside) in enumerate(zip(maps, foreground.astype(bool, copy=False), strict=True)):
        pixels = own[inside].astype(float)
        if len(pixels):
            scores[number] = pixels.mean() if rule == "mean" else np.percentile(pixels, percentile)
    return scores


def candidate_sums(slice_numbers: np.ndarray, sizes: np.ndarray, means: np.ndarray, slices: int) -> np.ndarray:
    """Sum of map values over the candidates of each slice, a score that grows with the area of what stands out.

    Args:
        slice_numbers: (N,) integers from 0 to `slices` − 1, where each candidate lies.
        sizes: (N,) in pixels.
        means: (N,) mean map value of each.
        slices: S; a slice without candidates has sum 0.

    Returns:
        (S,) float64.

    Raises:
        ValueError: for arrays of other or different lengths, or the number of a slice that does not exist.
    """
    check_cases(slice_numbers=slice_numbers, sizes=sizes, means=means)
    outside = slice_numbers[(slice_numbers < 0) | (slice_numbers >= slices)]
    if len(outside):
        raise ValueError(f"`slice_numbers` must be from 0 to {slices - 1}, got {outside[0]}")
    return np.bincount(slice_numbers, weights=sizes * means, minlength=slices)


def patient_score(scores: np.ndarray, *, top: int = 1) -> float:
    """Mean of the `top` highest slice scores (S,) of one patient; 1 is the maximum over the patient.

    Raises:
        ValueError: without slices, or for a `top` below 1.
    """
    check_cases(scores=scores)
    if len(scores) == 0 or top < 1:
        raise ValueError(f"at least one slice and `top` from 1 are needed, got {len(scores)} and {top}")
    return float(np.sort(scores)[-top:].mean())


def peak_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """For each slice, whether the highest pixel of its map lies in the lesion mask (S, H, W): (S,) bool.

    Of equal pixels the first in row order counts. A map whose pixels are all equal, such as one of zeros, has no peak
    and hits nothing.

    Raises:
        ValueError: for arrays of other or different shapes.
    """
    check_stack("maps", maps)
    check_stack("masks", masks)
    check_same_shape(maps=maps, masks=masks)
    pixels = maps.reshape(len(maps), maps.shape[1] * maps.shape[2])
    has_peak = pixels.max(axis=1) > pixels.min(axis=1)
    rows, columns = np.unravel_index(pixels.argmax(axis=1), maps.shape[1:])
    return has_peak & (masks[np.arange(len(masks)), rows, columns] > 0)
