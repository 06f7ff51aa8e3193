"""Confidence intervals by resampling patients: slices of one patient are not independent of each other.

A resample is a row of weights, how often each patient was drawn. Numbers are computed from weights (`weighted.py`), so
two methods measured on the same patients can be compared on the same resamples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_LEAST_DEFINED = 0.8


@dataclass(frozen=True, kw_only=True)
class Interval:
    """The bounds of a confidence interval; NaN where it is undefined."""

    low: float
    high: float


def patient_weights(patients: int, *, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """How often each of P `patients` is drawn in each of R `resamples` with replacement: (R, P) float64.

    The same seed gives the same weights; each row sums to P.

    Raises:
        ValueError: for less than one patient or resample.
    """
    if patients < 1 or resamples < 1:
        raise ValueError(f"at least one patient and one resample are needed, got {patients} and {resamples}")
    random = np.random.default_rng(seed)
    drawn = random.integers(patients, size=(resamples, patients))
    return np.stack([np.bincount(row, minlength=patients) for row in drawn]).astype(float)


def percentile_interval(values: np.ndarray, *, persons: int, level: float = 0.95) -> Interval:
    """Percentile interval of a number's `values` (R,) on R resamples of so many `persons`.

    Resamples on which the number is undefined, NaN, are left out. There is no interval for one person, and none where
    more than a fifth of the resamples are undefined: then a single person decides the number, however many there are,
    and the rest would show no spread.

    Raises:
        ValueError: for a `level` outside (0, 1).
    """
    if not 0 < level < 1:
        raise ValueError(f"`level` must lie between 0 and 1, got {level}")
    defined = ~np.isnan(values)
    if persons < 2 or not len(values) or defined.mean() < _LEAST_DEFINED:
        return Interval(low=float("nan"), high=float("nan"))
    low, high = np.quantile(values[defined], [(1 - level) / 2, (1 + level) / 2])
    return Interval(low=float(low), high=float(high))
