"""Small BraTS-like patients, and cohorts prepared from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.case import Case
from data_prep.centering import Window
from data_prep.cohort_writer import finish_cohort, start_cohort, write_patient
from data_prep.layouts.brats import find_brats_cases
from data_prep.layouts.channels import parse_channels
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings

SHAPE = (40, 48, 12)
"""Voxels along left, posterior and superior, the axes of BraTS files."""
AFFINE = np.array([[-4.0, 0, 0, 78], [0, -4, 0, 94], [0, 0, 6, -33], [0, 0, 0, 1]])
"""4 mm pixels: a window of 192 mm is 48 pixels wide, so nothing is resampled to 48 pixels."""
LESION_CORNER = (12, 30)
"""First voxel of every lesion along left and posterior."""
COHORT_LESIONS = [{5: 6, 6: 6}, {}, {4: 8, 7: 3}, {6: 5}, {}, {5: 7}]
"""Patients 1 and 4 are healthy; one slice of patient 2 shows a lesion of only 9 pixels."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def head() -> Callable[..., np.ndarray]:
    """`head(shape)` is an ellipsoid of voxels from 1 to 2 within a background of `outside`, float32."""

    def build(shape: tuple[int, int, int] = SHAPE, outside: float = 0.0, seed: int = 0) -> np.ndarray:
        middles = [(n - 1) / 2 for n in shape]
        offsets = np.meshgrid(*[(np.arange(n) - m) / (0.88 * m) for n, m in zip(shape, middles, strict=True)])
        distance = sum(offset.transpose(1, 0, 2) ** 2 for offset in offsets)
        tissue = np.random.default_rng(seed).uniform(1, 2, shape)
        return np.where(distance <= 1, tissue, outside).astype(np.float32)

    return build


@pytest.fixture
def write_image() -> Callable[..., Path]:
    """`write_image(path, array)` writes one NIfTI file and returns its path."""

    def write(path: Path, array: np.ndarray, affine: np.ndarray = AFFINE) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, affine), path)
        return path

    return write


@pytest.fixture
def write_brats_patient(head: Callable[..., np.ndarray], write_image: Callable[..., Path]) -> Callable[..., Path]:
    """`write_brats_patient(folder, name)` writes `<folder>/<name>/<name>_<modality>.nii.gz` and returns that folder.

    `lesion` maps a slice to the side of the bright square lesion that it shows, in voxels.
    """

    def write(
        folder: Path,
        name: str,
        *,
        lesion: dict[int, int] | None = None,
        modalities: Iterable[str] = ("flair", "t1"),
        affine: np.ndarray = AFFINE,
        outside: float = 0.0,
        seed: int = 0,
    ) -> Path:
        left, posterior = LESION_CORNER
        labels = np.zeros(SHAPE, np.uint8)
        for index, side in (lesion or {}).items():
            labels[left : left + side, posterior : posterior + side, index] = 4
        for number, modality in enumerate(modalities):
            image = head(outside=outside, seed=2 * seed + number)
            image[labels > 0] = 3
            write_image(folder / name / f"{name}_{modality}.nii.gz", image, affine)
        write_image(folder / name / f"{name}_seg.nii.gz", labels, affine)
        return folder / name

    return write


@pytest.fixture
def make_case(tmp_path: Path, write_brats_patient: Callable[..., Path]) -> Callable[..., Case]:
    """`make_case(name)` writes a patient below `source` and finds its files."""

    def make(name: str = "patient", **options: object) -> Case:
        folder = write_brats_patient(tmp_path / "source", name, **options)
        (case,) = find_brats_cases(folder, parse_channels("flair,t1")).cases
        return case

    return make


@pytest.fixture
def make_settings() -> Callable[..., CohortSettings]:
    """`make_settings(size=…, split_seed=…)`: settings of the preparation and of the cohort, by name."""

    def make(**changes: object) -> CohortSettings:
        preparation = {"channels": ("flair", "t1"), "size": (48, 48), "field_of_view_mm": 192.0}
        for name in [name for name in changes if name in Preparation.model_fields]:
            preparation[name] = changes.pop(name)
        return CohortSettings(preparation=Preparation(**preparation), **changes)

    return make


@pytest.fixture
def write_cohort() -> Callable[..., Path]:
    """`write_cohort(output, cases, settings)` prepares all cases and finishes the cohort."""

    def write(output: Path, cases: list[Case], settings: CohortSettings) -> Path:
        start_cohort(output, settings)
        for case in cases:
            write_patient(case, settings, output)
        finish_cohort(output, [case.patient for case in cases], [], settings)
        return output

    return write


@pytest.fixture
def settings(make_settings: Callable[..., CohortSettings]) -> CohortSettings:
    return make_settings(split_shares=(0.5, 0.25, 0.25))


@pytest.fixture
def cases(make_case: Callable[..., Case]) -> list[Case]:
    return [make_case(f"{n:03d}", lesion=lesion, seed=n) for n, lesion in enumerate(COHORT_LESIONS)]


@pytest.fixture
def cohort_folder(
    tmp_path: Path, cases: list[Case], settings: CohortSettings, write_cohort: Callable[..., Path]
) -> Path:
    return write_cohort(tmp_path / "cohort", cases, settings)


@pytest.fixture
def see() -> Callable[..., np.ndarray]:
    """`see(window, slices)` is all that the window shows of slices (S, rows, columns): (S, H, W) float32."""

    def build(window: Window, slices: np.ndarray, *, outside: float = 0.0) -> np.ndarray:
        images = np.full((len(slices), *window.size), outside, np.float32)
        rows, columns = window.source_shape
        for place, values in window.apply(slices, (slice(0, rows), slice(0, columns)), outside=outside):
            images[place] = values
        return images

    return build
