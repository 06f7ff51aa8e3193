"""AUC among slices at the same height against a loop over all pairs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.matched import matched_pairs_by_patient, position_matched_auc
from evaluation.roc import auc_score
from evaluation.undefined import UndefinedMetricWarning

PATIENTS = 4
REPEATABLE = settings(deadline=None, derandomize=True, database=None)
TOLERANCES = [0.0, 1 / 32, 1 / 4, 1.0]


def random_slices(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with ties, heights on a grid that floats hold exactly, and patients.

    One pair at least lies at one height.
    """
    rng = np.random.default_rng(seed)
    labels = np.append(rng.random(40) < 0.4, [True, False])
    heights = np.append(rng.integers(0, 33, 40) / 32, [1 / 2, 1 / 2])
    return labels, rng.integers(0, 8, 42) / 4 + labels / 4, heights, rng.integers(0, PATIENTS, 42)


def slices_of(rows: list[tuple[bool, int, int, int]]) -> tuple[np.ndarray, ...]:
    labels, scores, heights, patients = np.array([*rows, (True, 1, 4, 0), (False, 2, 4, 1)]).T
    return labels.astype(bool), scores, heights / 8, patients


SLICES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 5), st.integers(0, 8), st.integers(0, PATIENTS - 1)), max_size=25
).map(slices_of)
"""Labels, scores, heights and patients; one pair at least lies at one height."""


def slow_pairs(
    labels: np.ndarray, scores: np.ndarray, heights: np.ndarray, patients: np.ndarray, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """Wins and pairs of each two patients, pair by pair."""
    wins, pairs = np.zeros((PATIENTS, PATIENTS)), np.zeros((PATIENTS, PATIENTS))
    for i in np.flatnonzero(labels):
        for j in np.flatnonzero(~labels):
            if abs(heights[i] - heights[j]) <= tolerance:
                pairs[patients[i], patients[j]] += 1
                won = 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
                wins[patients[i], patients[j]] += won
    return wins, pairs


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tolerance", TOLERANCES)
def test_both_agree_with_the_loop_over_pairs(seed: int, tolerance: float) -> None:
    slices = random_slices(seed)
    wins, pairs = slow_pairs(*slices, tolerance)
    fast_wins, fast_pairs = matched_pairs_by_patient(*slices, PATIENTS, tolerance=tolerance)
    np.testing.assert_array_equal(fast_wins, wins)
    np.testing.assert_array_equal(fast_pairs, pairs)
    matched = position_matched_auc(*slices[:3], tolerance=tolerance)
    assert (matched.auc, matched.pairs) == (wins.sum() / pairs.sum(), pairs.sum())


def test_pairs_by_hand() -> None:
    labels = np.array([1, 0, 1, 0, 0])
    scores = np.array([3, 2, 2, 2, 9])
    heights = np.array([0.5, 0.5, 0.52, 0.5, 0.9])  # nothing abnormal lies beside the last
    patients = np.array([0, 0, 1, 2, 2])
    wins, pairs = matched_pairs_by_patient(labels, scores, heights, patients, 3, tolerance=0.025)
    # Patient 0 wins 3 : 2 against itself and against patient 2; patient 1 ties with both, and has no normal slice.
    np.testing.assert_array_equal(pairs, [[1, 0, 1], [1, 0, 1], [0, 0, 0]])
    np.testing.assert_array_equal(wins, [[1, 0, 1], [1 / 2, 0, 1 / 2], [0, 0, 0]])
    assert position_matched_auc(labels, scores, heights).auc == 3 / 4
    assert position_matched_auc(labels, scores, heights, tolerance=0.01).auc == 1  # patient 1 has no partner


@REPEATABLE
@given(SLICES)
def test_full_tolerance_gives_the_plain_auc(slices: Any) -> None:
    labels, scores, heights, _ = slices
    matched = position_matched_auc(labels, scores, heights, tolerance=1)
    assert matched.auc == pytest.approx(auc_score(labels, scores))
    assert matched.pairs == labels.sum() * (~labels).sum()


@REPEATABLE
@given(SLICES, st.sampled_from(TOLERANCES))
def test_only_the_order_of_scores_matters(slices: Any, tolerance: float) -> None:
    labels, scores, heights, _ = slices
    matched = position_matched_auc(labels, scores, heights, tolerance=tolerance)
    assert position_matched_auc(labels, np.exp(scores), heights, tolerance=tolerance) == matched
    for turned in (
        position_matched_auc(labels, -scores, heights, tolerance=tolerance),
        position_matched_auc(~labels, scores, heights, tolerance=tolerance),
    ):
        assert (turned.auc, turned.pairs) == (pytest.approx(1 - matched.auc), matched.pairs)


@REPEATABLE
@given(SLICES, st.sampled_from(TOLERANCES), st.permutations(range(PATIENTS)), st.randoms(use_true_random=False))
def test_renumbering_patients_reorders_rows_and_columns(
    slices: Any, tolerance: float, numbers: list[int], random: Any
) -> None:
    labels, scores, heights, patients = slices
    order = random.sample(range(len(labels)), len(labels))
    shuffled = [array[order] for array in (labels, scores, heights, np.array(numbers)[patients])]
    tables = matched_pairs_by_patient(*slices, PATIENTS, tolerance=tolerance)
    for table, renumbered in zip(
        tables, matched_pairs_by_patient(*shuffled, PATIENTS, tolerance=tolerance), strict=True
    ):
        np.testing.assert_array_equal(renumbered[np.ix_(numbers, numbers)], table)


@REPEATABLE
@given(SLICES, st.lists(st.integers(0, 3), min_size=PATIENTS, max_size=PATIENTS))
def test_weights_stand_for_patients_that_are_drawn_repeatedly(slices: Any, drawn: list[int]) -> None:
    labels, scores, heights, patients = slices
    weights = np.array(drawn)
    wins, pairs = matched_pairs_by_patient(*slices, PATIENTS, tolerance=1 / 4)
    repeated = [np.repeat(array, weights[patients]) for array in (labels, scores, heights)]
    if weights @ pairs @ weights:
        matched = position_matched_auc(*repeated, tolerance=1 / 4)
        assert weights @ pairs @ weights == matched.pairs
        assert (weights @ wins @ weights) / matched.pairs == pytest.approx(matched.auc)
    else:
        with pytest.warns(UndefinedMetricWarning):
            assert position_matched_auc(*repeated, tolerance=1 / 4).pairs == 0


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


@pytest.mark.parametrize(
    ("labels", "heights"),
    [([True, False], [0.0, 1.0]), ([True, True], [0.5, 0.5]), ([False, False], [0.5, 0.5]), ([], [])],
)
def test_no_pair_at_one_height_is_undefined(labels: list[bool], heights: list[float]) -> None:
    with pytest.warns(UndefinedMetricWarning, match="no two slices"):
        matched = position_matched_auc(np.array(labels, bool), np.arange(len(labels)), np.array(heights))
    assert np.isnan(matched.auc)
    assert matched.pairs == 0


def test_patients_without_slices_have_empty_rows() -> None:
    none = np.zeros(0)
    for table in matched_pairs_by_patient(none, none, none, none.astype(int), 3, tolerance=0.1):
        np.testing.assert_array_equal(table, np.zeros((3, 3)))


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.uint64])
def test_patients_may_be_any_integers(kind: Any) -> None:
    labels, scores, heights, patients = random_slices(0)
    expected = matched_pairs_by_patient(labels, scores, heights, patients, PATIENTS, tolerance=1 / 4)
    result = matched_pairs_by_patient(labels, scores, heights, patients.astype(kind), PATIENTS, tolerance=1 / 4)
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        (0, [0, 1, 2], "`labels` must be bool or 0 and 1"),
        (1, [0.0, 1.0, np.nan], "`scores` must be real and finite"),
        (2, [0.0, 0.5, 1.5], r"`heights` must be in \[0, 1\]"),
        (2, [0.0, 0.5, -0.1], r"`heights` must be in \[0, 1\]"),
        (2, [0.0, 0.5, np.nan], r"`heights` must be in \[0, 1\]"),
        (2, ["0", "0", "0"], r"`heights` must be in \[0, 1\]"),
        (2, [0.0, 0.5], "one shape"),
        (3, [0, 1, 2], "`patients` must be integers from 0 to less than `n_patients`, 2"),
        (3, [0, 1, -1], "`patients` must be integers"),
        (3, [0.0, 1.0, 1.0], "`patients` must be integers"),
        (3, [0, 1], "one shape"),
    ],
)
def test_slices_that_are_none_are_refused(place: int, value: list[Any], problem: str) -> None:
    slices = [np.array([0, 1, 1]), np.array([0.1, 0.2, 0.3]), np.array([0.0, 0.5, 1.0]), np.array([0, 1, 1])]
    matched_pairs_by_patient(*slices, 2, tolerance=0.1)
    slices[place] = np.array(value)
    with pytest.raises(ValueError, match=problem):
        matched_pairs_by_patient(*slices, 2, tolerance=0.1)


@pytest.mark.parametrize("tolerance", [-0.1, np.nan])
def test_a_tolerance_is_not_negative(tolerance: float) -> None:
    with pytest.raises(ValueError, match="`tolerance` must be at least 0"):
        position_matched_auc(*random_slices(0)[:3], tolerance=tolerance)


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    labels, scores, heights, patients = random_slices(5)
    call_unmutated(position_matched_auc, [labels, scores, heights])
    call_unmutated(
        lambda *arrays: matched_pairs_by_patient(*arrays, PATIENTS, tolerance=0.1), [labels, scores, heights, patients]
    )
