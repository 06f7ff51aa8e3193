"""Folders of patients for the tests of bad input to `fpgan prepare`, and of evaluations without a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines import mapped as of_maps
from tests.pipelines.spoiled import OPTIONS, SOUND, Sound, arrays, write_patient


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any]) -> Sound:
    """Three sound patients, A, C and D, and the arrays they become."""
    root = tmp_path_factory.mktemp("sound")
    for seed, name in enumerate(SOUND):
        write_patient(root / "brats", name, seed=seed)
    result = fpgan("prepare", root / "brats", "--output", root / "cohort", *OPTIONS)
    assert result.exit_code == 0, result.output
    return Sound(root / "brats", arrays(root / "cohort"))


@pytest.fixture
def brats(tmp_path: Path, sound: Sound) -> Path:
    """A copy of the sound patients, with another one, B, for a test to spoil."""
    shutil.copytree(sound.folder, tmp_path / "brats")
    write_patient(tmp_path / "brats", "B", seed=9)
    return tmp_path / "brats"


@pytest.fixture(scope="session")
def mapped(
    tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any], write_patient: Callable[..., Path]
) -> of_maps.Mapped:
    """Twelve patients and three evaluations of maps, on seven of them with thresholds from three others."""
    root = tmp_path_factory.mktemp("mapped")
    names = [f"P{number}" for number in range(12)]
    for number, name in enumerate(names):
        write_patient(root / "brats", name, seed=number, lesion=name not in of_maps.HEALTHY)
    splits = {**dict.fromkeys(of_maps.VALIDATION, "validation"), **dict.fromkeys(of_maps.TEST, "test")}
    lines = [f"{name},{splits.get(name, 'train')}" for name in names]
    (root / "splits.csv").write_text("\n".join(["patient,split", *lines]))
    project = of_maps.Mapped(
        *(root / name for name in ("brats", "splits.csv", "cohort", "masks", "exact", "noisy", "noisier"))
    )
    of_maps.prepare(fpgan, project.brats, project.cohort, project.splits)
    of_maps.write_masks(project.masks, project.brats)
    of_maps.evaluate_maps(fpgan, project.masks, project.cohort, project.exact, of_maps.SOME)
    for output, noise in ((project.noisy, 0.1), (project.noisier, 0.3)):
        maps = of_maps.write_noisy(root / f"{output.name}_maps", project.brats, noise=noise)
        of_maps.evaluate_maps(fpgan, maps, project.cohort, output, of_maps.SOME)
    return project
