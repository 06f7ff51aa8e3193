"""Which candidates hit which lesions: the patent's centroid rule, and rules of overlap."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from evaluation.checks import check_same_shape, check_stack
from evaluation.components import Components, SpatialDims, find_components
from evaluation.undefined import undefined

HitRule = Literal["centroid", "overlap", "iou"]


@dataclass(frozen=True, kw_only=True)
class LesionMatches:
    """What remains of candidates and lesions once they are matched; enough for every operating point.

    Attributes:
        detection_scores: (L,) for each lesion the highest score of a candidate that hits it, -inf when none does.
        lesion_sizes: (L,) in pixels or voxels.
        lesion_slices: (L,) the slice of each; in 3D, its first.
        false_scores: (F,) the scores of candidates that hit no lesion.
        false_slices: (F,) the slice of each.
        images: the number of slices looked at.
    """

    detection_scores: np.ndarray
    lesion_sizes: np.ndarray
    lesion_slices: np.ndarray
    false_scores: np.ndarray
    false_slices: np.ndarray
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


def match_lesions(
    candidates: Components,
    truth: np.ndarray,
    *,
    rule: HitRule = "centroid",
    min_iou: float = 0.1,
    spatial_dims: SpatialDims = 2,
    connectivity: int | None = None,
    min_size: int = 10,
) -> LesionMatches:
    """Match candidates, scored by their peaks, with the lesions of a ground truth (S, H, W), where it is more than 0.

    Lesions are components of the truth over `min_size`, found as candidates are (`find_components`). One of that size
    or smaller cannot be found by rule: it does not count as missed, and a candidate on it is not false.

    Args:
        candidates: components of the binarized map.
        truth: the ground truth.
        rule: when a candidate hits a lesion. `centroid`, the patent's: the pixel nearest to the candidate's centroid
            lies in the lesion; halfway between two it is the one of higher index. A candidate hits one lesion at most;
            one whose centroid lies beside a lesion is false even where both overlap, and so is a ring around a healthy
            hole. `overlap`: they share a pixel; a candidate hits every lesion it touches. `iou`: |A ∩ B| / |A ∪ B| is
            at least `min_iou`.
        min_iou: in (0, 1].
        spatial_dims, connectivity, min_size: as in `find_components`.

    Two candidates in one lesion detect it once, with the higher score, and neither is false.

    Raises:
        ValueError: for another shape than the candidates', an unknown rule, or `min_iou` outside (0, 1].
    """
    check_stack("truth", truth)
    check_same_shape(truth=truth, candidates=candidates.labels)
    if rule not in ("centroid", "overlap", "iou"):
        raise ValueError(f"`rule` must be 'centroid', 'overlap' or 'iou', got {rule!r}")
    if not 0 < min_iou <= 1:
        raise ValueError(f"`min_iou` must be more than 0 and at most 1, got {min_iou}")
    lesion_pixels = truth > 0
    # The map is not asked about lesions: any array of the shape does.
    lesions = find_components(
        lesion_pixels, lesion_pixels, spatial_dims=spatial_dims, connectivity=connectivity, min_size=min_size
    )
    if rule == "centroid":
        hitting, hit, excused = hits_by_centroid(candidates.centroids, lesions, lesion_pixels)
    else:
        hitting, hit, excused = _by_overlap(candidates, lesions, lesion_pixels, 0.0 if rule == "overlap" else min_iou)
    best = np.full(len(lesions), -np.inf)
    np.maximum.at(best, hit, candidates.peaks[hitting])
    false = ~excused
    false[hitting] = False
    return LesionMatches(
        detection_scores=best,
        lesion_sizes=lesions.sizes,
        lesion_slices=lesions.slices,
        false_scores=candidates.peaks[false],
        false_slices=candidates.slices[false],
        images=len(truth),
    )


def hits_by_centroid(
    centroids: np.ndarray, lesions: Components, truth: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The patent's rule for N candidates: a hit is one whose centroid's nearest pixel lies in a lesion.

    Args:
        centroids: (N, 3) slice, row and column; halfway between two pixels it is the one of higher index.
        lesions: the components of the truth that count.
        truth: (S, H, W) bool, all of it.

    Returns:
        Pairs of a candidate and the lesion it hits, as two (M,) of places, and for each candidate whether its centroid
        lies in the truth at all, (N,) bool: one that does and hits nothing lies in a lesion too small to count.
    """
    places = tuple(np.floor(centroids + 0.5).astype(int).T)
    below = lesions.labels[places]
    hitting = np.flatnonzero(below)
    return hitting, below[hitting] - 1, truth[places]


def _by_overlap(
    candidates: Components, lesions: Components, truth: np.ndarray, min_iou: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As `hits_by_centroid`, by shared pixels."""
    both = (candidates.labels > 0) & truth
    own, other = candidates.labels[both] - 1, lesions.labels[both] - 1
    excused = np.zeros(len(candidates), bool)
    excused[own[other < 0]] = True
    pairs, shared = np.unique(np.stack([own, other])[:, other >= 0], axis=1, return_counts=True)
    hitting, hit = pairs
    union = candidates.sizes[hitting] + lesions.sizes[hit] - shared
    enough = shared / union >= min_iou
    return hitting[enough], hit[enough], excused
