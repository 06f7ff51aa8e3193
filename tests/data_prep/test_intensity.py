"""Intensity scales."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.intensity import IntensityScale, fit_scale, kth_smallest


def fit(values: np.ndarray, rule: str = "percentile", **changes: Any) -> IntensityScale:
    settings = {"percentiles": (0.0, 100.0), "zscore_limit": 4.0, "window": None} | changes
    return fit_scale(values, rule, **settings)  # type: ignore[arg-type]


def test_percentiles_are_values_of_the_image_the_outer_ones() -> None:
    # 216 values: the 10th percentile lies between the 21st and 22nd step, the 90th between the 193rd and 194th.
    scale = fit(np.random.default_rng(0).permutation(216).astype(np.float32), percentiles=(10, 90))
    assert (scale.low, scale.high) == (21, 194)


def test_whole_numbers_and_floats_give_the_same_scale() -> None:
    values = np.random.default_rng(0).integers(-300, 900, 200_000).astype(np.int16)
    assert fit(values, percentiles=(0.5, 99.9)) == fit(values.astype(np.float32), percentiles=(0.5, 99.9))


def test_zscore_spans_standard_deviations_around_the_mean() -> None:
    # Mean 5, standard deviation 3.
    scale = fit(np.array([2, 8, 2, 8], np.float32), "zscore", zscore_limit=2)
    assert (scale.low, scale.high) == (-1, 11)


@pytest.mark.parametrize("offset", [0, -100])
def test_the_median_lies_at_a_third_whatever_is_brightest_and_wherever_zero_is(offset: float) -> None:
    for brightest in (9, 90):
        for values in ([2, 8, 4, brightest], [brightest, 2, 4, 4, 8]):  # of an even number, the lower one
            scale = fit(np.array(values, np.float32) + offset, "median")
            assert (scale.low - offset, scale.high - offset) == (2, 8)
            assert scale.normalize(np.array([4 + offset], np.float32)) == pytest.approx(1 / 3)


def test_the_lower_percentile_keeps_outliers_from_the_scale() -> None:
    values = np.append(np.arange(100, 301), -1000).astype(np.float32)
    assert fit(values, "median", percentiles=(1, 100)) == IntensityScale(low=101, high=101 + 3 * (199 - 101))


@pytest.mark.parametrize("rule", ["percentile", "median"])
def test_too_many_equal_voxels_leave_no_scale(rule: str) -> None:
    with pytest.raises(DataError, match=rf"too many of its foreground voxels are 7 for the intensity `{rule}`"):
        fit(np.array([7, 7, 40], np.float32), rule, percentiles=(0, 50))


def test_a_window_does_not_depend_on_the_image() -> None:
    assert fit(np.array([5, 5], np.float32), "window", window=(-160, 240)) == IntensityScale(low=-160, high=240)


def test_none_keeps_values_and_refuses_those_beyond_zero_to_one() -> None:
    assert fit(np.array([0.2, 0.4], np.float32), "none") == IntensityScale(low=0, high=1)
    with pytest.raises(DataError, match=r"it has 0\.2 to 255"):
        fit(np.array([0.2, 255], np.float32), "none")


@pytest.mark.parametrize("kind", ["normal", "ties", "sorted", "one outlier", "floats"])
@pytest.mark.parametrize("share", [0.0, 0.005, 0.3, 0.999, 1.0])
def test_the_kth_smallest_is_that_of_a_whole_sort(kind: str, share: float) -> None:
    random = np.random.default_rng(0)
    values = {
        "normal": lambda: random.normal(0, 100, 300_001).astype(np.int16),
        "ties": lambda: random.integers(0, 3, 300_001).astype(np.int16),
        "sorted": lambda: np.arange(300_001, dtype=np.float32),
        "one outlier": lambda: np.append(np.full(300_000, 7, np.int16), np.int16(-5)),
        "floats": lambda: random.lognormal(size=300_001).astype(np.float32),
    }[kind]()
    k = int(share * (len(values) - 1))
    assert kth_smallest(values, k) == np.sort(values)[k]


def test_the_scale_maps_low_to_zero_and_high_to_one_and_clips_beyond() -> None:
    scale = IntensityScale(low=10, high=30)
    values = np.array([-100, 10, 15, 30, 31], np.float32)
    assert scale.normalize(values).tolist() == [0, 0, 0.25, 1, 1]


def test_normalizing_keeps_single_precision() -> None:
    scale = IntensityScale(low=10, high=30)
    assert scale.normalize(np.zeros(3, np.float32)).dtype == np.float32
    assert scale.restore_difference(np.zeros(3, np.float32)).dtype == np.float32


def test_a_difference_is_restored_without_its_offset() -> None:
    scale = IntensityScale(low=10, high=30)
    before, after = np.array([12, 20, 30], np.float32), np.array([12, 15, 10], np.float32)
    difference = scale.normalize(after) - scale.normalize(before)
    np.testing.assert_allclose(scale.restore_difference(difference), after - before, atol=1e-5)


@pytest.mark.parametrize("rule", ["percentile", "median", "zscore"])
def test_a_foreground_without_contrast_is_an_error(rule: str) -> None:
    with pytest.raises(DataError, match=r"constant \(4\)"):
        fit(np.full(50, 4, np.float32), rule)


def test_the_values_are_not_changed() -> None:
    values = np.random.default_rng(0).normal(size=100_000).astype(np.float32)
    before = values.copy()
    fit(values, percentiles=(5, 95)).normalize(values)
    np.testing.assert_array_equal(values, before)
