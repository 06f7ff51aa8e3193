"""Pixel agreement against loops over pixels and thresholds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score

from evaluation.overlap import best_dice, dice_score, pixel_average_precision
from evaluation.undefined import UndefinedMetricWarning


def random_maps(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Maps with ties, lesions brighter than the rest, and a foreground that leaves some lesion pixels out."""
    rng = np.random.default_rng(seed)
    truth = rng.random((2, 5, 4)) < 0.3
    truth[0, 0, 0] = True
    foreground = rng.random(truth.shape) < 0.8
    foreground[0, 0, 0] = True
    return rng.integers(0, 6, truth.shape) / 8 + truth / 8, truth, foreground


def slow_dice(predicted: np.ndarray, truth: np.ndarray) -> float:
    both = sum(1 for p, t in zip(predicted.flat, truth.flat, strict=True) if p and t)
    return 2 * both / (sum(map(int, predicted.flat)) + sum(map(int, truth.flat)))


def slow_average_precision(values: np.ndarray, truth: np.ndarray) -> float:
    """Precision at each threshold, weighted by what it adds to recall."""
    total, recall_before = 0.0, 0.0
    for threshold in sorted(set(values.tolist()), reverse=True):
        called = [bool(t) for v, t in zip(values, truth, strict=True) if v >= threshold]
        recall = sum(called) / truth.sum()
        total += (recall - recall_before) * sum(called) / len(called)
        recall_before = recall
    return total


@pytest.mark.parametrize("seed", range(15))
def test_average_precision_agrees_with_loop_and_scikit_learn(seed: int) -> None:
    maps, truth, foreground = random_maps(seed)
    result = pixel_average_precision(maps, truth, foreground)
    assert result == pytest.approx(slow_average_precision(maps[foreground], truth[foreground]))
    assert result == pytest.approx(average_precision_score(truth[foreground], maps[foreground]))


def test_average_precision_by_hand() -> None:
    maps, truth = np.array([[[4.0, 3.0, 2.0, 1.0]]]), np.array([[[True, False, True, False]]])
    # Half of the recall at precision 1, the other half at 2/3.
    assert pixel_average_precision(maps, truth, np.ones((1, 1, 4), bool)) == pytest.approx(5 / 6)


def test_average_precision_of_a_flat_map_is_the_share_of_lesion_pixels() -> None:
    truth = np.array([[[True, False, False, False]]])
    assert pixel_average_precision(np.ones((1, 1, 4)), truth, np.ones((1, 1, 4), bool)) == 1 / 4


def test_average_precision_does_not_see_the_background() -> None:
    maps, truth = np.array([[[9.0, 2.0, 1.0, 9.0]]]), np.array([[[False, True, False, False]]])
    assert pixel_average_precision(maps, truth, np.array([[[False, True, True, False]]])) == 1


@pytest.mark.parametrize("seed", range(10))
def test_dice_agrees_with_loop_and_scikit_learn(seed: int) -> None:
    _, predicted, truth = random_maps(seed)
    assert dice_score(predicted, truth) == pytest.approx(slow_dice(predicted, truth))
    assert dice_score(predicted, truth) == pytest.approx(f1_score(truth.ravel(), predicted.ravel()))


def test_dice_by_hand(draw: Callable[..., np.ndarray]) -> None:
    predicted, truth = draw("xxx.", "x...") > 0, draw(".xxx", "....") > 0
    assert dice_score(predicted, truth) == pytest.approx(4 / 7)  # 2 · 2 / (4 + 3)
    assert dice_score(predicted, predicted) == 1
    assert dice_score(predicted, ~predicted) == 0
    assert dice_score(np.zeros((2, 4), bool), truth) == 0


@pytest.mark.parametrize("seed", range(20))
def test_best_dice_agrees_with_every_threshold(seed: int) -> None:
    maps, truth, foreground = random_maps(seed)
    best, expected = -1.0, np.nan
    for threshold in sorted(set(maps[foreground].tolist()), reverse=True):
        dice = slow_dice((maps >= threshold) & foreground, truth)
        if dice > best:
            best, expected = dice, threshold
    result = best_dice(maps, truth, foreground)
    assert (result.dice, result.threshold) == (pytest.approx(best), expected)
    assert dice_score((maps >= result.threshold) & foreground, truth) == pytest.approx(result.dice)


def test_best_dice_by_hand() -> None:
    maps, truth = np.array([[[4.0, 3.0, 2.0, 1.0]]]), np.array([[[True, False, True, False]]])
    result = best_dice(maps, truth, np.ones((1, 1, 4), bool))
    # From 4 down: 2·1/(1+2), 2·1/(2+2), 2·2/(3+2), 2·2/(4+2).
    assert result.dice == pytest.approx(4 / 5)
    assert result.threshold == 2


def test_highest_of_equal_thresholds_is_taken() -> None:
    maps = np.array([[[6.0, 5.0, 4.0, 3.0]]])
    truth = np.array([[[True, False, False, True]]])
    # At 6: 2·1/(1+2). At 3: 2·2/(4+2). Both are 2/3, between them it is less.
    result = best_dice(maps, truth, np.ones((1, 1, 4), bool))
    assert (result.dice, result.threshold) == (pytest.approx(2 / 3), 6)


def test_lesion_outside_the_foreground_counts_as_missed() -> None:
    maps, truth = np.array([[[3.0, 2.0, 9.0]]]), np.array([[[True, False, True]]])
    result = best_dice(maps, truth, np.array([[[True, True, False]]]))
    assert (result.dice, result.threshold) == (pytest.approx(2 / 3), 3)  # 2·1/(1+2): the third pixel is never called


def test_lesion_with_no_foreground_at_all_is_missed() -> None:
    truth = np.ones((1, 2, 2), bool)
    assert best_dice(np.ones((1, 2, 2)), truth, ~truth).dice == 0  # 2·0/(0+4) at any threshold


def test_empty_masks_and_slices_without_lesion_are_undefined() -> None:
    nothing, foreground, maps = np.zeros((1, 2, 2), bool), np.ones((1, 2, 2), bool), np.arange(4.0).reshape(1, 2, 2)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(dice_score(nothing, nothing))
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(pixel_average_precision(maps, nothing, foreground))
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(pixel_average_precision(maps, foreground, nothing))
    with pytest.warns(UndefinedMetricWarning):
        result = best_dice(maps, nothing, foreground)
    assert np.isnan([result.dice, result.threshold]).all()


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    arrays = random_maps(1)
    call_unmutated(pixel_average_precision, arrays)
    call_unmutated(best_dice, arrays)
    call_unmutated(dice_score, arrays[1:])
