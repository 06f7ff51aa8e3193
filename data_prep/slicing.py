"""Slices of a volume as a radiologist sees them, and the way back.

In every plane both in-plane axes run against RAS+: the patient's right is at the left of an axial or coronal image
(radiological convention), anterior or superior is at its top, and a sagittal image looks to the left.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

SliceAxis = Literal["axial", "coronal", "sagittal"]

_AXES = {"axial": (2, 1, 0), "coronal": (1, 2, 0), "sagittal": (0, 2, 1)}
"""Volume axes (of I, J, K in RAS+) that become slice, row and column."""


def to_slices(volume: np.ndarray, axis: SliceAxis) -> np.ndarray:
    """(..., I, J, K) in RAS+ to (..., S, rows, columns); a view, nothing is copied."""
    lead = volume.ndim - 3
    order = [*range(lead), *(lead + a for a in _AXES[axis])]
    return volume.transpose(order)[..., ::-1, ::-1]


def to_volume(slices: np.ndarray, axis: SliceAxis) -> np.ndarray:
    """The inverse of `to_slices`."""
    lead = slices.ndim - 3
    order = [*range(lead), *(lead + int(a) for a in np.argsort(_AXES[axis]))]
    return slices[..., ::-1, ::-1].transpose(order)


def slice_spacing_mm(spacing_mm: tuple[float, float, float], axis: SliceAxis) -> tuple[float, float, float]:
    """Distance between slices, rows and columns from the volume's spacing along R, A and S."""
    slices, rows, columns = (spacing_mm[a] for a in _AXES[axis])
    return slices, rows, columns


def slice_axis_of(axis: SliceAxis) -> int:
    """The axis of an (I, J, K) volume in RAS+ along which slices are cut."""
    return _AXES[axis][0]
