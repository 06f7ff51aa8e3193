"""Exact k-means of numbers against all partitions, all cuts in whole numbers, and scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from evaluation.quantization import quantization_cuts

KINDS = ["uniform", "ties", "healthy", "lesion", "heavy tail", "several peaks"]

# Of few and small numbers, so that values repeat and partitions are as good as each other.
small_lists = st.lists(st.integers(-20, 20), min_size=1, max_size=12)


def level_of(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    """The level of each value, from 0: the number of cuts it is greater than."""
    return (values[:, None] > cuts).sum(1)


def squares_within(values: np.ndarray, levels: np.ndarray) -> Fraction:
    """The sum over levels of squared distances from the level's mean, of multiples of 1 / 1024, without rounding."""
    total = Fraction(0)
    for level in np.unique(levels):
        members = [int(value) for value in values[levels == level] * 1024.0]
        total += sum(member**2 for member in members) - Fraction(sum(members) ** 2, len(members))
    return total / 1024**2


def least_squares_within(values: np.ndarray, levels: int) -> Fraction:
    """The least of all ways to part the distinct values into `levels` runs."""
    choices = combinations(np.unique(values)[:-1].tolist(), levels - 1)
    return min(squares_within(values, level_of(values, np.array(cuts))) for cuts in choices)


def drawn_values(kind: str, size: int, seed: int) -> np.ndarray:
    """Float32 multiples of 1 / 1024, shuffled."""
    rng = np.random.default_rng(seed)
    if kind == "uniform":
        drawn = rng.random(size)
    elif kind == "ties":
        drawn = rng.integers(0, 6, size) / 8
    elif kind == "healthy":  # nearly all 0
        drawn = np.where(rng.random(size) < 0.95, 0, rng.random(size))
    elif kind == "lesion":
        drawn = np.abs(np.append(rng.normal(0.1, 0.05, size - size // 10), rng.normal(0.7, 0.1, size // 10)))
    elif kind == "heavy tail":
        drawn = rng.pareto(1.5, size)
    else:
        drawn = rng.normal(rng.integers(0, 5, size), 0.05)
    return rng.permutation(np.round(drawn * 1024) / 1024).astype(np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("levels", [2, 3, 4, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_partition_has_less_squares_within_levels(kind: str, levels: int, seed: int) -> None:
    values = drawn_values(kind, 200, seed)
    first_seen = list(dict.fromkeys(values.tolist()))[:10]  # makes 126 partitions at most
    values = values[np.isin(values, first_seen)]
    cuts = quantization_cuts(values, levels=levels)
    assert (np.diff(cuts) > 0).all()
    assert set(level_of(values, cuts)) == set(range(levels))
    assert squares_within(values, level_of(values, cuts)) == least_squares_within(values, levels)


@pytest.mark.parametrize("size", [2, 3, 4, 128, 129, 130, 131, 256, 257, 1000, 20_000])
@pytest.mark.parametrize("kind", KINDS)
def test_no_other_cut_of_many_values_is_better(kind: str, size: int) -> None:
    for seed in range(5):
        ordered = np.sort(drawn_values(kind, size, seed))
        if ordered[0] == ordered[-1]:
            continue
        (cut,) = quantization_cuts(ordered)
        whole = [int(value) for value in ordered * 1024]
        total, low, best, reached = sum(whole), 0, Fraction(0), Fraction(0)
        for taken in range(1, size):
            low += whole[taken - 1]
            if whole[taken] > whole[taken - 1]:
                squares = Fraction((size * low - taken * total) ** 2, taken * (size - taken))
                best = max(best, squares)
                if whole[taken - 1] == cut * 1024:
                    reached = squares
        assert reached == best > 0


@pytest.mark.parametrize("levels", [3, 5])
def test_levels_of_many_values_are_those_of_a_plain_dynamic_program(levels: int) -> None:
    """Every last cut is tried for every number of values, and none is spared."""
    for kind in KINDS:
        values = drawn_values(kind, 300, 1).astype(np.float64)
        distinct, counts = np.unique(values, return_counts=True)
        size = len(distinct)
        cost = np.full((size + 1, size + 1), np.inf)
        for start in range(size):
            for stop in range(start + 1, size + 1):
                x, weights = distinct[start:stop], counts[start:stop]
                cost[start, stop] = (weights * (x - np.average(x, weights=weights)) ** 2).sum()
        least = cost[0]
        for _ in range(levels - 1):
            least = (least[:, None] + cost).min(0)
        found = squares_within(values, level_of(values, quantization_cuts(values, levels=levels)))
        assert float(found) == pytest.approx(least[size], rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [2, 3, 5])
def test_never_worse_than_scikit_learn_and_equal_where_it_finds_the_optimum(levels: int, dtype: type) -> None:
    agreed = 0
    for seed, kind in enumerate(["uniform", "healthy", "lesion", "several peaks"]):
        values = drawn_values(kind, 1500, seed).astype(dtype)
        # In float64 even where ours is of float32: its inertia is not exact in float32.
        fitted = KMeans(levels, n_init=10, tol=0, random_state=seed).fit(values[:, None].astype(np.float64))
        rank = np.argsort(np.argsort(fitted.cluster_centers_[:, 0]))
        theirs = rank[fitted.labels_]
        ours = level_of(values, quantization_cuts(values, levels=levels))
        inertia = float(squares_within(values, ours))
        assert inertia <= fitted.inertia_ * (1 + 1e-12)
        if fitted.inertia_ <= inertia * (1 + 1e-12):
            np.testing.assert_array_equal(ours, theirs)
            agreed += 1
    assert agreed >= 2


def test_cuts_by_hand() -> None:
    values = np.array([0.0, 8.0, 1.0, 9.0, 1.0])
    # 0, 1 and 1 have mean 2/3 and squares 2/3; 8 and 9 have 1/2. To part 8 from 9 instead costs 41 within the lower.
    assert quantization_cuts(values).tolist() == [1]
    assert squares_within(values, values > 1) == Fraction(2, 3) + Fraction(1, 2)
    assert quantization_cuts(np.array([[20, 0, 11], [1, 10, 2]]), levels=3).tolist() == [2, 11]


def test_of_equally_good_cuts_the_lowest_is_taken() -> None:
    assert quantization_cuts(np.array([0.0, 1.0, 2.0])).tolist() == [0]  # 0 | 1 2 and 0 1 | 2 both leave 1/2
    assert quantization_cuts(np.array([0.0, 1.0, 2.0, 9.0]), levels=3).tolist() == [0, 2]


@pytest.mark.parametrize("values", [[], [0.5], [0.0, 0.0, 0.0], [0.1] * 999])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("levels", [2, 4])
def test_nothing_stands_out_of_equal_values(values: list[float], dtype: type, levels: int) -> None:
    assert quantization_cuts(np.array(values, dtype), levels=levels).tolist() == [np.inf] * (levels - 1)


@pytest.mark.parametrize(
    ("levels", "cuts"), [(3, [1, 2]), (4, [-np.inf, 1, 2]), (6, [-np.inf, -np.inf, -np.inf, 1, 2])]
)
def test_levels_without_values_lie_lowest(levels: int, cuts: list[float]) -> None:
    values = np.array([3.0, 1.0, 2.0, 1.0])
    assert quantization_cuts(values, levels=levels).tolist() == cuts


def test_two_neighboring_floats_are_parted() -> None:
    values = np.array([1.0, np.nextafter(np.float32(1), np.float32(2))], np.float32)
    assert (values > quantization_cuts(values)).tolist() == [False, True]


@pytest.mark.parametrize("levels", [2, 3, 8])
@pytest.mark.parametrize(("dtype", "offset"), [(np.float32, 2.0**13), (np.float64, 2.0**40)])
def test_large_offset_moves_the_cuts_and_nothing_else(levels: int, dtype: type, offset: float) -> None:
    values = drawn_values("lesion", 5000, 0).astype(
        dtype
    )  # multiples of 1/1024: the sum with the offset is not rounded
    moved = quantization_cuts(values + dtype(offset), levels=levels)
    assert (moved - offset).tolist() == quantization_cuts(values, levels=levels).tolist()


@pytest.mark.parametrize("levels", [2, 3])
def test_type_and_order_and_shape_of_values_do_not_matter(levels: int) -> None:
    values = drawn_values("lesion", 600, 1)
    expected = quantization_cuts(values, levels=levels)
    assert expected.dtype == np.float64
    whole = (values * 1024).astype(np.int32)
    assert (quantization_cuts(whole, levels=levels) / 1024).tolist() == expected.tolist()
    for same in (values.astype(np.float64), values.astype(">f4"), values[::-1], values.reshape(20, 30).T):
        assert quantization_cuts(same, levels=levels).tolist() == expected.tolist()


def test_bool_values_are_parted() -> None:
    assert quantization_cuts(np.array([True, False, True])).tolist() == [0]


@given(small_lists, st.integers(2, 5), st.randoms(use_true_random=False))
def test_permutation_of_pixels_keeps_cuts(numbers: list[int], levels: int, random: Any) -> None:
    shuffled = random.sample(numbers, len(numbers))
    expected = quantization_cuts(np.array(numbers), levels=levels)
    assert quantization_cuts(np.array(shuffled), levels=levels).tolist() == expected.tolist()


@given(small_lists, st.integers(2, 5), st.integers(-6, 6), st.integers(-100, 100))
def test_positive_affine_change_of_values_changes_cuts_alike(
    numbers: list[int], levels: int, power: int, shift: int
) -> None:
    values = np.array(numbers, np.float64)
    scale = 2.0**power  # of such a scale nothing is rounded, so that even equally good cuts stay the same
    changed = quantization_cuts(values * scale + shift, levels=levels)
    assert changed.tolist() == (quantization_cuts(values, levels=levels) * scale + shift).tolist()


@given(st.integers(0, 2**32 - 1), st.floats(1e-3, 1e3), st.floats(-1e3, 1e3))
def test_positive_affine_change_keeps_the_partition(seed: int, scale: float, shift: float) -> None:
    values = np.random.default_rng(seed).random(200)
    changed = values * scale + shift
    before = values > quantization_cuts(values)
    np.testing.assert_array_equal(changed > quantization_cuts(changed), before)


@given(small_lists.filter(lambda numbers: len(set(numbers)) > 4), st.integers(2, 4))
def test_one_level_more_never_has_more_squares(numbers: list[int], levels: int) -> None:
    values = np.array(numbers)
    more, fewer = (level_of(values, quantization_cuts(values, levels=n)) for n in (levels + 1, levels))
    assert squares_within(values, more) < squares_within(values, fewer)


@pytest.mark.parametrize("levels", [1, 0, -2])
def test_fewer_than_two_levels_are_refused(levels: int) -> None:
    with pytest.raises(ValueError, match=f"`levels` must be at least 2, got {levels}"):
        quantization_cuts(np.arange(5.0), levels=levels)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="`values` must be finite, but holds NaN or infinity"):
        quantization_cuts(np.array([0.0, bad, 1.0], np.float32))


@pytest.mark.parametrize("values", [np.array(["a"]), np.array([1j]), np.array([None])])
def test_values_that_are_not_real_are_refused(values: np.ndarray) -> None:
    with pytest.raises(TypeError, match="`values` must hold real numbers, got"):
        quantization_cuts(values)


@pytest.mark.parametrize("levels", [2, 3])
def test_values_are_not_mutated(levels: int, call_unmutated: Callable[..., Any]) -> None:
    call_unmutated(quantization_cuts, [drawn_values("lesion", 500, 2)], levels=levels)
