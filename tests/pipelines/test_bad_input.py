"""What goes wrong with inputs to `train`, `evaluate` and `report`: one clear line, the right code, nothing lost."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def patients(tmp_path: Path, tiny: Any) -> Path:
    """A copy of the tiny BraTS folder that a test may damage."""
    return Path(shutil.copytree(tiny.brats, tmp_path / "brats"))


def test_a_bad_patient_does_not_stop_reports_on_others(
    fpgan: Callable[..., Any], patients: Path, tiny: Any, tmp_path: Path
) -> None:
    file = patients / "P3" / "P3_flair.nii.gz"
    file.write_bytes(file.read_bytes()[:3000])
    output = tmp_path / "reports"
    result = fpgan("report", tiny.run, patients / "P3", patients / "P2", "--output", output)
    assert result.exit_code == 1
    assert (output / "P2" / "report.html").is_file()
    assert not list(output.glob("*P3*"))
    reason = f"{file}: holds damaged or truncated compressed data"
    assert f"warning: left out P3: {reason}" in result.output
    for page in ("index.html", "failures.csv"):
        assert reason in (output / page).read_text()


def test_outputs_are_never_overwritten_silently(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    before = {path: path.stat().st_mtime_ns for path in tiny.cohort.parent.rglob("*")}
    for arguments in (
        ["prepare", tiny.brats, "--output", tiny.cohort],
        ["train", tiny.cohort, "--output", tiny.run, *tiny_training],
        ["evaluate", tiny.run, tiny.cohort, "--output", tiny.evaluation],
        ["report", tiny.run, tiny.brats, "--output", tiny.evaluation],
    ):
        result = fpgan(*arguments)
        assert result.exit_code == 2
        assert "already exists; give `--overwrite`" in result.output
    assert before == {path: path.stat().st_mtime_ns for path in tiny.cohort.parent.rglob("*")}


def test_an_output_that_holds_an_input_is_left_alone(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny.run, run)
    shutil.copytree(tiny.cohort, run / "cohort")
    result = fpgan("train", run / "cohort", "--output", run, "--overwrite", *tiny_training)
    assert result.exit_code == 2
    assert "which the command reads" in result.output
    assert (run / "model.safetensors").is_file()


def test_a_device_that_is_not_there_costs_no_run(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny.run, run)
    for device in ("cuda:99", "mps"):
        result = fpgan(
            "train", tiny.cohort, "-o", run, "--overwrite", *tiny_training, f"--set=training.device={device}"
        )
        assert result.exit_code == 2
        assert "fpgan: `device`" in result.output
        assert (run / "model.safetensors").is_file()


def test_another_split_of_the_same_patients_is_refused(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    options = ["--size", 32, "--field-of-view-mm", 110, "--split-seed", 3]
    assert fpgan("prepare", tiny.brats, "--output", tmp_path / "other", *options).exit_code == 0
    result = fpgan("evaluate", tiny.run, tmp_path / "other", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "test patients may have been used for training" in result.output
    shutil.copytree(tiny.run, tmp_path / "run")
    result = fpgan("train", tmp_path / "other", "--output", tmp_path / "run", "--resume")
    assert result.exit_code == 2
    assert "is not the cohort that this run began with" in result.output


def test_one_wrong_argument_does_not_stop_other_reports(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("a,b")
    inputs = [tmp_path / "nowhere", tmp_path / "table.csv", tiny.brats / "P2"]
    result = fpgan("report", tiny.run, *inputs, "--output", tmp_path / "reports")
    assert result.exit_code == 1
    assert (tmp_path / "reports" / "P2" / "report.html").is_file()
    assert len((tmp_path / "reports" / "failures.csv").read_text().splitlines()) == 3


def test_one_domain_in_the_training_split(
    fpgan: Callable[..., Any], write_patient: Callable[..., Path], tmp_path: Path, tiny_training: list[str]
) -> None:
    for number in range(4):
        write_patient(tmp_path / "brats", f"H{number}", seed=number, lesion=False)
    assert fpgan("prepare", tmp_path / "brats", "--output", tmp_path / "cohort", "--size", 32).exit_code == 0
    result = fpgan("train", tmp_path / "cohort", "--output", tmp_path / "run", *tiny_training)
    assert result.exit_code == 2
    assert "no training image is diseased" in result.output
    assert not (tmp_path / "run").exists()


def test_a_run_without_a_model_and_a_folder_that_is_no_cohort(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    result = fpgan("evaluate", tmp_path, tiny.cohort, "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert f"{tmp_path}: holds no model.safetensors" in result.output
    result = fpgan("train", tmp_path, "--output", tmp_path / "out", *tiny_training)
    assert result.exit_code == 2
    assert "holds no cohort.json" in result.output


def test_a_cohort_prepared_differently_is_refused(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    assert fpgan("prepare", tiny.brats, "--output", tmp_path / "other", "--size", 40).exit_code == 0
    result = fpgan("evaluate", tiny.run, tmp_path / "other", "--output", tmp_path / "out")
    assert result.exit_code == 2
    assert "prepared differently" in result.output


def test_a_configuration_that_is_no_utf8(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("größe: 1".encode("latin-1"))
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "out", "--config", tmp_path / "latin.yaml")
    assert result.exit_code == 2
    assert "UTF-8" in result.output


def test_a_setting_with_a_typing_error(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--set", "training.iteration=5")
    assert result.exit_code == 2
    assert "did you mean `training.iterations`?" in result.output


def test_debug_shows_the_traceback(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    result = fpgan("prepare", tmp_path / "nowhere", "--output", tmp_path / "out", "--debug")
    assert type(result.exception).__name__ == "DataError"
