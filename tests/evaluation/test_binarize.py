"""Thresholds against slow definitions, NumPy and scikit-image; masks of drawn maps."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import inf, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.filters import threshold_otsu

from evaluation.binarize import (
    BinarizationRule,
    Fixed,
    Otsu,
    Percentile,
    Quantization,
    binarize,
    otsu_threshold,
    percentile_threshold,
    slice_thresholds,
)
from evaluation.quantization import quantization_cuts

RULES = [Quantization(), Quantization(levels=4), Otsu(), Percentile(percentile=90), Fixed(threshold=0.5)]
OF_THE_SLICE = RULES[:-1]

number_lists = st.lists(st.integers(-50, 50), min_size=1, max_size=40)


def drawn_values(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "two peaks":
        return rng.normal(rng.integers(0, 2, 2000) * 3.0, 0.3)
    if kind == "lesion":
        return np.abs(np.append(rng.normal(0.1, 0.05, 900), rng.normal(0.7, 0.1, 60)))
    if kind == "healthy":
        return np.where(rng.random(500) < 0.9, 0.0, rng.random(500))
    return rng.normal(-5.0, 100.0, 1000)


def otsu_by_definition(values: np.ndarray) -> float:
    """Each of the 255 cuts of 256 bins tried, values taken for their bin's center."""
    low, high = values.min(), values.max()
    numbers = np.minimum(((values - low) / (high - low) * 256).astype(int), 255)
    best, threshold = -1.0, nan
    for last in range(255):
        below, above = numbers[numbers <= last], numbers[numbers > last]
        between = len(below) * len(above) * (below.mean() - above.mean()) ** 2
        if between > best * (1 + 1e-12):
            best, threshold = between, low + (last + 0.5) / 256 * (high - low)
    return threshold


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["two peaks", "lesion", "healthy", "wide"])
def test_otsu_agrees_with_its_definition_and_scikit_image(kind: str, seed: int) -> None:
    values = drawn_values(kind, seed)
    threshold = otsu_threshold(values)
    assert threshold == pytest.approx(otsu_by_definition(values), rel=1e-12)
    theirs = threshold_otsu(values)
    assert threshold == pytest.approx(theirs, rel=1e-12)
    np.testing.assert_array_equal(values > threshold, values > theirs)


def test_otsu_by_hand() -> None:
    # All 255 cuts part 0 from 1; the lowest has but the first bin, [0, 1/256), below it, whose center is 1/512.
    assert otsu_threshold(np.array([0.0, 1.0, 0.0])) == 1 / 512
    # Bins 0, 128 and 255. Of 4 values 2, 1 and 1: 0 0 | 128 255 is 2 · 2 · (383/2)² = 146,689 between,
    # 0 0 128 | 255 is 3 · 1 · (255 - 128/3)² = 135,256.
    assert otsu_threshold(np.array([0.0, 0.5, 0.0, 1.0])) == 1 / 512
    # Bins 0, 1 and 255 of values 1, 1 and 2: the lower class ends with bin 1.
    assert otsu_threshold(np.array([0.0, 1.5, 256.0, 256.0])) == 1.5


def test_otsu_is_quantization_once_values_are_bins() -> None:
    rng = np.random.default_rng(0)
    for values in (rng.binomial(255, 0.3, 900), rng.integers(0, 256, 900)):
        whole = np.append(values, [0, 255])
        assert ((whole > otsu_threshold(whole)) == (whole > quantization_cuts(whole))).all()


def test_otsu_parts_values_closer_than_bins_can_be() -> None:
    assert otsu_threshold(np.array([1.0, 1.0 + 2**-50])) < 1.0 + 2**-50


@pytest.mark.parametrize("threshold_of", [otsu_threshold, lambda values: percentile_threshold(values, 50)])
def test_nothing_stands_out_of_equal_values(threshold_of: Callable[[np.ndarray], float]) -> None:
    assert threshold_of(np.array([])) == inf
    for values in (np.array([0.7]), np.full((3, 4), 0.1, np.float32)):
        assert not (values > threshold_of(values)).any()


def test_percentile_by_hand() -> None:
    values = np.array([[4.0, 1.0], [3.0, 2.0]])
    # Half of them, 1 and 2, do not exceed 2; more than that need 3.
    expected = {0: 1, 25: 1, 50: 2, 50.1: 3, 75: 3, 99: 4, 100: 4}
    assert {percentile: percentile_threshold(values, percentile) for percentile in expected} == expected


@pytest.mark.parametrize("count", [1, 7, 100, 1000])
@pytest.mark.parametrize("percentile", ["0", "0.1", "7", "29", "33.3", "57", "64.4", "99", "99.9", "100"])
def test_percentile_is_the_smallest_value_that_so_many_do_not_exceed(percentile: str, count: int) -> None:
    values = np.random.default_rng(count).permutation(count).astype(np.float32)
    enough = [v for v in range(count) if Fraction(v + 1, count) >= Fraction(percentile) / 100]
    assert percentile_threshold(values, float(percentile)) == enough[0]


def test_percentile_agrees_with_numpy() -> None:
    for kind in ("lesion", "healthy", "wide"):
        values = drawn_values(kind, 0)
        for percentile in (1 / 3, 12.34, 50, 75, 99.99):
            expected = np.percentile(values, percentile, method="inverted_cdf")
            assert percentile_threshold(values, percentile) == expected


@given(number_lists, st.randoms(use_true_random=False))
def test_permutation_of_pixels_keeps_thresholds(numbers: list[int], random: Any) -> None:
    shuffled = np.array(random.sample(numbers, len(numbers)))
    for rule in OF_THE_SLICE:
        assert rule.threshold_of(shuffled) == rule.threshold_of(np.array(numbers))


@given(number_lists, st.integers(-4, 4), st.integers(-100, 100))
def test_positive_affine_change_scales_thresholds(numbers: list[int], power: int, shift: int) -> None:
    values = np.array(numbers, np.float64)
    changed = values * 2.0**power + shift
    for rule in OF_THE_SLICE:
        before, after = rule.threshold_of(values), rule.threshold_of(changed)
        assert after == pytest.approx(before * 2.0**power + shift, abs=1e-9)
        np.testing.assert_array_equal(changed > after, values > before)


def test_upper_level_of_a_drawn_map(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw(".....", ".aBa.", ".BBa.", ".....", a=0.25, B=1.0)[None]
    everywhere = np.ones(anomaly.shape, bool)
    np.testing.assert_array_equal(binarize(anomaly, everywhere), anomaly == 1)
    np.testing.assert_array_equal(binarize(anomaly, everywhere, Fixed(threshold=0)), anomaly > 0)


def test_highest_of_three_levels(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("aab", "abb", "acC", a=0.1, b=0.6, c=0.9, C=1.0)[None]
    everywhere = np.ones(anomaly.shape, bool)
    np.testing.assert_array_equal(binarize(anomaly, everywhere), anomaly > 0.1)
    np.testing.assert_array_equal(binarize(anomaly, everywhere, Quantization(levels=3)), anomaly > 0.6)


def test_levels_are_those_of_the_foreground_alone(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("......", ".aabb.", ".aabb.", "......", a=0.8, b=0.9)[None]
    # With the background of 0 both a and b would be of the upper level.
    np.testing.assert_array_equal(binarize(anomaly, anomaly > 0), anomaly == 0.9)
    np.testing.assert_array_equal(binarize(anomaly, np.ones(anomaly.shape, bool)), anomaly > 0)


@pytest.mark.parametrize("rule", RULES)
def test_nothing_outside_the_foreground_is_marked(rule: BinarizationRule, draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("aaaab", "aaaab", "....b", a=0.1, b=0.9)[None]
    foreground = np.ones(anomaly.shape, bool)
    foreground[0, 2] = False
    marked = binarize(anomaly, foreground, rule)
    assert not (marked & ~foreground).any()
    np.testing.assert_array_equal(marked, (anomaly == 0.9) & foreground & (rule != Percentile(percentile=90)))


def test_pixel_equal_to_the_threshold_is_off() -> None:
    maps = np.array([[[0.25, 0.5, 0.75]]])
    assert binarize(maps, np.ones(maps.shape, bool), Fixed(threshold=0.5)).tolist() == [[[False, False, True]]]


def test_threshold_is_not_rounded_to_the_type_of_maps() -> None:
    maps = np.full((1, 1, 1), 0.1, np.float32)  # 0.100000001…
    everywhere = np.ones(maps.shape, bool)
    assert binarize(maps, everywhere, Fixed(threshold=0.1)).all()
    assert not binarize(maps, everywhere, Fixed(threshold=float(np.float32(0.1)))).any()
    assert binarize(maps.astype(np.uint8) + 1, everywhere, Fixed(threshold=0.5)).all()


@pytest.mark.parametrize("rule", RULES)
def test_slices_do_not_change_each_other(rule: BinarizationRule) -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((4, 12, 10)).astype(np.float32) * np.array([1, 5, 0.2, 1], np.float32)[:, None, None]
    foreground = rng.random(maps.shape) < 0.6
    foreground[3] = False
    thresholds = slice_thresholds(maps, foreground, rule)
    assert thresholds.dtype == np.float64
    marked = binarize(maps, foreground, rule)
    assert marked.dtype == bool
    for number in range(4):
        threshold = rule.threshold_of(maps[number][foreground[number]])
        assert thresholds[number] == threshold
        np.testing.assert_array_equal(marked[number], foreground[number] & (maps[number] > np.float64(threshold)))
    assert marked[1].any()
    assert not marked[3].any()


@pytest.mark.parametrize("rule", OF_THE_SLICE)
@pytest.mark.parametrize("level", [0.0, 0.7])
def test_flat_map_and_empty_foreground_mark_nothing(rule: BinarizationRule, level: float) -> None:
    maps = np.full((2, 4, 4), level, np.float32)
    foreground = np.stack([np.ones((4, 4), bool), np.zeros((4, 4), bool)])
    assert not binarize(maps, foreground, rule).any()
    assert slice_thresholds(maps, foreground, rule)[1] == inf


def test_no_slices_make_no_thresholds() -> None:
    maps = np.empty((0, 4, 4))
    assert slice_thresholds(maps, maps > 0, Otsu()).shape == (0,)
    assert binarize(maps, maps > 0).shape == (0, 4, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Quantization(levels=1), "`levels` must be at least 2, got 1"),
        (lambda: Percentile(percentile=101), r"`percentile` must lie in \[0, 100\], got 101"),
        (lambda: Percentile(percentile=nan), r"`percentile` must lie in \[0, 100\], got nan"),
        (lambda: Fixed(threshold=nan), "`threshold` must be a number, got nan"),
        (lambda: percentile_threshold(np.ones(3), -1), r"`percentile` must lie in \[0, 100\], got -1"),
        (lambda: percentile_threshold(np.array([nan]), 50), "`values` must be finite"),
        (lambda: otsu_threshold(np.array([0, inf])), "`values` must be finite"),
    ],
)
def test_settings_and_values_out_of_range_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("maps", "foreground", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 4), bool), r"`maps` must be \(S, H, W\), got \(3, 4\)"),
        (np.ones((1, 3, 4)), np.ones((3, 4), bool), r"`foreground` must be \(S, H, W\), got \(3, 4\)"),
        (np.ones((1, 3, 4)), np.ones((1, 4, 3), bool), "must have one shape"),
        (np.full((1, 3, 4), nan), np.ones((1, 3, 4), bool), "`maps` must be finite"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(maps: np.ndarray, foreground: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        binarize(maps, foreground)


def test_foreground_that_is_not_bool_is_refused() -> None:
    with pytest.raises(TypeError, match="`foreground` must be bool, got int64"):
        binarize(np.ones((1, 3, 4)), np.ones((1, 3, 4), np.int64))


@pytest.mark.parametrize("rule", RULES)
def test_inputs_are_not_mutated(rule: BinarizationRule, call_unmutated: Callable[..., Any]) -> None:
    maps = np.random.default_rng(0).random((2, 6, 6)).astype(np.float32)
    call_unmutated(binarize, [maps, maps > 0.2], rule=rule)
    call_unmutated(otsu_threshold, [maps])
    call_unmutated(percentile_threshold, [maps], percentile=90.0)
