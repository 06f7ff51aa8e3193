"""Lesions of one patient in the patient's own geometry: volumes on the source grid and a list in millimeters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.ndimage import find_objects

from data_prep.errors import DataError
from data_prep.preparation import Preparation, PreparedSlices, restore_volume, volume_foreground
from data_prep.slicing import slice_axis_of
from data_prep.volume import Volume
from evaluation.components import find_components
from evaluation.lesions import hits_by_centroid
from evaluation.maps import MapSettings
from pipelines.inference import PatientMaps
from pipelines.place import Anatomy, centroid_of
from pipelines.reporting.record import Lesion, Place, Truth
from pipelines.reporting.shown import ShownVolumes

MOST_LESIONS = np.iinfo(np.uint16).max
"""A DICOM segmentation cannot hold more, either."""


@dataclass(frozen=True, kw_only=True)
class Localization:
    """Volumes (I, J, K) in RAS+ order on the patient's grid, and the lesions.

    `healthy` is (C, I, J, K) float32 in the units of the source files; `difference` float32, signed on the [0, 1]
    scale (positive: brighter than healthy); `labels` uint16 with the number of each lesion; `foreground` bool.
    `centroids` (N, 3) are those of the lesions in voxels, not rounded.
    """

    healthy: np.ndarray
    difference: np.ndarray
    labels: np.ndarray
    foreground: np.ndarray
    lesions: list[Lesion]
    centroids: np.ndarray


def localize(
    volume: Volume, prepared: PreparedSlices, maps: PatientMaps, preparation: Preparation, *, threshold: float
) -> Localization:
    """Bring maps back to the patient's geometry and describe lesions there.

    A lesion is made of candidates whose peak reaches `threshold`; candidates that touch in neighboring slices are one.
    The healthy volume is the source minus the enlarged change of each channel, which is not cleaned: where nothing
    changed it is the source itself, not a copy blurred by resampling.
    """
    foreground = volume_foreground(volume, prepared, preparation)
    outside = ~foreground

    def restore(slices: np.ndarray) -> np.ndarray:
        restored = restore_volume(slices, prepared, volume, preparation)
        restored[outside] = 0
        return restored

    difference = restore(maps.signed)
    fields = prepared.bias_fields or (np.float32(1),) * len(volume.channels)
    healthy = np.empty((len(volume.channels), *volume.shape), np.float32)
    for channel, (source, scale) in enumerate(zip(volume.channels, prepared.scales, strict=True)):
        change = np.where(maps.foreground, maps.images[:, channel] - maps.healthy[:, channel], 0)
        np.subtract(source, scale.restore_difference(restore(change)) * fields[channel], out=healthy[channel])
    labels, lesions, centroids = _lesions(volume, prepared, maps, preparation, threshold, difference, outside)
    return Localization(
        healthy=healthy,
        difference=difference,
        labels=labels,
        foreground=foreground,
        lesions=lesions,
        centroids=centroids,
    )


def _lesions(
    volume: Volume,
    prepared: PreparedSlices,
    maps: PatientMaps,
    preparation: Preparation,
    threshold: float,
    difference: np.ndarray,
    outside: np.ndarray,
) -> tuple[np.ndarray, list[Lesion], np.ndarray]:
    candidates = maps.candidates.pixels_of(maps.candidates.peaks >= threshold)
    # Slices dropped as blank part what lies above them from what lies below.
    stack = np.zeros((int(prepared.indices[-1]) + 1, *candidates.shape[1:]), bool)
    stack[prepared.indices] = candidates
    anomaly = np.zeros(stack.shape, np.float32)
    anomaly[prepared.indices] = maps.anomaly
    components = find_components(stack, anomaly, spatial_dims=3, min_size=0)
    labels = np.zeros(volume.shape, np.uint16)
    if not len(components):
        return labels, [], np.empty((0, 3))
    if len(components) > MOST_LESIONS:
        problem = f"has {len(components)} lesion candidates, more than can be numbered; is it like the training scans?"
        raise DataError(problem, path=volume.paths[0])
    on_slices = components.labels.astype(np.uint16)[prepared.indices]
    restored = restore_volume(on_slices, prepared, volume, preparation, smooth=False)
    restored[outside] = 0
    anatomy = Anatomy.of(volume, ~outside, slice_axis_of(preparation.axis))
    boxes = find_objects(restored)
    lesions: list[Lesion] = []
    centroids: list[np.ndarray] = []
    for index in np.argsort(-components.means * components.sizes, kind="stable"):
        box = boxes[index] if index < len(boxes) else None
        if box is None:  # a lesion smaller than a voxel of the source grid leaves no trace there
            continue
        inside = restored[box] == index + 1
        number = len(lesions) + 1
        labels[box][inside] = number
        centroids.append(centroid_of(inside, box))
        lesions.append(
            Lesion(
                number=number,
                peak_anomaly=round(float(components.peaks[index]), 4),
                mean_anomaly=round(float(components.means[index]), 4),
                brighter=bool(difference[box][inside].mean() > 0),
                **anatomy.describe(inside, box),
            )
        )
    return labels, lesions, np.reshape(centroids, (-1, 3))


def compare_with_truth(
    volume: Volume, found: Localization, truth: np.ndarray, preparation: Preparation
) -> tuple[Localization, Truth]:
    """The same with what each lesion hits, and the count, by the centroid rule in three dimensions.

    `truth` is the patient's own mask, (I, J, K) bool on the volume's grid in RAS+ order. As in evaluations, its
    components of 10 voxels or fewer do not count.
    """
    lesions = find_components(truth, truth, spatial_dims=3)
    anatomy = Anatomy.of(volume, found.foreground, slice_axis_of(preparation.axis))
    hitting, hit, on_truth = hits_by_centroid(found.centroids, lesions, truth)
    matches: list[Any] = ["excused" if is_excused else "false" for is_excused in on_truth]
    for candidate in hitting:
        matches[candidate] = "hit"
    boxes = find_objects(lesions.labels)
    missed = [
        Place(**anatomy.describe(lesions.labels[boxes[index]] == index + 1, boxes[index]))
        for index in np.argsort(-lesions.sizes, kind="stable")
        if index not in hit
    ]
    matched = [lesion.model_copy(update={"match": match}) for lesion, match in zip(found.lesions, matches, strict=True)]
    counts = Truth(
        lesions=len(lesions),
        found=len(lesions) - len(missed),
        false_candidates=matches.count("false"),
        missed=tuple(missed),
    )
    return replace(found, lesions=matched), counts


def shown_volumes(
    volume: Volume,
    prepared: PreparedSlices,
    found: Localization,
    truth: np.ndarray | None,
    preparation: Preparation,
    maps: MapSettings,
) -> ShownVolumes:
    """The volumes that pages show, of the channel that maps are of, or else of the one that changed most."""
    changes = [
        np.abs(source - healthy).max() / (scale.high - scale.low)
        for source, healthy, scale in zip(volume.channels, found.healthy, prepared.scales, strict=True)
    ]
    channel = maps.reduction if isinstance(maps.reduction, int) else int(np.argmax(changes))
    scale = prepared.scales[channel]
    before, after = (
        np.where(found.foreground, scale.normalize(array), 0).astype(np.float32, copy=False)
        for array in (volume.channels[channel], found.healthy[channel])
    )
    return ShownVolumes(
        image=before,
        healthy=after,
        difference=found.difference,
        lesions=found.labels,
        truth=truth,
        foreground=found.foreground,
        affine=volume.affine,
        spacing_mm=volume.spacing_mm,
        channel=preparation.channels[channel],
        anatomy=volume.source.has_anatomy,
    )
