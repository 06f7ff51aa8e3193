"""Lesions of the hard variant of the embedded cohort: many are small, many are faint, each in its own way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data_prep.synthetic_lesions import CORE, EDEMA, ENHANCING, Lesion

CYST = 3
"""Material of a core that is filled with fluid; masks call it core."""


@dataclass(frozen=True, kw_only=True)
class FaintLesion(Lesion):
    """A lesion with a contrast of its own.

    `opacity` is its share of the full contrast, up to 1. `tissue` is EDEMA or ENHANCING where the lesion is of one
    tissue; CORE or CYST where it has that core, a rim around it and edema around both.
    """

    opacity: float
    tissue: int


def draw_faint_lesions(
    random: np.random.Generator, places_mm: np.ndarray, atlas_mm: np.ndarray, grid_mm: np.ndarray
) -> list[FaintLesion]:
    """Draw one to five lesions, their heights uniform over the brain, about half of them 3 to 12 mm in diameter.

    The rest are 12 to 30 mm in diameter. Lesions lie apart from each other, and each center is a voxel's, so that the
    smallest shows in a slice too.

    Args:
        places_mm: positions in the atlas that may be centers, (N, 3).
        atlas_mm: position of each voxel in the atlas, (3, I, J, K).
        grid_mm: position of each voxel in the patient, (3, I, J, K).
    """
    low, high = places_mm[:, 2].min(), places_mm[:, 2].max()
    lesions: list[FaintLesion] = []
    wanted = random.integers(1, 6)
    while len(lesions) < wanted:
        is_small = random.random() < 0.5
        radius = random.uniform(3, 12) / 2 if is_small else random.uniform(12, 30) / 2
        level = places_mm[np.abs(places_mm[:, 2] - random.uniform(low, high)) < 3]
        place = level[random.integers(len(level))]
        nearest = np.argmin(((atlas_mm - place[:, None, None, None]) ** 2).sum(0))
        center = grid_mm.reshape(3, -1)[:, nearest].astype(float)
        if any(np.linalg.norm(center - other.center_mm) < radius + other.radii_mm.max() + 4 for other in lesions):
            continue
        lesions.append(
            FaintLesion(
                center_mm=center,
                radii_mm=radius * random.uniform(0.85, 1.15, 3),
                roughness=random.uniform(0.05, 0.18),
                core_share=random.uniform(0.4, 0.65),
                push=0.0 if is_small else random.uniform(0.0, 0.25),
                # At the lowest contrast, what is a few voxels wide would be lost in noise.
                opacity=random.uniform(0.6 if is_small else 0.35, 1.0),
                tissue=int(random.choice([EDEMA, ENHANCING] if is_small else [CORE, CYST])),
            )
        )
    return lesions


def faint_lesion_maps(
    grid_mm: np.ndarray, lesions: list[FaintLesion], white: np.ndarray, inside: np.ndarray, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What each voxel's lesion is made of, 0, 1, 2, `CYST` or 4 as uint8, and its opacity, float32; both (I, J, K).

    The opacity fades over 1.5 mm, half of it outside the lesion.
    """
    material, opacity = np.zeros(inside.shape, np.uint8), np.zeros(inside.shape, np.float32)
    for lesion in lesions:
        offset = (grid_mm - lesion.center_mm[:, None, None, None]) / lesion.radii_mm[:, None, None, None]
        depth = np.sqrt((offset**2).sum(0)) + lesion.roughness * noise
        own = np.full(depth.shape, lesion.tissue, np.uint8)
        if lesion.tissue in (CORE, CYST):
            own[depth >= lesion.core_share - 0.18] = ENHANCING
            own[depth >= lesion.core_share] = EDEMA
            depth = depth - 0.15 * (white - 0.5)  # edema spreads along white matter
        material = np.where((depth < 1) & inside, own, material)
        share = np.clip(0.5 + (1 - depth) * lesion.radii_mm.mean() / 1.5, 0, 1)
        np.maximum(opacity, lesion.opacity * share, out=opacity, casting="same_kind")
    return material, opacity
