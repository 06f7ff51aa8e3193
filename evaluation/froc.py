"""Free-response ROC: lesion sensitivity against false positives per image, over all thresholds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.lesions import LesionMatches
from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class FrocCurve:
    """One point for each threshold, thresholds falling from infinity; candidates with a score ≥ it count."""

    thresholds: np.ndarray
    sensitivity: np.ndarray
    false_positives_per_image: np.ndarray


def froc_curve(matches: LesionMatches) -> FrocCurve:
    """The curve over every distinct candidate score, the lowest included; NaN where there is no lesion or image."""
    if not len(matches.detection_scores):
        undefined("FROC sensitivity", "there is no lesion")
    scores = np.concatenate([matches.detection_scores, matches.false_scores])
    thresholds = np.concatenate([[np.inf], np.unique(scores[np.isfinite(scores)])[::-1]])
    return FrocCurve(
        thresholds=thresholds,
        sensitivity=_share_at_least(matches.detection_scores, thresholds, len(matches.detection_scores)),
        false_positives_per_image=_share_at_least(matches.false_scores, thresholds, matches.images),
    )


def threshold_at_false_positives(curve: FrocCurve, most_per_image: float) -> float:
    """The threshold of highest sensitivity with at most so many false positives per image.

    Of thresholds with the same sensitivity the highest: fewer false positives come free.
    """
    if np.isnan(curve.sensitivity).all():
        return undefined("the lesion threshold", "there is no lesion")
    allowed = curve.false_positives_per_image <= most_per_image
    return float(curve.thresholds[allowed][np.argmax(curve.sensitivity[allowed])])


def _share_at_least(scores: np.ndarray, thresholds: np.ndarray, total: int) -> np.ndarray:
    if not total:
        return np.full(len(thresholds), np.nan)
    ordered = np.sort(scores)
    return (len(ordered) - np.searchsorted(ordered, thresholds, side="left")) / total
