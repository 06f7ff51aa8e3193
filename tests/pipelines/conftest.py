"""A home of its own for every test, and folders of patients, runs and evaluations that several test modules read."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anomaly_fpgan import FixedPointGAN
from tests.pipelines import mapped as of_maps
from tests.pipelines.planted_patients import Inputs, write_inputs
from tests.pipelines.spoiled import OPTIONS, SOUND, Sound, arrays, write_patient


@pytest.fixture(autouse=True)
def home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test, so that none makes a salt in that of whoever runs it."""
    return at_home(tmp_path_factory.mktemp("home"), monkeypatch)


def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a folder the home of this user, who has no salt yet; for what outlives a test."""
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("FPGAN_SALT", raising=False)
    return folder


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


@pytest.fixture(scope="session")
def two_channels(fpgan: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained on flair and t1ce of five patients."""
    root = tmp_path_factory.mktemp("two_channels")
    for seed in range(5):
        write_patient(root / "brats", f"T{seed}", seed=20 + seed)
    training = ["--preset=demo", "--set=training.iterations=2", "--set=training.validate_every=1"]
    small = [f"--set=training.networks.{name}=4" for name in ("generator_width", "discriminator_width")]
    for arguments in (
        ["prepare", root / "brats", "--output", root / "cohort", *OPTIONS],
        ["train", root / "cohort", "--output", root / "run", *training, *small],
    ):
        result = fpgan(*arguments)
        assert result.exit_code == 0, result.output
    return root / "run"


@pytest.fixture(scope="session")
def run(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that lists candidates in every patient, so that every kind of file is written."""
    folder = tmp_path_factory.mktemp("sensitive") / "run"
    shutil.copytree(tiny.run, folder)
    model = FixedPointGAN.load(folder)
    for name in ("threshold", "patient_threshold"):
        model.metadata["training"][name] *= 0.3
    model.save(folder / "model.safetensors")
    return folder


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Patients in many formats, with planted texts in all headers."""
    return write_inputs(tmp_path_factory.mktemp("inputs"))


@pytest.fixture(scope="session")
def prepared(fpgan: Callable[..., Any], write_patient: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cohort of other patients than those of `tiny`, who are in the folder `brats` beside it."""
    root = tmp_path_factory.mktemp("others")
    for number in range(6):
        write_patient(root / "brats", f"T{number}", seed=20 + number, lesion=number % 3 != 0)
    result = fpgan("prepare", root / "brats", "--output", root / "cohort", "--size", 32, "--field-of-view-mm", 110)
    assert result.exit_code == 0, result.output
    return root / "cohort"
