"""What headers tell of a patient reaches no file of a report, in no encoding and no container, and no name of one."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydicom import dcmread

from tests.data_prep.dicom_writing import SERIES
from tests.pipelines.conftest import at_home
from tests.pipelines.planted import (
    ISO_DATES,
    STUDY_DATE,
    planted_in,
)
from tests.pipelines.planted_patients import Inputs
from tests.pipelines.spoiled import rows

Fpgan = Callable[..., Any]


@dataclass(frozen=True)
class Reported:
    """Reports on the same DICOM patients with different options."""

    plain: Path
    with_more: Path
    with_dates: Path
    by_folder: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.plain, self.with_more, self.with_dates, self.by_folder)


@pytest.fixture(scope="session")
def reported(fpgan: Fpgan, run: Path, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    root = tmp_path_factory.mktemp("reported")
    done = Reported(*(root / name for name in ("plain", "more", "dates", "folder")))
    with pytest.MonkeyPatch.context() as monkeypatch:
        at_home(root / "home", monkeypatch)
        for source, output, options in (
            (inputs.dicom, done.plain, []),
            (inputs.plain, done.with_more, ["--pdf", "--bids"]),
            (inputs.plain, done.with_dates, ["--keep-dates"]),
            (inputs.plain, done.by_folder, ["--pseudonym", "folder"]),
        ):
            result = fpgan("report", run, source, "--output", output, *options)
            assert result.exit_code == 0, result.output
    return done


def test_nothing_of_a_dicom_header_or_path_reaches_an_output(reported: Reported, inputs: Inputs) -> None:
    assert planted_in(reported.plain, also=(str(inputs.dicom),)) == []
    assert len(rows(reported.plain / "patients.csv")) == 4


def test_nothing_reaches_the_pdf_or_a_bids_dataset(reported: Reported, inputs: Inputs) -> None:
    # `first` and `second` are too short to search for.
    assert planted_in(reported.with_more, also=(str(inputs.plain), "second/", "frames.dcm")) == []
    assert len(list(reported.with_more.rglob("*.pdf"))) == 2


def test_every_kind_of_file_was_searched(reported: Reported) -> None:
    kinds = {".html", ".json", ".csv", ".png", ".gz", ".dcm"}
    assert {path.suffix for path in reported.plain.rglob("*") if path.is_file()} >= kinds
    assert {path.suffix for path in reported.with_more.rglob("*") if path.is_file()} >= {*kinds, ".pdf"}
    for output in reported.all:
        objects = [dcmread(path) for path in output.rglob("*.dcm")]
        assert {dataset.Modality for dataset in objects} == {"SEG", "SR"}
        assert all(dataset.StudyInstanceUID == f"{SERIES}.100" for dataset in objects)


def test_folders_alone_are_told_when_that_is_asked_for(reported: Reported, inputs: Inputs) -> None:
    assert {row["patient"] for row in rows(reported.by_folder / "patients.csv")} == {"first", "second"}
    assert planted_in(reported.by_folder) == []


def test_kept_dates_are_that_of_the_study_alone(reported: Reported) -> None:
    iso = ISO_DATES[STUDY_DATE]
    assert planted_in(reported.with_dates, allowed=(STUDY_DATE, iso)) == []
    with_date = {hit.split(": ")[0].rpartition("/")[2] for hit in planted_in(reported.with_dates)}
    assert with_date - {"index.html"} == {"report.html", "report.json", "patients.csv", "report.dcm", "lesions.dcm"}
    for row in rows(reported.with_dates / "patients.csv"):
        assert row["study_date"] == iso
        folder = reported.with_dates / row["folder"]
        assert json.loads((folder / "report.json").read_text())["study_date"] == iso
        assert iso in (folder / "report.html").read_text()
        for name in ("report.dcm", "lesions.dcm"):
            dataset = dcmread(folder / name)
            dated = {element.keyword for element in dataset.iterall() if STUDY_DATE in str(element.value)}
            assert dated == {"StudyDate"}


def test_without_dates_dicom_objects_tell_the_day_of_the_report_alone(reported: Reported) -> None:
    for output in (reported.plain, reported.with_more, reported.by_folder):
        for path in output.rglob("*.dcm"):
            dataset = dcmread(path)
            assert dataset.StudyDate == dataset.StudyTime == dataset.PatientBirthDate == ""
            assert dataset.PatientIdentityRemoved == "YES"


def test_nothing_of_other_headers_reaches_an_output(fpgan: Fpgan, run: Path, inputs: Inputs, tmp_path: Path) -> None:
    for source, options in ((inputs.brats, ["--pdf"]), (inputs.bids, ["--bids"]), (inputs.itk, [])):
        output = tmp_path / source.name
        result = fpgan("report", run, source, "--output", output, *options)
        assert result.exit_code == 0, result.output
        assert planted_in(output) == []
        assert len(rows(output / "patients.csv")) == (2 if source == inputs.itk else 1)
