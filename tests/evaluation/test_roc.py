"""ROC curves and areas against pair counting and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from evaluation.roc import auc_score, operating_threshold, position_matched_auc, roc_curve, youden_threshold
from evaluation.undefined import UndefinedMetricWarning


def random_cases(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels of both classes, scores with ties and heights on a grid that floats hold exactly."""
    rng = np.random.default_rng(seed)
    labels = np.append(rng.random(20) < 0.4, [True, False])
    return labels, rng.integers(0, 8, 22) / 4 + labels / 4, rng.integers(0, 33, 22) / 32


def slow_rates(labels: np.ndarray, scores: np.ndarray, threshold: float) -> tuple[Fraction, Fraction]:
    """False and true positive rate at one threshold."""
    abnormal = [score >= threshold for label, score in zip(labels, scores, strict=True) if label]
    normal = [score >= threshold for label, score in zip(labels, scores, strict=True) if not label]
    return Fraction(sum(normal), len(normal)), Fraction(sum(abnormal), len(abnormal))


def slow_auc(labels: np.ndarray, scores: np.ndarray, heights: np.ndarray, tolerance: float) -> tuple[float, int]:
    """Share of pairs in the right order, ties half, and the number of pairs."""
    won, pairs = 0.0, 0
    for i in np.flatnonzero(labels):
        for j in np.flatnonzero(~labels):
            if abs(heights[i] - heights[j]) <= tolerance:
                pairs += 1
                won += 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
    return won / pairs, pairs


@pytest.mark.parametrize("seed", range(20))
def test_each_point_of_the_curve_counts_scores_at_or_over_its_threshold(seed: int) -> None:
    labels, scores, _ = random_cases(seed)
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


@pytest.mark.parametrize("seed", range(20))
def test_auc_agrees_with_pair_counting_and_scikit_learn(seed: int) -> None:
    labels, scores, heights = random_cases(seed)
    assert auc_score(labels, scores) == pytest.approx(slow_auc(labels, scores, heights, 1.0)[0])
    assert auc_score(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_auc_by_hand() -> None:
    labels = np.array([False, False, True, True])
    assert auc_score(labels, np.array([1, 3, 2, 4])) == 3 / 4  # of four pairs only 2 against 3 is lost
    assert auc_score(labels, np.array([1, 2, 2, 4])) == 7 / 8  # 2 against 2 is half a pair
    assert auc_score(labels, np.array([5, 5, 5, 5])) == 1 / 2  # all halves


@pytest.mark.parametrize("seed", range(40))
def test_youden_threshold_is_the_highest_of_the_best(seed: int) -> None:
    labels, scores, _ = random_cases(seed)
    best, expected = Fraction(-1), np.nan
    for threshold in sorted({np.inf, *scores}, reverse=True):
        false, true = slow_rates(labels, scores, threshold)
        if true - false > best:  # exact: 1 − 2/3 and 1/3 − 0 are equal here, as floats they are not
            best, expected = true - false, threshold
    assert youden_threshold(labels, scores) == expected


def test_youden_threshold_by_hand() -> None:
    labels = np.array([True, False, True, False])
    # At 4: 1/2 − 0. At 3: 1/2 − 1/2. At 2: 1 − 1/2, as good as 4, which is higher.
    assert youden_threshold(labels, np.array([4, 3, 2, 1])) == 4


def test_youden_threshold_of_thirds_is_the_highest() -> None:
    labels = np.array([True, False, True, False, True, False])
    # At 6: 1/3 − 0. At 4: 2/3 − 1/3. At 2: 1 − 2/3. All are 1/3.
    assert youden_threshold(labels, np.array([6, 5, 4, 3, 2, 1])) == 6


@pytest.mark.parametrize("metric", [auc_score, youden_threshold])
@pytest.mark.parametrize("label", [True, False])
def test_one_class_is_undefined(metric: Callable[..., float], label: bool) -> None:
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(metric(np.full(3, label), np.arange(3.0)))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tolerance", [0.0, 1 / 32, 1 / 4])
def test_position_matched_auc_agrees_with_pair_loop(seed: int, tolerance: float) -> None:
    labels, scores, heights = random_cases(seed)
    heights[-2:] = 1 / 2  # at least one pair, whatever is drawn
    matched = position_matched_auc(labels, scores, heights, tolerance=tolerance)
    auc, pairs = slow_auc(labels, scores, heights, tolerance)
    assert (matched.auc, matched.pairs) == (pytest.approx(auc), pairs)


def test_full_tolerance_gives_the_plain_auc() -> None:
    labels, scores, heights = random_cases(3)
    matched = position_matched_auc(labels, scores, heights, tolerance=1)
    assert matched.auc == pytest.approx(auc_score(labels, scores))
    assert matched.pairs == labels.sum() * (~labels).sum()


def test_knowing_heights_alone_gains_nothing_once_matched() -> None:
    rng = np.random.default_rng(0)
    heights = np.tile(np.linspace(0, 1, 21), 20)  # 20 patients of 21 slices, neighbors 1/20 apart
    labels = rng.random(heights.size) < np.exp(-(((heights - 0.5) / 0.15) ** 2)) + 0.02
    scores = -np.abs(heights - 0.5)
    assert auc_score(labels, scores) > 0.9
    assert position_matched_auc(labels, scores, heights).auc == 1 / 2  # every pair is a tie
    noisy = np.clip(heights + rng.uniform(-0.02, 0.02, heights.size), 0, 1)
    assert position_matched_auc(labels, -np.abs(noisy - 0.5), noisy).auc == pytest.approx(0.5, abs=0.07)


def test_tolerance_is_inclusive_at_every_height() -> None:
    labels, scores = np.array([True, False]), np.array([1.0, 0.0])
    for k in range(40):  # neighbors among 41 slices are 1/40 = 0.025 apart, now and then a rounding error more
        assert position_matched_auc(labels, scores, np.array([k, k + 1]) / 40).pairs == 1


def test_no_pair_at_one_height_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        matched = position_matched_auc(np.array([True, False]), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert np.isnan(matched.auc)
    assert matched.pairs == 0


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    labels, scores, heights = random_cases(5)
    for function in (roc_curve, auc_score, youden_threshold):
        call_unmutated(function, [labels, scores])
    call_unmutated(position_matched_auc, [labels, scores, heights])


def test_operating_threshold_lies_in_the_middle_of_the_gap() -> None:
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.6, 0.9])
    assert operating_threshold(labels, scores) == pytest.approx(0.4)  # between 0.2 and 0.6


def test_operating_threshold_below_all_scores_is_the_lowest_score() -> None:
    assert operating_threshold(np.array([1, 0]), np.array([0.3, 0.3])) in (0.3, np.inf)
