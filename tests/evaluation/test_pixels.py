"""Counts by level against exact arithmetic, and what is made of them against loops over pixels and thresholds."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from evaluation.pixels import (
    PixelCounts,
    average_precision,
    best_dice,
    count_pixels,
    dice_score,
    join_pixel_counts,
    threshold_at_pixel_rate,
)
from evaluation.undefined import UndefinedMetricWarning

Maps = tuple[np.ndarray, np.ndarray, np.ndarray]


def slow_level(value: float) -> float:
    """The highest number with a mantissa of 10 bits, and no finer than 2⁻¹³⁶, that is not above the value."""
    _, exponent = math.frexp(value)
    # float32 is evenly spaced below 2⁻¹²⁶, where its smallest number is 2⁻¹⁴⁹, and 13 bits are dropped.
    step = Fraction(2) ** max(exponent - 11, -149 + 13)
    return float(math.floor(Fraction(value) / step) * step)


def level_of(value: Any, dtype: Any = np.float64) -> float:
    counts = count_pixels(np.array([[[value]]], dtype), np.zeros((1, 1, 1)), np.ones((1, 1, 1), bool))
    return float(counts.levels[0])


def random_maps(seed: int, shape: tuple[int, int, int] = (3, 7, 6), *, ties: bool = True) -> Maps:
    """Signed maps, lesions brighter than the rest, and a foreground that leaves some lesion pixels out."""
    rng = np.random.default_rng(seed)
    truth = (rng.random(shape) < 0.3) * rng.integers(1, 4, shape)
    truth[0, 0, 0] = 2
    foreground = rng.random(shape) < 0.8
    foreground[0, 0, 0] = True
    noise = rng.integers(-4, 6, shape) / 8 if ties else rng.normal(0, 0.3, shape)
    return noise + (truth > 0) / 4, truth, foreground


def realistic_maps() -> Maps:
    """Smooth nonnegative maps like the difference of two images, with blobs that stand out of it in some slices."""
    rng = np.random.default_rng(1)
    row, column = np.indices((64, 64)) - 32
    foreground = np.broadcast_to(row**2 + column**2 < 30**2, (12, 64, 64))
    maps, truth = np.abs(rng.normal(0, 0.05, foreground.shape)), np.zeros(foreground.shape, bool)
    for number in range(0, 12, 2):
        center = rng.integers(-15, 16, 2)
        distance = np.hypot(row - center[0], column - center[1])
        maps[number] += 0.2 * np.exp(-((distance / 8) ** 2))
        truth[number] = distance < 7
    return maps, truth, foreground


def rounded(maps: np.ndarray) -> np.ndarray:
    return np.vectorize(slow_level, otypes=[float])(maps)


def slow_dice(predicted: np.ndarray, truth: np.ndarray) -> Fraction:
    both = sum(1 for p, t in zip(predicted.flat, truth.flat, strict=True) if p and t > 0)
    return Fraction(2 * both, int(predicted.sum()) + sum(1 for t in truth.flat if t > 0))


def slow_average_precision(values: np.ndarray, truth: np.ndarray) -> float:
    """Precision at each threshold, weighted by what it adds to recall."""
    total, recall_before = Fraction(0), Fraction(0)
    for threshold in sorted(set(values.tolist()), reverse=True):
        called = [bool(t > 0) for v, t in zip(values, truth, strict=True) if v >= threshold]
        recall = Fraction(sum(called), int((truth > 0).sum()))
        total += (recall - recall_before) * Fraction(sum(called), len(called))
        recall_before = recall
    return float(total)


def counted(values: list[float], lesion: list[int], foreground: list[int] | None = None) -> PixelCounts:
    inside = np.ones(len(values), bool) if foreground is None else np.array(foreground, bool)
    return count_pixels(np.array([[values]]), np.array([[lesion]]), inside[None, None])


def assert_same_counts(one: PixelCounts, two: PixelCounts) -> None:
    for name in ("levels", "lesion", "normal"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.missed == two.missed


# --- Levels


@pytest.mark.parametrize(
    ("value", "level"),
    [
        (0.0, 0.0),
        (-0.0, 0.0),
        (1.0, 1.0),
        (-1.0, -1.0),
        (0.25, 0.25),
        (-0.25, -0.25),
        (1 + 2**-10, 1 + 2**-10),
        (1 + 2**-11, 1.0),
        (-1 - 2**-11, -1 - 2**-10),  # down is away from zero
        (2 - 2**-12, 2 - 2**-10),
        (-2 + 2**-12, -2.0),
        (np.nextafter(1.0, 0), 1 - 2**-11),  # half a power of two lower, levels are twice as close
        (0.1, 819 * 2**-13),  # 0.1 · 2¹³ = 819.2 and 2⁻⁴ ≤ 0.1 < 2⁻³
        (1e-45, 0.0),
        (-1e-45, -(2.0**-136)),
        (5e-324, 0.0),
        (-5e-324, -(2.0**-136)),
        (2.0**-136, 2.0**-136),
        (2.0**100 + 2.0**89, 2.0**100),
        (1e300, (2 - 2**-10) * 2.0**127),  # the highest there is
        (-1e300, -np.inf),
    ],
)
def test_value_is_rounded_down_to_its_level(value: float, level: float) -> None:
    assert level_of(value) == level


def test_negative_zero_is_zero() -> None:
    counts = counted([0.0, -0.0, 1e-45], [1, 0, 0])
    assert (counts.levels.tolist(), counts.lesion.tolist(), counts.normal.tolist()) == ([0], [1], [2])


@given(st.floats(-3e38, 3e38, allow_nan=False))
@example(1 - 1e-12)  # float32 would round it up to the level 1
@example(-1 - 1e-12)
@example(2.0**-126)
@example(-(2.0**-130))
@settings(max_examples=400, deadline=None)
def test_level_agrees_with_exact_arithmetic(value: float) -> None:
    assert level_of(value) == slow_level(value)


@given(st.floats(-1e6, 1e6, width=32), st.floats(-1e6, 1e6, width=32))
@settings(max_examples=200, deadline=None)
def test_levels_keep_the_order_of_values(one: float, two: float) -> None:
    low, high = sorted((one, two))
    assert level_of(low) <= level_of(high)
    assert level_of(low, np.float32) == level_of(low)


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float16, np.float32])
def test_numbers_of_up_to_eleven_bits_are_levels_in_every_type(dtype: Any) -> None:
    for value in (0, 1) if dtype is bool else (0, 1, 3, 100, 255):
        assert level_of(value, dtype) == value


def test_pixels_at_and_above_a_level_are_exact() -> None:
    maps, truth, foreground = random_maps(0, ties=False)
    counts = count_pixels(maps, truth, foreground)
    assert (np.diff(counts.levels) > 0).all()
    assert (counts.lesion + counts.normal > 0).all()
    for number, level in enumerate(counts.levels):
        called = (maps >= level) & foreground
        assert counts.lesion[number:].sum() == (called & (truth > 0)).sum()
        assert counts.normal[number:].sum() == (called & (truth == 0)).sum()


def test_counts_by_hand() -> None:
    counts = counted([3, 1, 1, 3, 9, 2], [1, 0, 2, 0, 1, -1], foreground=[1, 1, 1, 1, 0, 1])
    assert counts.levels.tolist() == [1, 2, 3]
    assert counts.lesion.tolist() == [1, 0, 1]
    assert counts.normal.tolist() == [1, 1, 1]  # a negative label is no lesion
    assert counts.missed == 1


def test_memory_is_bounded_by_levels() -> None:
    maps = np.random.default_rng(0).uniform(0.5, 1, (4, 200, 200))
    counts = count_pixels(maps, maps > 0.9, np.ones(maps.shape, bool))
    assert len(counts.levels) == 1024  # from one power of two to the next
    assert (counts.lesion + counts.normal).sum() == maps.size


def test_no_foreground_has_no_levels() -> None:
    counts = counted([1, 2], [1, 0], foreground=[0, 0])
    assert (len(counts.levels), len(counts.lesion), len(counts.normal), counts.missed) == (0, 0, 0, 1)


# --- Average precision


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("ties", [True, False])
def test_average_precision_agrees_with_loop_and_scikit_learn_on_levels(seed: int, ties: bool) -> None:
    maps, truth, foreground = random_maps(seed, ties=ties)
    result = average_precision(count_pixels(maps, truth, foreground))
    values, labels = rounded(maps)[foreground], truth[foreground]
    assert result == pytest.approx(slow_average_precision(values, labels), abs=1e-12)
    assert result == pytest.approx(average_precision_score(labels > 0, values), abs=1e-12)


def test_levels_change_average_precision_of_realistic_maps_by_less_than_a_thousandth() -> None:
    maps, truth, foreground = realistic_maps()
    exact = average_precision_score(truth[foreground], maps[foreground])
    assert 0.4 < exact < 0.9
    assert average_precision(count_pixels(maps, truth, foreground)) == pytest.approx(exact, abs=1e-3)


def test_average_precision_by_hand() -> None:
    # Half of the recall at precision 1, the other half at 2/3.
    assert average_precision(counted([4, 3, 2, 1], [1, 0, 1, 0])) == pytest.approx(1 / 2 * 1 + 1 / 2 * 2 / 3)


def test_average_precision_of_a_flat_map_is_the_share_of_lesion_pixels() -> None:
    assert average_precision(counted([0.3] * 4, [1, 0, 0, 0])) == 1 / 4


def test_average_precision_does_not_see_the_background() -> None:
    assert average_precision(counted([9, 2, 1, 9], [0, 1, 0, 1], foreground=[0, 1, 1, 0])) == 1


# --- Dice


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("ties", [True, False])
def test_dice_at_each_level_agrees_with_masks(seed: int, ties: bool) -> None:
    maps, truth, foreground = random_maps(seed, ties=ties)
    counts = count_pixels(maps, truth, foreground)
    for level in [*counts.levels.tolist(), np.inf, -np.inf]:
        assert dice_score(counts, level) == float(slow_dice((maps >= level) & foreground, truth))


def test_threshold_between_levels_counts_as_the_next() -> None:
    counts = counted([1, 2, 3], [0, 1, 1])
    assert dice_score(counts, 1.5) == dice_score(counts, 2) == 1
    assert dice_score(counts, 2 + 1e-12) == dice_score(counts, 3) == 2 / 3
    assert dice_score(counts, 3.5) == 0


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("ties", [True, False])
def test_best_dice_agrees_with_every_threshold(seed: int, ties: bool) -> None:
    maps, truth, foreground = random_maps(seed, ties=ties)
    levels = sorted(set(rounded(maps)[foreground].tolist()), reverse=True)
    dice = [slow_dice((maps >= level) & foreground, truth) for level in levels]
    counts = count_pixels(maps, truth, foreground)
    best = best_dice(counts)
    assert (best.dice, best.threshold) == (float(max(dice)), levels[dice.index(max(dice))])
    assert dice_score(counts, best.threshold) == best.dice


def test_best_dice_of_realistic_maps_is_that_of_all_thresholds_to_a_thousandth() -> None:
    maps, truth, foreground = realistic_maps()
    order = np.argsort(-maps[foreground])
    hits = np.cumsum(truth[foreground][order])
    exact = (2 * hits / (np.arange(1, len(hits) + 1) + truth.sum())).max()
    assert best_dice(count_pixels(maps, truth, foreground)).dice == pytest.approx(exact, abs=1e-3)


def test_best_dice_by_hand() -> None:
    best = best_dice(counted([4, 3, 2, 1], [1, 0, 1, 0]))
    # From 4 down: 2·1/(1+2), 2·1/(2+2), 2·2/(3+2), 2·2/(4+2).
    assert (best.dice, best.threshold) == (4 / 5, 2)


def test_highest_of_equal_thresholds_is_taken() -> None:
    # At 6: 2·1/(1+2). At 3: 2·2/(4+2). Both are 2/3, between them it is less.
    best = best_dice(counted([6, 5, 4, 3], [1, 0, 0, 1]))
    assert (best.dice, best.threshold) == (2 / 3, 6)


def test_lesion_outside_the_foreground_counts_as_missed() -> None:
    counts = counted([3, 2, 9], [1, 0, 1], foreground=[1, 1, 0])
    best = best_dice(counts)
    assert (best.dice, best.threshold) == (2 / 3, 3)  # 2·1/(1+2): the third pixel is never called
    assert dice_score(counts, 2) == 2 / 4  # 2·1/(2+2)
    assert average_precision(counts) == 1


def test_lesion_with_no_foreground_at_all_is_missed() -> None:
    best = best_dice(counted([1, 1], [1, 1], foreground=[0, 0]))
    assert (best.dice, best.threshold) == (0, np.inf)


def test_dice_of_a_map_without_lesion_is_zero_where_something_is_called() -> None:
    assert dice_score(counted([1, 2], [0, 0]), 2) == 0


# --- A threshold from normal pixels


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("rate", [0, 0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("ties", [True, False])
def test_threshold_is_the_lowest_level_that_few_enough_normal_pixels_reach(seed: int, rate: float, ties: bool) -> None:
    maps, truth, foreground = random_maps(seed, ties=ties)
    threshold = threshold_at_pixel_rate(count_pixels(maps, truth, foreground), rate)
    normal = maps[foreground & (truth == 0)]
    assert slow_level(threshold) == threshold
    assert (normal >= threshold).mean() <= rate
    assert (normal >= slow_level(np.nextafter(threshold, -np.inf))).mean() > rate  # the level before


@pytest.mark.parametrize("value", [0.0, 0.1, -0.1, 0.25, 3e4])
def test_flat_map_does_not_reach_its_threshold(value: float) -> None:
    threshold = threshold_at_pixel_rate(counted([value] * 5, [0] * 5), 0.2)
    assert value < threshold <= value + max(abs(value) / 500, 1e-40)


@pytest.mark.parametrize("percent", range(100))
def test_rate_that_is_met_exactly_is_kept(percent: int) -> None:
    counts = counted([*range(1, 101)], [0] * 100)
    assert math.floor(threshold_at_pixel_rate(counts, percent / 100)) == 100 - percent


def test_threshold_without_normal_pixel_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning, match="the pixel threshold is undefined: there is no normal pixel"):
        assert np.isnan(threshold_at_pixel_rate(counted([1, 2], [1, 0], foreground=[1, 0]), 0.1))


# --- Joined


@pytest.mark.parametrize("seed", range(5))
def test_joined_counts_are_those_of_the_joined_stacks(seed: int) -> None:
    parts = [random_maps(seed), random_maps(seed + 100, ties=False), random_maps(seed + 200, (1, 7, 6))]
    joined = join_pixel_counts([count_pixels(*part) for part in parts])
    assert_same_counts(joined, count_pixels(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True))))
    assert joined.lesion.dtype.kind == joined.normal.dtype.kind == "i"


def test_joined_counts_of_nothing_are_empty() -> None:
    nothing = join_pixel_counts([])
    assert (len(nothing.levels), len(nothing.lesion), len(nothing.normal), nothing.missed) == (0, 0, 0, 0)
    counts = count_pixels(*random_maps(1))
    assert_same_counts(join_pixel_counts([nothing, counts]), counts)


# --- What does not matter


@given(st.integers(0, 2**32 - 1), st.permutations(range(3)), st.sets(st.sampled_from([0, 1, 2])))
@settings(max_examples=30, deadline=None)
def test_order_and_direction_of_pixels_do_not_matter(seed: int, order: list[int], axes: set[int]) -> None:
    arrays = random_maps(seed, ties=False)
    moved = (np.flip(array[order], tuple(axes)) for array in arrays)
    assert_same_counts(count_pixels(*arrays), count_pixels(*moved))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_rising_transforms_of_levels_change_thresholds_alone(seed: int) -> None:
    maps, truth, foreground = random_maps(seed)  # multiples of 1/8
    plain = count_pixels(maps, truth, foreground)
    moved = count_pixels(8 * maps**3 + 3, truth, foreground)  # of 1/64, up to 8 and so still levels
    np.testing.assert_array_equal(moved.levels, 8 * plain.levels**3 + 3)
    assert average_precision(moved) == average_precision(plain)
    assert best_dice(moved).dice == best_dice(plain).dice
    assert best_dice(moved).threshold == 8 * best_dice(plain).threshold ** 3 + 3


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_slices_without_foreground_do_not_matter(seed: int) -> None:
    arrays = random_maps(seed)
    padded = (np.pad(array, ((0, 3), (0, 0), (0, 0))) for array in arrays)
    assert_same_counts(count_pixels(*arrays), count_pixels(*padded))


# --- Undefined, refused


def test_numbers_without_lesion_pixels_are_undefined() -> None:
    healthy = counted([1, 2], [0, 0])
    with pytest.warns(UndefinedMetricWarning, match="pixel average precision is undefined: there is no lesion pixel"):
        assert np.isnan(average_precision(healthy))
    with pytest.warns(UndefinedMetricWarning, match="best Dice is undefined: there is no lesion pixel"):
        best = best_dice(healthy)
    assert np.isnan([best.dice, best.threshold]).all()
    with pytest.warns(UndefinedMetricWarning, match="Dice is undefined: both masks are empty"):
        assert np.isnan(dice_score(healthy, 3))
    with pytest.warns(UndefinedMetricWarning, match="pixel average precision is undefined"):
        assert np.isnan(average_precision(counted([1, 2], [1, 0], foreground=[0, 1])))


@pytest.mark.parametrize(
    ("place", "array", "error", "message"),
    [
        (0, np.ones((4, 5)), ValueError, r"`maps` must be \(S, H, W\), got \(4, 5\)"),
        (0, np.full((2, 4, 5), np.inf), ValueError, "`maps` must be finite"),
        (1, np.ones((2, 5, 4)), ValueError, r"`maps` \(2, 4, 5\), `truth` \(2, 5, 4\), `foreground` \(2, 4, 5\)"),
        (1, np.ones((2, 4, 5), complex), TypeError, "`truth` must hold real numbers"),
        (2, [[[True]]], TypeError, "`foreground` must be a NumPy array, got list"),
    ],
)
def test_wrong_arrays_are_refused(place: int, array: Any, error: type[Exception], message: str) -> None:
    arrays: list[Any] = [np.ones((2, 4, 5)), np.ones((2, 4, 5), int), np.ones((2, 4, 5), bool)]
    arrays[place] = array
    with pytest.raises(error, match=message):
        count_pixels(*arrays)


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    counts = call_unmutated(count_pixels, random_maps(1, ties=False))
    call_unmutated(count_pixels, [array.astype(np.float32) for array in random_maps(2)])
    before = {name: getattr(counts, name).copy() for name in ("levels", "lesion", "normal")}
    average_precision(counts)
    best_dice(counts)
    dice_score(counts, 0.5)
    threshold_at_pixel_rate(counts, 0.5)
    join_pixel_counts([counts, counts])
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(counts, name), array)
