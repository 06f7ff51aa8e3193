"""From a map to candidates: which of its pixels stand out.

Everywhere a pixel is on when its value is strictly greater than the threshold, and an infinite threshold says that
nothing stands out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from evaluation.checks import check_same_shape, check_stack
from evaluation.quantization import check_levels, quantization_cuts, sorted_values, squares_between

_OTSU_BINS = 256


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """The highest of `levels` levels, at least 2, of the best quantization, see `quantization_cuts`."""

    levels: int = 2

    def __post_init__(self) -> None:
        check_levels(self.levels)

    def threshold_of(self, values: np.ndarray) -> float:
        """The topmost cut of `values`."""
        return float(quantization_cuts(values, levels=self.levels)[-1])


@dataclass(frozen=True, kw_only=True)
class Otsu:
    """What lies above Otsu's threshold, see `otsu_threshold`."""

    def threshold_of(self, values: np.ndarray) -> float:
        """Otsu's threshold of `values`."""
        return otsu_threshold(values)


@dataclass(frozen=True, kw_only=True)
class Percentile:
    """What lies above a percentile, in [0, 100], see `percentile_threshold`."""

    percentile: float = 99.0

    def __post_init__(self) -> None:
        _check_percentile(self.percentile)

    def threshold_of(self, values: np.ndarray) -> float:
        """The percentile of `values`."""
        return percentile_threshold(values, self.percentile)


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """What lies above one `threshold` for every map, in the maps' units; chosen on other data than it judges."""

    threshold: float

    def __post_init__(self) -> None:
        if math.isnan(self.threshold):
            raise ValueError(f"`threshold` must be a number, got {self.threshold}")

    def threshold_of(self, values: np.ndarray) -> float:
        """The same for all `values`."""
        return float(self.threshold)


BinarizationRule = Quantization | Otsu | Percentile | Fixed


def binarize(maps: np.ndarray, foreground: np.ndarray, rule: BinarizationRule = Quantization()) -> np.ndarray:
    """Pixels of the foreground that stand out of their slice, (S, H, W) bool.

    US 11,164,021 B2 binarizes the difference map by color quantization. Of gray values, to two levels, that is the
    default; it marks something in every slice whose foreground is not of one value, a healthy one included.

    Args:
        maps: (S, H, W) of finite numbers, higher is more abnormal.
        foreground: (S, H, W) bool; nothing else is looked at or marked.
        rule: what makes the threshold of a slice.

    Raises:
        TypeError, ValueError: as `slice_thresholds`.
    """
    thresholds = slice_thresholds(maps, foreground, rule)
    # Compared in float64: rounded to maps of float32, a threshold could pass over the next value.
    return foreground & (maps > thresholds[:, None, None])


def slice_thresholds(maps: np.ndarray, foreground: np.ndarray, rule: BinarizationRule) -> np.ndarray:
    """The threshold that `rule` makes of the foreground pixels of each slice: (S,) float64.

    A slice without foreground has infinity, save by `Fixed`.

    Raises:
        TypeError: `maps` does not hold real numbers, or `foreground` is not bool.
        ValueError: a shape is not (S, H, W), the two differ, or `maps` holds NaN or infinity.
    """
    check_stack("maps", maps)
    check_stack("foreground", foreground)
    check_same_shape(maps=maps, foreground=foreground)
    if foreground.dtype != bool:
        raise TypeError(f"`foreground` must be bool, got {foreground.dtype}")
    return np.array([rule.threshold_of(m[inside]) for m, inside in zip(maps, foreground, strict=True)], np.float64)


def otsu_threshold(values: np.ndarray) -> float:
    """Otsu's threshold (1979) of `values`, real, finite numbers of any shape.

    Their histogram has 256 equal bins from the smallest value to the largest, each including its lower edge and the
    last both. The threshold is the center of the lower class's last bin, as in scikit-image; of equally good ones
    the lowest. One distinct value, or none, gives infinity.

    It differs from `Quantization` by its bins alone: the squares of all values about their mean are those within two
    classes plus those between them, so the cut that is greatest between, which Otsu seeks, is least within.

    Raises:
        TypeError: `values` are not real numbers.
        ValueError: `values` hold NaN or infinity.
    """
    ordered = sorted_values("values", values).astype(np.float64)
    if not len(ordered) or ordered[0] == ordered[-1]:
        return math.inf
    low, width = ordered[0], ordered[-1] - ordered[0]
    counts, _ = np.histogram((ordered - low) / width, _OTSU_BINS, range=(0, 1))
    centers = (np.arange(_OTSU_BINS) + 0.5) / _OTSU_BINS
    taken, sums = np.cumsum(counts), np.cumsum(counts * centers)
    shortfall = taken * (sums[-1] / taken[-1]) - sums
    between = squares_between(taken[:-1], shortfall[:-1], taken[-1])
    return float(low + width * centers[np.argmax(between)])


def percentile_threshold(values: np.ndarray, percentile: float) -> float:
    """The smallest of `values` that at least `percentile` % of them do not exceed; infinity without values.

    So at most 100 - `percentile` % of them are on. NumPy's method `inverted_cdf`: one of the values, never between
    two, so what is on stays on under any increasing change of scale.

    Args:
        values: real, finite numbers of any shape.
        percentile: in [0, 100].

    Raises:
        TypeError: `values` are not real numbers.
        ValueError: `values` hold NaN or infinity, or `percentile` is out of range.
    """
    _check_percentile(percentile)
    ordered = sorted_values("values", values)
    count = len(ordered)
    if not count:
        return math.inf
    rank = max(round(percentile * count / 100), 1)
    if 100 * rank / count < percentile:
        rank += 1
    return float(ordered[rank - 1])


def _check_percentile(percentile: float) -> None:
    if not 0 <= percentile <= 100:
        raise ValueError(f"`percentile` must lie in [0, 100], got {percentile}")
