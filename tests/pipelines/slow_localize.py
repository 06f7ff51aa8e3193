"""Places and lesions of a patient by their definitions: loops over voxels, counted as the file counts them.

Slow, and nothing is shared with the package.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import numpy as np
from scipy import ndimage

Voxel = tuple[int, ...]

PLANES = ("axial", "coronal", "sagittal")
SLICE_DIRECTION = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The direction in the world (right, anterior, superior) that slices of a plane follow each other in."""


def slow_place(inside: np.ndarray, foreground: np.ndarray, affine: np.ndarray, plane: str) -> dict[str, Any]:
    """The fields of a `Place`, not rounded, of voxels in file order, by the file's affine (4, 4)."""
    axes = [file_axis_nearest(affine, direction) for direction in range(3)]
    voxels, patient = np.argwhere(inside), np.argwhere(foreground)
    center_mm = np.mean([in_world(affine, voxel) for voxel in voxels], axis=0)
    middle_mm = in_world(affine, (patient.min(axis=0) + patient.max(axis=0)) / 2)
    # The plane between the sides holds the axes that run anterior and superior.
    normal = np.cross(affine[:3, axes[1]], affine[:3, axes[2]])
    normal *= np.sign(normal[0]) / np.linalg.norm(normal)
    aside_mm = float(normal @ (center_mm - middle_mm))
    up = axes[2]
    is_upward = affine[2, up] > 0
    lowest, highest = patient[:, up].min(), patient[:, up].max()
    climbed = voxels[:, up].mean() - lowest if is_upward else highest - voxels[:, up].mean()
    slices = voxels[:, axes[SLICE_DIRECTION[plane]]]
    return {
        "center_mm": tuple(center_mm),
        "center_voxel": tuple(voxels.mean(axis=0)),
        "hemisphere": "midline" if -5 <= aside_mm <= 5 else "left" if aside_mm < 0 else "right",
        "height": 0.0 if lowest == highest else min(1.0, max(0.0, climbed / (highest - lowest))),
        "volume_mm3": len(voxels) * abs(np.linalg.det(affine[:3, :3])),
        "longest_diameter_mm": slow_longest_diameter_mm(inside, affine),
        "first_slice": slices.min(),
        "last_slice": slices.max(),
    }


def in_world(affine: np.ndarray, voxel: Any) -> np.ndarray:
    """(3,) mm."""
    return affine[:3, :3] @ np.asarray(voxel, float) + affine[:3, 3]


def file_axis_nearest(affine: np.ndarray, direction: int) -> int:
    """Which of the file's axes runs along a direction of the world, either way; of grids turned by less than 45°."""
    steps = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return int(np.abs(steps[direction]).argmax())


def slow_longest_diameter_mm(inside: np.ndarray, affine: np.ndarray) -> float:
    """All corners of all voxels, each with each."""
    corners = {tuple(voxel + corner) for voxel in np.argwhere(inside) for corner in product((-0.5, 0.5), repeat=3)}
    points = [in_world(affine, corner) for corner in corners]
    return max(float(np.linalg.norm(a - b)) for a, b in combinations(points, 2))


@dataclass(frozen=True, kw_only=True)
class SlowLesion:
    """What is known of a lesion; `total` is the sum of its anomaly."""

    total: float
    peak: float
    mean: float
    brighter: bool


def slow_lesions(
    candidates: np.ndarray, signed: np.ndarray, indices: list[int], shape: Voxel, plane: str, threshold: float
) -> dict[frozenset[Voxel], SlowLesion]:
    """Lesions by their voxels in RAS+ order, where each pixel of a slice is one voxel of the volume.

    `candidates` (bool) and `signed` (S, H, W) are the kept slices, which lie at `indices` of a volume of `shape`.
    """
    values = np.zeros((max(indices) + 1, *signed.shape[1:]))
    stack = np.zeros(values.shape, bool)
    for number, index in enumerate(indices):
        values[index] = signed[number]
        components, count = ndimage.label(candidates[number], np.ones((3, 3)))
        for component in range(1, count + 1):
            pixels = components == component
            if max(abs(signed[number][pixels])) >= threshold:
                stack[index][pixels] = True
    components, count = ndimage.label(stack, np.ones((3, 3, 3)))
    lesions = {}
    for component in range(1, count + 1):
        pixels = np.argwhere(components == component)
        own = [float(values[tuple(pixel)]) for pixel in pixels]
        total = sum(abs(value) for value in own)
        lesions[frozenset(voxel_of(*pixel, shape, plane) for pixel in pixels.tolist())] = SlowLesion(
            total=total, peak=max(abs(value) for value in own), mean=total / len(own), brighter=sum(own) > 0
        )
    return lesions


def voxel_of(index: int, row: int, column: int, shape: Voxel, plane: str) -> Voxel:
    """Where a pixel of a whole slice lies in the volume, in RAS+ order: both in-plane axes run against it."""
    right, front, top = (length - 1 for length in shape)
    if plane == "axial":
        return right - column, front - row, index
    if plane == "coronal":
        return right - column, index, top - row
    return index, front - column, top - row


@dataclass(frozen=True, kw_only=True)
class SlowTruth:
    """What each candidate is, how many lesions count, and the voxels of those that no candidate hits."""

    matches: list[str]
    lesions: int
    missed: list[set[Voxel]]


def slow_matches(labels: np.ndarray, truth: np.ndarray) -> SlowTruth:
    """Candidates 1 to the largest of `labels` against lesions of `truth`, both (I, J, K)."""
    components, count = ndimage.label(truth, np.ones((3, 3, 3)))
    counting = [number for number in range(1, count + 1) if (components == number).sum() > 10]
    matches, hit = [], set()
    for number in range(1, int(labels.max(initial=0)) + 1):
        center = np.argwhere(labels == number).mean(axis=0)
        place = tuple(
            # The higher of two that are equally near.
            min(range(length), key=lambda index, x=x: (abs(index - x), -index))
            for x, length in zip(center, truth.shape, strict=True)
        )
        below = components[place]
        hit.add(below)
        matches.append("hit" if below in counting else "excused" if below else "false")
    missed = [
        {tuple(voxel) for voxel in np.argwhere(components == number).tolist()}
        for number in counting
        if number not in hit
    ]
    return SlowTruth(matches=matches, lesions=len(counting), missed=sorted(missed, key=len, reverse=True))
