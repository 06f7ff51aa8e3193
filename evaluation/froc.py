"""Free-response ROC: lesion sensitivity against false positives per image, over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.checks import check_cases
from evaluation.undefined import undefined

FROC_LIMITS = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
"""False positives per image whose sensitivities a FROC score averages, as in the LUNA16 challenge."""


@dataclass(frozen=True, kw_only=True)
class FrocCurve:
    """One point for each threshold, thresholds falling from infinity; candidates with a score ≥ it count."""

    thresholds: np.ndarray
    sensitivity: np.ndarray
    false_positives_per_image: np.ndarray


def froc_curve(detection_scores: np.ndarray, false_scores: np.ndarray, images: int) -> FrocCurve:
    """The curve over every distinct candidate score, the lowest included; NaN where there is no lesion or image.

    Args:
        detection_scores: (L,) for each lesion the highest score of a candidate that hits it, -inf when none does.
        false_scores: (F,) the scores of candidates that hit nothing.
        images: how many images there are; give patients, and the curve is over false positives per patient.
    """
    check_cases(detection_scores=detection_scores)
    check_cases(false_scores=false_scores)
    if not len(detection_scores):
        undefined("FROC sensitivity", "there is no lesion")
    scores = np.concatenate([detection_scores, false_scores])
    thresholds = np.concatenate([[np.inf], np.unique(scores[np.isfinite(scores)])[::-1]])
    return FrocCurve(
        thresholds=thresholds,
        sensitivity=_share_at_least(detection_scores, thresholds, len(detection_scores)),
        false_positives_per_image=_share_at_least(false_scores, thresholds, images),
    )


def sensitivity_at(curve: FrocCurve, false_positives_per_image: float) -> float:
    """The highest sensitivity of a threshold with at most so many false positives per image.

    Nothing is interpolated: between two points of the curve there is no threshold.
    """
    allowed = curve.false_positives_per_image <= false_positives_per_image
    if np.isnan(curve.sensitivity).all() or not allowed.any():
        return undefined("FROC sensitivity", "there is no lesion or no image")
    return float(curve.sensitivity[allowed].max())


def froc_score(curve: FrocCurve, limits: tuple[float, ...] = FROC_LIMITS) -> float:
    """Mean of `sensitivity_at` the `limits`."""
    return float(np.mean([sensitivity_at(curve, limit) for limit in limits]))


def froc_area(curve: FrocCurve, up_to: float = 1.0) -> float:
    """Area under `sensitivity_at` from 0 to `up_to` false positives per image, divided by `up_to`: in [0, 1]."""
    if up_to <= 0:
        raise ValueError(f"`up_to` must be more than 0, got {up_to}")
    rates = np.append(np.minimum(curve.false_positives_per_image, up_to), up_to)
    if np.isnan(rates).any() or np.isnan(curve.sensitivity).any():
        return undefined("FROC area", "there is no lesion or no image")
    return float(np.sum(np.diff(rates) * curve.sensitivity) / up_to)


def threshold_at_false_positives(curve: FrocCurve, most_per_image: float) -> float:
    """The threshold of highest sensitivity with at most so many false positives per image.

    Of thresholds with the same sensitivity the highest: fewer false positives come free.
    """
    allowed = curve.false_positives_per_image <= most_per_image
    if np.isnan(curve.sensitivity).all() or not allowed.any():
        return undefined("the lesion threshold", "there is no lesion or no image")
    return float(curve.thresholds[allowed][np.argmax(curve.sensitivity[allowed])])


def _share_at_least(scores: np.ndarray, thresholds: np.ndarray, total: int) -> np.ndarray:
    if not total:
        return np.full(len(thresholds), np.nan)
    ordered = np.sort(scores)
    return (len(ordered) - np.searchsorted(ordered, thresholds, side="left")) / total
