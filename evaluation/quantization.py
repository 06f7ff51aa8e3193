"""Exact k-means of numbers: the best quantization of a map's values to a few levels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

_BLOCK = 128  # cuts judged together; about the square root of a slice's pixels is fastest


def quantization_cuts(values: np.ndarray, *, levels: int = 2) -> np.ndarray:
    """The largest value of each level but the highest: (levels - 1,) float64, ascending.

    Quantization of gray values to few levels is k-means in one dimension. There a cluster is a run of the sorted
    values, so the partition with the least sum of squares within levels can be found for certain, with no start to
    choose and no iteration: for two levels by one scan over the cuts, for more by dynamic programming (Fisher 1958,
    Wang and Song 2011) whose best last cuts rise with the number of values taken, which spares most of them. Exact to
    the rounding of float64. Equal values are never parted; of equally good cuts the lowest is taken.

    One distinct value, or none, has cuts of infinity: nothing stands out. Where distinct values are otherwise fewer
    than levels, each is a level of its own, and the levels that remain are empty and lie lowest, so their cuts are
    -infinity: the highest level always holds the largest value.

    Args:
        values: real, finite numbers of any shape.
        levels: at least 2. Two take a tenth of a millisecond for a slice, each one more takes several.

    Raises:
        TypeError: `values` are not real numbers.
        ValueError: `values` hold NaN or infinity, or `levels` is below 2.
    """
    check_levels(levels)
    ordered = sorted_values("values", values)
    if not len(ordered) or ordered[0] == ordered[-1]:
        return np.full(levels - 1, np.inf)
    if levels == 2:
        return np.array([_best_cut(ordered)], np.float64)
    distinct, counts = np.unique(ordered, return_counts=True)
    missing = max(levels - len(distinct), 0)
    return np.append(np.full(missing, -np.inf), _best_cuts(distinct, counts, levels - missing))


def check_levels(levels: int) -> None:
    """Raise unless there are two levels or more."""
    if levels < 2:
        raise ValueError(f"`levels` must be at least 2, got {levels}")


def sorted_values(name: str, values: np.ndarray) -> np.ndarray:
    """`values` of any shape as (N,), ascending; in float32 if they are, which sorts twice as fast, else in float64.

    Raises:
        TypeError, ValueError: they are not real numbers, or not all finite; `name` names them.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold real numbers, got {array.dtype}")
    ordered = np.sort(array if array.dtype == np.float32 else array.astype(np.float64), axis=None)
    # Infinity sorts to an end, NaN to the upper.
    if len(ordered) and not (math.isfinite(ordered[0]) and math.isfinite(ordered[-1])):
        raise ValueError(f"`{name}` must be finite, but holds NaN or infinity")
    return ordered


def squares_between(taken: np.ndarray, shortfall: np.ndarray, count: int) -> np.ndarray:
    """Mean squares between two levels of `count` values, when the lower has the `taken` lowest.

    `shortfall` is what the sum of these lacks to `taken` times the mean of all.
    """
    return shortfall**2 / (taken * (count - taken))


def _centered(ordered: np.ndarray) -> np.ndarray:
    """Differences from the median, float64: what is summed is as small as the spread, however large the values.

    The median is one of the values, so differences of float32 are exact, and sums of them nearly always.
    """
    return np.subtract(ordered, ordered[len(ordered) // 2], dtype=np.float64)


def _best_cut(ordered: np.ndarray) -> float:
    """The largest value of the lower of two levels; not all of `ordered` (N,) are equal.

    Summing blocks is many times as fast as a running sum, so a running sum is taken only where the best cut can be.
    The shortfall of `squares_between` is concave in the cut, for its steps, mean - value, fall. So within a block it
    exceeds the straight line between the block's edges by at most a quarter of the block's length times the range of
    its values. And the squares that a straight line makes are convex, so largest at an edge.

    Equal values are not parted by the best cut: one of them would be as near to the other level's mean or nearer.
    """
    count = len(ordered)
    if count == 2:
        return float(ordered[0])
    x = _centered(ordered)
    stops = np.arange(1 - _BLOCK, count - 1 + _BLOCK, _BLOCK)
    stops[0], stops[-1] = 0, count - 1
    edges = stops[1:]  # a cut is the number of values below it: 1 to N - 1
    sums = np.cumsum(np.add.reduceat(x, stops))
    mean = sums[-1] / count
    shortfall = edges * mean - sums[:-1]
    excess = _BLOCK / 4 * (x[edges[1:] - 1] - x[edges[:-1]])
    limit = np.maximum(
        squares_between(edges[:-1], shortfall[:-1] + excess, count),
        squares_between(edges[1:], shortfall[1:] + excess, count),
    )
    blocks = np.flatnonzero(limit >= squares_between(edges, shortfall, count).max())
    first, last = edges[blocks[0]], edges[blocks[-1] + 1]
    steps = mean - x[first - 1 : last]
    steps[0] = shortfall[blocks[0]]
    squares = squares_between(np.arange(first, last + 1), np.cumsum(steps), count)
    return float(ordered[first - 1 + np.argmax(squares)])


def _best_cuts(distinct: np.ndarray, counts: np.ndarray, levels: int) -> np.ndarray:
    """The largest value of each level but the highest, of `distinct` ascending values (N,) that occur `counts` times.

    Least squares within levels are most squares between them, the sum over levels of (sum of values)² / count.
    """
    x = _centered(distinct)
    taken = np.append(0, np.cumsum(counts))
    sums = np.append(0, np.cumsum(counts * x))

    def squares(start: np.ndarray | int, stop: np.ndarray | int) -> np.ndarray:
        """Of a level of distinct[start:stop]."""
        return (sums[stop] - sums[start]) ** 2 / (taken[stop] - taken[start])

    size = len(distinct)
    best = np.zeros(size + 1)  # of the first n distinct values, in one level and then in more
    best[1:] = squares(0, np.arange(1, size + 1))
    layers = []
    for level in range(2, levels):
        best, splits = _add_level(best, squares, level)
        layers.append(splits)
    starts = np.arange(levels - 1, size)
    cuts = [levels - 1 + int(np.argmax(best[starts] + squares(starts, size)))]
    for splits in reversed(layers):
        cuts.append(int(splits[cuts[-1]]))
    return distinct[np.array(cuts[::-1]) - 1].astype(np.float64)


def _add_level(best: np.ndarray, squares: Callable[..., np.ndarray], level: int) -> tuple[np.ndarray, np.ndarray]:
    """The most squares between `level` levels of the first n distinct values, and where the highest then starts.

    The start never falls as n rises, so it is found first for one n in the middle, then for those halfway to its
    neighbors, and so on: all n of a round at once, each between the starts found on both sides of it.
    """
    size = len(best) - 1
    most = np.full(size + 1, -np.inf)
    splits = np.full(size + 2, size)
    splits[level - 1] = level - 1  # below the smallest n, as `size` is above the largest
    step = 2 ** (size - level + 1).bit_length() // 2
    while step:
        n = np.arange(level - 1 + step, size + 1, 2 * step)
        low, high = splits[n - step], np.minimum(splits[np.minimum(n + step, size + 1)], n - 1)
        widths = high - low + 1
        begins = np.cumsum(widths) - widths
        start = np.arange(widths.sum()) + np.repeat(low - begins, widths)
        value = best[start] + squares(start, np.repeat(n, widths))
        most[n] = np.maximum.reduceat(value, begins)
        hits = np.flatnonzero(value == np.repeat(most[n], widths))
        splits[n] = start[hits[np.searchsorted(hits, begins)]]
        step //= 2
    return most, splits
