"""The centroid rule: a candidate is a hit when its centroid lies inside a lesion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from evaluation.binarize import binarize_by_quantization
from evaluation.components import Components, find_components
from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class LesionMatches:
    """What remains of candidates and lesions once they are matched; enough for every operating point.

    `detection_scores` (L,) is for each lesion the highest score of a candidate that hits it, -inf when none does;
    `false_scores` (F,) the scores of candidates that hit no lesion; `images` the number of images looked at.
    """

    detection_scores: np.ndarray
    false_scores: np.ndarray
    images: int

    def sensitivity(self, threshold: float) -> float:
        """Share of lesions hit by a candidate with a score ≥ `threshold`; NaN without lesions."""
        if not len(self.detection_scores):
            return undefined("lesion sensitivity", "there is no lesion")
        return float((np.isfinite(self.detection_scores) & (self.detection_scores >= threshold)).mean())

    def false_positives_per_image(self, threshold: float) -> float:
        """Candidates with a score ≥ `threshold` that hit nothing, for each image; NaN without images."""
        if not self.images:
            return undefined("false positives per image", "there is no image")
        return float((self.false_scores >= threshold).sum() / self.images)


def find_candidates(anomaly: np.ndarray, foreground: np.ndarray, *, min_size: int = 10) -> Components:
    """Candidates of a slice: its map (H, W) quantized to two levels, components over an area, scored by their peak."""
    return find_components(binarize_by_quantization(anomaly, foreground), anomaly, min_size=min_size)


def match_slice(candidates: Components, truth: np.ndarray, *, min_size: int = 10) -> LesionMatches:
    """Match the candidates of one slice with its ground-truth mask (H, W).

    Lesions are the components of the mask over `min_size`; one of that size or smaller cannot be found by rule and
    does not count as missed, and a candidate on it is not false. A centroid belongs to the pixel it is nearest to. Two
    candidates in one lesion detect it once; a candidate whose centroid lies beside a lesion is false even where the
    two overlap, as a ring around a lesion's edge shows.
    """
    lesions = find_components(truth > 0, np.zeros(truth.shape, np.float32), min_size=min_size)
    best = np.full(len(lesions), -np.inf)
    false_scores = []
    for centroid, peak in zip(candidates.centroids, candidates.peaks, strict=True):
        pixel = tuple(np.floor(centroid + 0.5).astype(int))
        number = lesions.labels[pixel]
        if number:
            best[number - 1] = max(best[number - 1], peak)
        elif not truth[pixel]:
            false_scores.append(peak)
    return LesionMatches(detection_scores=best, false_scores=np.array(false_scores, float), images=1)


def join_matches(matches: Iterable[LesionMatches]) -> LesionMatches:
    """The matches of many images as one."""
    parts = list(matches)
    return LesionMatches(
        detection_scores=np.concatenate([p.detection_scores for p in parts] or [np.empty(0)]),
        false_scores=np.concatenate([p.false_scores for p in parts] or [np.empty(0)]),
        images=sum(p.images for p in parts),
    )
