"""What goes wrong with inputs, through the command line: one clear line, the right exit code, nothing lost."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest


@pytest.fixture
def patients(tmp_path: Path, tiny: Any) -> Path:
    """A copy of the tiny BraTS folder that a test may damage."""
    return Path(shutil.copytree(tiny.brats, tmp_path / "brats"))


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> None:
    image = nib.load(path)
    changed = edit(np.asarray(image.dataobj).astype(np.float32))
    nib.Nifti1Image(changed, image.affine if affine is None else affine).to_filename(path)


def damage_missing(file: Path) -> str:
    file.unlink()
    return "no flair file; modalities found: t1ce"


def damage_truncated(file: Path) -> str:
    file.write_bytes(file.read_bytes()[:3000])
    return "truncated gzip"


def damage_foreign(file: Path) -> str:
    file.write_bytes(b"<html>not found</html>")
    return "is not a NIfTI file"


def damage_zero(file: Path) -> str:
    change(file, np.zeros_like)
    return "holds no image"


def damage_nan(file: Path) -> str:
    change(file, lambda array: np.full_like(array, np.nan))
    return "NaN or infinite"


def damage_mask_shape(file: Path) -> str:
    change(file.with_name(file.name.replace("flair", "seg")), lambda array: array[:-1])
    return "the mask has shape"


def damage_mask_affine(file: Path) -> str:
    mask = file.with_name(file.name.replace("flair", "seg"))
    change(mask, lambda array: array, nib.load(mask).affine + _shift(5))
    return "the mask has an affine that puts a corner"


def _shift(mm: float) -> np.ndarray:
    shift = np.zeros((4, 4))
    shift[0, 3] = mm
    return shift


DAMAGES = [
    damage_missing,
    damage_truncated,
    damage_foreign,
    damage_zero,
    damage_nan,
    damage_mask_shape,
    damage_mask_affine,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_one_bad_patient_is_named_and_the_others_come_through(
    damage: Callable[[Path], str], fpgan: Callable[..., Any], patients: Path, tmp_path: Path
) -> None:
    expected = damage(patients / "P3" / "P3_flair.nii.gz")
    result = fpgan("prepare", patients, "--output", tmp_path / "cohort", "--size", 32)
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    with (tmp_path / "cohort" / "failures.csv").open() as file:
        (failure,) = csv.DictReader(file)
    assert failure["patient"] == "P3"
    assert failure["reason"].startswith(str(patients / "P3"))
    assert expected in failure["reason"]
    assert "1 patients could not be used" in result.output
    with (tmp_path / "cohort" / "patients.csv").open() as file:
        assert [row["patient"] for row in csv.DictReader(file)] == ["P0", "P1", "P2", "P4", "P5", "P6", "P7"]


def test_a_bad_patient_does_not_stop_reports_on_others(
    fpgan: Callable[..., Any], patients: Path, tiny: Any, tmp_path: Path
) -> None:
    damage_truncated(patients / "P3" / "P3_flair.nii.gz")
    output = tmp_path / "reports"
    result = fpgan("report", tiny.run, patients / "P3", patients / "P2", "--output", output)
    assert result.exit_code == 1
    assert (output / "P2" / "report.html").is_file()
    assert not list(output.glob("*P3*"))
    assert "truncated gzip" in (output / "index.html").read_text()
    assert "truncated gzip" in (output / "failures.csv").read_text()


def test_when_no_patient_can_be_used_the_command_fails(
    fpgan: Callable[..., Any], patients: Path, tmp_path: Path
) -> None:
    for folder in patients.iterdir():
        damage_zero(folder / f"{folder.name}_flair.nii.gz")
    result = fpgan("prepare", patients, "--output", tmp_path / "cohort", "--size", 32)
    assert result.exit_code == 1
    assert len((tmp_path / "cohort" / "failures.csv").read_text().splitlines()) == 9


def test_missing_and_empty_folders(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for source, message in (("nowhere", "does not exist"), ("empty", "holds no images in a layout this program knows")):
        result = fpgan("prepare", tmp_path / source, "--output", tmp_path / "out")
        assert result.exit_code == 2
        assert result.output.startswith(f"fpgan: {tmp_path / source}: {message}")
        assert not (tmp_path / "out").exists()


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


@pytest.mark.parametrize("flag", ["--overwrite", "--resume"])
def test_a_folder_of_another_origin_is_left_alone(
    flag: str, fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    for name in ("thesis.docx", "config.yaml", "index.html", "records"):
        (tmp_path / name).write_text("years of work")
    result = fpgan("prepare", tiny.brats, "--output", tmp_path, "--size", 32, flag)
    assert result.exit_code == 2
    assert "was not written by `fpgan prepare`" in result.output
    assert len(list(tmp_path.iterdir())) == 4


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


def test_overwrite_replaces_what_the_command_wrote(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    options = ["prepare", tiny.brats, "--output", tmp_path / "cohort", "--size"]
    assert fpgan(*options, 32).exit_code == 0
    assert fpgan(*options, 40, "--overwrite").exit_code == 0
    assert np.load(tmp_path / "cohort" / "images" / "P1.npy").shape[2:] == (40, 40)


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


def test_of_two_patients_with_one_name_the_whole_one_is_used(
    fpgan: Callable[..., Any], patients: Path, tmp_path: Path
) -> None:
    shutil.move(patients / "P1", patients / "LGG" / "P1")
    (patients / "HGG" / "P1").mkdir(parents=True)
    shutil.copy(patients / "LGG" / "P1" / "P1_t1ce.nii.gz", patients / "HGG" / "P1")
    assert fpgan("prepare", patients, "--output", tmp_path / "cohort", "--size", 32).exit_code == 1
    assert "P1" in (tmp_path / "cohort" / "slices.csv").read_text()
    assert len((tmp_path / "cohort" / "failures.csv").read_text().splitlines()) == 2


def test_misnamed_and_empty_patient_folders_are_said(fpgan: Callable[..., Any], patients: Path, tmp_path: Path) -> None:
    (patients / "Empty").mkdir()
    (patients / "Misnamed").mkdir()
    shutil.copy(patients / "P1" / "P1_flair.nii.gz", patients / "Misnamed" / "scan.nii.gz")
    assert fpgan("prepare", patients, "--output", tmp_path / "cohort", "--size", 32).exit_code == 1
    with (tmp_path / "cohort" / "failures.csv").open() as file:
        assert [row["patient"] for row in csv.DictReader(file)] == ["Empty", "Misnamed"]


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


def test_sizes_and_files_that_make_no_sense(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    for size in ("²", "big", "64x64x64", "16"):
        assert fpgan("prepare", tiny.brats, "--output", tmp_path / "out", "--size", size).exit_code == 2
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
