"""Subjects to training, validation and test: by the person scanned, never by slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SPLITS = ("train", "validation", "test")
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("validation", "val", "valid"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""How tables and folders write the splits, in lower case."""


def split_subjects(
    strata: Mapping[str, str], *, shares: tuple[float, float, float] = (0.6, 0.15, 0.25), seed: int = 0
) -> dict[str, str]:
    """Assign each subject a split.

    Args:
        strata: subject to stratum (its domain); each stratum is divided in the same proportions.
        shares: of training, validation and test; they sum to 1.
        seed: decides who goes where; the order of `strata` does not.

    From three subjects on no split with a share stays empty.
    """
    check_shares(shares)
    dealt = _deal(strata, np.array(shares), seed)
    result = {name: SPLITS[place] for name, place in dealt.items()}
    counts = np.bincount(list(dealt.values()), minlength=len(SPLITS))
    for index, share in enumerate(shares):
        if share > 0 and counts[index] == 0 and len(result) >= len(SPLITS):
            donor = SPLITS[int(counts.argmax())]
            moved = next(name for name in reversed(result) if result[name] == donor)
            result[moved] = SPLITS[index]
            counts[SPLITS.index(donor)] -= 1
            counts[index] += 1
    return result


def split_folds(strata: Mapping[str, str], *, folds: int, seed: int = 0) -> dict[str, int]:
    """Assign each subject a fold, 0 to `folds` - 1; each stratum is spread evenly over them."""
    return _deal(strata, np.full(folds, 1 / folds), seed)


def fold_split(fold: int, *, test_fold: int, folds: int) -> str:
    """The split of a fold when `test_fold` is tested on: the next fold validates, all others train."""
    distance = (fold - test_fold) % folds
    return {0: "test", 1: "validation"}.get(distance, "train")


def _deal(strata: Mapping[str, str], shares: np.ndarray, seed: int) -> dict[str, int]:
    """Subject to index of a share, in the order dealt: shuffled, stratum after stratum."""
    shuffled = np.random.default_rng(seed).permutation(np.array(sorted(strata), object)).tolist()
    ordered = sorted(shuffled, key=lambda name: strata[name])  # stable: shuffled within each stratum
    counts = np.zeros(len(shares))
    result = {}
    for taken, name in enumerate(ordered, start=1):
        # Whoever lags furthest behind its share is next, so any run of subjects is divided in proportion.
        lagging = int(np.argmax(shares * taken - counts))
        counts[lagging] += 1
        result[name] = lagging
    return result


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raise `ValueError` unless the shares of training, validation and test make sense."""
    if not (all(share >= 0 for share in shares) and abs(sum(shares) - 1) < 1e-6):
        raise ValueError(f"`shares` must be three numbers from 0 that sum to 1, got {shares}")
