"""What `fpgan report` makes of patients it cannot use, and of scans that do not fit the model."""

from __future__ import annotations

import html
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from pydicom.dataset import Dataset

from data_prep.errors import without_private_text
from tests.data_prep.dicom_writing import CT, SERIES, write_series
from tests.pipelines.spoiled import (
    AFFINE,
    INDEX,
    Ended,
    change,
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


@pytest.mark.parametrize("name", [name for name in SPOILERS if name not in MASKS])
def test_a_patient_that_cannot_be_used_is_told_in_one_line_everywhere(name: str, spoiled: Spoiled) -> None:
    patient, words = spoiled.patient(name), SPOILERS[name][1].replace("B_flair", f"{spoiled.patient(name)}_flair")
    assert spoiled.result.exit_code == 1, spoiled.result.output
    (row,) = [row for row in rows(spoiled.output / "failures.csv") if row["patient"] == patient]
    assert row["reason"].startswith(f"{spoiled.guilty[name]}: ")
    assert row["reason"].isprintable()
    (line,) = [line for line in spoiled.result.output.splitlines() if str(spoiled.guilty[name]) in line]
    assert words in line
    assert without_private_text(line) == f"warning: left out {patient}: {row['reason']}"
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
