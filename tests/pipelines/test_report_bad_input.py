"""What `fpgan report` makes of patients it cannot use, of models that do not fit, and of interruptions."""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from anomaly_fpgan import FixedPointGAN
from tests.data_prep.dicom_writing import CT, SERIES, write_series
from tests.pipelines.spoiled import (
    AFFINE,
    OPTIONS,
    Ended,
    change,
    check_refused,
    file_of,
    rows,
    run_apart,
    tree,
    write_patient,
)
from tests.pipelines.test_prepare_bad_input import SPOILERS

Fpgan = Callable[..., Any]

MASKS = [name for name in SPOILERS if name.startswith("a mask")]
OF_MASKS = {
    "a mask of another shape": "shape (39, 48, 12)",
    "a mask 0.002 mm off": "0.002 mm away",
    "a mask of halves": "must hold whole labels from 0 to 255",
}
INDEX = {".fpgan", "index.html", "patients.csv", "failures.csv"}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home of this test, so that none makes a salt in that of whoever runs it."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home" / "config"))
    monkeypatch.delenv("FPGAN_SALT", raising=False)


@pytest.fixture(scope="session")
def two_channels(fpgan: Fpgan, tmp_path_factory: pytest.TempPathFactory) -> Path:
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


@dataclass(frozen=True)
class Spoiled:
    """One run over a sound patient, A, and one patient for each way to spoil it, called S00, S01, …"""

    output: Path
    result: Any
    guilty: dict[str, Path]

    def patient(self, spoiler: str) -> str:
        return f"S{list(SPOILERS).index(spoiler):02}"


@pytest.fixture(scope="session")
def spoiled(fpgan: Fpgan, two_channels: Path, tmp_path_factory: pytest.TempPathFactory) -> Spoiled:
    root = tmp_path_factory.mktemp("spoiled")
    write_patient(root / "brats", "A", seed=0)
    guilty = {}
    for number, (name, (spoil, _)) in enumerate(SPOILERS.items()):
        guilty[name] = spoil(write_patient(root / "brats", f"S{number:02}", seed=9))
    result = fpgan("report", two_channels, root / "brats", "--output", root / "reports")
    return Spoiled(root / "reports", result, guilty)


# --- one bad patient among others


@pytest.mark.parametrize("name", [name for name in SPOILERS if name not in MASKS])
def test_a_patient_that_cannot_be_used_is_told_in_one_line_everywhere(name: str, spoiled: Spoiled) -> None:
    patient, words = spoiled.patient(name), SPOILERS[name][1].replace("B_flair", f"{spoiled.patient(name)}_flair")
    assert spoiled.result.exit_code == 1, spoiled.result.output
    (row,) = [row for row in rows(spoiled.output / "failures.csv") if row["patient"] == patient]
    assert row["reason"].startswith(f"{spoiled.guilty[name]}: ")
    assert words in row["reason"]
    assert row["reason"].isprintable()
    (line,) = [line for line in spoiled.result.output.splitlines() if str(spoiled.guilty[name]) in line]
    assert line == f"warning: left out {patient}: {row['reason']}"
    assert row["reason"] in html.unescape((spoiled.output / "index.html").read_text())
    assert not (spoiled.output / patient).exists()


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_that_cannot_be_used_costs_the_comparison_alone(name: str, spoiled: Spoiled) -> None:
    folder = spoiled.output / spoiled.patient(name)
    report = json.loads((folder / "report.json").read_text())
    assert report["truth"] is None
    (warning,) = [warning for warning in report["warnings"] if "mask" in warning]
    assert OF_MASKS[name] in warning
    assert warning in html.unescape((folder / "report.html").read_text())
    with_warning = {row["patient"]: row["warning_texts"] for row in rows(spoiled.output / "patients.csv")}
    assert OF_MASKS[name] in with_warning[folder.name]


def test_nothing_half_written_is_left_and_the_tables_name_what_is_there(spoiled: Spoiled) -> None:
    written = {"A", *(spoiled.patient(name) for name in MASKS)}
    assert {path.name for path in spoiled.output.iterdir()} == written | INDEX
    assert {row["patient"] for row in rows(spoiled.output / "patients.csv")} == written
    assert not [path for path in spoiled.output.rglob("*") if ".part" in path.name]
    assert "Traceback" not in spoiled.result.output


def test_a_good_patient_is_reported_as_if_the_others_had_not_been_there(
    spoiled: Spoiled, fpgan: Fpgan, two_channels: Path, tmp_path: Path
) -> None:
    write_patient(tmp_path / "brats", "A", seed=0)
    assert fpgan("report", two_channels, tmp_path / "brats", "--output", tmp_path / "reports").exit_code == 0
    alone, among = (
        {name: raw for name, raw in tree(folder / "A").items() if not name.startswith("report.")}
        for folder in (tmp_path / "reports", spoiled.output)
    )
    assert alone == among
    assert {"flair_healthy.nii.gz", "t1ce_healthy.nii.gz", "difference.nii.gz", "lesions.csv"} <= set(alone)


def test_when_every_patient_fails_the_index_says_so(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    for name in ("A", "B"):
        change(file_of(write_patient(tmp_path / "brats", name, seed=1)), np.zeros_like)
    result = fpgan("report", tiny.run, tmp_path / "brats", "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    assert "0 patients reported" in result.output
    assert {path.name for path in (tmp_path / "reports").iterdir()} == INDEX
    page = (tmp_path / "reports" / "index.html").read_text()
    assert "not one patient could be used" in page
    assert page.count("every voxel is 0") == 2


# --- models and scans that do not fit


def test_a_missing_channel_is_named_and_one_too_many_does_no_harm(
    fpgan: Fpgan, two_channels: Path, tiny: Any, tmp_path: Path
) -> None:
    for name in ("A", "B"):
        write_patient(tmp_path / "brats", name, seed=1)
    file_of(tmp_path / "brats" / "B", "t1ce").unlink()
    result = fpgan("report", two_channels, tmp_path / "brats", "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert failure["reason"] == f"{tmp_path / 'brats' / 'B'}: no t1ce file; modalities found: flair"
    shutil.copytree(tiny.brats / "P1", tmp_path / "more" / "P1")
    for name in ("t1", "t2"):
        shutil.copy(tiny.brats / "P1" / "P1_flair.nii.gz", tmp_path / "more" / "P1" / f"P1_{name}.nii.gz")
    assert fpgan("report", tiny.run, tmp_path / "more", "--output", tmp_path / "fine").exit_code == 0


def test_a_single_file_is_one_patient_of_one_channel(
    fpgan: Fpgan, two_channels: Path, tiny: Any, tmp_path: Path
) -> None:
    file = tiny.brats / "P1" / "P1_flair.nii.gz"
    result = fpgan("report", two_channels, file, "--output", tmp_path / "reports")
    check_refused(result, str(file))
    assert not (tmp_path / "reports").exists()


def test_channels_must_be_those_of_the_model(fpgan: Fpgan, two_channels: Path, tiny: Any, tmp_path: Path) -> None:
    for given in ("t1ce,flair", "flair", "flair,t2", "flair=*FLAIR*,t1ce,t2"):
        result = fpgan("report", two_channels, tiny.brats, "--output", tmp_path / "out", "--channels", given)
        check_refused(result, "--channels", "flair, t1ce")
    assert not (tmp_path / "out").exists()


def write_ct(folder: Path, **changes: Any) -> Path:
    def plant(k: int, dataset: Dataset) -> None:
        dataset.StudyInstanceUID = f"{SERIES}.100"
        for keyword, value in changes.items():
            setattr(dataset, keyword, value)

    head = np.indices((12, 40, 40))
    stored = np.where(sum((axis - size / 2) ** 2 for axis, size in zip(head, (12, 40, 40), strict=True)) < 300, 400, 0)
    write_series(folder, stored.astype(np.uint16), change=plant)
    return folder


def test_another_modality_than_the_channels_is_refused(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    folder = write_ct(tmp_path / "dicom" / "scan", SOPClassUID=CT)
    result = fpgan("report", tiny.run, folder.parent, "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert failure["reason"] == "is a CT series by its header; the model was trained on flair (MR); give another"
    (line,) = [line for line in result.output.splitlines() if "left out" in line and "CT" in line]
    assert str(folder) in line


def all_scaled(folder: Path, *factors: float) -> None:
    for modality in ("flair", "t1ce", "seg"):
        change(file_of(folder, modality), lambda array: array, AFFINE @ np.diag([*factors, 1]))


def test_voxels_unlike_those_of_training_are_refused_or_warned_of(
    fpgan: Fpgan, two_channels: Path, tmp_path: Path
) -> None:
    for name, factors in {"far": (4.5, 4.5, 4.5), "coarse": (1, 1, 3), "fine": (0.5, 0.5, 0.5)}.items():
        all_scaled(write_patient(tmp_path / "brats", name, seed=1), *factors)
    result = fpgan("report", two_channels, tmp_path / "brats", "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert failure["patient"] == "far"
    assert failure["reason"].startswith(f"{file_of(tmp_path / 'brats' / 'far')}: its voxels are 18 mm apart")
    warnings = {row["patient"]: row["warning_texts"] for row in rows(tmp_path / "reports" / "patients.csv")}
    assert "Voxels are 18 mm apart from inferior to superior" in warnings["coarse"]
    assert "Voxels are 2 mm apart from left to right" in warnings["fine"]


def test_scans_much_smaller_or_larger_than_those_of_training(fpgan: Fpgan, two_channels: Path, tmp_path: Path) -> None:
    edits: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        "cut": lambda array: array[:, :, 5:7],
        "one-slice": lambda array: array[:, :, 5:6],
        "few-voxels": lambda array: array[18:21, 22:25, 5:7],
        "wide": lambda array: np.pad(array, ((60, 60), (0, 0), (0, 0)), mode="wrap"),
    }
    for name, edit in edits.items():
        folder = write_patient(tmp_path / "brats", name, seed=1)
        for modality in ("flair", "t1ce", "seg"):
            change(file_of(folder, modality), edit)
    result = fpgan("report", two_channels, tmp_path / "brats", "--output", tmp_path / "reports")
    assert result.exit_code in (0, 1)
    assert "Traceback" not in result.output
    reported = {row["patient"]: row["warning_texts"] for row in rows(tmp_path / "reports" / "patients.csv")}
    failed = {row["patient"]: row["reason"] for row in rows(tmp_path / "reports" / "failures.csv")}
    assert set(reported) | set(failed) == set(edits)
    assert "The scan ends inside the patient" in reported["cut"]
    assert "outside the field of view" in reported["wide"]
    for name in reported:
        source = nib.load(file_of(tmp_path / "brats" / name))
        written = nib.load(tmp_path / "reports" / name / "difference.nii.gz")
        assert written.shape == source.shape
        np.testing.assert_array_equal(written.affine, source.affine)


def test_several_masks_cost_the_comparison_alone(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny.brats / "P1", tmp_path / "brats" / "P1"))
    shutil.copy(folder / "P1_seg.nii.gz", folder / "P1_other_seg.nii.gz")
    result = fpgan("report", tiny.run, tmp_path / "brats", "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    report = json.loads((tmp_path / "reports" / "P1" / "report.json").read_text())
    assert report["truth"] is None
    (warning,) = [warning for warning in report["warnings"] if "mask" in warning]
    assert "P1_other_seg.nii.gz" in warning
    assert "P1_seg.nii.gz" in warning


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


# --- requests


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
    assert result.exit_code == 1, result.output
    assert [row["patient"] for row in rows(tmp_path / "reports" / "failures.csv")] == ["P1"]
    assert {row["patient"] for row in rows(tmp_path / "reports" / "patients.csv")} == {"P1", "P2"}


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


# --- interruptions


def test_a_killed_report_goes_on_and_its_remains_go_away(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", tiny.brats / "P2", "--output", output]
    assert fpgan(*command).exit_code == 0
    whole = tree(output / "P2")
    # As a kill in the middle of P2 leaves it: no index of it, part of its files.
    (output / "P2").rename(output / ".P2.part")
    (output / ".P2.part" / "report.json").unlink()
    (output / ".P2.part" / "difference.nii.gz").write_bytes(b"half")
    before = (output / "P1" / "report.json").stat().st_mtime_ns
    result = fpgan(*command, "--resume")
    assert result.exit_code == 0, result.output
    assert {path.name for path in output.iterdir()} == {"P1", "P2", *INDEX}
    assert tree(output / "P2").keys() == whole.keys()
    assert tree(output / "P2")["difference.nii.gz"] == whole["difference.nii.gz"]
    assert (output / "P1" / "report.json").stat().st_mtime_ns == before


def test_a_report_without_its_record_is_made_again(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", "--output", output]
    assert fpgan(*command).exit_code == 0
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(output / "P1" / "report.json")
        result = fpgan(*command, "--resume")
        assert result.exit_code == 0, result.output
        assert json.loads((output / "P1" / "report.json").read_text())["patient"] == "P1"


def test_another_request_is_not_answered_with_old_reports(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", "--output", output]
    assert fpgan(*command).exit_code == 0
    assert fpgan(*command, "--resume", "--pdf").exit_code == 0
    assert (output / "P1" / "report.pdf").is_file()
    assert "report.pdf" in (output / "P1" / "report.html").read_text()
    assert fpgan(*command, "--resume").exit_code == 0
    assert not (output / "P1" / "report.pdf").exists()


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"damaged since"), lambda path: path.unlink()],
    ids=["damaged", "missing"],
)
def test_a_patient_that_fails_now_has_no_page_of_before_in_the_index(
    damage: Callable[[Path], object], fpgan: Fpgan, tiny: Any, tmp_path: Path
) -> None:
    brats, output = Path(shutil.copytree(tiny.brats / "P1", tmp_path / "brats" / "P1")).parent, tmp_path / "reports"
    shutil.copytree(tiny.brats / "P2", brats / "P2")
    assert fpgan("report", tiny.run, brats, "--output", output).exit_code == 0
    damage(file_of(brats / "P1"))
    assert fpgan("report", tiny.run, brats, "--output", output, "--resume").exit_code == 1
    assert [row["patient"] for row in rows(output / "patients.csv")] == ["P2"]
    assert [row["patient"] for row in rows(output / "failures.csv")] == ["P1"]
    assert "P1/report.html" not in (output / "index.html").read_text()


# --- surroundings


@pytest.fixture(scope="session")
def shut(tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Iterator[Path]:
    """Patients of which one lies in a folder that nobody may enter."""
    root = tmp_path_factory.mktemp("shut")
    for name in ("P1", "P2"):
        shutil.copytree(tiny.brats / name, root / name)
    (root / "P2").chmod(0)
    yield root
    (root / "P2").chmod(0o700)


def test_an_unreadable_folder_is_named(tiny: Any, shut: Path, tmp_path: Path) -> None:
    result: Ended = run_apart("report", tiny.run, shut, "--output", tmp_path / "reports", is_unprivileged=True)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert failure["patient"] == "P2"
    assert failure["reason"].startswith(f"{shut / 'P2'}: cannot be read (Permission denied)")
    assert [row["patient"] for row in rows(tmp_path / "reports" / "patients.csv")] == ["P1"]


def without_times(name: str, raw: bytes) -> bytes:
    """A file without what differs between two runs on the same patient: times, and how many threads computed."""
    if not name.endswith((".html", ".json")):
        return raw
    text = re.sub(r"\d{4}-\d\d-\d\d[T,] ?\d\d:\d\d(:\d\d[+-]\d\d:\d\d)?", "TIME", raw.decode())
    text = re.sub(r"CPU, \d+ threads?", "CPU", text)
    text = re.sub(r'("seconds": \{)[^}]*', r"\1", text)
    return re.sub(r"<dd>[\d.]+ s</dd>", "<dd>s</dd>", text).encode()


def test_two_workers_write_what_one_writes(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny.brats / "P3", tmp_path / "brats" / "P3"))
    (broken / "P3_flair.nii.gz").write_bytes(b"nothing")
    for name in ("P1", "P2"):
        shutil.copytree(tiny.brats / name, tmp_path / "brats" / name)
    trees = []
    for workers in (1, 2):
        output = tmp_path / f"by {workers}"
        result = fpgan("report", tiny.run, tmp_path / "brats", "--output", output, "--workers", workers)
        assert result.exit_code == 1, result.output
        trees.append({name: without_times(name, raw) for name, raw in tree(output).items()})
    assert trees[0].keys() == trees[1].keys()
    for name, raw in trees[0].items():
        assert trees[1][name] == raw, name
