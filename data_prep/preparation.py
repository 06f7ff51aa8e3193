"""From a volume to the slices a network sees: the same function for a cohort and for a new patient."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from math import prod
from pathlib import Path
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from data_prep.centering import FieldOfView, Window, center_window
from data_prep.errors import DataError
from data_prep.foreground import Foreground, ForegroundRule, find_foreground
from data_prep.grid import MAX_VOXELS, Grid
from data_prep.intensity import FOREGROUND_FLOOR, IntensityRule, IntensityScale, fit_scale
from data_prep.resampling import correct_bias, resample
from data_prep.slicing import SliceAxis, slice_axis_of, slice_spacing_mm, to_slices, to_volume
from data_prep.volume import Volume


class Preparation(BaseModel):
    """What is done to every volume. It travels with a trained model, so that new patients are prepared alike."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channels: tuple[str, ...] = Field(min_length=1)
    """Channel names in order: `flair`, `t1ce`, …"""
    size: tuple[int, int] = (64, 64)
    """Height and width of a prepared slice in pixels, each from 32 to 4096."""
    axis: SliceAxis = "axial"
    """Anatomical plane of the slices."""
    field_of_view_mm: FieldOfView = 192.0
    """Length in mm of the longer side of the window around the patient's foreground. 192 holds an adult brain.
    `crop`: `size` pixels of the source, nothing is resampled. `whole`: the whole slice, whatever its size."""
    foreground: ForegroundRule = "constant"
    """What counts as patient; see `find_foreground`. `mask`: a file of the patient says it."""
    intensity: IntensityRule = "percentile"
    """How each channel's values become 0 to 1, for each patient; see `fit_scale`."""
    intensity_percentiles: tuple[float, float] = (0.5, 99.9)
    """Foreground percentiles that become 0 and 1 under `percentile`; the lower becomes 0 under `median`, too."""
    zscore_limit: float = Field(default=4.0, gt=0)
    """Standard deviations below and above the foreground's mean that become 0 and 1 under `zscore`."""
    intensity_window: tuple[float, float] | None = None
    """Values that become 0 and 1 under `window`, in file units (HU for CT)."""
    spacing_mm: tuple[float, float, float] | None = None
    """Voxel size along right, anterior, superior that volumes are resampled to first; None: as they are."""
    bias_correction: bool = False
    """N4 bias field correction of each channel."""
    resample_to_first: bool = False
    """Channels on other grids are resampled onto the first channel's; otherwise they are an error."""
    min_foreground_share: float = Field(default=0.05, ge=0, le=1)
    """Slices with a smaller share of foreground pixels are nearly blank and discarded."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if min(self.size) < 32:
            raise ValueError(f"`size` must be at least 32, got {min(self.size)}")
        if max(self.size) > 4096:
            raise ValueError(f"`size` must be at most 4096, got {max(self.size)}")
        if isinstance(self.field_of_view_mm, float) and not 0 < self.field_of_view_mm < np.inf:
            raise ValueError(f"`field_of_view_mm` must be more than 0, got {self.field_of_view_mm:g}")
        low, high = self.intensity_percentiles
        if not 0 <= low < high <= 100:
            raise ValueError(f"`intensity_percentiles` must rise within 0 to 100, got {low:g} and {high:g}")
        window = self.intensity_window
        if (self.intensity == "window") != (window is not None):
            raise ValueError("`intensity_window` and intensity `window` need each other")
        if window and not -np.inf < window[0] < window[1] < np.inf:
            raise ValueError(f"`intensity_window` must rise, got {window[0]:g} and {window[1]:g}")
        if self.spacing_mm and not all(0 < step < np.inf for step in self.spacing_mm):
            raise ValueError(f"`spacing_mm` must be three numbers more than 0, got {self.spacing_mm}")
        if len(set(self.channels)) < len(self.channels):
            raise ValueError(f"`channels` names one twice: {', '.join(self.channels)}")
        return self


@dataclass(frozen=True, kw_only=True)
class PreparedSlices:
    """One patient's slices that are not blank.

    Attributes:
        images: (S, C, H, W) float16 in [0, 1], 0 exactly where there is no patient.
        indices: (S,) positions along the slice axis of `grid`.
        heights: (S,) the same from 0 at the first slice with foreground to 1 at the last.
        foreground_shares: of all slices of `grid`, kept or not, the share of the window that shows the patient.
        grid: the grid that slices were cut from: the volume's own, or the one it was resampled to.
        foreground: what shows the patient on that grid, in any channel.
        background_share: the smallest `Foreground.background_share` of a channel.
        window: what part of a slice an image shows.
        scales: one a channel.
        bias_fields: what each channel was divided by, (I, J, K) on the volume's own grid; empty without N4.
        pixels_cut_off: foreground pixels outside the window, in slices of `grid`.
    """

    images: np.ndarray
    indices: np.ndarray
    heights: np.ndarray
    foreground_shares: np.ndarray
    grid: Grid
    foreground: Foreground
    background_share: float
    window: Window
    scales: tuple[IntensityScale, ...]
    bias_fields: tuple[np.ndarray, ...]
    pixels_cut_off: int


def prepare_slices(
    volume: Volume, preparation: Preparation, *, foreground_mask: np.ndarray | None = None
) -> PreparedSlices:
    """Correct, resample, normalize inside the foreground, center and crop, cut slices, discard blank ones.

    Args:
        volume: the patient's channels.
        preparation: the settings.
        foreground_mask: (I, J, K) bool on the volume's grid, in RAS+ order; needed when the rule is `mask`.

    Raises:
        DataError: when a channel is constant or no slice holds enough foreground.
    """
    axis = preparation.axis
    foregrounds = _foregrounds(volume, preparation, foreground_mask)
    background_share = min(foreground.background_share for foreground in foregrounds)
    channels, fields = _without_bias(volume, foregrounds, preparation)
    grid, channels, foregrounds = _with_spacing(volume, channels, foregrounds, preparation)
    union = reduce(Foreground.union, foregrounds)
    foreground = union.whole()
    used, shown = union.box[0], union.box[1:]
    pixel_mm = slice_spacing_mm(grid.spacing_mm, axis)[1:]
    shape = (union.shape[1], union.shape[2])
    window = center_window(shown, pixel_mm, preparation.field_of_view_mm, preparation.size, shape)
    inside = np.zeros((len(foreground), *preparation.size), bool)
    for place, share in window.apply(list(foreground), shown):
        inside[place] = share >= 0.5
    shares = inside.mean(axis=(1, 2))
    kept = np.flatnonzero(shares >= max(preparation.min_foreground_share, 1e-9))
    if not len(kept):
        raise DataError(_why_blank(shares, preparation), path=volume.paths[0])
    inside = inside[kept]
    images = np.zeros((len(kept), len(channels), *preparation.size), np.float16)
    scales = []
    for number, (path, channel, own_foreground) in enumerate(zip(volume.paths, channels, foregrounds, strict=True)):
        slices = to_slices(channel, axis)
        scale = _fit(path, _values(slices, own_foreground), preparation)
        scales.append(scale)
        # Background must become 0. Mostly it lies at the scale's low end or below, and clipping does that.
        if own_foreground.background is None or own_foreground.background > scale.low:
            slices = np.where(own_foreground.whole(), slices, np.float32(scale.low))
        chosen, limits = [slices[index] for index in kept], (scale.low, scale.high)
        for place, values in window.apply(chosen, shown, outside=scale.low, limits=limits):
            images[:, number][place] = scale.normalize(values, floor=FOREGROUND_FLOOR) * inside[place]
    return PreparedSlices(
        images=images,
        indices=kept,
        heights=(kept - used.start) / max(1, used.stop - 1 - used.start),
        foreground_shares=shares,
        grid=grid,
        foreground=union,
        background_share=background_share,
        window=window,
        scales=tuple(scales),
        bias_fields=fields,
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
    full = np.zeros((len(prepared.foreground_shares), *prepared.window.source_shape), slices.dtype)
    full[prepared.indices] = prepared.window.invert(slices, smooth=smooth)
    restored = to_volume(full, preparation.axis)
    return np.ascontiguousarray(resample(restored, prepared.grid, volume.grid, smooth=smooth))


def volume_foreground(volume: Volume, prepared: PreparedSlices, preparation: Preparation) -> np.ndarray:
    """(I, J, K) bool on the volume's own grid: voxels that show the patient in any channel."""
    mask = to_volume(prepared.foreground.whole(), preparation.axis)
    return resample(mask, prepared.grid, volume.grid, smooth=False).astype(bool, copy=False)


def source_slices(prepared: PreparedSlices, volume: Volume, preparation: Preparation) -> np.ndarray:
    """(S,) for each kept slice the nearest one of the volume's own grid: indices along its slice axis, RAS+ order."""
    axis = slice_axis_of(preparation.axis)
    places, _ = slice_places(prepared, volume.grid, preparation)
    return np.clip(np.round(places).astype(int), 0, volume.shape[axis] - 1)


def slice_places(prepared: PreparedSlices, own: Grid, preparation: Preparation) -> tuple[np.ndarray, float]:
    """Where kept slices lie among those of another grid with the same axes, (S,), and how many of those one spans."""
    axis = slice_axis_of(preparation.axis)
    positions = np.zeros((len(prepared.indices), 4))
    positions[:, :3] = (np.array(prepared.grid.shape) - 1) / 2
    positions[:, axis], positions[:, 3] = prepared.indices, 1
    to_own = np.linalg.inv(own.affine) @ prepared.grid.affine
    return (positions @ to_own.T)[:, axis], float(abs(to_own[axis, axis]))


def _without_bias(
    volume: Volume, foregrounds: list[Foreground], preparation: Preparation
) -> tuple[list[np.ndarray], tuple[np.ndarray, ...]]:
    """The channels, corrected where that is asked for, and the fields they were divided by."""
    if not preparation.bias_correction:
        return list(volume.channels), ()
    if min(volume.shape) < 2:
        problem = "is a single slice, which has no bias field; leave out --bias-correction"
        raise DataError(problem, path=volume.paths[0])
    masks = [to_volume(foreground.whole(), preparation.axis) for foreground in foregrounds]
    corrected = [correct_bias(channel, mask) for channel, mask in zip(volume.channels, masks, strict=True)]
    return [channel for channel, _ in corrected], tuple(field for _, field in corrected)


def _with_spacing(
    volume: Volume, channels: list[np.ndarray], foregrounds: list[Foreground], preparation: Preparation
) -> tuple[Grid, list[np.ndarray], list[Foreground]]:
    """Channels and foregrounds on the grid that slices are cut from: the volume's own, or one of another spacing."""
    own = volume.grid
    if preparation.spacing_mm is None:
        return own, channels, foregrounds
    grid = own.with_spacing(preparation.spacing_mm)
    if prod(grid.shape) > MAX_VOXELS:
        problem = f"would be {grid.shape} voxels after resampling; check its voxel size, and --spacing-mm"
        raise DataError(problem, path=volume.paths[0])
    moved = [resample(channel, own, grid, outside=float(channel.min())) for channel in channels]
    found = []
    for foreground in foregrounds:
        mask = resample(to_volume(foreground.whole(), preparation.axis), own, grid, smooth=False).astype(bool)
        if not mask.any():
            problem = "its foreground is lost by resampling; check its voxel size, and --spacing-mm"
            raise DataError(problem, path=volume.paths[0])
        found.append(Foreground.of(to_slices(mask, preparation.axis)))  # its background is no constant any longer
    return grid, moved, found


def _why_blank(shares: np.ndarray, preparation: Preparation) -> str:
    limit = preparation.min_foreground_share
    found = f"no slice has a foreground share of {limit:g} or more (at most {shares.max():.2g})"
    advice = "check its voxel size, and the field of view (--field-of-view-mm of `fpgan prepare`)"
    return f"{found if limit else 'no pixel shows the patient'}; {advice}"


def _foregrounds(volume: Volume, preparation: Preparation, mask: np.ndarray | None) -> list[Foreground]:
    """One a channel."""
    if preparation.foreground == "mask":
        if mask is None:
            problem = "has no foreground mask, which this preparation needs; add one, or give --skull-strip"
            raise DataError(problem, path=volume.paths[0])
        if not mask.any():
            raise DataError("its foreground mask is empty; draw one, or leave it out", path=volume.paths[0])
        return [Foreground.of(to_slices(mask, preparation.axis))] * len(volume.channels)
    found = []
    for path, channel in zip(volume.paths, volume.channels, strict=True):
        try:
            found.append(find_foreground(to_slices(channel, preparation.axis), preparation.foreground))
        except DataError as error:
            raise DataError(str(error), path=path) from error
    return found


def _values(slices: np.ndarray, foreground: Foreground) -> np.ndarray:
    """Foreground values, (N,)."""
    # Picking from copies in memory order is several times as fast as from views.
    values: np.ndarray = np.ascontiguousarray(slices[foreground.box])[np.ascontiguousarray(foreground.inside)]
    return values


def _fit(path: Path, values: np.ndarray, preparation: Preparation) -> IntensityScale:
    try:
        return fit_scale(
            values,
            preparation.intensity,
            percentiles=preparation.intensity_percentiles,
            zscore_limit=preparation.zscore_limit,
            window=preparation.intensity_window,
        )
    except DataError as error:
        raise DataError(str(error), path=path) from error
