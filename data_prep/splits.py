"""Patients to training, validation and test: by patient, never by slice."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

SPLITS = ("train", "validation", "test")


def split_patients(
    strata: Mapping[str, str], *, shares: tuple[float, float, float] = (0.6, 0.15, 0.25), seed: int = 0
) -> dict[str, str]:
    """Assign each patient a split.

    Args:
        strata: patient to stratum (its domain); each stratum is divided in the same proportions.
        shares: of training, validation and test; they sum to 1.
        seed: decides which patient goes where; the order of `strata` does not.

    From three patients on no split with a share stays empty.
    """
    check_shares(shares)
    names = np.array(sorted(strata))
    shuffled = np.random.default_rng(seed).permutation(names).tolist()
    ordered = sorted(shuffled, key=lambda name: strata[name])  # stable: shuffled within each stratum
    counts = np.zeros(len(SPLITS))
    result = {}
    for taken, name in enumerate(ordered, start=1):
        # Whoever lags furthest behind its share is next, so any run of patients is divided in proportion.
        lagging = int(np.argmax(np.array(shares) * taken - counts))
        counts[lagging] += 1
        result[name] = SPLITS[lagging]
    for index, share in enumerate(shares):
        if share > 0 and counts[index] == 0 and len(ordered) >= len(SPLITS):
            donor = SPLITS[int(counts.argmax())]
            moved = next(name for name in reversed(ordered) if result[name] == donor)
            result[moved] = SPLITS[index]
            counts[SPLITS.index(donor)] -= 1
            counts[index] += 1
    return result


def check_shares(shares: tuple[float, float, float]) -> None:
    """Raise `ValueError` unless the shares of training, validation and test make sense."""
    if not (all(share >= 0 for share in shares) and abs(sum(shares) - 1) < 1e-6):
        raise ValueError(f"`shares` must be three numbers from 0 that sum to 1, got {shares}")
