"""Detection scores: one number a slice, one a patient."""

from __future__ import annotations

import numpy as np


def slice_scores(maps: np.ndarray) -> np.ndarray:
    """The maximum pixel of each map (S, H, W): the patent's detection score, (S,)."""
    return maps.max(axis=(1, 2))


def patient_score(scores: np.ndarray, *, top: int = 1) -> float:
    """Mean of the `top` highest slice scores of one patient; 1 is the maximum over the patient."""
    if len(scores) == 0 or top < 1:
        raise ValueError(f"at least one slice and `top` from 1 are needed, got {len(scores)} and {top}")
    return float(np.sort(scores)[-top:].mean())


def peak_hits(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """For each slice, whether the highest pixel of its map lies in the lesion mask (S, H, W): (S,) bool.

    Of equal pixels the first in row order counts.
    """
    peaks = maps.reshape(len(maps), -1).argmax(axis=1)
    return masks.reshape(len(masks), -1)[np.arange(len(masks)), peaks] > 0
