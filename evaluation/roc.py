"""ROC curves, areas under them, and thresholds read off them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from sklearn import metrics

from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class RocCurve:
    """Points of a ROC curve, thresholds falling; at each, cases with a score ≥ threshold are called abnormal."""

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    thresholds: np.ndarray


def roc_curve(labels: np.ndarray, scores: np.ndarray) -> RocCurve:
    """ROC curve of `scores` (N,) against `labels` (N,), true for abnormal. Both classes must be there."""
    false_positive, true_positive, thresholds = metrics.roc_curve(labels, scores)
    return RocCurve(false_positive_rate=false_positive, true_positive_rate=true_positive, thresholds=thresholds)


def auc_score(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the chance that an abnormal case scores higher than a normal one, ties half."""
    if len(np.unique(labels)) < 2:
        return undefined("AUC", "only one class is present")
    return float(metrics.roc_auc_score(labels, scores))


def youden_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The threshold of largest sensitivity + specificity − 1; scores ≥ it are abnormal. Of equals, the highest."""
    if len(np.unique(labels)) < 2:
        return undefined("the Youden threshold", "only one class is present")
    curve = roc_curve(labels, scores)
    abnormal = int(np.asarray(labels, bool).sum())
    normal = len(labels) - abnormal
    # In whole cases: as differences of rates, equal points would differ in the last bit.
    hits, alarms = np.rint(curve.true_positive_rate * abnormal), np.rint(curve.false_positive_rate * normal)
    return float(curve.thresholds[np.argmax(hits * normal - alarms * abnormal)])


def operating_threshold(labels: np.ndarray, scores: np.ndarray) -> float:
    """The Youden threshold, moved half-way to the next lower score: in the gap between two scores, no end is better."""
    threshold = youden_threshold(labels, scores)
    below = scores[scores < threshold]
    return float((threshold + below.max()) / 2) if len(below) else threshold


@dataclass(frozen=True, kw_only=True)
class MatchedAuc:
    """An AUC over pairs of equal height, and how many pairs there were."""

    auc: float
    pairs: int


def position_matched_auc(
    labels: np.ndarray, scores: np.ndarray, heights: np.ndarray, *, tolerance: float = 0.025
) -> MatchedAuc:
    """AUC over only those pairs of an abnormal and a normal slice that lie at the same relative height.

    Where the height of a slice predicts its label, a plain AUC rewards whoever knows heights; this one does not.

    Args:
        labels: (N,) true for abnormal.
        scores: (N,) higher is more abnormal.
        heights: (N,) in [0, 1], from the first to the last slice of each patient.
        tolerance: largest difference in height within a pair, inclusive.
    """
    abnormal = np.asarray(labels, bool)
    order = np.argsort(heights[~abnormal], kind="stable")
    normal_heights, normal_scores = heights[~abnormal][order], scores[~abnormal][order]
    wins, pairs = 0.0, 0
    reach = tolerance + 1e-9  # heights are ratios of small integers; equality must survive their rounding
    starts = np.searchsorted(normal_heights, heights[abnormal] - reach, side="left")
    stops = np.searchsorted(normal_heights, heights[abnormal] + reach, side="right")
    for score, start, stop in zip(scores[abnormal], starts, stops, strict=True):
        partners = normal_scores[start:stop]
        wins += (score > partners).sum() + 0.5 * (score == partners).sum()
        pairs += stop - start
    auc = wins / pairs if pairs else undefined("position-matched AUC", "no two slices lie at the same height")
    return MatchedAuc(auc=float(auc), pairs=int(pairs))
