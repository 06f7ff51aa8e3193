"""AUCp by hand, against pair counting, and against the AUC that it estimates."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from evaluation.label_free import auc_healthy_against_mixed
from evaluation.roc import auc_score
from evaluation.undefined import UndefinedMetricWarning


def slow_aucp(healthy: np.ndarray, mixed: np.ndarray, share: Fraction) -> Fraction:
    """Share of pairs that the unannotated case wins, ties half, less what healthy ones among them win by chance."""
    won = sum(Fraction(1 if m > h else 0) + Fraction(int(m == h), 2) for h in healthy for m in mixed)
    return (won / (len(healthy) * len(mixed)) - share / 2) / (1 - share)


def test_aucp_by_hand() -> None:
    healthy = np.array([1.0, 3.0])
    assert auc_healthy_against_mixed(healthy, np.array([2.0, 4.0])) == 3 / 4  # of four pairs only 2 against 3 is lost
    assert auc_healthy_against_mixed(healthy, np.array([3.0, 4.0])) == 7 / 8  # 3 against 3 is half a pair


def test_corrected_aucp_by_hand() -> None:
    healthy, mixed = np.array([1.0, 3.0]), np.array([2.0, 4.0])
    # Half of the unannotated are healthy and win 1/2 of their pairs: 3/4 = 1/2 · 1/2 + 1/2 · 1.
    assert auc_healthy_against_mixed(healthy, mixed, healthy_share=0.5) == pytest.approx(1)
    # 3/4 = 1/4 · 1/2 + 3/4 · 5/6
    assert auc_healthy_against_mixed(healthy, mixed, healthy_share=0.25) == pytest.approx(5 / 6)


def test_a_corrected_value_is_not_cut_off() -> None:
    healthy = np.array([2.0, 2.0])
    # All pairs won although half of the unannotated should be healthy: (1 − 1/4) / (1/2).
    assert auc_healthy_against_mixed(healthy, np.array([3.0, 4.0]), healthy_share=0.5) == pytest.approx(3 / 2)
    # All lost: (0 − 1/4) / (1/2).
    assert auc_healthy_against_mixed(healthy, np.array([0.0, 1.0]), healthy_share=0.5) == pytest.approx(-1 / 2)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("share", [Fraction(0), Fraction(1, 4), Fraction(9, 10)])
def test_aucp_agrees_with_pair_counting(seed: int, share: Fraction) -> None:
    rng = np.random.default_rng(seed)
    healthy, mixed = rng.integers(0, 6, rng.integers(1, 15)), rng.integers(0, 8, rng.integers(1, 15))
    expected = float(slow_aucp(healthy, mixed, share))
    assert auc_healthy_against_mixed(healthy, mixed, healthy_share=float(share)) == pytest.approx(expected)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("shift", [0.0, 1.0, 2.5])
def test_a_mixed_set_of_known_share_recovers_the_auc(share: float, shift: float) -> None:
    rng = np.random.default_rng(1)
    count = 4000
    healthy, own_healthy = rng.normal(0, 1, count), rng.normal(0, 1, round(share * count))
    diseased = rng.normal(shift, 1, count - len(own_healthy))
    labels = np.repeat([False, True], [count, len(diseased)])
    auc = auc_score(labels, np.concatenate([healthy, diseased]))
    mixed = np.concatenate([own_healthy, diseased])
    # The AUC of healthy against healthy cases is 1/2 with a standard error of sqrt((1/m + 1/n) / 12), times
    # share / (1 − share) by the correction; four such errors are allowed.
    tolerance = 4 * np.sqrt((1 / max(len(own_healthy), 1) + 1 / count) / 12) * share / (1 - share) + 1e-12
    assert auc_healthy_against_mixed(healthy, mixed, healthy_share=share) == pytest.approx(auc, abs=tolerance)
    if share and shift:
        assert auc_healthy_against_mixed(healthy, mixed) < auc - tolerance  # uncorrected, it is too low


def test_the_correction_keeps_the_order_of_models() -> None:
    rng = np.random.default_rng(2)
    models = [(rng.normal(0, 1, 30), rng.normal(shift, 1, 40)) for shift in rng.uniform(-1, 4, 20)]
    order = np.argsort([auc_healthy_against_mixed(*scores) for scores in models], kind="stable")
    for share in (0.1, 0.5, 0.99):
        corrected = [auc_healthy_against_mixed(*scores, healthy_share=share) for scores in models]
        np.testing.assert_array_equal(np.argsort(corrected, kind="stable"), order)


@pytest.mark.parametrize(("healthy", "mixed"), [(0, 3), (3, 0), (0, 0)])
def test_an_empty_set_is_undefined(healthy: int, mixed: int) -> None:
    with pytest.warns(UndefinedMetricWarning, match="AUCp is undefined"):
        assert np.isnan(auc_healthy_against_mixed(np.zeros(healthy), np.zeros(mixed)))


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, float("nan")])
def test_an_impossible_share_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="`healthy_share` must be at least 0 and less than 1, got"):
        auc_healthy_against_mixed(np.zeros(2), np.ones(2), healthy_share=share)


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    rng = np.random.default_rng(3)
    call_unmutated(auc_healthy_against_mixed, [rng.random(5), rng.random(6)], healthy_share=0.2)
