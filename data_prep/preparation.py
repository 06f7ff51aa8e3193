"""From a volume to the slices a network sees: the same function for a cohort and for a new patient."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_prep.centering import Window, center_window
from data_prep.errors import DataError
from data_prep.intensity import FOREGROUND_FLOOR, IntensityScale, fit_percentiles
from data_prep.slicing import SliceAxis, slice_spacing_mm, to_slices, to_volume
from data_prep.volume import Volume


class Preparation(BaseModel):
    """What is done to every volume. It travels with a trained model, so that new patients are prepared alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[str, ...] = Field(min_length=1)
    """Modality names in channel order, as in the file names: `flair`, `t1ce`, …"""
    size: tuple[int, int] = (64, 64)
    """Height and width of a prepared slice in pixels, each at least 32."""
    axis: SliceAxis = "axial"
    """Anatomical plane of the slices."""
    field_of_view_mm: float = Field(default=192.0, gt=0)
    """Length of the longer side of the window around the patient's foreground, in mm. 192 holds an adult brain."""
    intensity_percentiles: tuple[float, float] = (0.5, 99.9)
    """Foreground percentiles that become 0 and 1, for each channel and patient."""
    min_foreground_share: float = Field(default=0.05, ge=0, le=1)
    """Slices with a smaller share of foreground pixels are blank and discarded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.size) < 32:
            raise ValueError(f"`size` must be at least 32, got {min(self.size)}")
        low, high = self.intensity_percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"`intensity_percentiles` must rise within 0 to 100, got {low:g} and {high:g}")
        if len(set(self.channels)) < len(self.channels):
            raise ValueError(f"`channels` names one twice: {', '.join(self.channels)}")
        return self


@dataclass(frozen=True, kw_only=True)
class PreparedSlices:
    """One patient's slices that are not blank.

    `images` is (S, C, H, W) float32 in [0, 1], 0 exactly where there is no patient. `indices` (S,) are positions along
    the slice axis of the RAS+ volume, `heights` (S,) the same from 0 at the first slice with foreground to 1 at the
    last. `pixels_cut_off` counts foreground pixels outside the window.
    """

    images: np.ndarray
    indices: np.ndarray
    heights: np.ndarray
    foreground_shares: np.ndarray
    blank_slices: int
    window: Window
    scales: tuple[IntensityScale, ...]
    pixels_cut_off: int


def prepare_slices(volume: Volume, preparation: Preparation) -> PreparedSlices:
    """Normalize inside the foreground, center and crop, cut slices, discard blank ones.

    Raises:
        DataError: when a channel is constant or no slice holds enough foreground.
    """
    scales, masks, normalized = [], [], []
    for path, channel in zip(volume.paths, volume.array, strict=True):
        try:
            scale, foreground = fit_percentiles(channel, *preparation.intensity_percentiles)
        except DataError as error:
            raise DataError(str(error), path=path) from error
        scales.append(scale)
        masks.append(foreground)
        normalized.append(np.where(foreground, scale.normalize(channel), 0))
    foreground = to_slices(np.any(masks, axis=0), preparation.axis)
    pixel_mm = slice_spacing_mm(volume.spacing_mm, preparation.axis)[1:]
    window = center_window(foreground, pixel_mm, preparation.field_of_view_mm, preparation.size)
    inside = window.apply(foreground.astype(np.float32)) >= 0.5
    shares = inside.mean(axis=(1, 2))
    kept = np.flatnonzero(shares >= max(preparation.min_foreground_share, 1e-9))
    if not len(kept):
        problem = f"no slice has a foreground share of {preparation.min_foreground_share:g} or more"
        raise DataError(problem, path=volume.paths[0])
    images = np.stack([window.apply(to_slices(c, preparation.axis)[kept]) for c in normalized], axis=1)
    images = np.where(inside[kept][:, None], np.clip(images, FOREGROUND_FLOOR, 1), 0).astype(np.float32)
    used = np.flatnonzero(foreground.any(axis=(1, 2)))
    return PreparedSlices(
        images=images,
        indices=kept,
        heights=(kept - used[0]) / max(1, used[-1] - used[0]),
        foreground_shares=shares[kept],
        blank_slices=len(shares) - len(kept),
        window=window,
        scales=tuple(scales),
        pixels_cut_off=window.pixels_cut_off(foreground),
    )


def restore_volume(
    slices: np.ndarray, prepared: PreparedSlices, volume: Volume, preparation: Preparation, *, smooth: bool = True
) -> np.ndarray:
    """The way back: maps of the kept slices (S, H, W) to the volume's own grid (I, J, K) in RAS+ order.

    Args:
        slices: one map a kept slice, in the order of `prepared.indices`.
        prepared: what `prepare_slices` returned for `volume`.
        volume: the volume that was prepared.
        preparation: the settings it was prepared with.
        smooth: interpolate; False takes the nearest pixel, for labels.

    Voxels that no kept slice shows, and voxels outside the window, are 0.
    """
    grid = to_slices(volume.array[0], preparation.axis)
    full = np.zeros(grid.shape, slices.dtype)
    full[prepared.indices] = prepared.window.invert(slices, smooth=smooth)
    return np.ascontiguousarray(to_volume(full, preparation.axis))


def volume_foreground(volume: Volume, prepared: PreparedSlices) -> np.ndarray:
    """(I, J, K) bool in RAS+ order: voxels where any channel differs from its background."""
    channels = zip(volume.array, prepared.scales, strict=True)
    return np.any([channel != np.float32(scale.background) for channel, scale in channels], axis=0)
