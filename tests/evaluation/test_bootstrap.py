"""Resamples of patients as weights, and intervals of what is computed from them."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.bootstrap import Interval, patient_weights, percentile_interval

NAN = float("nan")


@given(patients=st.integers(1, 40), resamples=st.integers(1, 30), seed=st.integers(0, 10**6))
def test_each_resample_draws_as_many_patients_as_there_are(patients: int, resamples: int, seed: int) -> None:
    weights = patient_weights(patients, resamples=resamples, seed=seed)
    assert weights.shape == (resamples, patients)
    assert weights.dtype == np.float64
    assert (weights == weights.astype(int)).all()
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == patients).all()


def test_patients_are_drawn_once_on_average_and_as_often_as_a_binomial_says() -> None:
    weights = patient_weights(20, resamples=5000)
    assert weights.mean(axis=0) == pytest.approx(np.ones(20), abs=0.06)  # four standard errors
    # Of 20 draws each takes a given patient with a chance of 1/20.
    assert weights.var() == pytest.approx(20 * 1 / 20 * 19 / 20, rel=0.05)
    assert (weights == 0).mean() == pytest.approx((19 / 20) ** 20, rel=0.05)


def test_two_patients_have_three_outcomes() -> None:
    counts = Counter(map(tuple, patient_weights(2, resamples=4000).tolist()))
    shares = {outcome: count / 4000 for outcome, count in counts.items()}
    assert shares == pytest.approx({(2, 0): 1 / 4, (1, 1): 1 / 2, (0, 2): 1 / 4}, abs=0.03)


def test_seed_decides_the_weights() -> None:
    np.testing.assert_array_equal(patient_weights(9, seed=7), patient_weights(9, seed=7))
    assert (patient_weights(9, seed=7) != patient_weights(9, seed=8)).any()


@pytest.mark.parametrize(("patients", "resamples"), [(0, 10), (3, 0), (-1, 10)])
def test_nothing_to_draw_is_an_error(patients: int, resamples: int) -> None:
    with pytest.raises(ValueError, match=f"got {patients} and {resamples}"):
        patient_weights(patients, resamples=resamples)


def test_interval_lies_between_percentiles() -> None:
    values = np.arange(81.0)[::-1]
    interval = percentile_interval(values, persons=5)
    assert (interval.low, interval.high) == pytest.approx((2, 78))  # 2.5 % of 80 steps from either end
    assert percentile_interval(values, persons=5, level=0.5) == Interval(low=20, high=60)


def test_interval_agrees_with_all_possible_draws() -> None:
    values = np.random.default_rng(4).random(5)
    means = [np.mean(drawn) for drawn in product(values, repeat=5)]
    low, high = np.quantile(means, [0.1, 0.9])
    interval = percentile_interval(patient_weights(5, resamples=5000) @ values / 5, persons=5, level=0.8)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=0.02)


def test_interval_covers_the_mean_of_new_patients_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    covered = 0
    for study in range(400):
        patients = random.normal(3, 1, 40)
        interval = percentile_interval(patient_weights(40, resamples=300, seed=study) @ patients / 40, persons=40)
        covered += interval.low <= 3 <= interval.high
    # 0.95, a little less as percentiles of few patients are narrow; five standard errors are 0.05.
    assert 0.89 < covered / 400 < 0.985


def test_constant_has_no_width() -> None:
    assert percentile_interval(np.full(50, 2.5), persons=3) == Interval(low=2.5, high=2.5)


def test_undefined_resamples_are_left_out_without_a_word(recwarn: pytest.WarningsRecorder) -> None:
    assert percentile_interval(np.array([NAN, 1, 1, 1, 1]), persons=2) == Interval(low=1, high=1)
    assert not recwarn


def test_number_that_one_person_decides_has_no_interval() -> None:
    # A resample of ten leaves out one of them in 0.9 ** 10 = 0.35 of all draws, two of them in 0.8 ** 10 = 0.11.
    weights = patient_weights(10, resamples=2000)
    for contributors, has_interval in ((1, False), (2, True)):
        drawn = weights[:, :contributors].sum(axis=1)
        interval = percentile_interval(np.where(drawn > 0, 0.5, NAN), persons=10)
        assert np.isfinite(interval.low) == has_interval


@pytest.mark.parametrize(("values", "patients"), [([NAN, NAN], 5), ([], 5), ([0.5, 0.7], 1)])
def test_no_interval_without_values_or_of_one_patient(values: list[float], patients: int) -> None:
    interval = percentile_interval(np.array(values), persons=patients)
    assert np.isnan([interval.low, interval.high]).all()


@pytest.mark.parametrize("level", [0, 1, -0.5, 95, NAN])
def test_level_must_be_a_share(level: float) -> None:
    with pytest.raises(ValueError, match="`level` must lie between 0 and 1"):
        percentile_interval(np.ones(3), persons=3, level=level)


def test_values_are_not_mutated() -> None:
    values = np.array([2.0, NAN, 1.0])
    percentile_interval(values, persons=3)
    np.testing.assert_array_equal(values, [2, NAN, 1])
