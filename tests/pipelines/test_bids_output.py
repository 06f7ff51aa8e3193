from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data_prep.layouts.bids import find_bids_cases
from data_prep.layouts.walk import OUTPUT_MARKER
from data_prep.readers.nifti import write_nifti
from pipelines.reporting.bids import write_dataset, write_sidecars
from pipelines.reporting.report_files import ReportFiles
from tests.pipelines.pictured import lesion, patient_report, shown_patient

VALIDATOR = Path(sys.executable).with_name("bids-validator-deno")

needs_validator = pytest.mark.skipif(not VALIDATOR.is_file(), reason="needs bids-validator-deno beside Python")


def write_report(output: Path, name: str, channels: Sequence[str] = ("flair",), *, lesions: int = 1) -> Path:
    """All files of a patient, with volumes that are whole; returns the patient's folder."""
    files = ReportFiles.of(name, channels, bids=True)
    folder = output / files.folder
    folder.mkdir(parents=True)
    shown = shown_patient()
    volumes = dict.fromkeys(files.healthy, shown.healthy)
    volumes |= {files.difference: shown.difference, files.lesions: shown.lesions if lesions else shown.lesions * 0}
    for path, array in volumes.items():
        write_nifti(folder / path, array, shown.affine)
    for path in set(files.by_name.values()) - set(volumes):
        (folder / path).write_text("{}", encoding="utf-8")
    report = patient_report(lesions=tuple(lesion(number + 1) for number in range(lesions)))
    write_sidecars(folder, files, report, skull_stripped=True)
    return folder


def write_tables(output: Path) -> None:
    for name in ("index.html", "patients.csv", "failures.csv", OUTPUT_MARKER):
        (output / name).write_text("report\n", encoding="utf-8")


def issues(dataset: Path) -> dict[str, set[tuple[str, str]]]:
    """Code and path of what the validator finds, by severity. It looks for nothing outside this machine."""
    command = [VALIDATOR, dataset, "--format", "json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    found: dict[str, set[tuple[str, str]]] = {"error": set(), "warning": set()}
    for issue in json.loads(done.stdout)["issues"]["issues"]:
        found[issue["severity"]].add((issue["code"], issue.get("location", "")))
    return found


@needs_validator
def test_validator_accepts_reports(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    write_tables(tmp_path)
    write_report(tmp_path, "sub-01")
    write_report(tmp_path, "sub-02_ses-1", ["flair", "t1", "t1ce", "t2", "pd", "t2star"])
    write_report(tmp_path, "sub-02_ses-2", ["t1", "t1w"], lesions=0)
    write_report(tmp_path, "Brats18_2013 é", ["ct", "adc (b1000)"], lesions=3)
    write_report(tmp_path, "x" * 300, ["t1_gd"])

    found = issues(tmp_path)

    assert found["error"] == set()
    # Authors are the user's to name.
    assert found["warning"] == {("TOO_FEW_AUTHORS", "/dataset_description.json")}


@needs_validator
def test_validator_sees_the_volumes(tmp_path: Path) -> None:
    write_dataset(tmp_path)
    folder = write_report(tmp_path, "sub-01")
    sidecar = folder / "sub-01_desc-healthy_FLAIR.json"
    sidecar.unlink()

    assert ("SIDECAR_KEY_REQUIRED", f"/{sidecar.relative_to(tmp_path).with_suffix('.nii.gz')}") in issues(tmp_path)[
        "error"
    ]


def test_dataset_says_what_made_it(tmp_path: Path) -> None:
    write_dataset(tmp_path)

    description = json.loads((tmp_path / "dataset_description.json").read_text())
    assert description["DatasetType"] == "derivative"
    assert description["GeneratedBy"] == [{"Name": "fpgan", "Version": version("fpgan")}]


def test_description_that_a_user_completed_is_left(tmp_path: Path) -> None:
    (tmp_path / "dataset_description.json").write_text('{"Authors": ["A", "B"]}')

    write_dataset(tmp_path)

    assert (tmp_path / "dataset_description.json").read_text() == '{"Authors": ["A", "B"]}'
    assert (tmp_path / "README.md").is_file()


def test_table_names_every_lesion(tmp_path: Path) -> None:
    folder = write_report(tmp_path, "sub-01", lesions=2)

    table = pd.read_csv(folder / "sub-01_desc-lesions_dseg.tsv", sep="\t")
    assert table.values.tolist() == [[0, "background"], [1, "lesion candidate 1"], [2, "lesion candidate 2"]]


def test_sidecars_name_their_channel_and_no_patient(tmp_path: Path) -> None:
    folder = write_report(tmp_path, "SMITH", ["t1", "flair"])

    sidecars: dict[str, dict[str, Any]] = {
        path.name: json.loads(path.read_text()) for path in folder.glob("*_desc-*.json")
    }
    assert len(sidecars) == 4
    assert "flair" in sidecars["sub-SMITH_desc-healthy_FLAIR.json"]["Description"]
    assert sidecars["sub-SMITH_desc-healthy_T1w.json"]["SkullStripped"] is True
    assert not any("SMITH" in json.dumps(fields) for fields in sidecars.values())


def test_candidates_below_a_dataset_are_no_ground_truth_of_it(tmp_path: Path) -> None:
    image = tmp_path / "sub-01" / "anat" / "sub-01_FLAIR.nii.gz"
    image.parent.mkdir(parents=True)
    write_nifti(image, np.zeros((4, 4, 4), np.float32), np.eye(4))
    output = tmp_path / "derivatives" / "reports"
    write_report(output, "sub-01")
    write_tables(output)

    (case,) = find_bids_cases(tmp_path).cases

    assert case.mask is None
