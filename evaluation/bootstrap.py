"""Confidence intervals by resampling patients: slices of one patient are not independent of each other."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from evaluation.undefined import UndefinedMetricWarning, undefined


def bootstrap_interval(
    statistic: Callable[[np.ndarray], float],
    patients: np.ndarray,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of a statistic under resampling of patients with replacement.

    Args:
        statistic: from indices of cases (repeated as drawn) to a number; NaN where it is undefined.
        patients: (N,) patient of each case.
        resamples: number of draws.
        level: probability that the interval covers.
        seed: the same seed gives the same interval.

    Resamples with an undefined statistic (one class only) are left out.
    """
    _, inverse = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(inverse == number) for number in range(inverse.max(initial=-1) + 1)]
    if len(members) < 2:
        undefined("the bootstrap interval", f"it needs two patients, got {len(members)}")
        return float("nan"), float("nan")
    random = np.random.default_rng(seed)
    values = np.empty(resamples)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        for number in range(resamples):
            drawn = random.integers(len(members), size=len(members))
            values[number] = statistic(np.concatenate([members[d] for d in drawn]))
    values = values[~np.isnan(values)]
    if not len(values):
        undefined("the bootstrap interval", "the statistic is undefined on every resample")
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
