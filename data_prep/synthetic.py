"""The embedded cohort: BraTS-like patients with known lesions, built without a network.

Anatomy comes from the MNI152 T1, gray-matter and white-matter maps that the nilearn package carries (ICBM 2009a
nonlinear symmetric atlas). Each patient is that anatomy under a random affine and a smooth elastic deformation, seen
in four contrasts with a bias field, texture and Rician noise. Lesions have edema, core and enhancing rim.

The cohort is made to be hard for answers that need no learning: small bright vessels lie in every brain, healthy or
not, and lesions at every height, so neither the brightest pixel nor the height of a slice gives the label away.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from scipy import ndimage
from scipy.spatial.transform import Rotation

from data_prep.readers.nifti import write_nifti
from data_prep.synthetic_lesions import draw_lesions, lesion_labels, push_aside

SHAPE = (128, 148, 44)
"""Voxels along left, posterior, superior: the axes of BraTS files."""
SPACING_MM = (1.5, 1.5, 4.0)
ORIGIN_MM = (95.0, 92.0, -84.0)
"""World position (R, A, S) of voxel (0, 0, 0)."""

CONTRASTS = {  # relative signal of gray matter, white matter, fluid, edema, core, enhancing rim
    "t1": (0.52, 0.75, 0.14, 0.46, 0.34, 0.44),
    "t1ce": (0.52, 0.75, 0.14, 0.46, 0.34, 0.95),
    "t2": (0.58, 0.42, 0.95, 0.78, 0.72, 0.66),
    "flair": (0.55, 0.40, 0.10, 0.86, 0.79, 0.88),
}
VESSEL_SIGNAL = {"t1": 0.6, "t1ce": 0.95, "t2": 0.25, "flair": 1.46}
VESSELS_PER_PATIENT = 360
ATLAS_ORIGIN_MM = np.array([-98.0, -134.0, -72.0])
"""World position of the atlas maps' first voxel; their voxels are 1 mm."""


@dataclass(frozen=True, kw_only=True)
class SyntheticPatient:
    """One patient. `channels` maps a contrast to its volume, shape `SHAPE`; `labels` holds 0, 1, 2 and 4."""

    name: str
    channels: dict[str, np.ndarray]
    labels: np.ndarray


def write_synthetic_patient(number: int, output: Path, *, seed: int = 0) -> Path:
    """Write patient `number` of the cohort `seed` below `output` in BraTS 2020 naming and return its folder.

    The same number and seed give the same bytes, whatever other patients are written. Every fourth is healthy.
    """
    patient = synthesize_patient(number, seed=seed)
    folder = Path(output) / patient.name
    folder.mkdir(parents=True, exist_ok=True)
    affine = patient_affine()
    for contrast, volume in patient.channels.items():
        write_nifti(folder / f"{patient.name}_{contrast}.nii.gz", volume, affine)
    write_nifti(folder / f"{patient.name}_seg.nii.gz", patient.labels, affine)
    return folder


def synthesize_patient(number: int, *, seed: int = 0) -> SyntheticPatient:
    """Build patient `number` of the cohort `seed`; volumes are int16 like BraTS files, background exactly 0."""
    random = np.random.default_rng([seed, number])
    lesions = [] if number % 4 == 0 else draw_lesions(random, _brain_points_mm())
    grid = _voxel_positions_mm()
    position = push_aside(_deform(grid, random), grid, lesions)
    gray, white, brain = (_sample(tissue, position) for tissue in _anatomy())
    inside = brain > 0.5
    fluid = np.clip(1 - gray - white, 0, 1)
    labels = lesion_labels(grid, lesions, white, inside, _smooth_noise(random, 14.0))
    vessels = _vessels(random, inside)
    channels = {
        contrast: _render(contrast, (gray, white, fluid), labels, vessels, inside, random) for contrast in CONTRASTS
    }
    return SyntheticPatient(name=f"Synthetic_{seed}_{number:03d}", channels=channels, labels=labels)


def patient_affine() -> np.ndarray:
    """Voxel to world (RAS+, mm), shape (4, 4). Files run left and posterior, as BraTS files do."""
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = ORIGIN_MM
    return affine


def _render(
    contrast: str,
    tissues: tuple[np.ndarray, np.ndarray, np.ndarray],
    labels: np.ndarray,
    vessels: np.ndarray,
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
    signal += 0.025 * _smooth_noise(random, 2.5) + 0.015 * _smooth_noise(random, 1.2)
    signal *= np.exp(0.05 * _smooth_noise(random, 30.0))
    noise = random.normal(0, 0.02, (2, *SHAPE)).astype(np.float32)
    signal = np.hypot(signal + noise[0], noise[1])  # magnitude of a complex signal: Rician noise
    gain = random.uniform(300, 1200)
    return np.where(inside, np.clip(signal * gain, 1, 32767), 0).astype(np.int16)


def _vessels(random: np.random.Generator, inside: np.ndarray) -> np.ndarray:
    """Opacity (0 to 1) of short bright tubes and dots, 3 to 6 mm wide, anywhere in the brain."""
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


def _deform(grid: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions in the atlas, (3, *SHAPE) mm, that the patient's voxels at `grid` show."""
    turn_x, turn_y, turn_z = random.normal(0, 4, 3)
    scale = random.normal(1.0, 0.04, 3)
    matrix = Rotation.from_euler("XYZ", [turn_x, -turn_y, turn_z], degrees=True).as_matrix() @ np.diag(1 / scale)
    center = np.array([0.0, -18.0, 8.0])
    shift = random.normal(0, 2, 3)
    moved = np.einsum("ij,jabc->iabc", matrix, grid - center[:, None, None, None])
    elastic = np.stack([3.5 * _smooth_noise(random, 30.0) for _ in range(3)])
    return moved + (center + shift)[:, None, None, None] + elastic


def _smooth_noise(random: np.random.Generator, scale_mm: float) -> np.ndarray:
    """Gaussian noise of unit variance, smooth over about `scale_mm`, shape `SHAPE`."""
    # Drawn on a coarse grid and interpolated: a wide filter on the full grid would cost a hundred times as much.
    coarse = [max(2, int(np.ceil(n * mm / scale_mm)) + 2) for n, mm in zip(SHAPE, SPACING_MM, strict=True)]
    coarse = [min(c, n) for c, n in zip(coarse, SHAPE, strict=True)]
    noise = random.normal(size=coarse).astype(np.float32)
    smooth = ndimage.zoom(noise, [n / c for n, c in zip(SHAPE, coarse, strict=True)], order=1, grid_mode=False)
    return smooth / smooth.std()


@cache
def _anatomy() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gray matter, white matter and brain of the atlas: shares in [0, 1], float32, 1 mm, RAS+."""
    t1, gray, white = (_atlas_map(tissue) for tissue in ("t1", "gm", "wm"))
    # The atlas leaves fluid out; a closed and filled outline of the tissue puts ventricles and sulci back.
    outline = ndimage.binary_closing(t1 > 0.05, iterations=4)
    brain = ndimage.binary_fill_holes(outline).astype(np.float32)
    return gray, white, brain


def _atlas_map(tissue: str) -> np.ndarray:
    folder = resources.files("nilearn") / "datasets" / "data"
    packed = (folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz").read_bytes()
    image = nib.Nifti1Image.from_bytes(igzip.decompress(packed))
    return np.asarray(image.dataobj).astype(np.float32) / 255


def _sample(tissue: np.ndarray, position_mm: np.ndarray) -> np.ndarray:
    return ndimage.map_coordinates(tissue, position_mm - ATLAS_ORIGIN_MM[:, None, None, None], order=1, prefilter=False)


@cache
def _voxel_positions_mm() -> np.ndarray:
    """World position of each voxel, (3, *SHAPE) float32."""
    affine = patient_affine()
    index = np.indices(SHAPE, dtype=np.float32)
    return np.stack([affine[a, a] * index[a] + affine[a, 3] for a in range(3)]).astype(np.float32)


@cache
def _brain_points_mm() -> np.ndarray:
    """World positions of tissue that may be a lesion's center, (N, 3): not so near the surface that most is cut off."""
    gray, white, brain = _anatomy()
    deep = ndimage.binary_erosion(brain > 0, iterations=6)
    return np.argwhere(deep & (gray + white > 0.6))[::7] + ATLAS_ORIGIN_MM
