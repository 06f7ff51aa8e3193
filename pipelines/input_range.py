"""What a model's training patients looked like, and in what a new patient is unlike them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from nibabel.affines import voxel_sizes
from nibabel.orientations import io_orientation
from pydantic import BaseModel, ConfigDict

from data_prep.cohort import Cohort
from data_prep.errors import DataError
from data_prep.intensity import FOREGROUND_FLOOR
from data_prep.preparation import Preparation, PreparedSlices
from data_prep.slicing import SliceAxis, slice_axis_of
from data_prep.volume import Volume

INPUTS = "inputs"
"""Where a model's metadata holds its `InputRange`."""

Range = tuple[float, float]
"""The smallest and the largest value of any training patient."""

_PATIENTS_LOOKED_AT, _SLICES_LOOKED_AT = 100, 16
_UNUSUAL_SPACING, _IMPOSSIBLE_SPACING = 1.5, 4.0
"""Factors by which voxels are larger or smaller than those of any training patient."""
_COARSE_MM = 6.0
_UNCLEAR_BACKGROUND = 0.5
_INTENSITY_MARGIN = 0.1
"""Brain scans lie up to 0.07 outside the range of three others of their sequence; two sequences can be as close."""
_END_MARGIN = 0.2
_CUT_OFF_SHARE = 0.01
"""A few voxels of skull or neck are outside the field of view of many scans."""
_DIRECTIONS = ("from left to right", "from posterior to anterior", "from inferior to superior")
_ENDS: dict[SliceAxis, tuple[str, str]] = {
    "axial": ("lowest", "highest"),
    "coronal": ("rearmost", "foremost"),
    "sagittal": ("leftmost", "rightmost"),
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class ChannelRange(_Part):
    """One channel of the training patients."""

    scale_low: Range
    """What became 0 of [0, 1], in file units."""
    scale_high: Range
    """What became 1, in file units."""
    mean: Range
    """Mean of a patient's prepared foreground, in [0, 1]."""
    clipped_share: Range
    """Share of a patient's prepared foreground that lies at either end of the scale."""


class InputRange(_Part):
    """What the training patients looked like; means and shares are those of at most 100 patients."""

    spacing_mm_ras: tuple[Range, Range, Range]
    """Voxel size of the source files along right, anterior, superior, in mm."""
    shape_ras: tuple[Range, Range, Range]
    """Voxels of the source files along right, anterior, superior."""
    low_end_share: Range
    """Foreground of the scan's first slice in RAS+ order relative to that of its largest; 0 if nearly blank."""
    high_end_share: Range
    """The same of its last slice."""
    background_share: Range
    """Share of the volume's faces that has the value taken for background."""
    channels: dict[str, ChannelRange]
    """By name, in order."""


def describe_inputs(cohort: Cohort) -> InputRange:
    """What the patients with training slices looked like.

    Raises:
        DataError: when a patient's images cannot be read.
    """
    slices = cohort.split("train")
    names = slices["patient"][slices["domains"] != ""].unique()
    patients = cohort.patients[cohort.patients["patient"].isin(names)].sort_values("patient")
    places = [patients["source_affine"].map(json.loads), patients["source_shape"].map(json.loads)]
    grids = np.array([_grid_ras(np.array(affine), np.array(shape)) for affine, shape in zip(*places, strict=True)])
    counts = (patients["slices"] + patients["blank_slices"]).set_axis(patients["patient"])
    shares = slices[slices["patient"].isin(names)].set_index("slice_index").groupby("patient")["foreground_share"]
    ends = np.array([_end_shares(counts[name], own.index.to_numpy(), own.to_numpy()) for name, own in shares])  # (P, 2)
    looked_at = patients["patient"].iloc[evenly_spaced(len(patients), at_most=_PATIENTS_LOOKED_AT)]
    intensities = np.array([_intensities(cohort.images(name)) for name in looked_at])  # (P, 2, C)
    scales = np.array([[(s["low"], s["high"]) for s in json.loads(text)] for text in patients["scales"]])  # (P, C, 2)
    return InputRange(
        spacing_mm_ras=_three_ranges(grids[:, 0]),
        shape_ras=_three_ranges(grids[:, 1]),
        low_end_share=_range(ends[:, 0]),
        high_end_share=_range(ends[:, 1]),
        background_share=_range(patients["background_share"]),
        channels={
            name: ChannelRange(
                scale_low=_range(scales[:, number, 0]),
                scale_high=_range(scales[:, number, 1]),
                mean=_range(intensities[:, 0, number]),
                clipped_share=_range(intensities[:, 1, number]),
            )
            for number, name in enumerate(cohort.settings.preparation.channels)
        },
    )


def inputs_of(metadata: Mapping[str, Any]) -> InputRange | None:
    """What the metadata of a model says of its training patients; None for a model that was trained before it did."""
    return InputRange(**metadata[INPUTS]) if INPUTS in metadata else None


def check_inputs(volume: Volume, preparation: Preparation, inputs: InputRange | None) -> None:
    """Refuse a scan of which the model can make nothing.

    Slices are translated one by one, so their distance is left to `unusual_inputs`; a pixel's size is what counts.

    Raises:
        DataError: when pixels of a slice are more than 4 times as large, or as small, as those of any training patient.
    """
    if inputs is None:
        return
    for axis, (spacing, usual) in enumerate(zip(volume.spacing_mm, inputs.spacing_mm_ras, strict=True)):
        if axis != slice_axis_of(preparation.axis) and _times_outside(spacing, usual) > _IMPOSSIBLE_SPACING:
            raise DataError(
                f"its voxels are {_text(spacing)} mm apart {_DIRECTIONS[axis]}; the model was trained on scans of "
                f"{_product(inputs.shape_ras)} voxels, {_product(inputs.spacing_mm_ras)} mm apart along right, "
                f"anterior, superior; check the voxel size, or give a scan like these",
                path=volume.paths[0],
            )


def unusual_inputs(
    volume: Volume, prepared: PreparedSlices, preparation: Preparation, inputs: InputRange | None
) -> list[str]:
    """In what a patient is unlike those the model was trained on: sentences for the top of a report.

    `prepared` is what `prepare_slices` made of `volume`. Without `inputs` only what is unusual for any model is told.
    """
    sentences = list(_outside_view(prepared, preparation))
    if inputs:
        sentences += [
            *_ends_inside(prepared, preparation, inputs),
            *_spacing(volume, inputs),
            *_intensity(prepared, preparation, inputs),
        ]
    elif max(volume.spacing_mm) > _COARSE_MM:
        sentences.append(f"Slices or voxels are {max(volume.spacing_mm):.1f} mm apart; small lesions may be missed.")
    return [*sentences, *_background(prepared, inputs)]


def evenly_spaced(count: int, *, at_most: int) -> np.ndarray:
    """Indices from 0 to `count` − 1, all of them or `at_most` evenly spaced ones that include both ends."""
    return np.linspace(0, count - 1, min(count, at_most)).round().astype(int)


def _outside_view(prepared: PreparedSlices, preparation: Preparation) -> Iterator[str]:
    if prepared.pixels_cut_off > _CUT_OFF_SHARE * np.count_nonzero(prepared.foreground.inside):
        seen, window = preparation.field_of_view_mm, prepared.window
        field = f"{seen:g} mm" if isinstance(seen, float) else f"{window.height} × {window.width} voxels"
        yield (
            f"{prepared.pixels_cut_off} of {np.count_nonzero(prepared.foreground.inside)} voxels of the patient lie "
            f"outside the field of view the model looks at ({field})."
        )


def _ends_inside(prepared: PreparedSlices, preparation: Preparation, inputs: InputRange) -> Iterator[str]:
    kept = prepared.indices
    shares = _end_shares(len(prepared.foreground_shares), kept, prepared.foreground_shares[kept])
    usual = (inputs.low_end_share, inputs.high_end_share)
    for end, share, (_, largest) in zip(_ENDS[preparation.axis], shares, usual, strict=True):
        if share > largest + _END_MARGIN:
            yield (
                f"The scan ends inside the patient: its {end} slice still shows {share:.0%} of the area of its largest "
                f"slice; in training scans it was at most {largest:.0%}."
            )


def _spacing(volume: Volume, inputs: InputRange) -> Iterator[str]:
    for spacing, usual, direction in zip(volume.spacing_mm, inputs.spacing_mm_ras, _DIRECTIONS, strict=True):
        if _times_outside(spacing, usual) > _UNUSUAL_SPACING:
            effect = "; small lesions may be missed" if spacing > usual[1] else ""
            yield (
                f"Voxels are {_text(spacing)} mm apart {direction}; those of training scans were "
                f"{_from_to(usual)} mm apart{effect}."
            )


def _intensity(prepared: PreparedSlices, preparation: Preparation, inputs: InputRange) -> Iterator[str]:
    means, clipped = _intensities(prepared.images)
    for name, scale, mean, share in zip(preparation.channels, prepared.scales, means, clipped, strict=True):
        usual = inputs.channels[name]
        if not usual.mean[0] - _INTENSITY_MARGIN <= mean <= usual.mean[1] + _INTENSITY_MARGIN:
            own_scale = f"{_text(scale.low)} and {_text(scale.high)}"
            yield (
                f"{name} has a mean intensity of {mean:.2f}, where 0 and 1 are {own_scale} in the file; training scans "
                f"had {_from_to(usual.mean)}, where 0 and 1 were {_from_to(usual.scale_low)} and "
                f"{_from_to(usual.scale_high)}. Is it the right kind of image?"
            )
        # Only a fixed window has units that mean the same in every file; all other scales follow the image.
        if preparation.intensity == "window" and share > usual.clipped_share[1] + _INTENSITY_MARGIN:
            yield (
                f"{share:.0%} of {name} lies outside the intensities from {scale.low:g} to {scale.high:g} that the "
                f"model distinguishes; in training scans it was at most {usual.clipped_share[1]:.0%}."
            )


def _background(prepared: PreparedSlices, inputs: InputRange | None) -> Iterator[str]:
    usual = inputs.background_share[0] if inputs else 1.0
    if prepared.background_share < min(_UNCLEAR_BACKGROUND, usual):
        usually = "always 100%" if usual == 1 else f"{usual:.0%} or more"
        trained = f"; in training scans it was {usually}" if inputs else ""
        yield (
            "Nothing constant surrounds the patient: what was taken for background fills "
            f"{prepared.background_share:.0%} of the scan's faces{trained}. Where the background is noise, the model "
            "must be trained on patients prepared with --foreground otsu, or mask."
        )


def _grid_ras(affine: np.ndarray, shape: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Voxel size in mm and number of voxels along right, anterior, superior, of a file with axes in any order."""
    file_axes = np.argsort(io_orientation(affine)[:, 0])
    return voxel_sizes(affine)[file_axes], shape[file_axes]


def _end_shares(count: int, indices: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Foreground of the first and of the last of `count` slices relative to the largest, (2,), from those kept."""
    of_all = np.zeros(count)
    of_all[indices] = shares
    return of_all[[0, -1]] / of_all.max()


def _intensities(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each channel's mean foreground and the share of it that was clipped, (C,) each, of slices (S, C, H, W) in [0, 1].

    At most 16 of them are read.
    """
    some = np.asarray(images[evenly_spaced(len(images), at_most=_SLICES_LOOKED_AT)])
    values = [channel[channel > 0].astype(float) for channel in some.swapaxes(0, 1)]
    clipped = [np.mean((own <= np.float16(FOREGROUND_FLOOR)) | (own >= 1)) for own in values]
    return np.array([own.mean() for own in values]), np.array(clipped)


def _times_outside(value: float, usual: Range) -> float:
    """By what factor a value lies above or below a range; at most 1 within it. Rounded, as headers are."""
    return round(max(value / usual[1], usual[0] / value), 3)


def _range(values: np.ndarray | pd.Series) -> Range:
    return float(f"{values.min():.6g}"), float(f"{values.max():.6g}")  # more digits cannot matter


def _three_ranges(values: np.ndarray) -> tuple[Range, Range, Range]:
    return _range(values[:, 0]), _range(values[:, 1]), _range(values[:, 2])


def _from_to(usual: Range) -> str:
    low, high = map(_text, usual)
    return low if low == high else f"{low} to {high}"


def _product(ranges: tuple[Range, ...]) -> str:
    return " × ".join(_from_to(usual) for usual in ranges)


def _text(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
