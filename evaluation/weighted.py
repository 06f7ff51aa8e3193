"""Numbers over patients of whom each counts as often as a weight says: (R, P) weights in, (R,) numbers out.

With a row of ones a number is that of the data; with a row of a bootstrap's draws, that of a resample, the same as if
each case of a patient stood there as often. Where a number is undefined it is NaN, without a warning.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse

from evaluation.pixels import average_precisions, dice_scores

_ROWS_AT_ONCE = 32
"""Resamples whose pixel counts are in memory together."""


def weighted_ratio(numerators: np.ndarray, denominators: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Σ w·numerator / Σ w·denominator, of (P,) sums of each patient: every mean and share is one."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = (weights @ numerators) / (weights @ denominators)
    return np.where(np.isfinite(ratio), ratio, np.nan)


def weighted_share(cases: np.ndarray, patients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of `cases` (N,) of `patients` (N,), numbers of columns of the weights; a case of NaN does not count."""
    counted = ~np.isnan(cases)
    total = weights.shape[1]
    sums = np.bincount(patients[counted], cases[counted], total)
    return weighted_ratio(sums, np.bincount(patients[counted], minlength=total), weights)


def weighted_auc(labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Area under the ROC curve of `scores` (N,), `labels` (N,) true for abnormal, cases of `patients` (N,)."""
    _, ranks = np.unique(scores, return_inverse=True)
    labels = np.asarray(labels, bool)
    results = np.empty(len(weights))
    for row, weight in enumerate(weights):
        case_weights = weight[patients]
        abnormal = np.bincount(ranks[labels], case_weights[labels], ranks.max(initial=-1) + 1)
        normal = np.bincount(ranks[~labels], case_weights[~labels], len(abnormal))
        wins = abnormal @ (np.cumsum(normal) - normal / 2)
        pairs = abnormal.sum() * normal.sum()
        results[row] = wins / pairs if pairs else np.nan
    return results


def weighted_pair_share(wins: np.ndarray, pairs: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Share of pairs that were won, from (P, P) sums over the pairs of two patients (`matched_pairs_by_patient`)."""
    won, all_pairs = (((weights @ table) * weights).sum(axis=1) for table in (wins, pairs))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(all_pairs > 0, won / all_pairs, np.nan)


def weighted_froc(
    detection_scores: np.ndarray,
    detection_patients: np.ndarray,
    false_scores: np.ndarray,
    false_patients: np.ndarray,
    images: np.ndarray,
    weights: np.ndarray,
    *,
    at: np.ndarray,
    area_up_to: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Sensitivities read off FROC curves, and areas under them.

    Args:
        detection_scores: (L,) for each lesion its best candidate's score, -inf where none hits it.
        detection_patients: (L,) whose lesion it is.
        false_scores, false_patients: (F,) of candidates that hit nothing.
        images: (P,) images, or whatever false positives are counted per, of each patient.
        weights: (R, P).
        at: (A,) false positives per image.
        area_up_to: false positives per image where the area ends.

    Returns:
        (R, A), at each limit the highest sensitivity of a threshold with at most so many false positives per image; and
        (R,), the area under that sensitivity from 0 to `area_up_to`, as a share of the largest possible.
    """
    # Only at the score of a detection does a threshold gain sensitivity.
    thresholds = np.unique(detection_scores[np.isfinite(detection_scores)])[::-1]
    patients = weights.shape[1]

    def first_counted(scores: np.ndarray, owners: np.ndarray) -> sparse.csr_array:
        """(P, K): of each patient, how many scores reach each of K thresholds, but not the one above."""
        columns = np.searchsorted(-thresholds, -scores, side="left")
        counted = columns < len(thresholds)
        ones = np.ones(np.count_nonzero(counted))
        return sparse.csr_array((ones, (owners[counted], columns[counted])), shape=(patients, len(thresholds)))

    detections, false = first_counted(detection_scores, detection_patients), first_counted(false_scores, false_patients)
    lesions = weights @ np.bincount(detection_patients, minlength=patients)
    total_images = weights @ images
    sensitivities, areas = np.full((len(weights), len(at)), np.nan), np.full(len(weights), np.nan)
    defined = np.flatnonzero((lesions > 0) & (total_images > 0))
    for start in range(0, len(defined), _ROWS_AT_ONCE):
        rows = defined[start : start + _ROWS_AT_ONCE]
        share = np.cumsum(weights[rows] @ detections, axis=1) / lesions[rows, None]
        rates = np.cumsum(weights[rows] @ false, axis=1) / total_images[rows, None]
        share = np.pad(share, ((0, 0), (1, 0)))  # a threshold above all finds nothing
        # Weights are whole numbers: a limit that is met exactly must not be missed by rounding.
        reached = (rates[:, :, None] <= at + 1e-12).sum(axis=1)
        sensitivities[rows] = np.take_along_axis(share, reached, axis=1)
        steps = np.diff(np.minimum(rates, area_up_to), axis=1, prepend=0, append=area_up_to)
        areas[rows] = (steps * share).sum(axis=1) / area_up_to
    return sensitivities, areas


def weighted_pixel_numbers(
    levels: np.ndarray,
    lesion: np.ndarray,
    normal: np.ndarray,
    patients: np.ndarray,
    missed: np.ndarray,
    weights: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Average precision and best Dice of pixels.

    Args:
        levels: (M,) of the counts of all patients.
        lesion, normal: (M,) pixels at the level.
        patients: (M,) whose they are.
        missed: (P,) lesion pixels outside the foreground; where all are, the best Dice is 0.
        weights: (R, P).

    Returns:
        Twice (R,).
    """
    unique, columns = np.unique(levels, return_inverse=True)
    shape = (weights.shape[1], len(unique))
    by_patient = [
        sparse.csr_array((counts.astype(float), (patients, columns)), shape=shape) for counts in (lesion, normal)
    ]
    precision, dice = np.empty(len(weights)), np.empty(len(weights))
    for start in range(0, len(weights), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        own, other = (weights[rows] @ counts for counts in by_patient)
        precision[rows] = average_precisions(own, other)
        total = own.sum(axis=1) + weights[rows] @ missed
        dice[rows] = np.where(total > 0, dice_scores(own, other, total).max(axis=1, initial=0), np.nan)
    return precision, dice
