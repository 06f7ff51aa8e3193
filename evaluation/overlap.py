"""Agreement of maps and masks, pixel by pixel, pooled over all slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class BestDice:
    """The highest Dice any threshold reaches, and the highest such threshold; pixels ≥ it are lesion."""

    dice: float
    threshold: float


def pixel_average_precision(maps: np.ndarray, truth: np.ndarray, foreground: np.ndarray) -> float:
    """Average precision of pixel values against lesion pixels, over the foreground; all arrays of one shape."""
    lesion = truth[foreground] > 0
    if not lesion.any():
        return undefined("pixel average precision", "there is no lesion pixel")
    return float(metrics.average_precision_score(lesion, maps[foreground]))


def dice_score(predicted: np.ndarray, truth: np.ndarray) -> float:
    """2 |A ∩ B| / (|A| + |B|) of two masks; NaN when both are empty."""
    a, b = predicted > 0, truth > 0
    total = int(a.sum()) + int(b.sum())
    if total == 0:
        return undefined("Dice", "both masks are empty")
    return 2 * int((a & b).sum()) / total


def best_dice(maps: np.ndarray, truth: np.ndarray, foreground: np.ndarray) -> BestDice:
    """Dice at the best of all thresholds: an oracle's when taken on test data, a choice when on validation data.

    `truth` outside the foreground counts as missed.
    """
    total = int((truth > 0).sum())
    if total == 0:
        return BestDice(dice=undefined("best Dice", "there is no lesion pixel"), threshold=float("nan"))
    values, lesion = maps[foreground], truth[foreground] > 0
    if not len(values):
        return BestDice(dice=0.0, threshold=float("inf"))
    order = np.argsort(-values, kind="stable")
    hits = np.cumsum(lesion[order])
    dice = 2 * hits / (np.arange(1, len(order) + 1) + total)
    ordered = values[order]
    is_cut = np.append(ordered[1:] != ordered[:-1], True)  # a threshold takes all pixels of a value or none
    best = int(np.argmax(np.where(is_cut, dice, -1)))
    return BestDice(dice=float(dice[best]), threshold=float(ordered[best]))
