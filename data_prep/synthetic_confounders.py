"""Bright structures that healthy and diseased brains of the embedded cohort share: brightness alone tells nothing.

Each function returns opacities in [0, 1], float32, shape `SHAPE`.
"""

from __future__ import annotations

import numpy as np

from data_prep.synthetic_anatomy import SHAPE, SPACING_MM

VESSELS_PER_PATIENT = 360


def draw_vessels(random: np.random.Generator, inside: np.ndarray) -> np.ndarray:
    """Short tubes and dots, 3 to 6 mm wide, anywhere in the brain."""
    opacity = np.zeros(SHAPE, np.float32)
    places = np.argwhere(inside)
    half = (5, 5, 2)
    offsets = np.stack(np.meshgrid(*(np.arange(-h, h + 1) for h in half), indexing="ij"), -1) * SPACING_MM
    for place in places[random.integers(len(places), size=VESSELS_PER_PATIENT)]:
        axes = np.linalg.qr(random.normal(size=(3, 3)))[0]
        radii = np.array([random.uniform(1.2, 2.0), random.uniform(1.2, 2.0), random.uniform(2.0, 4.0)])
        distance2 = (((offsets @ axes) / radii) ** 2).sum(-1)
        tube = (random.uniform(0.6, 1.0) * np.exp(-(distance2**2) / 2)).astype(np.float32)
        low = place - half
        start = np.maximum(low, 0)
        stop = np.minimum(place + half + np.array(1), SHAPE)
        target = tuple(slice(a, b) for a, b in zip(start, stop, strict=True))
        source = tuple(slice(a - c, b - c) for a, b, c in zip(start, stop, low, strict=True))
        np.maximum(opacity[target], tube[source], out=opacity[target])
    return opacity


def draw_sinuses(random: np.random.Generator, atlas_mm: np.ndarray, surface_mm: np.ndarray) -> np.ndarray:
    """The great venous sinuses, 4 to 8 mm wide: along the midline over the top, straight ahead of it, behind, and from
    there down beside the cerebellum.

    Args:
        atlas_mm: position of each voxel in the atlas, (3, *SHAPE).
        surface_mm: distance of each voxel from the brain's surface, negative inside.
    """
    right, front, up = atlas_mm - np.array([random.normal(0, 1.0), 0.0, 0.0])[:, None, None, None]
    width = random.uniform(4, 8, 3)
    # Distances from the border of each, negative inside: an intersection is a maximum, a union a minimum.
    angle = np.degrees(np.arctan2(up - 5, front + 18))  # 0 at the forehead, 90 at the vertex, 180 behind
    angle = np.where(angle < -90, angle + 360, angle)
    start, stop = random.uniform(0, 60), random.uniform(165, 200)
    beyond = 1.4 * np.maximum(start - angle, angle - stop)  # 1.4 mm of the brain's rim in a degree
    sagittal = np.maximum.reduce([abs(right) - width[0] / 2, _rim(surface_mm, width[0]), beyond])
    level = -22 + random.normal(0, 3) - random.uniform(0.0, 0.2) * abs(right)
    behind = front + random.uniform(45, 65)
    transverse = np.maximum.reduce([abs(up - level) - width[1] / 2, _rim(surface_mm, width[1]), behind])
    below = level - up  # the sigmoid sinuses turn forward as they go down
    sigmoid = np.maximum.reduce(
        [abs(front + 58 - 0.5 * below) - 6, _rim(surface_mm, width[1]), 18 - abs(right), -below, below - 34]
    )
    tube = np.hypot(right, up - 12 - 0.55 * (front + 45)) - width[2] / 2
    straight = np.maximum(tube, abs(front + 67) - 22)
    return _soft(np.minimum.reduce([sagittal, transverse, sigmoid, straight]))


def draw_remnants(
    random: np.random.Generator, grid_mm: np.ndarray, surface_mm: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """What stripping the skull has left at the brain's rim: patches of fat and bone, 2 to 6 mm thick, 10 to 40 mm long.

    How many there are differs widely from patient to patient, as the care of the stripping does.

    Args:
        grid_mm: position of each voxel, (3, *SHAPE).
        surface_mm: distance of each voxel from the brain's surface, negative inside.

    Returns:
        The opacity, and the brightness of each voxel's patch relative to a typical one, 0.75 to 1.3.
    """
    opacity, brightness = np.zeros(SHAPE, np.float32), np.ones(SHAPE, np.float32)
    rim = np.argwhere(np.abs(surface_mm) < 1.5)
    by_height = [rim[rim[:, 2] == level] for level in np.unique(rim[:, 2])]
    half = np.array([14, 14, 5])
    for _ in range(int(np.exp(random.uniform(np.log(20), np.log(110))))):
        level = by_height[random.integers(len(by_height))]
        place = level[random.integers(len(level))]
        window = tuple(slice(max(p - h, 0), p + h + 1) for p, h in zip(place, half, strict=True))
        center = grid_mm[(slice(None), *place)][:, None, None, None]
        length, height = random.uniform(10, 40), random.uniform(8, 24)
        radii = np.array([length, length, height])[:, None, None, None] / 2
        beside = (np.sqrt((((grid_mm[(slice(None), *window)] - center) / radii) ** 2).sum(0)) - 1) * radii.min()
        thickness = random.uniform(2, 6)
        shell = np.abs(surface_mm[window] - random.uniform(0.0, 0.5) * thickness) - thickness / 2
        patch = random.uniform(0.8, 1.0) * _soft(np.maximum(beside, shell))
        own = random.uniform(0.75, 1.3)
        brightness[window] = np.where(patch > opacity[window], own, brightness[window])
        np.maximum(opacity[window], patch, out=opacity[window])
    return opacity, brightness


def _rim(surface_mm: np.ndarray, thickness_mm: float) -> np.ndarray:
    """Distance from the border of a layer that reaches 2 mm out of the brain's surface, negative inside."""
    return np.maximum(surface_mm - 2, 2 - thickness_mm - surface_mm)


def _soft(distance_mm: np.ndarray) -> np.ndarray:
    """Opacity at a distance from a border, negative inside: half at the border, which is 1.5 mm wide."""
    return np.clip(0.5 - distance_mm / 1.5, 0, 1).astype(np.float32)
