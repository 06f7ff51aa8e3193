"""Shared builders: the command line, and one tiny cohort, run and evaluation for all tests that only read them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from typer.testing import CliRunner

from pipelines.cli import app

ROTATED_ANISOTROPIC = np.array(
    # 0.8 and 1.5 mm pixels, 4 mm slices; turned by 20 degrees about the z axis; columns run left, rows posterior
    [
        [-0.8 * np.cos(0.35), 1.5 * np.sin(0.35), 0, 30],
        [-0.8 * np.sin(0.35), -1.5 * np.cos(0.35), 0, 25],
        [0, 0, 4.0, -20],
        [0, 0, 0, 1],
    ]
)


def invoke(*arguments: object) -> Any:
    """Run `fpgan` as from a shell; the result has `exit_code`, `output` and `exception`."""
    return CliRunner().invoke(app, [os.fspath(a) if isinstance(a, Path) else str(a) for a in arguments])


@pytest.fixture(scope="session")
def fpgan() -> Callable[..., Any]:
    return invoke


def draw_head(random: np.random.Generator, *, lesion: bool) -> tuple[np.ndarray, np.ndarray]:
    """A brain-like volume (60, 72, 12) int16 with background 0, and its mask."""
    i, j, k = np.indices((60, 72, 12))
    head = ((i - 30) / 24) ** 2 + ((j - 36) / 30) ** 2 + ((k - 5.5) / 9) ** 2 < 1
    volume = np.where(head, random.normal(400, 30, head.shape), 0)
    mask = np.zeros(head.shape, np.uint8)
    if lesion:
        center = random.uniform([20, 24, 3], [40, 48, 6])
        distance = np.sqrt(sum(((a - c) / r) ** 2 for a, c, r in zip((i, j, k), center, (7, 8, 2.5), strict=True)))
        mask[(distance < 1) & head] = 2
        mask[(distance < 0.5) & head] = 4
    volume[mask > 0] = random.normal(800, 20, int((mask > 0).sum()))
    return np.where(head, np.clip(volume, 1, None), 0).astype(np.int16), mask


def write_brats_patient(
    root: Path, name: str, *, seed: int, lesion: bool = True, affine: np.ndarray = ROTATED_ANISOTROPIC
) -> Path:
    """A patient folder in BraTS naming with flair, t1ce and mask."""
    random = np.random.default_rng(seed)
    volume, mask = draw_head(random, lesion=lesion)
    folder = root / name
    folder.mkdir(parents=True)
    for modality, array in (("flair", volume), ("t1ce", volume + 10 * (volume > 0)), ("seg", mask)):
        image = nib.Nifti1Image(array.astype(np.int16), affine)
        image.to_filename(folder / f"{name}_{modality}.nii.gz")
    return folder


@pytest.fixture(scope="session")
def write_patient() -> Callable[..., Path]:
    return write_brats_patient


@dataclass(frozen=True)
class Tiny:
    """Folders of one small, finished project."""

    brats: Path
    cohort: Path
    run: Path
    evaluation: Path


TINY_TRAINING = [
    # Six iterations with the patent's losses change enough to leave candidates, which tests of reports need.
    "--preset=patent",
    "--set=training.iterations=6",
    "--set=training.validate_every=3",
    "--set=training.log_every=20",
    "--set=training.batch_size=4",
    "--set=training.critic_steps=3",
    "--set=training.learning_rate=5e-4",
    "--set=training.averaging=0.98",
    "--set=training.networks.generator_width=4",
    "--set=training.networks.residual_blocks=1",
    "--set=training.networks.discriminator_width=4",
    "--set=training.networks.discriminator_depth=4",
    "--set=training.networks.output_rule=additive",
    "--set=training.losses.identity=10",
]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Eight patients, two of them healthy, prepared at 32 × 32, trained for six iterations and evaluated."""
    root = tmp_path_factory.mktemp("tiny")
    project = Tiny(root / "brats", root / "cohort", root / "run", root / "evaluation")
    for number in range(8):
        write_brats_patient(project.brats, f"P{number}", seed=number, lesion=number % 4 != 0)
    for arguments in (
        ["prepare", project.brats, "--output", project.cohort, "--size", 32, "--field-of-view-mm", 110],
        ["train", project.cohort, "--output", project.run, *TINY_TRAINING],
        ["evaluate", project.run, project.cohort, "--output", project.evaluation],
    ):
        result = invoke(*arguments)
        assert result.exit_code == 0, result.output
    return project


@pytest.fixture(scope="session")
def tiny_training() -> list[str]:
    """Options of a training of six iterations."""
    return list(TINY_TRAINING)


@pytest.fixture
def rotated_anisotropic() -> np.ndarray:
    """An affine turned by 20 degrees with three different spacings, of (60, 72, 12) voxels."""
    return ROTATED_ANISOTROPIC.copy()
