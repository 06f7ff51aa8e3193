"""Two-level quantization against a brute force over every cut."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.binarize import binarize_by_quantization, quantize


def squares(level: np.ndarray) -> float:
    """Sum of squared distances from the mean."""
    level = level.astype(np.float64)
    return float(((level - level.mean()) ** 2).sum())


def within_squares(values: np.ndarray, boundary: float) -> float:
    """Within-cluster sum of squares of the two levels that a boundary makes."""
    return squares(values[values <= boundary]) + squares(values[values > boundary])


def least_within_squares(values: np.ndarray) -> float:
    """The least of all cuts: equal values cannot be parted, and neither level may be empty."""
    return min(within_squares(values, boundary) for boundary in sorted(set(values.tolist()))[:-1])


def drawn_values(kind: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "ties":
        return rng.integers(0, 6, 40) / 8
    if kind == "sparse":  # a healthy map: nearly all 0
        return np.where(rng.random(200) < 0.95, 0.0, rng.random(200))
    if kind == "lesion":
        return np.abs(np.append(rng.normal(0.1, 0.05, 180), rng.normal(0.7, 0.1, 20))).astype(np.float32)
    return (0.9 + 1e-4 * rng.random(150)).astype(np.float32)  # "narrow": differences far below the values


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("kind", ["ties", "sparse", "lesion", "narrow"])
def test_no_other_cut_has_less_spread_within_levels(kind: str, seed: int) -> None:
    values = drawn_values(kind, seed)
    boundary = quantize(values)
    assert 0 < (values > boundary).sum() < values.size
    assert within_squares(values, boundary) == pytest.approx(least_within_squares(values), rel=1e-6, abs=1e-15)


def test_boundary_by_hand() -> None:
    values = np.array([0.0, 8.0, 1.0, 9.0, 1.0])
    # 1, 1 and 0 have mean 2/3 and squares 2/3; 8 and 9 have 1/2; parting 8 from 9 would cost far more.
    assert (values > quantize(values)).tolist() == [False, True, False, True, False]


def test_order_of_values_does_not_matter() -> None:
    values = drawn_values("lesion", 3)
    assert quantize(values) == quantize(values[::-1]) == quantize(np.sort(values))


def test_two_values_are_parted() -> None:
    values = np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], dtype=np.float32)
    assert (values > quantize(values)).tolist() == [False, True]


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0, 0.0], [0.1] * 999])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nothing_stands_out_of_equal_values(values: list[float], dtype: type) -> None:
    assert quantize(np.array(values, dtype=dtype)) == np.inf


def test_upper_level_of_a_drawn_map(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw(".....", ".aBa.", ".BBa.", ".....", a=0.25, B=1.0)
    assert (binarize_by_quantization(anomaly, np.ones((4, 5), bool)) == (anomaly == 1)).all()


def test_levels_are_those_of_the_foreground_alone(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("......", ".aabb.", ".aabb.", "......", a=0.8, b=0.9)
    # With the background of 0 both a and b would be of the upper level.
    assert (binarize_by_quantization(anomaly, anomaly > 0) == (anomaly == 0.9)).all()
    assert (binarize_by_quantization(anomaly, np.ones((4, 6), bool)) == (anomaly > 0)).all()


def test_nothing_outside_the_foreground_is_marked(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("aab", "aab", "..b", a=0.1, b=0.9)
    foreground = np.array([[True, True, True], [True, True, True], [False, False, False]])
    assert binarize_by_quantization(anomaly, foreground).tolist() == [[False, False, True]] * 2 + [[False] * 3]


@pytest.mark.parametrize("level", [0.0, 0.7])
def test_flat_map_and_empty_foreground_mark_nothing(level: float) -> None:
    anomaly = np.full((4, 4), level)
    for foreground in (np.ones((4, 4), bool), np.zeros((4, 4), bool)):
        result = binarize_by_quantization(anomaly, foreground)
        assert result.dtype == bool
        assert not result.any()


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    anomaly = np.random.default_rng(0).random((6, 6))
    call_unmutated(quantize, [anomaly.ravel()])
    call_unmutated(binarize_by_quantization, [anomaly, anomaly > 0.2])
