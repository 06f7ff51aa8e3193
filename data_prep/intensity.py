"""Foreground and intensity: which voxels are patient, and their values on one scale, [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.errors import DataError

FOREGROUND_FLOOR = 1 / 255
"""The smallest value a foreground pixel has after preparation, so that exactly 0 always means background."""


@dataclass(frozen=True, kw_only=True)
class IntensityScale:
    """One channel's linear scale: `low` and `high` in the file's units become 0 and 1."""

    background: float
    low: float
    high: float

    def normalize(self, values: np.ndarray) -> np.ndarray:
        """File units to [0, 1], values beyond the scale clipped."""
        return np.clip((values - np.float32(self.low)) / np.float32(self.high - self.low), 0, 1)

    def restore_difference(self, difference: np.ndarray) -> np.ndarray:
        """A difference on the [0, 1] scale in file units."""
        return difference * np.float32(self.high - self.low)


def background_value(volume: np.ndarray) -> float:
    """The constant that surrounds the patient: the commonest value on the six faces of an (I, J, K) volume.

    Skull-stripped scans have one, usually 0; z-scored files have another, often negative.
    """
    faces = [volume[0], volume[-1], volume[:, 0], volume[:, -1], volume[:, :, 0], volume[:, :, -1]]
    values, counts = np.unique(np.concatenate([face.ravel() for face in faces]), return_counts=True)
    return float(values[counts.argmax()])


def fit_percentiles(volume: np.ndarray, low: float, high: float) -> tuple[IntensityScale, np.ndarray]:
    """Scale between two percentiles (0 to 100) of the foreground, and that foreground as an (I, J, K) bool array.

    Raises:
        DataError: when the volume is constant, so that it has no foreground or no contrast.
    """
    background = background_value(volume)
    foreground = volume != np.float32(background)
    if not foreground.any():
        raise DataError(f"every voxel is {background:g}; it holds no image")
    bottom, top = np.percentile(volume[foreground], [low, high])
    if not top > bottom:
        raise DataError(f"its foreground is constant ({bottom:g}); it holds no contrast")
    return IntensityScale(background=background, low=float(bottom), high=float(top)), foreground
