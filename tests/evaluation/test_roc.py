"""ROC curves, areas, intervals and thresholds against pair counting, every threshold tried, and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from evaluation.roc import (
    OperatingPoint,
    auc_score,
    delong_interval,
    operating_point,
    operating_threshold,
    roc_curve,
    threshold_at_false_positive_rate,
    threshold_at_sensitivity,
    youden_threshold,
)
from evaluation.undefined import UndefinedMetricWarning

TAKES_CASES: list[Callable[..., Any]] = [
    roc_curve,
    auc_score,
    delong_interval,
    lambda labels, scores: operating_point(labels, scores, 1.0),
    youden_threshold,
    operating_threshold,
    lambda labels, scores: threshold_at_sensitivity(labels, scores, 0.5),
    lambda labels, scores: threshold_at_false_positive_rate(labels, scores, 0.5),
]
CHOOSE_THRESHOLDS = TAKES_CASES[4:]
REPEATABLE = settings(deadline=None, derandomize=True, database=None)
TARGETS = [0.0, 0.1, 0.25, 0.5, 0.9, 1.0]


def random_cases(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of both classes and scores with ties."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.random(20) < 0.4, [True, False])
    return labels, rng.integers(0, 8, 22) / 4 + labels / 4


LEVELS = st.integers(0, 6)
CASES = st.tuples(st.lists(LEVELS, min_size=1, max_size=12), st.lists(LEVELS, min_size=1, max_size=12)).map(
    lambda classes: (np.repeat([False, True], [len(scores) for scores in classes]), np.concatenate(classes))
)
"""Labels of both classes and scores of few levels, so that there are ties within and between classes."""


def slow_rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[Fraction, Fraction]:
    """False and true positive rate at one threshold."""
    abnormal = [score >= threshold for label, score in zip(labels, scores, strict=True) if label]
    normal = [score >= threshold for label, score in zip(labels, scores, strict=True) if not label]
    return Fraction(sum(normal), len(normal)), Fraction(sum(abnormal), len(abnormal))


def every_threshold(scores: np.ndarray) -> list[float]:
    """From infinity to the lowest score."""
    return sorted({np.inf, *scores.tolist()}, reverse=True)


def slow_wins(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """What each abnormal case (row) wins of each normal one (column): 1, 1/2 for a tie, or 0."""
    return np.array(
        [
            [1.0 if mine > other else 0.5 if mine == other else 0.0 for other in scores[~labels]]
            for mine in scores[labels]
        ]
    )


def slow_variance(labels: np.ndarray, scores: np.ndarray) -> float:
    """DeLong's, from all pairs."""
    wins = slow_wins(labels, scores)
    rows, columns = wins.mean(axis=1), wins.mean(axis=0)
    spread = [((means - wins.mean()) ** 2).sum() / (len(means) - 1) for means in (rows, columns)]
    return float(spread[0] / len(rows) + spread[1] / len(columns))


@pytest.mark.parametrize("seed", range(20))
def test_each_point_of_the_curve_counts_scores_at_or_over_its_threshold(seed: int) -> None:
    labels, scores = random_cases(seed)
    curve = roc_curve(labels, scores)
    for false, true, threshold in zip(
        curve.false_positive_rate, curve.true_positive_rate, curve.thresholds, strict=True
    ):
        assert (false, true) == pytest.approx(tuple(map(float, slow_rates(labels, scores, threshold))))
    assert curve.thresholds[0] == np.inf
    assert curve.thresholds[-1] == scores.min()
    assert (np.diff(curve.thresholds) < 0).all()
    area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
    assert area == pytest.approx(auc_score(labels, scores))


@pytest.mark.parametrize("label", [True, False])
def test_one_class_has_no_curve(label: bool) -> None:
    with pytest.raises(ValueError, match="normal and abnormal cases are both needed"):
        roc_curve(np.full(3, label), np.arange(3.0))


@pytest.mark.parametrize("seed", range(20))
def test_auc_agrees_with_pair_counting_and_scikit_learn(seed: int) -> None:
    labels, scores = random_cases(seed)
    assert auc_score(labels, scores) == pytest.approx(slow_wins(labels, scores).mean())
    assert auc_score(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_auc_by_hand() -> None:
    labels = np.array([False, False, True, True])
    assert auc_score(labels, np.array([1, 3, 2, 4])) == 3 / 4  # of four pairs only 2 against 3 is lost
    assert auc_score(labels, np.array([1, 2, 2, 4])) == 7 / 8  # 2 against 2 is half a pair
    assert auc_score(labels, np.array([5, 5, 5, 5])) == 1 / 2  # all halves


@REPEATABLE
@given(CASES, st.randoms(use_true_random=False))
def test_the_order_of_cases_does_not_matter(cases: tuple[np.ndarray, np.ndarray], random: Any) -> None:
    labels, scores = cases
    order = random.sample(range(len(labels)), len(labels))
    curve, shuffled = roc_curve(labels, scores), roc_curve(labels[order], scores[order])
    np.testing.assert_array_equal(curve.false_positive_rate, shuffled.false_positive_rate)
    np.testing.assert_array_equal(curve.true_positive_rate, shuffled.true_positive_rate)
    assert auc_score(labels[order], scores[order]) == auc_score(labels, scores)
    assert youden_threshold(labels[order], scores[order]) == youden_threshold(labels, scores)


@REPEATABLE
@given(CASES, st.lists(st.floats(-1e6, 1e6), min_size=7, max_size=7, unique=True))
def test_only_the_order_of_scores_matters(cases: tuple[np.ndarray, np.ndarray], levels: list[float]) -> None:
    labels, scores = cases
    raised = np.sort(levels)[scores]
    curve, same = roc_curve(labels, scores), roc_curve(labels, raised)
    np.testing.assert_array_equal(curve.false_positive_rate, same.false_positive_rate)
    np.testing.assert_array_equal(curve.true_positive_rate, same.true_positive_rate)
    assert auc_score(labels, raised) == auc_score(labels, scores)
    best = youden_threshold(labels, scores)
    assert youden_threshold(labels, raised) == (np.inf if best == np.inf else np.sort(levels)[int(best)])


@REPEATABLE
@given(CASES)
def test_reversed_scores_and_swapped_classes_turn_the_auc_around(cases: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = cases
    auc = auc_score(labels, scores)
    assert auc_score(labels, -scores) == pytest.approx(1 - auc)
    assert auc_score(~labels, scores) == pytest.approx(1 - auc)
    assert auc_score(~labels, -scores) == pytest.approx(auc)


@pytest.mark.parametrize("seed", range(20))
def test_delong_interval_agrees_with_all_pairs(seed: int) -> None:
    labels, scores = random_cases(seed)
    labels[:2], labels[2:4] = True, False
    interval = delong_interval(labels, scores, level=0.9)
    auc, reach = slow_wins(labels, scores).mean(), 1.6448536269514722 * slow_variance(labels, scores) ** 0.5
    assert interval.auc == pytest.approx(auc)
    assert (interval.low, interval.high) == pytest.approx((max(auc - reach, 0), min(auc + reach, 1)))


@pytest.mark.parametrize("seed", range(5))
def test_delong_variance_is_that_of_leaving_each_case_out_by_scikit_learn(seed: int) -> None:
    """The jackknife of each class; for an average over pairs the two are equal, not only close."""
    labels, scores = random_cases(seed)
    labels[:2], labels[2:4] = True, False
    variance = 0.0
    for label in (True, False):
        members = np.flatnonzero(labels == label)
        left_out = np.array([roc_auc_score(np.delete(labels, i), np.delete(scores, i)) for i in members])
        variance += (len(members) - 1) * left_out.var()
    interval = delong_interval(labels, scores, level=0.1)
    assert 0 < interval.low < interval.high < 1
    assert interval.high - interval.low == pytest.approx(2 * NormalDist().inv_cdf(0.55) * variance**0.5)


def test_delong_interval_by_hand() -> None:
    labels = np.array([True, True, True, False, False])
    interval = delong_interval(labels, np.array([2, 5, 3, 1, 4]), level=0.5)
    # Abnormal cases win 1/2, 1 and 1/2 of the normal ones: s² = (1/36 + 4/36 + 1/36) / 2 = 1/12.
    # Normal cases lose to 1 and 1/3 of the abnormal ones: s² = 1/9 + 1/9. Variance: 1/12 / 3 + 2/9 / 2 = 5/36.
    reach = 0.6744897501960817 * (5 / 36) ** 0.5
    assert interval.auc == pytest.approx(2 / 3)
    assert (interval.low, interval.high) == pytest.approx((2 / 3 - reach, 2 / 3 + reach))


def test_delong_interval_with_a_tie_is_cut_off_at_one() -> None:
    labels = np.array([False, False, True, True])
    interval = delong_interval(labels, np.array([1, 2, 2, 4]))
    # Placements are 1 and 3/4 in both classes: s² = 1/32 each, variance 1/32 / 2 · 2.
    assert (interval.auc, interval.high) == (7 / 8, 1)
    assert interval.low == pytest.approx(7 / 8 - 1.959963984540054 * (1 / 32) ** 0.5)


@pytest.mark.parametrize(("scores", "auc"), [([1, 2, 3, 4], 1), ([3, 4, 1, 2], 0), ([7, 7, 7, 7], 1 / 2)])
def test_delong_interval_without_any_spread_is_a_point(scores: list[int], auc: float) -> None:
    interval = delong_interval(np.array([0, 0, 1, 1]), np.array(scores))
    assert (interval.low, interval.auc, interval.high) == (auc, auc, auc)


def test_delong_interval_covers_the_true_auc_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([True, False], [40, 60])
    truth = NormalDist().cdf(0.5**0.5)  # of normal distributions one standard deviation apart
    for level, least, most in ((0.95, 0.9, 0.98), (0.5, 0.42, 0.58)):
        intervals = [delong_interval(labels, rng.normal(size=100) + labels, level=level) for _ in range(400)]
        assert least < np.mean([interval.low <= truth <= interval.high for interval in intervals]) < most


@REPEATABLE
@given(CASES.filter(lambda cases: 2 <= cases[0].sum() <= len(cases[0]) - 2))
def test_reversed_scores_turn_the_delong_interval_around(cases: tuple[np.ndarray, np.ndarray]) -> None:
    labels, scores = cases
    interval = delong_interval(labels, scores)
    mirrored = (1 - interval.high, 1 - interval.auc, 1 - interval.low)
    for turned in (delong_interval(labels, -scores), delong_interval(~labels, scores)):
        assert (turned.low, turned.auc, turned.high) == pytest.approx(mirrored)


@pytest.mark.parametrize("labels", [[1, 0, 0, 0], [0, 1, 1, 1]])
def test_one_case_of_a_class_has_an_auc_without_an_interval(labels: list[int]) -> None:
    with pytest.warns(UndefinedMetricWarning, match="two normal and two abnormal cases are needed"):
        interval = delong_interval(np.array(labels), np.array([1, 0, 2, 1]))
    assert interval.auc == auc_score(np.array(labels), np.array([1, 0, 2, 1]))
    assert np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize("level", [0, 1, 95, np.nan])
def test_a_level_is_between_zero_and_one(level: float) -> None:
    with pytest.raises(ValueError, match="`level` must be between 0 and 1"):
        delong_interval(*random_cases(0), level=level)


@pytest.mark.parametrize("seed", range(10))
def test_operating_point_counts_scores_at_or_over_the_threshold(seed: int) -> None:
    labels, scores = random_cases(seed)
    for threshold in [*every_threshold(scores), 0.3, -np.inf]:
        false, true = slow_rates(labels, scores, threshold)
        expected = OperatingPoint(threshold=threshold, sensitivity=float(true), specificity=float(1 - false))
        assert operating_point(labels, scores, threshold) == expected


def test_operating_point_compares_exactly_whatever_the_precision_of_scores() -> None:
    scores = np.array([0.1, 0.1], np.float32)  # 0.10000000149…
    point = operating_point(np.array([1, 0]), scores, 0.100000002)
    assert (point.sensitivity, point.specificity) == (0, 1)


@pytest.mark.parametrize(("label", "missing"), [(1, "specificity"), (0, "sensitivity")])
def test_operating_point_is_undefined_for_a_missing_class(label: int, missing: str) -> None:
    with pytest.warns(UndefinedMetricWarning, match=missing):
        point = operating_point(np.full(3, label), np.arange(3), 1.0)
    assert np.isnan(getattr(point, missing))
    assert point.threshold == 1
    assert (point.sensitivity, point.specificity)[label == 0] == (2 / 3 if label else 1 / 3)


def test_without_a_threshold_there_is_no_operating_point() -> None:
    with pytest.warns(UndefinedMetricWarning, match="no threshold"):
        point = operating_point(*random_cases(0), np.nan)
    assert np.isnan([point.threshold, point.sensitivity, point.specificity]).all()


@pytest.mark.parametrize("seed", range(40))
def test_youden_threshold_is_the_highest_of_the_best(seed: int) -> None:
    labels, scores = random_cases(seed)
    best, expected = Fraction(-1), np.nan
    for threshold in every_threshold(scores):
        false, true = slow_rates(labels, scores, threshold)
        if true - false > best:  # exact: 1 − 2/3 and 1/3 − 0 are equal here, as floats they are not
            best, expected = true - false, threshold
    assert youden_threshold(labels, scores) == expected


def test_youden_threshold_by_hand() -> None:
    labels = np.array([True, False, True, False])
    # At 4: 1/2 − 0. At 3: 1/2 − 1/2. At 2: 1 − 1/2, as good as 4, which is higher.
    assert youden_threshold(labels, np.array([4, 3, 2, 1])) == 4


@pytest.mark.parametrize("count", [3, 49])
def test_youden_threshold_of_equal_fractions_is_the_highest(count: int) -> None:
    labels = np.tile([True, False], count)
    # With 3, at 6: 1/3 − 0; at 4: 2/3 − 1/3; at 2: 1 − 2/3. As floats, they differ; and 49 · (1/49) is not 1.
    assert youden_threshold(labels, np.arange(2 * count, 0, -1)) == 2 * count


@pytest.mark.parametrize("choose", [youden_threshold, operating_threshold])
@pytest.mark.parametrize("scores", [[0.3, 0.3, 0.3], [1.0, 2.0, 3.0]])
def test_youden_calls_nothing_abnormal_where_nothing_separates(
    choose: Callable[..., float], scores: list[float]
) -> None:
    labels = np.array([1, 1, 0])  # the second scores are in the wrong order
    assert choose(labels, np.array(scores)) == np.inf


def test_operating_threshold_lies_in_the_middle_of_the_gap() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    assert operating_threshold(labels, scores) == pytest.approx(0.4)  # between 0.2 and 0.6
    assert operating_threshold(labels, np.array([1, 2, 5, 9])) == 3.5


@pytest.mark.parametrize("precision", [np.float32, np.float64])
@pytest.mark.parametrize("low", [0.5, 0.75, 0.3])
def test_operating_threshold_between_neighboring_floats_keeps_them_apart(precision: Any, low: float) -> None:
    first = precision(low)
    second = np.nextafter(first, precision(1))
    third = np.nextafter(second, precision(1))
    for below, above in ((first, second), (second, third)):  # one of the middles is rounded down, the other up
        threshold = operating_threshold(np.array([0, 1]), np.array([below, above]))
        assert float(below) < threshold <= float(above)
        assert precision(threshold) == above


@REPEATABLE
@given(CASES, st.sampled_from([np.float32, np.float64, np.int64]))
def test_operating_threshold_calls_the_same_cases_as_youdens(cases: tuple[np.ndarray, np.ndarray], kind: Any) -> None:
    labels, scores = cases[0], cases[1].astype(kind)
    called = scores >= operating_threshold(labels, scores)
    np.testing.assert_array_equal(called, scores >= youden_threshold(labels, scores))


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(10))
def test_threshold_at_sensitivity_is_the_highest_that_reaches_it(seed: int, target: float) -> None:
    labels, scores = random_cases(seed)
    expected = next(t for t in every_threshold(scores) if float(slow_rates(labels, scores, t)[1]) >= target)
    assert threshold_at_sensitivity(labels, scores, target) == expected


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("seed", range(10))
def test_threshold_at_false_positive_rate_is_the_highest_of_the_most_sensitive(seed: int, target: float) -> None:
    labels, scores = random_cases(seed)
    best, expected = Fraction(-1), np.nan
    for threshold in every_threshold(scores):
        false, true = slow_rates(labels, scores, threshold)
        if float(false) <= target and true > best:
            best, expected = true, threshold
    assert threshold_at_false_positive_rate(labels, scores, target) == expected


def test_thresholds_at_targets_by_hand() -> None:
    labels = np.array([True, False, True, True, False, False])
    scores = np.array([6, 5, 4, 3, 2, 1])
    # Sensitivity is 1/3 from 6 on, 2/3 from 4, 1 from 3; points on straight lines count, too.
    for sensitivity, threshold in ((0, np.inf), (0.1, 6), (1 / 3, 6), (0.34, 4), (2 / 3, 4), (0.7, 3), (1, 3)):
        assert threshold_at_sensitivity(labels, scores, sensitivity) == threshold
    # Without a false positive only 6 is reached; one of three lets 5, 4 and 3 pass; more finds nothing more.
    for rate, threshold in ((0, 6), (0.3, 6), (1 / 3, 3), (2 / 3, 3), (1, 3)):
        assert threshold_at_false_positive_rate(labels, scores, rate) == threshold


def test_a_normal_case_on_top_leaves_only_infinity() -> None:
    assert threshold_at_false_positive_rate(np.array([0, 1, 0]), np.array([3, 3, 1]), 0.4) == np.inf


def test_a_target_met_exactly_is_met() -> None:
    scores = np.arange(20)
    for parts in range(1, 20):
        threshold = threshold_at_sensitivity(np.append(np.zeros(1), np.ones(20)), np.append(-1, scores), parts / 20)
        assert threshold == 20 - parts
        labels = np.append(np.zeros(20), np.ones(1))
        threshold = threshold_at_false_positive_rate(labels, np.append(scores, 20 - parts), parts / 20)
        assert threshold == 20 - parts


@pytest.mark.parametrize("choose", [threshold_at_sensitivity, threshold_at_false_positive_rate])
@pytest.mark.parametrize("target", [-0.1, 1.1, 95, np.nan])
def test_targets_are_shares(choose: Callable[..., float], target: float) -> None:
    with pytest.raises(ValueError, match=r"must be in \[0, 1\]"):
        choose(*random_cases(0), target)


@pytest.mark.parametrize("choose", [threshold_at_sensitivity, threshold_at_false_positive_rate])
def test_equal_scores_leave_no_threshold_to_choose(choose: Callable[..., float]) -> None:
    with pytest.warns(UndefinedMetricWarning, match="all scores are equal"):
        assert np.isnan(choose(np.array([0, 1, 1]), np.zeros(3), 0.5))


@pytest.mark.parametrize("choose", [auc_score, *CHOOSE_THRESHOLDS])
@pytest.mark.parametrize("labels", [[], [True, True], [False, False]])
def test_a_missing_class_is_undefined(choose: Callable[..., float], labels: list[bool]) -> None:
    with pytest.warns(UndefinedMetricWarning, match="normal and abnormal cases are both needed"):
        assert np.isnan(choose(np.array(labels, bool), np.arange(float(len(labels)))))


@pytest.mark.parametrize("function", TAKES_CASES)
@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float32])
def test_labels_may_be_zeros_and_ones(function: Callable[..., Any], kind: Any) -> None:
    labels, scores = random_cases(1)
    expected, result = function(labels, scores), function(labels.astype(kind), scores)
    np.testing.assert_equal(getattr(result, "__dict__", result), getattr(expected, "__dict__", expected))


@pytest.mark.parametrize("function", TAKES_CASES)
@pytest.mark.parametrize(
    ("labels", "scores", "problem"),
    [
        ([0, 1, 2], [1.0, 2.0, 3.0], "`labels` must be bool or 0 and 1"),
        ([0, 1, np.nan], [1.0, 2.0, 3.0], "`labels` must be bool or 0 and 1"),
        (["0", "1", "1"], [1.0, 2.0, 3.0], "`labels` must be bool or 0 and 1"),
        ([0, 1, 1], [1.0, np.nan, 3.0], "`scores` must be real and finite"),
        ([0, 1, 1], [1.0, np.inf, 3.0], "`scores` must be real and finite"),
        ([0, 1, 1], [1.0, 2.0j, 3.0], "`scores` must be real and finite"),
        ([0, 1], [1.0, 2.0, 3.0], "one shape"),
        ([[0, 1]], [[1.0, 2.0]], r"`labels` must be \(N,\)"),
    ],
)
def test_cases_that_are_none_are_refused(
    function: Callable[..., Any], labels: list[Any], scores: list[Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        function(np.array(labels), np.array(scores))


@pytest.mark.parametrize("function", TAKES_CASES)
def test_inputs_are_not_mutated(function: Callable[..., Any], call_unmutated: Callable[..., Any]) -> None:
    call_unmutated(function, list(random_cases(5)))
