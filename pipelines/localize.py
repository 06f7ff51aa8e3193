"""Lesions of one patient in the patient's own geometry: volumes on the source grid and a table in millimeters."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from data_prep.preparation import Preparation, PreparedSlices, restore_volume, volume_foreground
from data_prep.slicing import slice_axis_of
from data_prep.volume import Volume
from evaluation.components import find_components
from pipelines.inference import PatientMaps


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One lesion, that is, connected candidates of neighboring slices.

    Attributes:
        number: from 1, the most abnormal first; the value in `lesions.nii.gz`.
        center_mm: its centroid in world coordinates (right, anterior, superior positive).
        volume_mm3: its volume on the source grid.
        peak_anomaly, mean_anomaly: of |input − healthy translation| on the [0, 1] intensity scale.
        brighter: whether it is on average brighter than its healthy translation.
        first_slice, last_slice: indices from 0 in the source file, along the file's axis nearest to the slice axis.
    """

    number: int
    center_mm: tuple[float, float, float]
    volume_mm3: float
    peak_anomaly: float
    mean_anomaly: float
    brighter: bool
    first_slice: int
    last_slice: int

    def row(self) -> dict[str, Any]:
        """The lesion as a flat row of a table."""
        row = asdict(self)
        right, anterior, superior = row.pop("center_mm")
        return {
            "lesion": row.pop("number"),
            "center_r_mm": right,
            "center_a_mm": anterior,
            "center_s_mm": superior,
            **row,
        }


@dataclass(frozen=True, kw_only=True)
class Localization:
    """Volumes (I, J, K) in RAS+ order on the patient's grid, and the lesions.

    `healthy` is (C, I, J, K) in the units of the source files, `difference` signed on the [0, 1] scale (positive:
    brighter than healthy), `labels` uint16 with the number of each lesion.
    """

    healthy: np.ndarray
    difference: np.ndarray
    labels: np.ndarray
    lesions: list[Lesion]


def localize(
    volume: Volume, prepared: PreparedSlices, maps: PatientMaps, preparation: Preparation, *, threshold: float
) -> Localization:
    """Bring maps back to the patient's geometry and describe lesions there.

    A lesion is made of candidates whose peak reaches `threshold`; candidates that touch in neighboring slices are one.
    The healthy volume is the source minus the enlarged difference: where nothing changed it is the source itself, not
    a copy blurred by resampling.
    """
    foreground = volume_foreground(volume, prepared, preparation)

    def restore(slices: np.ndarray) -> np.ndarray:
        return np.where(foreground, restore_volume(slices, prepared, volume, preparation), 0).astype(np.float32)

    difference = restore(maps.signed)
    fields = prepared.bias_fields or (np.float32(1),) * len(volume.channels)
    channel_changes = np.where(maps.foreground[:, None], maps.images - maps.healthy, 0)
    healthy = np.stack(
        [
            source - scale.restore_difference(restore(channel_changes[:, channel])) * fields[channel]
            for channel, (source, scale) in enumerate(zip(volume.channels, prepared.scales, strict=True))
        ]
    )
    candidates = maps.candidates.pixels_of(maps.candidates.peaks >= threshold)
    # Slices dropped as blank part what lies above them from what lies below.
    stack = np.zeros((int(prepared.indices[-1]) + 1, *candidates.shape[1:]), bool)
    stack[prepared.indices] = candidates
    anomaly = np.zeros(stack.shape, np.float32)
    anomaly[prepared.indices] = maps.anomaly
    components = find_components(stack, anomaly, spatial_dims=3, min_size=0)
    on_slices = components.labels.astype(np.uint16)[prepared.indices]
    restored = np.where(foreground, restore_volume(on_slices, prepared, volume, preparation, smooth=False), 0)
    labels = np.zeros_like(restored)
    axis = slice_axis_of(preparation.axis)
    lesions: list[Lesion] = []
    for index in np.argsort(-components.peaks, kind="stable"):
        inside = restored == index + 1
        if inside.any():  # a lesion smaller than a voxel of the source grid leaves no trace there
            number = len(lesions) + 1
            labels[inside] = number
            peak, mean = components.peaks[index], components.means[index]
            lesions.append(_describe(inside, number, volume, axis, difference, peak, mean))
    return Localization(healthy=healthy.astype(np.float32), difference=difference, labels=labels, lesions=lesions)


def _describe(
    inside: np.ndarray, number: int, volume: Volume, axis: int, difference: np.ndarray, peak: float, mean: float
) -> Lesion:
    voxels = np.argwhere(inside)
    rotation, origin = volume.affine[:3, :3], volume.affine[:3, 3]
    right, anterior, superior = (round(float(value), 2) for value in rotation @ voxels.mean(axis=0) + origin)
    ends = (int(voxels[:, axis].min()), int(voxels[:, axis].max()))
    first, last = sorted(volume.index_in_file(axis, end) for end in ends)
    return Lesion(
        number=number,
        center_mm=(right, anterior, superior),
        volume_mm3=round(len(voxels) * abs(float(np.linalg.det(rotation))), 2),
        peak_anomaly=round(float(peak), 4),
        mean_anomaly=round(float(mean), 4),
        brighter=bool(difference[inside].mean() > 0),
        first_slice=first,
        last_slice=last,
    )
