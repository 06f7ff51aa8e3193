"""The index over all patients: a page to look through, and the same as tables."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import quote

from data_prep.atomic import atomic_path
from data_prep.case import Failure
from data_prep.cohort import UNDECODABLE
from data_prep.cohort_writer import write_failures
from pipelines.reporting.page import render
from pipelines.reporting.record import PatientReport

INDEX_FILE = "index.html"
PATIENTS_FILE = "patients.csv"
FAILURES_FILE = "failures.csv"

_FORMULA_STARTS = tuple("=+-@＝＋－＠\t\r\n")
_MARK = "'"


@dataclass(frozen=True, kw_only=True)
class PatientRow:
    """What the index shows of one patient; its fields are the columns of `patients.csv`.

    Attributes:
        patient: pseudonym.
        folder: the patient's folder below the output folder.
        report, preview: the page and the small picture, relative to the output folder.
        study_date: ISO date; None unless dates are kept.
        abnormal: whether `score` reaches `threshold`.
        score, threshold: the patient's score, and from where on patients are abnormal.
        lesions: how many lesion candidates there are.
        lesion_volume_mm3: of all candidates together.
        largest_volume_mm3: of the largest candidate; None without any.
        largest_diameter_mm: the longest diameter of any candidate; None without any.
        truth_lesions: lesions of the patient's own mask; None without one, as are the next two.
        truth_found: those that hold the centroid of a candidate.
        false_candidates: candidates whose centroid lies in none.
        warnings: what a reader should know before trusting the numbers.
    """

    patient: str
    folder: str
    report: str
    preview: str
    study_date: str | None
    abnormal: bool
    score: float
    threshold: float
    lesions: int
    lesion_volume_mm3: float
    largest_volume_mm3: float | None
    largest_diameter_mm: float | None
    truth_lesions: int | None
    truth_found: int | None
    false_candidates: int | None
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, report: PatientReport) -> PatientRow:
        """The row of a report."""
        truth = report.truth
        return cls(
            patient=report.patient,
            folder=report.folder,
            report=f"{report.folder}/{report.files['page']}",
            preview=f"{report.folder}/{report.files['preview']}",
            study_date=report.study_date,
            abnormal=report.abnormal,
            score=report.score,
            threshold=report.threshold,
            lesions=len(report.lesions),
            lesion_volume_mm3=report.lesion_volume_mm3,
            largest_volume_mm3=max((lesion.volume_mm3 for lesion in report.lesions), default=None),
            largest_diameter_mm=max((lesion.longest_diameter_mm for lesion in report.lesions), default=None),
            truth_lesions=truth.lesions if truth else None,
            truth_found=truth.found if truth else None,
            false_candidates=truth.false_candidates if truth else None,
            warnings=report.warnings,
        )


def write_index(output: Path, rows: Sequence[PatientRow], failures: Sequence[Failure]) -> None:
    """Write `index.html`, `patients.csv` and `failures.csv`, each whole or not at all.

    Patients stand in order of falling score, those of equal score in order of their names.

    Raises:
        OSError: when a file cannot be written.
    """
    ordered = sorted(rows, key=lambda row: (-row.score, row.patient))
    _write_patients(output / PATIENTS_FILE, ordered)
    guarded = [Failure(patient=_text(failure.patient), reason=_text(failure.reason)) for failure in failures]
    write_failures(output / FAILURES_FILE, guarded)
    page = render("index.html", title="Lesion reports", rows=ordered, failures=failures, link=_link)
    with atomic_path(output / INDEX_FILE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _write_patients(path: Path, rows: Sequence[PatientRow]) -> None:
    columns = [field.name for field in fields(PatientRow)]
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors=UNDECODABLE) as file:
        writer = csv.writer(file)
        writer.writerow([*columns, "warning_texts"])
        for row in rows:
            values = {name: getattr(row, name) for name in columns} | {"warnings": len(row.warnings)}
            writer.writerow([*map(_cell, values.values()), _text(" | ".join(row.warnings))])


def _cell(value: Any) -> Any:
    return _text(value) if isinstance(value, str) else value


def _text(text: str) -> str:
    """`text` so that no spreadsheet runs it as a formula.

    Spreadsheets compute cells that start with one of `_FORMULA_STARTS`, quoted or not; a name made up by a stranger
    could call a program there. A leading apostrophe makes them text. Names that start with an apostrophe get another
    one, so whoever removes one leading apostrophe has the name again. Numbers, negative ones too, are no text.
    """
    return _MARK + text if text.startswith((*_FORMULA_STARTS, _MARK)) else text


def _link(path: str) -> str:
    """A relative path as an address; bytes that are no UTF-8 stay those bytes."""
    return quote(path, errors=UNDECODABLE)
