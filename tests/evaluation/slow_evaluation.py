"""Every number of an evaluation by its definition: loops over cases, pixels, thresholds; resamples repeat patients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np

from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
from tests.evaluation.slow_maps import NAN, Matched, Seen, SeenSlice


def slow_numbers(patients: Sequence[Seen], thresholds: Thresholds, protocol: Protocol) -> dict[str, float]:
    """All numbers of patients, each of whom may stand there several times."""
    slices = [own for patient in patients for own in patient.slices]
    flat, solid = joined([patient.flat for patient in patients]), joined([patient.solid for patient in patients])
    images = sum(patient.images for patient in patients)
    drawn = sum(patient.images > 0 for patient in patients)
    score, area = slow_froc(flat, images)
    pixels, missed = [p for patient in patients for p in patient.pixels], sum(patient.missed for patient in patients)
    return {
        "slices.auc": auc(slices),
        "slices.auc_position_matched": auc(slices, lambda a, b: at_one_height(a, b, protocol.height_tolerance))
        if len({own.height for own in slices if own.label != UNKNOWN}) > 1
        else NAN,
        "slices.peak_hit": mean([own.peak_hit for own in slices if own.peak_hit is not None]),
        "slices.sensitivity": share_from(slices, ABNORMAL, thresholds.slices),
        "slices.specificity": 1 - share_from(slices, NORMAL, thresholds.slices),
        "patients.auc": auc(patients),
        "patients.sensitivity": share_from(patients, ABNORMAL, thresholds.patients),
        "patients.specificity": 1 - share_from(patients, NORMAL, thresholds.patients),
        "lesions.sensitivity": found(flat, thresholds.lesions),
        "lesions.false_positives_per_image": false_rate(flat, images, thresholds.lesions),
        "lesions.froc_score": score,
        "lesions.froc_area": area,
        "lesions_3d.sensitivity": found(solid, thresholds.lesions_3d),
        "lesions_3d.false_positives_per_patient": false_rate(solid, drawn, thresholds.lesions_3d),
        "lesions_3d.froc_score": slow_froc(solid, drawn)[0],
        "pixels.average_precision": slow_average_precision(pixels),
        "pixels.dice": NAN if math.isnan(thresholds.pixels) else dice(pixels, missed, thresholds.pixels),
        "pixels.dice_oracle": best_dice(pixels, missed)[0],
        "pixels.hausdorff95_mm": mean([p.hausdorff95_mm for p in patients if not math.isnan(p.hausdorff95_mm)]),
        "fixed_point.same_domain_l1": mean([own.same_l1 for own in slices if own.label != UNKNOWN]),
        "fixed_point.collateral_change": mean([value for patient in patients for value in patient.collateral]),
    }


def slow_thresholds(patients: Sequence[Seen], protocol: Protocol) -> Thresholds:
    """All thresholds tried, the highest of the best taken."""
    slices = [own for patient in patients for own in patient.slices]
    flat, solid = joined([patient.flat for patient in patients]), joined([patient.solid for patient in patients])
    images = sum(patient.images for patient in patients)
    drawn = sum(patient.images > 0 for patient in patients)
    pixels, missed = [p for patient in patients for p in patient.pixels], sum(patient.missed for patient in patients)
    return Thresholds(
        slices=lowered(operating_threshold(slices, protocol), [s.score for s in slices if s.label != UNKNOWN]),
        patients=lowered(operating_threshold(patients, protocol), [p.score for p in patients if p.label != UNKNOWN]),
        lesions=lowered(lesion_threshold(flat, protocol.false_positives_per_image * images), best_scores(flat)),
        lesions_3d=lowered(lesion_threshold(solid, protocol.false_positives_per_patient * drawn), best_scores(solid)),
        pixels=best_dice(pixels, missed)[1],
    )


def lowered(threshold: float, scores: Sequence[float]) -> float:
    """In the middle of the gap below it."""
    below = [score for score in scores if score < threshold]
    return (threshold + max(below)) / 2 if below and math.isfinite(threshold) else threshold


def best_scores(matched: Matched) -> list[float]:
    """Of what tells thresholds apart: each lesion by its best candidate, and false candidates."""
    return [max(scores) for scores in matched.hits if scores] + matched.false


def resampled(patients: Sequence[Seen], weights: np.ndarray) -> list[Seen]:
    """Each patient as often as `weights` (P,) say."""
    return [patient for patient, times in zip(patients, weights, strict=True) for _ in range(int(times))]


def mean(values: Sequence[float | bool]) -> float:
    return math.fsum(values) / len(values) if values else NAN


def auc(cases: Sequence[SeenSlice] | Sequence[Seen], together: Callable[..., bool] = lambda a, b: True) -> float:
    """Share of pairs that an abnormal case wins against a normal one, ties half."""
    wins = [
        1.0 if a.score > b.score else 0.5 if a.score == b.score else 0.0
        for a in cases if a.label == ABNORMAL
        for b in cases if b.label == NORMAL and together(a, b)
    ]  # fmt: skip
    return mean(wins)


def at_one_height(one: SeenSlice, other: SeenSlice, tolerance: float) -> bool:
    """Heights are ratios of small numbers, and so exact as fractions."""
    a, b, most = (Fraction(number).limit_denominator(1000) for number in (one.height, other.height, tolerance))
    return abs(a - b) <= most


def share_from(cases: Sequence[SeenSlice] | Sequence[Seen], label: int, threshold: float) -> float:
    return NAN if math.isnan(threshold) else mean([case.score >= threshold for case in cases if case.label == label])


def joined(parts: Sequence[Matched]) -> Matched:
    return Matched(
        sizes=[size for part in parts for size in part.sizes],
        hits=[hit for part in parts for hit in part.hits],
        false=[score for part in parts for score in part.false],
    )


def found(matched: Matched, threshold: float) -> float:
    """Share of lesions hit by a candidate with a score ≥ the threshold."""
    return NAN if math.isnan(threshold) else mean([any(s >= threshold for s in scores) for scores in matched.hits])


def false_rate(matched: Matched, images: int, threshold: float) -> float:
    return NAN if math.isnan(threshold) or not images else sum(s >= threshold for s in matched.false) / images


def lesion_thresholds(matched: Matched) -> list[float]:
    """Those that differ, falling."""
    return [math.inf, *sorted({s for scores in (*matched.hits, matched.false) for s in scores}, reverse=True)]


def slow_froc(
    matched: Matched, images: int, limits: Sequence[float] = (1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
) -> tuple[float, float]:
    """Mean over limits of the highest sensitivity with at most so many false positives per image, and area up to 1."""
    if not matched.hits or not images:
        return NAN, NAN
    points = [(sum(s >= t for s in matched.false), found(matched, t)) for t in lesion_thresholds(matched)]

    def highest(most_false: float) -> float:
        return max(sensitivity for false, sensitivity in points if false <= most_false)

    # From k to k + 1 false positives nothing changes: the area is a sum of `images` rectangles.
    return mean([highest(limit * images) for limit in limits]), mean([highest(k) for k in range(images)])


def slow_average_precision(pixels: Sequence[tuple[float, bool]]) -> float:
    """Σ of precision times what recall rises by, over falling levels."""
    lesions = sum(lesion for _, lesion in pixels)
    if not lesions:
        return NAN
    total, seen, hits = [], 0, 0
    by_level: dict[float, list[bool]] = {}
    for level, lesion in pixels:
        by_level.setdefault(level, []).append(lesion)
    for level in sorted(by_level, reverse=True):
        seen, hits = seen + len(by_level[level]), hits + sum(by_level[level])
        total.append(sum(by_level[level]) / lesions * hits / seen)
    return math.fsum(total)


def dice(pixels: Sequence[tuple[float, bool]], missed: int, threshold: float) -> float:
    """2 |A ∩ B| / (|A| + |B|)."""
    called = [lesion for level, lesion in pixels if level >= threshold]
    sizes = len(called) + sum(lesion for _, lesion in pixels) + missed
    return 2 * sum(called) / sizes if sizes else NAN


def best_dice(pixels: Sequence[tuple[float, bool]], missed: int) -> tuple[float, float]:
    """The highest of any level, and the highest level that has it; 0 at infinity where there is no pixel to call."""
    lesions = sum(lesion for _, lesion in pixels) + missed
    if not lesions:
        return NAN, NAN
    best, threshold, seen, hits = 0.0, math.inf, 0, 0
    by_level: dict[float, list[bool]] = {}
    for level, lesion in pixels:
        by_level.setdefault(level, []).append(lesion)
    for level in sorted(by_level, reverse=True):
        seen, hits = seen + len(by_level[level]), hits + sum(by_level[level])
        if (own := 2 * hits / (seen + lesions)) > best or threshold == math.inf:
            best, threshold = own, level
    return best, threshold


def operating_threshold(cases: Sequence[SeenSlice] | Sequence[Seen], protocol: Protocol) -> float:
    """Infinity, which calls nothing abnormal, is a threshold too."""
    abnormal = [case.score for case in cases if case.label == ABNORMAL]
    normal = [case.score for case in cases if case.label == NORMAL]
    if not abnormal or not normal:
        return NAN
    tried = [math.inf, *sorted({*abnormal, *normal}, reverse=True)]
    if protocol.operating_point != "youden" and len(tried) == 2:
        return NAN
    points = [(t, sum(s >= t for s in abnormal), sum(s >= t for s in normal)) for t in tried]
    if protocol.operating_point == "sensitivity":
        return next(t for t, hits, _ in points if hits / len(abnormal) >= protocol.operating_sensitivity)
    if protocol.operating_point == "false_positive_rate":
        points = [p for p in points if p[2] / len(normal) <= protocol.operating_false_positive_rate]
        return max(points, key=lambda point: point[1])[0]
    return max(points, key=lambda point: point[1] * len(normal) - point[2] * len(abnormal))[0]


def lesion_threshold(matched: Matched, most_false: float) -> float:
    if not matched.hits:
        return NAN
    allowed = [t for t in lesion_thresholds(matched) if sum(s >= t for s in matched.false) <= most_false]
    return max(allowed, key=lambda threshold: found(matched, threshold))
