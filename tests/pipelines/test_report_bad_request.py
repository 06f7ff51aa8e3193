"""`fpgan report` with models, patients and outputs that it refuses, or that are none of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from anomaly_fpgan import FixedPointGAN
from tests.pipelines.spoiled import (
    INDEX,
    check_refused,
    rows,
    tree,
    write_patient,
)

Fpgan = Callable[..., Any]


def test_channels_must_be_those_of_the_model(fpgan: Fpgan, two_channels: Path, tiny: Any, tmp_path: Path) -> None:
    for given in ("t1ce,flair", "flair", "flair,t2", "flair=*FLAIR*,t1ce,t2"):
        result = fpgan("report", two_channels, tiny.brats, "--output", tmp_path / "out", "--channels", given)
        check_refused(result, "--channels", "flair, t1ce")
    assert not (tmp_path / "out").exists()


def test_a_single_file_is_one_patient_of_one_channel(
    fpgan: Fpgan, two_channels: Path, tiny: Any, tmp_path: Path
) -> None:
    file = tiny.brats / "P1" / "P1_flair.nii.gz"
    result = fpgan("report", two_channels, file, "--output", tmp_path / "reports")
    check_refused(result, str(file))
    assert not (tmp_path / "reports").exists()


def with_point(tiny: Any, folder: Path, edit: Callable[[dict[str, Any]], object]) -> Path:
    """A copy of the run with another operating point."""
    model = FixedPointGAN.load(shutil.copytree(tiny.run, folder))
    edit(model.metadata["training"])
    model.save(folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    "edit",
    [
        lambda training: training.pop("threshold"),
        lambda training: training.update(patient_threshold=None),
        lambda training: training.update(threshold=float("nan")),
        lambda training: training.update(threshold=float("inf")),
    ],
)
def test_a_model_without_an_operating_point_is_refused(
    edit: Callable[[dict[str, Any]], object], fpgan: Fpgan, tiny: Any, tmp_path: Path
) -> None:
    run = with_point(tiny, tmp_path / "run", edit)
    result = fpgan("report", run, tiny.brats / "P1", "--output", tmp_path / "reports")
    line = check_refused(result, "operating point")
    assert line.startswith(f"{run}: ")
    assert not (tmp_path / "reports").exists()


def test_what_is_no_run_is_refused(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut").mkdir()
    whole = (tiny.run / "model.safetensors").read_bytes()
    (tmp_path / "cut" / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    for run in (tmp_path / "nowhere", tmp_path / "empty", tmp_path / "cut", tiny.cohort, tiny.brats):
        result = fpgan("report", run, tiny.brats / "P1", "--output", tmp_path / "reports")
        check_refused(result, str(run))
    assert not (tmp_path / "reports").exists()


def test_a_model_file_is_as_good_as_its_run(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    model = tiny.run / "model.safetensors"
    assert fpgan("report", model, tiny.brats / "P1", "--output", tmp_path / "reports").exit_code == 0


def test_without_any_patient_nothing_is_begun(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "notes.txt").write_text("no image")
    (tmp_path / "broken.nii.gz").write_bytes(b"no image either")
    for place in ("nowhere", "empty", "text", "text/notes.txt"):
        result = fpgan("report", tiny.run, tmp_path / place, "--output", tmp_path / "reports")
        check_refused(result, str(tmp_path / place))
    result = fpgan("report", tiny.run, tmp_path / "empty", tmp_path / "nowhere", "--output", tmp_path / "reports")
    check_refused(result, str(tmp_path / "empty"))
    assert not (tmp_path / "reports").exists()


def test_a_patient_given_twice_is_reported_once(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    given = [tiny.brats / "P1", tiny.brats / "P1", tiny.brats / "P2"]
    result = fpgan("report", tiny.run, *given, "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    assert rows(tmp_path / "reports" / "failures.csv") == []
    assert [row["patient"] for row in rows(tmp_path / "reports" / "patients.csv")] == ["P1", "P2"]


def test_two_patients_of_one_name_are_not_mixed_up(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    shutil.copytree(tiny.brats / "P1", tmp_path / "first" / "P1")
    other = shutil.copytree(tiny.brats / "P2", tmp_path / "second" / "P1")
    for path in list(Path(other).iterdir()):
        path.rename(path.with_name(path.name.replace("P2", "P1")))
    given = [tmp_path / "first", tmp_path / "second"]
    result = fpgan("report", tiny.run, *given, "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert failure["patient"] == "P1"
    (line,) = [line for line in result.output.splitlines() if line.startswith("warning: left out")]
    assert "P1 would share the folder P1 with" in line


def test_the_advice_for_two_patients_of_one_name_helps(fpgan: Fpgan, two_channels: Path, tmp_path: Path) -> None:
    for number, place in enumerate(("first", "second")):
        write_patient(tmp_path / place, "P1", seed=number)
    given = [tmp_path / "first", tmp_path / "second"]
    result = fpgan("report", two_channels, *given, "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    advice = rows(tmp_path / "reports" / "failures.csv")[0]["reason"]
    assert "rename one" in advice
    if "--pseudonym hash" in advice:
        result = fpgan("report", two_channels, *given, "--output", tmp_path / "hashed", "--pseudonym", "hash")
        assert result.exit_code == 0, result.output


def test_an_output_that_is_there_is_neither_mixed_nor_lost(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, "--output", output]
    assert fpgan(*command, tiny.brats / "P1").exit_code == 0
    before = tree(output)
    check_refused(fpgan(*command, tiny.brats / "P2"), str(output), "--overwrite", "--resume")
    check_refused(fpgan(*command, tiny.brats / "P2", "--overwrite", "--resume"), "--overwrite", "--resume")
    check_refused(fpgan(*command, tmp_path / "nowhere", "--overwrite"), "nowhere")
    check_refused(fpgan("report", tmp_path, "--output", output, tiny.brats / "P2", "--overwrite"), str(tmp_path))
    assert tree(output) == before
    assert fpgan(*command, tiny.brats / "P2", "--overwrite").exit_code == 0
    assert {path.name for path in output.iterdir()} == {"P2", *INDEX}
    assert [row["patient"] for row in rows(output / "patients.csv")] == ["P2"]


def test_an_output_of_somebody_else_is_left_alone(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    for output in (tmp_path / "other", tmp_path / "file", tiny.cohort):
        for option in ("--overwrite", "--resume"):
            result = fpgan("report", tiny.run, tiny.brats / "P1", "--output", output, option)
            check_refused(result, str(output))
    assert (tmp_path / "other" / "thesis.tex").read_text() == "years of work"


def test_patients_inside_the_output_are_not_overwritten(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    assert fpgan("report", tiny.run, tiny.brats / "P1", "--output", output).exit_code == 0
    shutil.copytree(tiny.brats / "P2", output / "P2")
    result = fpgan("report", tiny.run, output / "P2", "--output", output, "--overwrite")
    assert result.exit_code == 2
    assert (output / "P2" / "P2_flair.nii.gz").is_file()
