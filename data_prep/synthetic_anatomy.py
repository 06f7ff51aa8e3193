"""Anatomy of the embedded cohort: the atlas, the grid of the files, and each patient's own deformation of it."""

from __future__ import annotations

from functools import cache
from importlib import resources

import nibabel as nib
import numpy as np
from isal import igzip
from scipy import ndimage
from scipy.spatial.transform import Rotation

SHAPE = (128, 148, 44)
"""Voxels along left, posterior, superior: the axes of BraTS files."""
SPACING_MM = (1.5, 1.5, 4.0)
ORIGIN_MM = (95.0, 92.0, -84.0)
"""World position (R, A, S) of voxel (0, 0, 0)."""

ATLAS_ORIGIN_MM = np.array([-98.0, -134.0, -72.0])
"""World position of the atlas maps' first voxel; their voxels are 1 mm."""
_DISTANCE_STEP = 2
"""Every how many voxels of the atlas the distance to its surface is known: a transform of all would take seconds."""


def patient_affine() -> np.ndarray:
    """Voxel to world (RAS+, mm), shape (4, 4). Files run left and posterior, as BraTS files do."""
    affine = np.diag([-SPACING_MM[0], -SPACING_MM[1], SPACING_MM[2], 1.0])
    affine[:3, 3] = ORIGIN_MM
    return affine


@cache
def voxel_positions_mm() -> np.ndarray:
    """World position of each voxel, (3, *SHAPE) float32."""
    affine = patient_affine()
    index = np.indices(SHAPE, dtype=np.float32)
    return np.stack([affine[a, a] * index[a] + affine[a, 3] for a in range(3)]).astype(np.float32)


@cache
def brain_points_mm() -> np.ndarray:
    """World positions of tissue that may be a lesion's center, (N, 3): not so near the surface that most is cut off."""
    gray, white, brain = tissue_maps()
    deep = ndimage.binary_erosion(brain > 0, iterations=6)
    return np.argwhere(deep & (gray + white > 0.6))[::7] + ATLAS_ORIGIN_MM


@cache
def tissue_maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gray matter, white matter and brain of the atlas: shares in [0, 1], float32, 1 mm, RAS+."""
    t1, gray, white = (_atlas_map(tissue) for tissue in ("t1", "gm", "wm"))
    # The atlas leaves fluid out; a closed and filled outline of the tissue puts ventricles and sulci back.
    outline = ndimage.binary_closing(t1 > 0.05, iterations=4)
    brain = ndimage.binary_fill_holes(outline).astype(np.float32)
    return gray, white, brain


def sample(tissue: np.ndarray, position_mm: np.ndarray) -> np.ndarray:
    """A map of the atlas at positions (3, I, J, K) in mm: (I, J, K), 0 outside the atlas."""
    return ndimage.map_coordinates(tissue, position_mm - ATLAS_ORIGIN_MM[:, None, None, None], order=1, prefilter=False)


def sample_surface_distance_mm(position_mm: np.ndarray) -> np.ndarray:
    """Distance from the surface of the atlas brain at positions (3, I, J, K) in mm: (I, J, K), negative inside."""
    index = (position_mm - ATLAS_ORIGIN_MM[:, None, None, None]) / _DISTANCE_STEP
    return ndimage.map_coordinates(_surface_distances_mm(), index, order=1, prefilter=False, mode="nearest")


def deform(grid: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Positions in the atlas, (3, *SHAPE) mm, that the patient's voxels at `grid` show."""
    turn_x, turn_y, turn_z = random.normal(0, 4, 3)
    scale = random.normal(1.0, 0.04, 3)
    matrix = Rotation.from_euler("XYZ", [turn_x, -turn_y, turn_z], degrees=True).as_matrix() @ np.diag(1 / scale)
    center = np.array([0.0, -18.0, 8.0])
    shift = random.normal(0, 2, 3)
    moved = np.einsum("ij,jabc->iabc", matrix, grid - center[:, None, None, None])
    elastic = np.stack([3.5 * smooth_noise(random, 30.0) for _ in range(3)])
    return moved + (center + shift)[:, None, None, None] + elastic


def smooth_noise(random: np.random.Generator, scale_mm: float) -> np.ndarray:
    """Gaussian noise of unit variance, smooth over about `scale_mm`, shape `SHAPE`."""
    # Drawn on a coarse grid and interpolated: a wide filter on the full grid would cost a hundred times as much.
    coarse = [max(2, int(np.ceil(n * mm / scale_mm)) + 2) for n, mm in zip(SHAPE, SPACING_MM, strict=True)]
    coarse = [min(c, n) for c, n in zip(coarse, SHAPE, strict=True)]
    noise = random.normal(size=coarse).astype(np.float32)
    smooth = ndimage.zoom(noise, [n / c for n, c in zip(SHAPE, coarse, strict=True)], order=1, grid_mode=False)
    return smooth / smooth.std()


@cache
def _surface_distances_mm() -> np.ndarray:
    brain = tissue_maps()[2][::_DISTANCE_STEP, ::_DISTANCE_STEP, ::_DISTANCE_STEP] > 0.5
    distance = ndimage.distance_transform_edt(~brain) - ndimage.distance_transform_edt(brain)
    return (_DISTANCE_STEP * distance).astype(np.float32)


def _atlas_map(tissue: str) -> np.ndarray:
    folder = resources.files("nilearn") / "datasets" / "data"
    packed = (folder / f"mni_icbm152_{tissue}_tal_nlin_sym_09a_converted.nii.gz").read_bytes()
    image = nib.Nifti1Image.from_bytes(igzip.decompress(packed))
    return np.asarray(image.dataobj).astype(np.float32) / 255
