"""Free-response ROC against counting at every threshold."""

from __future__ import annotations

import numpy as np
import pytest

from evaluation.froc import FrocCurve, froc_curve, threshold_at_false_positives
from evaluation.lesions import LesionMatches, find_candidates, join_matches, match_slice
from evaluation.undefined import UndefinedMetricWarning


def matches_of(detections: list[float], false: list[float], images: int = 1) -> LesionMatches:
    return LesionMatches(detection_scores=np.array(detections), false_scores=np.array(false), images=images)


def random_matches(seed: int) -> LesionMatches:
    """Lesions of which some are missed, and scores with ties."""
    rng = np.random.default_rng(seed)
    detections = np.where(rng.random(9) < 0.3, -np.inf, rng.integers(0, 6, 9) / 4)
    return matches_of(list(detections), list(rng.integers(0, 6, rng.integers(0, 12)) / 4), images=4)


def slow_point(matches: LesionMatches, threshold: float) -> tuple[float, float]:
    """Sensitivity and false positives per image, counted one by one."""
    found = sum(1 for score in matches.detection_scores if score >= threshold)
    false = sum(1 for score in matches.false_scores if score >= threshold)
    return found / len(matches.detection_scores), false / matches.images


def slow_thresholds(matches: LesionMatches) -> list[float]:
    scores = {float(score) for score in (*matches.detection_scores, *matches.false_scores) if score > -np.inf}
    return [np.inf, *sorted(scores, reverse=True)]


@pytest.mark.parametrize("seed", range(20))
def test_curve_agrees_with_counting(seed: int) -> None:
    matches = random_matches(seed)
    curve = froc_curve(matches)
    assert curve.thresholds.tolist() == slow_thresholds(matches)
    for sensitivity, false, threshold in zip(
        curve.sensitivity, curve.false_positives_per_image, curve.thresholds, strict=True
    ):
        assert (sensitivity, false) == pytest.approx(slow_point(matches, threshold))
        assert sensitivity == pytest.approx(matches.sensitivity(threshold))
        assert false == pytest.approx(matches.false_positives_per_image(threshold))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("most", [0, 0.25, 0.6, 1, 99])
def test_threshold_is_the_highest_of_the_most_sensitive(seed: int, most: float) -> None:
    matches = random_matches(seed)
    best, expected = -1.0, np.nan
    for threshold in slow_thresholds(matches):
        sensitivity, false = slow_point(matches, threshold)
        if false <= most and sensitivity > best:
            best, expected = sensitivity, threshold
    assert threshold_at_false_positives(froc_curve(matches), most) == expected


def test_perfect_detector_of_one_lesion_reaches_the_corner() -> None:
    anomaly, truth = np.zeros((16, 16)), np.zeros((16, 16), bool)
    anomaly[4:9, 5:10], truth[4:9, 5:10] = 0.8, True
    foreground = np.ones((16, 16), bool)
    healthy = np.zeros((16, 16))
    curve = froc_curve(
        join_matches(
            [
                match_slice(find_candidates(anomaly, foreground), truth),
                match_slice(find_candidates(healthy, foreground), np.zeros((16, 16), bool)),
            ]
        )
    )
    assert curve.thresholds.tolist() == [np.inf, 0.8]
    assert curve.sensitivity.tolist() == [0, 1]  # the only score is the lowest threshold, and counts
    assert curve.false_positives_per_image.tolist() == [0, 0]
    assert threshold_at_false_positives(curve, 0) == 0.8


def test_curve_by_hand() -> None:
    curve = froc_curve(matches_of([0.9, 0.5, -np.inf], [0.7, 0.5], images=4))
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.7, 0.5]
    # One lesion of three at 0.9, two from 0.5, the third never.
    assert curve.sensitivity == pytest.approx([0, 1 / 3, 1 / 3, 2 / 3])
    # One candidate in four images from 0.7, two from 0.5.
    assert curve.false_positives_per_image == pytest.approx([0, 0, 1 / 4, 2 / 4])


@pytest.mark.parametrize(("most", "threshold"), [(0, 0.9), (0.25, 0.9), (0.49, 0.9), (0.5, 0.5), (9, 0.5)])
def test_threshold_by_hand(most: float, threshold: float) -> None:
    # At 0.7 there is a false positive more and no lesion more than at 0.9, so 0.7 is never chosen.
    curve = froc_curve(matches_of([0.9, 0.5, -np.inf], [0.7, 0.5], images=4))
    assert threshold_at_false_positives(curve, most) == threshold


def test_false_positive_on_top_leaves_only_infinity() -> None:
    assert threshold_at_false_positives(froc_curve(matches_of([0.5], [0.9])), 0) == np.inf


def test_equal_scores_make_one_point() -> None:
    curve = froc_curve(matches_of([0.5, 0.5], [0.5, 0.5, 0.5], images=2))
    assert curve.thresholds.tolist() == [np.inf, 0.5]
    assert curve.sensitivity.tolist() == [0, 1]
    assert curve.false_positives_per_image.tolist() == [0, 3 / 2]


def test_detector_without_candidates_stays_at_the_origin() -> None:
    curve = froc_curve(matches_of([-np.inf, -np.inf], []))
    assert curve.thresholds.tolist() == [np.inf]
    assert curve.sensitivity.tolist() == [0]
    assert curve.false_positives_per_image.tolist() == [0]


def test_curve_without_lesions_has_undefined_sensitivity() -> None:
    with pytest.warns(UndefinedMetricWarning):
        curve = froc_curve(matches_of([], [0.5, 0.25], images=2))
    assert np.isnan(curve.sensitivity).all()
    assert curve.false_positives_per_image.tolist() == [0, 1 / 2, 1]


def test_threshold_without_lesions_is_undefined() -> None:
    curve = FrocCurve(
        thresholds=np.array([np.inf, 0.5]),
        sensitivity=np.array([np.nan, np.nan]),
        false_positives_per_image=np.array([0.0, 1.0]),
    )
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(threshold_at_false_positives(curve, 1))


def test_inputs_are_not_mutated() -> None:
    matches = random_matches(1)
    detections, false = matches.detection_scores.copy(), matches.false_scores.copy()
    curve = froc_curve(matches)
    sensitivity = curve.sensitivity.copy()
    threshold_at_false_positives(curve, 1)
    np.testing.assert_array_equal(matches.detection_scores, detections)
    np.testing.assert_array_equal(matches.false_scores, false)
    np.testing.assert_array_equal(curve.sensitivity, sensitivity)
