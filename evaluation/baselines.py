"""What a user could do with no training: numbers to print beside every model's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def intensity_map(images: np.ndarray) -> np.ndarray:
    """Raw intensity as if it were a difference map: the brightest channel of (S, C, H, W), so (S, H, W)."""
    return images.max(axis=1)


@dataclass(frozen=True, kw_only=True)
class PositionTable:
    """Share of abnormal slices at each height, learned from training patients; it never looks at a pixel.

    `edges` (B + 1,) and `shares` (B,).
    """

    edges: np.ndarray
    shares: np.ndarray

    def score(self, heights: np.ndarray) -> np.ndarray:
        """The share at each height (N,)."""
        bins = np.clip(np.searchsorted(self.edges, heights, side="right") - 1, 0, len(self.shares) - 1)
        return self.shares[bins]


def learn_position_table(labels: np.ndarray, heights: np.ndarray, *, bins: int = 20) -> PositionTable:
    """Tabulate `labels` (N,), true for abnormal, by height (N,) in [0, 1]; an empty bin has the overall share."""
    edges = np.linspace(0, 1, bins + 1)
    place = np.clip(np.searchsorted(edges, heights, side="right") - 1, 0, bins - 1)
    counts = np.bincount(place, minlength=bins)
    abnormal = np.bincount(place, weights=np.asarray(labels, float), minlength=bins)
    overall = float(np.mean(labels)) if len(labels) else float("nan")
    return PositionTable(edges=edges, shares=np.where(counts > 0, abnormal / np.maximum(counts, 1), overall))
