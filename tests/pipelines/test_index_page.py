"""The index over all patients: its tables, and its page without a browser."""

from __future__ import annotations

import csv
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from data_prep.case import Failure
from data_prep.errors import one_line
from pipelines.reporting.index_page import PatientRow, write_index
from pipelines.reporting.record import Truth
from tests.pipelines.pictured import PLACE, lesion, patient_report

FILES = {"page": "report.html", "preview": "preview.png"}


def row(patient: str = "P1", **changed: Any) -> PatientRow:
    """The row of a patient with one candidate and without a mask."""
    return replace(PatientRow.of(patient_report(patient=patient, folder=patient, files=FILES)), **changed)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        return list(csv.DictReader(file))


def page(output: Path) -> str:
    return (output / "index.html").read_text(encoding="utf-8")


def test_a_row_holds_what_the_report_says() -> None:
    report = patient_report(
        patient="P 1",
        folder="P_1",
        study_date="2021-05-04",
        lesions=(
            lesion(1, volume_mm3=300.0, longest_diameter_mm=12.0),
            lesion(2, volume_mm3=200.0, longest_diameter_mm=40.0),
        ),
        lesion_volume_mm3=500.0,
        truth=Truth(lesions=3, found=2, false_candidates=1, missed=(PLACE,)),
        warnings=("Slices are far apart.",),
        files={"page": "scan_report.html", "preview": "scan_preview.png"},
    )
    assert PatientRow.of(report) == PatientRow(
        patient="P 1",
        folder="P_1",
        report="P_1/scan_report.html",
        preview="P_1/scan_preview.png",
        study_date="2021-05-04",
        abnormal=True,
        score=0.5,
        threshold=0.25,
        lesions=2,
        lesion_volume_mm3=500.0,
        largest_volume_mm3=300.0,
        largest_diameter_mm=40.0,  # of the smaller one
        truth_lesions=3,
        truth_found=2,
        false_candidates=1,
        warnings=("Slices are far apart.",),
    )


def test_without_candidates_and_mask_what_does_not_exist_is_none_and_an_empty_cell(tmp_path: Path) -> None:
    without = PatientRow.of(patient_report(lesions=(), lesion_volume_mm3=0.0, truth=None, files=FILES))
    missing = (
        "study_date",
        "largest_volume_mm3",
        "largest_diameter_mm",
        "truth_lesions",
        "truth_found",
        "false_candidates",
    )
    assert {field.name for field in fields(without) if getattr(without, field.name) is None} == set(missing)
    assert (without.lesions, without.lesion_volume_mm3) == (0, 0)
    write_index(tmp_path, [without], [])
    (cells,) = table(tmp_path / "patients.csv")
    assert all(cells[name] == "" for name in missing)
    assert (cells["lesions"], cells["lesion_volume_mm3"]) == ("0", "0.0")


def test_patients_stand_in_order_of_falling_score_and_then_of_names(tmp_path: Path) -> None:
    rows = [row("B", score=0.5), row("C", score=0.25), row("A", score=0.5), row("D", score=0.75)]
    write_index(tmp_path, rows, [])
    assert [cells["patient"] for cells in table(tmp_path / "patients.csv")] == ["D", "A", "B", "C"]
    places = [page(tmp_path).index(f">{name}</span>") for name in "DABC"]
    assert places == sorted(places)


def test_the_table_holds_numbers_as_they_are_and_all_warnings(tmp_path: Path) -> None:
    write_index(tmp_path, [row(score=-0.123456, warnings=("First.", "Second."))], [])
    (cells,) = table(tmp_path / "patients.csv")
    assert cells == {
        "patient": "P1",
        "folder": "P1",
        "report": "P1/report.html",
        "preview": "P1/preview.png",
        "study_date": "",
        "abnormal": "True",
        "score": "-0.123456",  # a number, which no mark turns into text
        "threshold": "0.25",
        "lesions": "1",
        "lesion_volume_mm3": "12345.6",
        "largest_volume_mm3": "12345.6",
        "largest_diameter_mm": "9.87",
        "truth_lesions": "",
        "truth_found": "",
        "false_candidates": "",
        "warnings": "2",
        "warning_texts": "First. | Second.",
    }


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "＝1", "'=1", "\t=1", "\r\n=1"])
def test_no_spreadsheet_runs_a_name_and_its_reader_gets_it_back(name: str, tmp_path: Path) -> None:
    write_index(tmp_path, [row(name)], [Failure(patient=name, reason=f"{name}: is damaged")])
    (patient,), (failure,) = table(tmp_path / "patients.csv"), table(tmp_path / "failures.csv")
    assert patient["patient"] == patient["folder"] == f"'{name}"
    assert patient["report"] == f"'{name}/report.html"
    assert failure["patient"] == one_line(f"'{name}")
    assert failure["reason"] == f"'{name}: is damaged"


def test_names_that_are_no_utf8_keep_their_bytes_in_tables_and_links(tmp_path: Path) -> None:
    write_index(tmp_path, [row("caf\udce9")], [Failure(patient="th\udce9", reason="is damaged")])
    assert table(tmp_path / "patients.csv")[0]["preview"] == "caf\udce9/preview.png"
    assert table(tmp_path / "failures.csv")[0]["patient"] == r"th\udce9"  # as in every `failures.csv`
    assert 'href="caf%E9/report.html"' in page(tmp_path)


def test_a_second_index_replaces_the_first_and_leaves_nothing_else(tmp_path: Path) -> None:
    write_index(tmp_path, [row("First")], [Failure(patient="Broken", reason="is damaged")])
    write_index(tmp_path, [row("Second")], [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["failures.csv", "index.html", "patients.csv"]
    assert [cells["patient"] for cells in table(tmp_path / "patients.csv")] == ["Second"]
    assert table(tmp_path / "failures.csv") == []
    assert "First" not in page(tmp_path)
    assert "Broken" not in page(tmp_path)


def test_columns_that_no_patient_fills_are_not_shown(tmp_path: Path) -> None:
    titles = ("Study date", "Lesions found", "False candidates", "Warnings")
    write_index(tmp_path, [row()], [])
    assert not [title for title in titles if f'<th scope="col">{title}' in page(tmp_path)]
    full = row("P2", study_date="2021-05-04", truth_lesions=2, truth_found=1, false_candidates=3, warnings=("Far.",))
    write_index(tmp_path, [row(), full], [])
    assert all(f'<th scope="col">{title}' in page(tmp_path) for title in titles)
    assert "In the 1 with a lesion mask, candidates hit 1 of 2 lesions; 3 candidates lie in none." in page(tmp_path)


@pytest.mark.parametrize(
    ("failures", "words"),
    [
        ([], "There is no report yet."),
        ([Failure(patient="P1", reason="scan.nii: is damaged")], "There is no report: not one patient could be used."),
    ],
)
def test_an_index_without_patients_says_why(failures: list[Failure], words: str, tmp_path: Path) -> None:
    write_index(tmp_path, [], failures)
    assert words in page(tmp_path)
    assert "<img" not in page(tmp_path)
    assert all(failure.reason in page(tmp_path) for failure in failures)
    header = (tmp_path / "patients.csv").read_text().strip()
    assert header.split(",") == [*(field.name for field in fields(PatientRow)), "warning_texts"]
