"""The hard variant of the embedded cohort: several scanners, lesions small or faint, bright healthy structures.

Nothing here is bright for being a lesion: vessels, venous sinuses, and remnants of fat and skull at the brain's rim, or
fluid, are as bright or brighter in every contrast, in healthy and in diseased slices at every height.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from data_prep.synthetic_anatomy import (
    SHAPE,
    SPACING_MM,
    brain_points_mm,
    deform,
    sample,
    sample_surface_distance_mm,
    smooth_noise,
    tissue_maps,
    voxel_positions_mm,
)
from data_prep.synthetic_confounders import draw_remnants, draw_sinuses, draw_vessels
from data_prep.synthetic_default import CONTRASTS
from data_prep.synthetic_faint_lesions import CYST, draw_faint_lesions, faint_lesion_maps
from data_prep.synthetic_lesions import CORE, EDEMA, ENHANCING, push_aside

_MORE_SIGNALS = {  # relative signal of a cyst, vessels, venous sinuses, remnants; those of tissues are `CONTRASTS`
    "t1": (0.20, 0.80, 0.70, 1.10),
    "t1ce": (0.20, 1.25, 1.35, 1.30),
    "t2": (0.92, 0.30, 0.35, 1.05),
    "flair": (0.18, 1.30, 1.00, 1.30),
}


def synthesize_hard(random: np.random.Generator, *, healthy: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The volume of each contrast, int16 with a background of 0, and labels 0, 1, 2 and 4; all of shape `SHAPE`."""
    grid = voxel_positions_mm()
    position = deform(grid, random)
    lesions = [] if healthy else draw_faint_lesions(random, brain_points_mm(), position, grid)
    position = push_aside(position, grid, lesions)
    gray, white = (sample(tissue, position) for tissue in tissue_maps()[:2])
    surface = sample_surface_distance_mm(position)
    # No two strippings of the skull follow the same outline.
    inside = surface < random.uniform(-0.5, 1.5) + 0.7 * smooth_noise(random, 12.0)
    material, opacity = faint_lesion_maps(grid, lesions, white, inside, smooth_noise(random, 8.0))
    remnants, brightness = draw_remnants(random, grid, surface)
    sinuses = draw_sinuses(random, position, surface)
    scene = _Scene(
        tissues=(gray, white, np.clip(1 - gray - white, 0, 1)),
        material=material,
        opacity=opacity,
        vessels=draw_vessels(random, inside),
        sinuses=sinuses,
        remnants=remnants,
        brightness=brightness,
        foreground=inside | (remnants > 0.3) | ((sinuses > 0.3) & (surface < 3)),
    )
    scanner = _Scanner.draw(random)
    channels = {contrast: _scan(scene, contrast, scanner, random) for contrast in CONTRASTS}
    return channels, np.where(material == CYST, CORE, material).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """What a patient's voxels hold, each array of shape `SHAPE`."""

    tissues: tuple[np.ndarray, np.ndarray, np.ndarray]
    material: np.ndarray
    opacity: np.ndarray
    vessels: np.ndarray
    sinuses: np.ndarray
    remnants: np.ndarray
    brightness: np.ndarray
    foreground: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _Scanner:
    """One scanner: strength of its bias field and noise relative to signals, its blur in mm, texture of its tissue."""

    bias: float
    noise: float
    blur_mm: float
    texture: float

    @classmethod
    def draw(cls, random: np.random.Generator) -> _Scanner:
        return cls(
            bias=random.uniform(0.03, 0.2),
            noise=random.uniform(0.015, 0.04),
            blur_mm=random.uniform(0, 1),
            texture=random.uniform(0.5, 1.5),
        )


def _scan(scene: _Scene, contrast: str, scanner: _Scanner, random: np.random.Generator) -> np.ndarray:
    """One contrast as int16, with this patient's own tissue signals, and gamma and gain of the scan."""
    gray, white, fluid, edema, core, rim, cyst, vessel, sinus, remnant = np.array(
        CONTRASTS[contrast] + _MORE_SIGNALS[contrast]
    ) + random.uniform(-0.05, 0.05, 10)
    signal = sum(level * share for level, share in zip((gray, white, fluid), scene.tissues, strict=True))
    levels = np.zeros(256, np.float32)
    levels[[EDEMA, CORE, ENHANCING, CYST]] = edema, core, rim, cyst
    # Levels are averaged over the lesion alone, so that its edge fades to the tissue around and not to black.
    blur = (0.8, 0.8, 0.3)
    share = ndimage.gaussian_filter((scene.material > 0).astype(np.float32), blur)
    level = ndimage.gaussian_filter(levels[scene.material], blur) / np.maximum(share, 1e-3)
    signal = signal * (1 - scene.opacity) + level * scene.opacity
    for opacity, bright in (
        (scene.vessels, vessel),
        (scene.sinuses, sinus),
        (scene.remnants, remnant * scene.brightness),
    ):
        signal = signal * (1 - opacity) + bright * opacity
    signal += scanner.texture * (0.025 * smooth_noise(random, 2.5) + 0.015 * smooth_noise(random, 1.2))
    signal = np.maximum(signal, 0) ** random.uniform(0.75, 1.35)
    signal *= np.exp(scanner.bias * smooth_noise(random, 60.0))
    sigma = scanner.blur_mm / np.array(SPACING_MM)
    signal = ndimage.gaussian_filter(signal, (sigma[0], sigma[1], 0))
    noise = scanner.noise * random.standard_normal((2, *SHAPE), np.float32)
    signal = np.hypot(signal + noise[0], noise[1])  # magnitude of a complex signal: Rician noise
    gain = random.uniform(300, 1200)
    return np.where(scene.foreground, np.clip(signal * gain, 1, 32767), 0).astype(np.int16)
