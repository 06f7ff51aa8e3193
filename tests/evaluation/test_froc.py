"""Free-response ROC against counting at every threshold, MONAI and values worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.components import find_components
from evaluation.froc import (
    FROC_LIMITS,
    FrocCurve,
    froc_area,
    froc_curve,
    froc_score,
    sensitivity_at,
    threshold_at_false_positives,
)
from evaluation.lesions import LesionMatches, match_lesions
from evaluation.undefined import UndefinedMetricWarning

Scores = tuple[np.ndarray, np.ndarray]


def random_scores(seed: int) -> Scores:
    """Of lesions, some of them missed, and of false candidates, sometimes none; with ties and negative scores."""
    rng = np.random.default_rng(seed)
    detections = rng.integers(-1, 6, rng.integers(1, 10)) / 4
    detections[rng.random(len(detections)) < 0.3] = -np.inf
    return detections, rng.integers(-1, 6, rng.integers(0, 30)) / 4


def slow_points(detections: np.ndarray, false: np.ndarray, images: int) -> list[tuple[float, Fraction, Fraction]]:
    """(threshold, sensitivity, false positives per image) at infinity and at each score, from the highest down."""
    points = []
    for threshold in sorted({np.inf, *detections.tolist(), *false.tolist()} - {-np.inf}, reverse=True):
        found = sum(1 for score in detections.tolist() if score >= threshold)
        wrong = sum(1 for score in false.tolist() if score >= threshold)
        points.append((threshold, Fraction(found, len(detections)), Fraction(wrong, images)))
    return points


def curve_of(detections: list[float], false: list[float], images: int) -> FrocCurve:
    return froc_curve(np.array(detections), np.array(false), images)


def match(anomaly: np.ndarray, truth: np.ndarray) -> LesionMatches:
    """Every component of a map is a candidate, and every one of the truth a lesion."""
    return match_lesions(find_components(anomaly > 0, anomaly, min_size=0), truth, min_size=0)


def random_stack(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A map with scores of 1/8 to 1 whose components partly agree with those of the truth."""
    rng = np.random.default_rng(seed)
    truth = rng.random((6, 9, 9)) < 0.25
    truth[0, 0, 0] = True
    return (truth ^ (rng.random(truth.shape) < 0.1)) * rng.integers(1, 9, truth.shape) / 8, truth


# --- The curve


@pytest.mark.parametrize("seed", range(30))
def test_curve_agrees_with_counting(seed: int) -> None:
    scores = random_scores(seed)
    curve = froc_curve(*scores, 5)
    expected = slow_points(*scores, 5)
    assert curve.thresholds.tolist() == [threshold for threshold, _, _ in expected]
    assert curve.sensitivity.tolist() == [float(sensitivity) for _, sensitivity, _ in expected]
    assert curve.false_positives_per_image.tolist() == [float(false) for _, _, false in expected]


@pytest.mark.parametrize("seed", range(5))
def test_curve_passes_through_the_operating_points_of_its_matches(seed: int) -> None:
    matches = match(*random_stack(seed))
    curve = froc_curve(matches.detection_scores, matches.false_scores, matches.images)
    assert curve.sensitivity.tolist() == [matches.sensitivity(t) for t in curve.thresholds]
    assert curve.false_positives_per_image.tolist() == [matches.false_positives_per_image(t) for t in curve.thresholds]


def test_curve_by_hand() -> None:
    curve = curve_of([0.9, 0.5, -np.inf], [0.7, 0.5], images=4)
    assert curve.thresholds.tolist() == [np.inf, 0.9, 0.7, 0.5]
    # One lesion of three at 0.9, two from 0.5, the third never.
    assert curve.sensitivity.tolist() == [0, 1 / 3, 1 / 3, 2 / 3]
    # One candidate in four images from 0.7, two from 0.5.
    assert curve.false_positives_per_image.tolist() == [0, 0, 1 / 4, 2 / 4]


def test_equal_scores_make_one_point() -> None:
    curve = curve_of([0.5, 0.5], [0.5, 0.5, 0.5], images=2)
    assert curve.thresholds.tolist() == [np.inf, 0.5]
    assert curve.sensitivity.tolist() == [0, 1]
    assert curve.false_positives_per_image.tolist() == [0, 3 / 2]


def test_detector_without_candidates_stays_at_the_origin() -> None:
    curve = curve_of([-np.inf, -np.inf], [], images=1)
    assert (curve.thresholds.tolist(), curve.sensitivity.tolist()) == ([np.inf], [0])
    assert curve.false_positives_per_image.tolist() == [0]
    assert (froc_score(curve), froc_area(curve), threshold_at_false_positives(curve, 1)) == (0, 0, np.inf)


# --- MONAI


def monai_curve(anomaly: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """MONAI's sensitivity and false positives per image; in its truth each lesion has a number."""
    from monai.metrics import compute_fp_tp_probs_nd, compute_froc_curve_data

    candidates = find_components(anomaly > 0, anomaly, min_size=0)
    lesions = find_components(truth, truth, min_size=0)
    centers = np.floor(candidates.centroids + 0.5).astype(int)
    false, found, targets = compute_fp_tp_probs_nd(candidates.peaks, centers, lesions.labels)
    per_image, sensitivity = compute_froc_curve_data(false, found, targets, len(truth))
    return sensitivity, per_image


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("missed", [True, False])
def test_curve_agrees_with_monai_except_at_the_lowest_threshold(seed: int, missed: bool) -> None:
    anomaly, truth = random_stack(seed)
    matches = match(anomaly, truth)
    if not missed:
        found = 1 + np.flatnonzero(np.isfinite(matches.detection_scores))
        truth = np.isin(find_components(truth, truth, min_size=0).labels, found)
        matches = match(anomaly, truth)
    assert np.isinf(matches.detection_scores).any() == missed
    curve = froc_curve(matches.detection_scores, matches.false_scores, matches.images)
    sensitivity, per_image = monai_curve(anomaly, truth)
    # MONAI's thresholds rise, and end with infinity. To it a missed lesion has the score 0: the lowest, which it drops.
    kept = slice(None) if missed else slice(None, -1)
    np.testing.assert_allclose(sensitivity[::-1], curve.sensitivity[kept], rtol=1e-12)
    np.testing.assert_allclose(per_image[::-1], curve.false_positives_per_image[kept], rtol=1e-12)


def test_perfect_detector_of_one_lesion_scores_one_where_monai_gives_zero() -> None:
    from monai.metrics import compute_froc_score

    anomaly, truth = np.zeros((2, 16, 16)), np.zeros((2, 16, 16), bool)
    anomaly[0, 4:9, 5:10], truth[0, 4:9, 5:10] = 0.8, True
    matches = match(anomaly, truth)
    curve = froc_curve(matches.detection_scores, matches.false_scores, matches.images)
    assert curve.thresholds.tolist() == [np.inf, 0.8]
    assert curve.sensitivity.tolist() == [0, 1]
    assert curve.false_positives_per_image.tolist() == [0, 0]
    assert (froc_score(curve), froc_area(curve), threshold_at_false_positives(curve, 0)) == (1, 1, 0.8)
    # MONAI leaves the lowest score out of its thresholds. Here it is the only one, and infinity alone remains.
    sensitivity, per_image = monai_curve(anomaly, truth)
    assert (sensitivity.tolist(), per_image.tolist()) == ([0], [0])
    assert compute_froc_score(per_image, sensitivity) == 0


# --- Reading it


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("limit", [0, 0.25, 0.5, 0.6, 1, 2, 99])
def test_sensitivity_and_threshold_agree_with_trying_every_threshold(seed: int, limit: float) -> None:
    scores = random_scores(seed)
    curve = froc_curve(*scores, 4)
    allowed = [point for point in slow_points(*scores, 4) if point[2] <= limit]
    best = max(sensitivity for _, sensitivity, _ in allowed)
    assert sensitivity_at(curve, limit) == float(best)
    assert threshold_at_false_positives(curve, limit) == max(t for t, sensitivity, _ in allowed if sensitivity == best)


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.parametrize("eighths", [1, 3, 8, 20, 80])
def test_area_is_the_mean_of_sensitivities_along_the_axis(seed: int, eighths: int) -> None:
    scores = random_scores(seed)
    points = slow_points(*scores, 4)
    # With 4 images the curve steps at quarters only: in the middle of each eighth it is what it is all through it.
    middles = [Fraction(2 * step + 1, 16) for step in range(eighths)]
    heights = [max(sensitivity for _, sensitivity, false in points if false <= middle) for middle in middles]
    assert froc_area(froc_curve(*scores, 4), eighths / 8) == pytest.approx(float(sum(heights) / eighths), abs=1e-12)


@pytest.mark.parametrize("seed", range(10))
def test_score_is_the_mean_of_seven_sensitivities(seed: int) -> None:
    scores = random_scores(seed)
    points = slow_points(*scores, 8)
    limits = [Fraction(2) ** power for power in range(-3, 4)]  # 1/8 to 8
    heights = [max(sensitivity for _, sensitivity, false in points if false <= limit) for limit in limits]
    assert list(FROC_LIMITS) == [float(limit) for limit in limits]
    assert froc_score(froc_curve(*scores, 8)) == pytest.approx(float(sum(heights) / 7), abs=1e-12)


@pytest.mark.parametrize(
    ("limit", "sensitivity", "threshold"),
    [(0, 1 / 4, 0.9), (0.49, 1 / 4, 0.9), (0.5, 2 / 4, 0.6), (1, 2 / 4, 0.6), (1.5, 3 / 4, 0.3), (9, 3 / 4, 0.3)],
)
def test_reading_by_hand(limit: float, sensitivity: float, threshold: float) -> None:
    # Points (false positives per image, sensitivity): (0, 0), (0, 1/4) at 0.9, (1/2, 1/4) at 0.8, (1/2, 2/4) at 0.6,
    # (1, 2/4) at 0.5, (3/2, 3/4) at 0.3.
    curve = curve_of([0.9, 0.6, 0.3, -np.inf], [0.8, 0.5, 0.3], images=2)
    assert sensitivity_at(curve, limit) == sensitivity
    assert threshold_at_false_positives(curve, limit) == threshold


def test_score_and_area_by_hand() -> None:
    curve = curve_of([0.9, 0.6, 0.3, -np.inf], [0.8, 0.5, 0.3], images=2)
    # 1/4 at 1/8 and 1/4; 2/4 at 1/2 and 1; 3/4 at 2, 4 and 8.
    assert froc_score(curve) == pytest.approx((2 * 1 / 4 + 2 * 2 / 4 + 3 * 3 / 4) / 7)
    assert froc_score(curve, (0.25, 1)) == pytest.approx((1 / 4 + 2 / 4) / 2)
    # 1/4 up to 1/2, then 2/4 up to 3/2, then 3/4.
    assert froc_area(curve) == pytest.approx(1 / 2 * 1 / 4 + 1 / 2 * 2 / 4)
    assert froc_area(curve, 0.25) == pytest.approx(1 / 4)
    assert froc_area(curve, 2) == pytest.approx((1 / 2 * 1 / 4 + 1 * 2 / 4 + 1 / 2 * 3 / 4) / 2)


@pytest.mark.parametrize("images", [3, 7, 10, 30, 49])
def test_limit_that_is_met_exactly_is_kept(images: int) -> None:
    for false in range(1, images + 1):
        curve = curve_of([0.5], [0.9] * false, images=images)
        assert sensitivity_at(curve, false / images) == 1
        assert threshold_at_false_positives(curve, false / images) == 0.5
        assert sensitivity_at(curve, (false - 0.5) / images) == 0


def test_false_positive_on_top_leaves_only_infinity() -> None:
    curve = curve_of([0.5], [0.9], images=1)
    assert threshold_at_false_positives(curve, 0) == np.inf
    assert sensitivity_at(curve, 0) == 0


def test_perfect_detector_of_all_lesions_scores_one() -> None:
    curve = curve_of([0.9, 0.8, 0.7], [0.6, 0.5], images=1)
    assert (froc_score(curve), froc_area(curve), sensitivity_at(curve, 0)) == (1, 1, 1)


# --- What does not matter


@pytest.mark.parametrize(
    "transform",
    [np.exp, np.arctan, lambda scores: scores**3, lambda scores: 1e6 * scores - 5, lambda scores: np.float32(scores)],
)
@pytest.mark.parametrize("seed", range(8))
def test_rising_transforms_of_scores_leave_points_alone(transform: Any, seed: int) -> None:
    detections, false = random_scores(seed)
    plain = froc_curve(detections, false, 3)
    moved = froc_curve(np.where(np.isinf(detections), -np.inf, transform(detections)), transform(false), 3)
    np.testing.assert_array_equal(plain.sensitivity, moved.sensitivity)
    np.testing.assert_array_equal(plain.false_positives_per_image, moved.false_positives_per_image)
    np.testing.assert_allclose(transform(plain.thresholds[1:]), moved.thresholds[1:])


@given(st.integers(0, 2**32 - 1), st.permutations(range(6)))
@settings(max_examples=30, deadline=None)
def test_order_of_slices_does_not_matter(seed: int, order: list[int]) -> None:
    anomaly, truth = random_stack(seed)
    curves = []
    for matches in (match(anomaly, truth), match(anomaly[order], truth[order])):
        curves.append(froc_curve(matches.detection_scores, matches.false_scores, matches.images))
    for name in ("thresholds", "sensitivity", "false_positives_per_image"):
        np.testing.assert_array_equal(getattr(curves[0], name), getattr(curves[1], name))


@given(st.integers(0, 2**32 - 1), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_empty_slices_make_false_positives_rarer_and_sensitivity_no_other(seed: int, empty: int) -> None:
    anomaly, truth = random_stack(seed)
    curves = []
    for count in (0, empty):
        matches = match(*(np.pad(array, ((0, count), (0, 0), (0, 0))) for array in (anomaly, truth)))
        curves.append(froc_curve(matches.detection_scores, matches.false_scores, matches.images))
    plain, padded = curves
    np.testing.assert_array_equal(plain.thresholds, padded.thresholds)
    np.testing.assert_array_equal(plain.sensitivity, padded.sensitivity)
    false = np.round(6 * plain.false_positives_per_image)
    np.testing.assert_array_equal(padded.false_positives_per_image, false / (6 + empty))


@given(
    st.lists(st.sampled_from([-np.inf, 0.25, 0.5, 0.75, 1.0]), min_size=1, max_size=12),
    st.lists(st.sampled_from([0.25, 0.5, 0.75, 1.0]), max_size=12),
    st.integers(1, 5),
)
@settings(max_examples=100, deadline=None)
def test_curves_rise_and_what_is_read_off_them_is_a_share(
    detections: list[float], false: list[float], images: int
) -> None:
    curve = curve_of(detections, false, images)
    assert (np.diff(curve.thresholds) < 0).all()
    assert (np.diff(curve.sensitivity) >= 0).all()
    assert (np.diff(curve.false_positives_per_image) >= 0).all()
    at_limits = [sensitivity_at(curve, limit) for limit in (0, *FROC_LIMITS)]
    assert at_limits == sorted(at_limits)
    assert at_limits[0] - 1e-12 <= froc_area(curve) <= sensitivity_at(curve, 1) + 1e-12
    assert at_limits[1] - 1e-12 <= froc_score(curve) <= at_limits[-1] + 1e-12


# --- Undefined, refused


def test_curve_without_lesions_has_undefined_sensitivity() -> None:
    with pytest.warns(UndefinedMetricWarning, match="FROC sensitivity is undefined: there is no lesion"):
        curve = curve_of([], [0.5, 0.25], images=2)
    assert np.isnan(curve.sensitivity).all()
    assert curve.false_positives_per_image.tolist() == [0, 1 / 2, 1]
    assert_nothing_can_be_read(curve)


def test_curve_without_images_has_undefined_false_positives() -> None:
    curve = curve_of([0.5], [], images=0)
    assert np.isnan(curve.false_positives_per_image).all()
    assert_nothing_can_be_read(curve)


def assert_nothing_can_be_read(curve: FrocCurve) -> None:
    readings: list[Callable[[FrocCurve], float]] = [
        froc_score,
        froc_area,
        lambda curve: sensitivity_at(curve, 1),
        lambda curve: threshold_at_false_positives(curve, 1),
    ]
    for read in readings:
        with pytest.warns(UndefinedMetricWarning, match="is undefined: there is no lesion or no image"):
            assert np.isnan(read(curve))


@pytest.mark.parametrize(
    ("detections", "false", "error", "message"),
    [
        (np.ones((2, 2)), np.ones(2), ValueError, r"`detection_scores` must be \(N,\), got \(2, 2\)"),
        (np.ones(2), np.array(1.0), ValueError, r"`false_scores` must be \(N,\), got \(\)"),
        ([0.5], np.ones(2), TypeError, "`detection_scores` must be a NumPy array, got list"),
    ],
)
def test_wrong_arrays_are_refused(detections: Any, false: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        froc_curve(detections, false, 1)


@pytest.mark.parametrize("up_to", [0, -1])
def test_area_of_no_width_is_refused(up_to: float) -> None:
    with pytest.raises(ValueError, match=f"`up_to` must be more than 0, got {up_to}"):
        froc_area(curve_of([0.5], [], images=1), up_to)


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    curve = call_unmutated(froc_curve, random_scores(1), images=3)
    before = {name: array.copy() for name, array in vars(curve).items()}
    froc_score(curve)
    froc_area(curve)
    sensitivity_at(curve, 1)
    threshold_at_false_positives(curve, 1)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(curve, name), array)
