"""The default variant of the embedded cohort: large lesions at full contrast, small bright vessels in every brain."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from data_prep.synthetic_anatomy import (
    SHAPE,
    brain_points_mm,
    deform,
    sample,
    sample_surface_distance_mm,
    smooth_noise,
    tissue_maps,
    voxel_positions_mm,
)
from data_prep.synthetic_confounders import draw_sinuses, draw_vessels
from data_prep.synthetic_lesions import draw_lesions, lesion_labels, push_aside

CONTRASTS = {  # relative signal of gray matter, white matter, fluid, edema, core, enhancing rim
    "t1": (0.52, 0.75, 0.14, 0.46, 0.34, 0.44),
    "t1ce": (0.60, 0.72, 0.18, 0.58, 0.36, 1.10),
    "t2": (0.58, 0.42, 0.95, 0.78, 0.72, 0.66),
    "flair": (0.55, 0.40, 0.10, 0.86, 0.79, 0.88),
}
VESSEL_SIGNAL = {"t1": 0.6, "t1ce": 1.1, "t2": 0.25, "flair": 1.46}
SINUS_SIGNAL = {"t1ce": 1.2}
"""Of the great venous sinuses, which stand out from the fluid around them where a contrast agent fills them."""


def synthesize_default(random: np.random.Generator, *, healthy: bool) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The volume of each contrast, int16 with a background of 0, and labels 0, 1, 2 and 4; all of shape `SHAPE`."""
    lesions = [] if healthy else draw_lesions(random, brain_points_mm())
    grid = voxel_positions_mm()
    position = push_aside(deform(grid, random), grid, lesions)
    gray, white, brain = (sample(tissue, position) for tissue in tissue_maps())
    inside = brain > 0.5
    fluid = np.clip(1 - gray - white, 0, 1)
    labels = lesion_labels(grid, lesions, white, inside, smooth_noise(random, 14.0))
    vessels = draw_vessels(random, inside)
    # Random numbers of their own: contrasts that do not show them do not depend on them.
    sinuses = draw_sinuses(random.spawn(1)[0], position, sample_surface_distance_mm(position))
    channels = {
        contrast: _render(contrast, (gray, white, fluid), labels, vessels, sinuses, inside, random)
        for contrast in CONTRASTS
    }
    return channels, labels


def _render(
    contrast: str,
    tissues: tuple[np.ndarray, np.ndarray, np.ndarray],
    labels: np.ndarray,
    vessels: np.ndarray,
    sinuses: np.ndarray,
    inside: np.ndarray,
    random: np.random.Generator,
) -> np.ndarray:
    """One contrast of one patient as int16, with this patient's own tissue signals and scanner gain."""
    gray, white, fluid, edema, core, rim = np.array(CONTRASTS[contrast]) + random.normal(0, 0.02, 6)
    signal = sum(level * share for level, share in zip((gray, white, fluid), tissues, strict=True))
    lesion_signal = np.select([labels == 2, labels == 1, labels == 4], [edema, core, rim], 0.0)
    # A soft border: scanners average over a voxel, and a hard edge would be an answer that needs no learning.
    blur = (0.8, 0.8, 0.3)
    share = ndimage.gaussian_filter((labels > 0).astype(np.float32), blur)
    level = ndimage.gaussian_filter(lesion_signal.astype(np.float32), blur) / np.maximum(share, 1e-3)
    opacity = share * random.uniform(0.85, 1.0)
    signal = signal * (1 - opacity) + level * opacity
    signal = signal * (1 - vessels) + VESSEL_SIGNAL[contrast] * vessels
    if contrast in SINUS_SIGNAL:
        signal = signal * (1 - sinuses) + SINUS_SIGNAL[contrast] * sinuses
    signal += 0.025 * smooth_noise(random, 2.5) + 0.015 * smooth_noise(random, 1.2)
    signal *= np.exp(0.05 * smooth_noise(random, 30.0))
    noise = random.normal(0, 0.02, (2, *SHAPE)).astype(np.float32)
    signal = np.hypot(signal + noise[0], noise[1])  # magnitude of a complex signal: Rician noise
    gain = random.uniform(300, 1200)
    return np.where(inside, np.clip(signal * gain, 1, 32767), 0).astype(np.int16)
