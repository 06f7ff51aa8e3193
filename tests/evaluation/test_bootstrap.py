"""Bootstrap intervals against small cohorts whose resampling distribution is known exactly."""

from __future__ import annotations

import warnings
from collections import Counter
from itertools import product
from typing import Any

import numpy as np
import pytest

from evaluation.bootstrap import bootstrap_interval
from evaluation.roc import auc_score
from evaluation.undefined import UndefinedMetricWarning


def test_two_patients_have_three_outcomes() -> None:
    patients, values = np.array(["a", "b", "b", "b"]), np.array([0.0, 1.0, 1.0, 1.0])

    def interval(level: float) -> tuple[float, float]:
        return bootstrap_interval(lambda cases: values[cases].mean(), patients, level=level)

    # Draws aa, ab, ba, bb give means 0, 3/4, 3/4, 1: a quarter, a half and a quarter of the distribution.
    assert interval(0.95) == (0, 1)
    assert interval(0.3) == (3 / 4, 3 / 4)


def test_patients_are_drawn_whole() -> None:
    patients = np.array([3, 1, 3, 2, 1, 3])  # not in order, of 3, 2 and 1 cases
    draws: list[Counter[int]] = []

    def record(cases: np.ndarray) -> float:
        draws.append(Counter(cases.tolist()))
        return 0.0

    bootstrap_interval(record, patients, resamples=200)
    for drawn in draws[-200:]:
        times = {patient: {drawn[case] for case in np.flatnonzero(patients == patient)} for patient in (1, 2, 3)}
        assert all(len(counts) == 1 for counts in times.values())  # every case of a patient equally often
        assert sum(counts.pop() for counts in times.values()) == 3  # as many patients as there are
    assert len({frozenset(drawn.items()) for drawn in draws}) == 10  # multisets of three out of three patients


def test_interval_agrees_with_all_possible_draws() -> None:
    rng = np.random.default_rng(4)
    patients = rng.integers(0, 5, 30)
    values = rng.random(30) + patients
    means = [
        np.mean([value for patient in drawn for value in values[patients == patient]])
        for drawn in product(range(5), repeat=5)
    ]
    interval = bootstrap_interval(lambda cases: values[cases].mean(), patients, resamples=4000, level=0.8)
    assert interval == pytest.approx(tuple(np.quantile(means, [0.1, 0.9])), abs=0.05)


def test_constant_statistic_has_no_width() -> None:
    assert bootstrap_interval(lambda cases: 2.5, np.array([1, 2, 3])) == (2.5, 2.5)


def test_higher_level_gives_wider_interval() -> None:
    values = np.random.default_rng(1).random(20)
    low, high = bootstrap_interval(lambda cases: values[cases].mean(), np.arange(20), level=0.5)
    lower, higher = bootstrap_interval(lambda cases: values[cases].mean(), np.arange(20), level=0.95)
    assert lower < low < values.mean() < high < higher


def test_seed_decides_the_interval() -> None:
    values = np.random.default_rng(2).random(20)

    def interval(**settings: Any) -> tuple[float, float]:
        return bootstrap_interval(lambda cases: values[cases].mean(), np.arange(20), resamples=50, **settings)

    assert interval(seed=7) == interval(seed=7)
    assert interval(seed=7) != interval(seed=8)


def test_undefined_resamples_are_left_out_without_a_word() -> None:
    labels, scores = np.array([True, False]), np.array([1.0, 0.0])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        # Half of the draws hold one class only; the others order it rightly.
        assert bootstrap_interval(lambda cases: auc_score(labels[cases], scores[cases]), np.arange(2)) == (1, 1)
    assert not caught


def test_statistic_that_is_never_defined_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(bootstrap_interval(lambda cases: np.nan, np.array([1, 2]))).all()


def test_single_patient_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(bootstrap_interval(lambda cases: 1.0, np.array([1, 1, 1]))).all()


def test_inputs_are_not_mutated() -> None:
    patients = np.array([2, 1, 2])
    bootstrap_interval(lambda cases: float(cases.sum()), patients, resamples=10)
    assert patients.tolist() == [2, 1, 2]
