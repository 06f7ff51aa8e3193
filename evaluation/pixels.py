"""Agreement of maps and masks pixel by pixel, from counts that need no map any more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.checks import check_same_shape, check_stack
from evaluation.undefined import undefined

_DROPPED_BITS = 13
"""Of a float32's 32 bits; 10 of the mantissa's 23 are left, as many as float16 has, which images are stored in."""
_ZERO_LEVEL = 2 ** (31 - _DROPPED_BITS)
"""The number of the level 0; the negative ones come before."""


@dataclass(frozen=True, kw_only=True)
class PixelCounts:
    """How many foreground pixels lie at each level of a map.

    Levels are the numbers with a mantissa of 10 bits: 1,024 from each power of two to the next, 0.1 % apart at most. A
    pixel counts at the highest level that is not above it, so "pixels ≥ level" is exact at each level, while memory
    depends on the number of levels alone.

    Attributes:
        levels: (N,) float32, rising; only those that hold a pixel.
        lesion, normal: (N,) pixels of a lesion and of none.
        missed: lesion pixels outside the foreground, where no map can find them.
    """

    levels: np.ndarray
    lesion: np.ndarray
    normal: np.ndarray
    missed: int


@dataclass(frozen=True, kw_only=True)
class BestDice:
    """The highest Dice any level reaches as a threshold, and the highest such level; pixels ≥ it are lesion."""

    dice: float
    threshold: float


def count_pixels(maps: np.ndarray, truth: np.ndarray, foreground: np.ndarray) -> PixelCounts:
    """Count the foreground pixels of maps (S, H, W) by level and by whether `truth` is more than 0 there."""
    for name, array in (("maps", maps), ("truth", truth), ("foreground", foreground)):
        check_stack(name, array)
    check_same_shape(maps=maps, truth=truth, foreground=foreground)
    inside = foreground.astype(bool, copy=False)
    keys = _level_numbers(maps[inside])
    lesion = truth[inside] > 0
    total, of_lesion = np.bincount(keys), np.bincount(keys[lesion])
    used = np.flatnonzero(total)
    of_lesion = np.pad(of_lesion, (0, len(total) - len(of_lesion)))
    return PixelCounts(
        levels=_level_values(used),
        lesion=of_lesion[used],
        normal=(total - of_lesion)[used],
        missed=int(np.count_nonzero(truth > 0)) - int(np.count_nonzero(lesion)),
    )


def join_pixel_counts(parts: Sequence[PixelCounts]) -> PixelCounts:
    """The counts of several stacks as one."""
    levels = np.concatenate([part.levels for part in parts] or [np.empty(0, np.float32)])
    unique, inverse = np.unique(levels, return_inverse=True)
    lesion, normal = (
        np.bincount(inverse, np.concatenate([getattr(part, name) for part in parts] or [[]]), len(unique)).astype(int)
        for name in ("lesion", "normal")
    )
    return PixelCounts(levels=unique, lesion=lesion, normal=normal, missed=sum(part.missed for part in parts))


def average_precision(counts: PixelCounts) -> float:
    """Σ (recall_n − recall_{n−1}) · precision_n over falling levels, of foreground pixels; NaN without lesion pixel."""
    if not counts.lesion.any():
        return undefined("pixel average precision", "there is no lesion pixel")
    return float(average_precisions(counts.lesion[None], counts.normal[None])[0])


def dice_score(counts: PixelCounts, threshold: float) -> float:
    """2 |A ∩ B| / (|A| + |B|) of pixels ≥ `threshold` and lesion pixels; NaN when both are empty.

    Exact where the threshold is a level; another one counts as the next level above it.
    """
    called = counts.levels >= np.float64(threshold)  # as float32 it might round down to a level
    hits = int(counts.lesion[called].sum())
    total = hits + int(counts.normal[called].sum()) + int(counts.lesion.sum()) + counts.missed
    if total == 0:
        return undefined("Dice", "both masks are empty")
    return 2 * hits / total


def best_dice(counts: PixelCounts) -> BestDice:
    """Dice at the best of all levels: an oracle's when taken on test data, a choice when on validation data."""
    total = int(counts.lesion.sum()) + counts.missed
    if total == 0:
        return BestDice(dice=undefined("best Dice", "there is no lesion pixel"), threshold=float("nan"))
    if not len(counts.levels):
        return BestDice(dice=0.0, threshold=float("inf"))
    dice = dice_scores(counts.lesion[None], counts.normal[None], np.array([total]))[0]
    best = len(dice) - 1 - int(np.argmax(dice[::-1]))
    return BestDice(dice=float(dice[best]), threshold=float(counts.levels[best]))


def threshold_at_pixel_rate(counts: PixelCounts, rate: float) -> float:
    """The lowest level that at most the share `rate`, in [0, 1), of normal foreground pixels reach; NaN without any."""
    total = int(counts.normal.sum())
    if not total:
        return undefined("the pixel threshold", "there is no normal pixel")
    above = total - np.cumsum(counts.normal)
    too_low = _level_numbers(counts.levels[[np.argmax(above / total <= rate)]])
    # Pixels counted at a level may lie above it, but below the next.
    return float(_level_values(too_low + 1)[0])


def average_precisions(lesion: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Average precision (R,) of R sets of counts (R, N) at the same rising levels; NaN without lesion pixels."""
    hits, called = _at_least(lesion), _at_least(lesion) + _at_least(normal)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = np.where(called > 0, hits / called, 0)
        return (lesion * precision).sum(axis=1) / lesion.sum(axis=1)


def dice_scores(lesion: np.ndarray, normal: np.ndarray, lesion_pixels: np.ndarray) -> np.ndarray:
    """Dice (R, N) at each of N levels, of R sets of counts (R, N) with `lesion_pixels` (R,) in all."""
    hits = _at_least(lesion)
    with np.errstate(invalid="ignore", divide="ignore"):
        return 2 * hits / (hits + _at_least(normal) + lesion_pixels[:, None])


def _at_least(counts: np.ndarray) -> np.ndarray:
    return np.cumsum(counts[:, ::-1], axis=1)[:, ::-1]


def _level_numbers(values: np.ndarray) -> np.ndarray:
    """The number of each value's level, from 0; a higher level has a higher number."""
    with np.errstate(over="ignore"):
        single = values.astype(np.float32)
    rounded_up = single > values
    single[rounded_up] = np.nextafter(single[rounded_up], np.float32(-np.inf))
    bits = single.view(np.int32)
    # Read as integers, negative floats run backwards: counted down from 0 they, too, rise, and -0.0 is 0.
    rising = np.where(bits < 0, -(bits & np.int32(2**31 - 1)), bits)
    return (rising >> _DROPPED_BITS).astype(np.int64) + _ZERO_LEVEL


def _level_values(numbers: np.ndarray) -> np.ndarray:
    rising = (numbers - _ZERO_LEVEL) << _DROPPED_BITS
    magnitudes = np.abs(rising).astype(np.uint32).view(np.float32)
    return np.where(rising < 0, -magnitudes, magnitudes)
