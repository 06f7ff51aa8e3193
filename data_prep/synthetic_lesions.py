"""Lesions of the embedded cohort: where they lie, how large and irregular they are, what they push aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

EDEMA, CORE, ENHANCING = 2, 1, 4
"""Label values of BraTS masks."""


@dataclass(frozen=True, kw_only=True)
class Lesion:
    """One lesion. `center_mm` is a world position (R, A, S); the radii are along those axes, in mm."""

    center_mm: np.ndarray
    radii_mm: np.ndarray
    roughness: float
    core_share: float
    push: float


def draw_lesions(random: np.random.Generator, places_mm: np.ndarray) -> list[Lesion]:
    """Draw one to three lesions among `places_mm` (N, 3), their heights uniform over the brain.

    Uniform in height, not in volume: most of the brain's volume lies in its middle, and a table of lesion share
    by height would otherwise label slices without looking at them.
    """
    heights = places_mm[:, 2]
    low, high = heights.min(), heights.max()
    lesions = []
    for _ in range(random.integers(1, 4)):
        height = random.uniform(low, high)
        level = places_mm[np.abs(heights - height) < 3]
        lesions.append(
            Lesion(
                center_mm=level[random.integers(len(level))],
                radii_mm=random.uniform(12, 22) * random.uniform(0.8, 1.2, 3),
                roughness=random.uniform(0.06, 0.18),
                core_share=random.uniform(0.4, 0.65),
                push=random.uniform(0.0, 0.25),
            )
        )
    return lesions


def push_aside(position_mm: np.ndarray, grid_mm: np.ndarray, lesions: Sequence[Lesion]) -> np.ndarray:
    """Mass effect: tissue shown near a lesion comes from nearer its center, so it looks displaced outwards.

    Both arrays are (3, I, J, K) in mm: atlas positions to change, and the patient's own voxel positions.
    """
    for lesion in lesions:
        offset = grid_mm - lesion.center_mm[:, None, None, None]
        distance2 = ((offset / (1.5 * lesion.radii_mm[:, None, None, None])) ** 2).sum(0)
        position_mm = position_mm - lesion.push * np.exp(-distance2) * offset
    return position_mm


def lesion_labels(
    grid_mm: np.ndarray, lesions: list[Lesion], white: np.ndarray, inside: np.ndarray, noise: np.ndarray
) -> np.ndarray:
    """Mask of labels 0, 1, 2 and 4, shape (I, J, K), uint8. Edema spreads along white matter."""
    labels = np.zeros(inside.shape, np.uint8)
    for lesion in lesions:
        offset = (grid_mm - lesion.center_mm[:, None, None, None]) / lesion.radii_mm[:, None, None, None]
        depth = np.sqrt((offset**2).sum(0)) + lesion.roughness * noise
        edema = depth - 0.15 * (white - 0.5) < 1
        core = depth < lesion.core_share
        necrosis = depth < lesion.core_share - 0.18
        labels[edema & (labels == 0)] = EDEMA
        labels[core] = ENHANCING
        labels[necrosis] = CORE
    labels[~inside] = 0
    return labels
