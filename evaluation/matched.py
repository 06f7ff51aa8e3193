"""AUC among slices at the same height.

Where the height of a slice predicts its label, a plain AUC rewards whoever knows heights; this one does not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.checks import check_cases
from evaluation.roc import abnormal_cases
from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class MatchedAuc:
    """An AUC over pairs of equal height, and how many pairs there were."""

    auc: float
    pairs: int


def position_matched_auc(
    labels: np.ndarray, scores: np.ndarray, heights: np.ndarray, *, tolerance: float = 0.025
) -> MatchedAuc:
    """AUC over only those pairs of an abnormal and a normal slice that lie at the same relative height.

    Args:
        labels: (N,) bool or 0 and 1, true for abnormal.
        scores: (N,) finite, higher is more abnormal.
        heights: (N,) in [0, 1], from the first to the last slice of each patient.
        tolerance: largest difference in height within a pair, inclusive.

    Raises:
        TypeError: when one is no array.
        ValueError: when an array or the tolerance is not as above.
    """
    together = np.zeros(len(labels), int)
    wins, pairs = matched_pairs_by_patient(labels, scores, heights, together, 1, tolerance=tolerance)
    won, count = float(wins.sum()), int(pairs.sum())
    auc = won / count if count else undefined("position-matched AUC", "no two slices lie at the same height")
    return MatchedAuc(auc=auc, pairs=count)


def matched_pairs_by_patient(
    labels: np.ndarray,
    scores: np.ndarray,
    heights: np.ndarray,
    patients: np.ndarray,
    n_patients: int,
    *,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """How the abnormal slices of each patient fare against the normal slices of each at the same relative height.

    The position-matched AUC is wins.sum() / pairs.sum(); where patient p counts w[p] times, as in a bootstrap, it is
    (w @ wins @ w) / (w @ pairs @ w).

    Args:
        labels: (N,) bool or 0 and 1, true for abnormal.
        scores: (N,) finite, higher is more abnormal.
        heights: (N,) in [0, 1], from the first to the last slice of each patient.
        patients: (N,) integers in 0 … n_patients − 1.
        n_patients: P, at least 0.
        tolerance: largest difference in height within a pair, inclusive.

    Returns:
        wins and pairs, each (P, P) float64. Row a and column b are for pairs of an abnormal slice of patient a and a
        normal slice of patient b: how many of them the abnormal slice wins by its score, ties half, and how many there
        are.

    Raises:
        TypeError: when one is no array.
        ValueError: when an array or the tolerance is not as above.
    """
    abnormal = abnormal_cases(labels, scores)
    _check_places(labels, heights, patients, n_patients, tolerance)
    order = np.flatnonzero(~abnormal)[np.argsort(heights[~abnormal], kind="stable")]
    normal_scores, normal_patients = scores[order], patients[order].astype(np.intp)
    reach = tolerance + 1e-9  # heights are ratios of small integers; equality must survive their rounding
    starts = np.searchsorted(heights[order], heights[abnormal] - reach, side="left")
    stops = np.searchsorted(heights[order], heights[abnormal] + reach, side="right")
    wins, pairs = np.zeros((2, n_patients, n_patients))
    # One abnormal slice at a time: its partners are views, and all pairs at once would not fit into memory.
    for score, patient, start, stop in zip(scores[abnormal], patients[abnormal], starts, stops, strict=True):
        rivals, owners = normal_scores[start:stop], normal_patients[start:stop]
        wins[patient] += np.bincount(owners, (rivals < score) + 0.5 * (rivals == score), n_patients)
        pairs[patient] += np.bincount(owners, minlength=n_patients)
    return wins, pairs


def _check_places(
    labels: np.ndarray, heights: np.ndarray, patients: np.ndarray, n_patients: int, tolerance: float
) -> None:
    check_cases(labels=labels, heights=heights, patients=patients)
    if heights.dtype.kind not in "biuf" or not ((heights >= 0) & (heights <= 1)).all():
        raise ValueError("`heights` must be in [0, 1]")
    if patients.dtype.kind not in "iu" or not ((patients >= 0) & (patients < n_patients)).all():
        raise ValueError(f"`patients` must be integers from 0 to less than `n_patients`, {n_patients}")
    if not tolerance >= 0:
        raise ValueError(f"`tolerance` must be at least 0, got {tolerance}")
