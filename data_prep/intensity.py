"""Intensity: each channel's values on one linear scale, [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from data_prep.errors import DataError

FOREGROUND_FLOOR = 1 / 255
"""The smallest value a foreground pixel has after preparation, so that exactly 0 always means background."""

IntensityRule = Literal["percentile", "median", "zscore", "window", "none"]

MEDIANS = 3.0
"""How far above the lower percentile 1 lies under `median`, in distances from there to the median."""


@dataclass(frozen=True, kw_only=True)
class IntensityScale:
    """One channel's linear scale: `low` and `high` in the file's units become 0 and 1."""

    low: float
    high: float

    def normalize(self, values: np.ndarray, *, floor: float = 0.0) -> np.ndarray:
        """File units to [0, 1], values beyond the scale clipped; float32. `floor` is the smallest result."""
        scaled = np.subtract(values, np.float32(self.low), dtype=np.float32)
        scaled *= np.float32(1 / (self.high - self.low))
        return np.clip(scaled, floor, 1, out=scaled)

    def restore_difference(self, difference: np.ndarray) -> np.ndarray:
        """A difference on the [0, 1] scale in file units."""
        return difference * np.float32(self.high - self.low)


def fit_scale(
    values: np.ndarray,
    rule: IntensityRule,
    *,
    percentiles: tuple[float, float],
    zscore_limit: float,
    window: tuple[float, float] | None,
) -> IntensityScale:
    """The scale of one channel of one patient.

    Args:
        values: its foreground values, (N,), file units.
        rule: `percentile`: from one percentile to another; `median`: from the lower percentile to thrice as far
            as the median, so that tissue is equally bright in every patient, whatever is brightest in a scan; `zscore`:
            `zscore_limit` standard deviations to either side of the mean; `window`: the two ends of `window`, as for
            CT; `none`: the values are in [0, 1] already.
        percentiles: two, from 0 to 100; values of the image itself, the outer ones where one falls between two.
        zscore_limit: half the width of the scale in standard deviations.
        window: lowest and highest value in file units (HU for CT).

    Raises:
        DataError: when the values are constant, so that there is no contrast, or not in [0, 1] under `none`, or so many
            of them are alike that the rule has no scale.
    """
    if rule == "window" and window is not None:
        return IntensityScale(low=window[0], high=window[1])
    if rule == "none":
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            raise DataError(f"intensity `none` needs values from 0 to 1, it has {low:g} to {high:g}; choose another")
        return IntensityScale(low=0.0, high=1.0)
    if rule == "zscore":
        mean, deviation = float(values.mean(dtype=np.float64)), float(values.std(dtype=np.float64))
        bottom, top = mean - zscore_limit * deviation, mean + zscore_limit * deviation
    else:
        last = len(values) - 1
        bottom = kth_smallest(values, int(np.floor(last * percentiles[0] / 100)))
        if rule == "median":
            top = bottom + MEDIANS * (kth_smallest(values, last // 2) - bottom)
        else:
            top = kth_smallest(values, int(np.ceil(last * percentiles[1] / 100)))
    if not top > bottom and values.min() < values.max():
        problem = f"too many of its foreground voxels are {bottom:g} for the intensity `{rule}`"
        raise DataError(f"{problem}; choose another with --intensity")
    if not top > bottom:
        raise DataError(f"its foreground is constant ({float(values[0]):g}); it holds no contrast, export it again")
    return IntensityScale(low=bottom, high=top)


def kth_smallest(values: np.ndarray, k: int) -> float:
    """The value with `k` smaller or equal ones before it in sorted order, exactly.

    A sample brackets it, so that only the few values between two bounds are partitioned: several times as fast as
    partitioning millions of voxels for a percentile near the end.
    """
    if len(values) > 1 << 16:
        sample = np.sort(values[:: len(values) >> 12])
        place, margin = k / len(values) * len(sample), 0.02 * len(sample)
        below, between = 0, values
        if place > margin:
            lower = sample[int(place - margin)]
            below, between = int(np.count_nonzero(values < lower)), values[values >= lower]
        if place + margin < len(sample):
            between = between[between <= sample[int(place + margin)]]
        if below <= k < below + len(between):
            values, k = between, k - below
    return float(np.partition(values, k)[k])
