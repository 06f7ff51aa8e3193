"""Writes a prepared cohort: each patient whole or not at all, the tables when all are there."""

from __future__ import annotations

import csv
import json
import os
import platform
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.case import Case, Failure
from data_prep.cohort import COHORT_FILE, COHORT_FORMAT
from data_prep.patient import CohortSettings, fingerprint, prepare_patient
from data_prep.splits import split_patients


def write_patient(case: Case, settings: CohortSettings, output: Path) -> None:
    """Prepare one patient and write its arrays and, last, its record. An up-to-date patient is not read again.

    Raises:
        DataError: when a file of the patient cannot be used; nothing of the patient is left then.
    """
    record_path = output / "records" / f"{case.patient}.json"
    arrays = {folder: output / folder / f"{case.patient}.npy" for folder in ("images", "masks")}
    mark = _fingerprint_or_none(case, settings)
    complete = record_path.is_file() and all(path.is_file() for path in arrays.values())
    if complete and mark is not None and json.loads(record_path.read_text()).get("fingerprint") == mark:
        return
    for path in (record_path, *arrays.values()):
        path.unlink(missing_ok=True)
    prepared = prepare_patient(case, settings)
    for folder, array in (("images", prepared.images), ("masks", prepared.mask)):
        _write(arrays[folder], partial(np.save, arr=array), binary=True)
    record = {"fingerprint": mark, "patient": prepared.patient, "slices": prepared.slices}
    _write(record_path, lambda file: json.dump(record, file))


def start_cohort(output: Path) -> None:
    """Make the folders; from now until `finish_cohort` the cohort counts as incomplete."""
    for folder in ("images", "masks", "records"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    (output / COHORT_FILE).unlink(missing_ok=True)


def finish_cohort(output: Path, patients: Iterable[str], failures: list[Failure], settings: CohortSettings) -> None:
    """Split the patients and write the tables and `cohort.json`."""
    records = [json.loads((output / "records" / f"{name}.json").read_text()) for name in sorted(patients)]
    strata = {record["patient"]["patient"]: record["patient"]["domain"] for record in records}
    split_of = split_patients(strata, shares=settings.split_shares, seed=settings.split_seed)
    patient_rows, slice_rows = [], []
    for record in records:
        split = {"split": split_of[record["patient"]["patient"]]}
        patient_rows.append(split | {k: _cell(v) for k, v in record["patient"].items()})
        slice_rows += [split | row for row in record["slices"]]
    _write_table(output / "patients.csv", patient_rows)
    _write_table(output / "slices.csv", slice_rows)
    write_failures(output / "failures.csv", failures)
    header = {
        "format": COHORT_FORMAT,
        "settings": settings.model_dump(mode="json"),
        "patients": {split: sum(s == split for s in split_of.values()) for split in ("train", "validation", "test")},
        "slices": len(slice_rows),
        "failures": len(failures),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "nibabel", "pillow")},
        },
    }
    _write(output / COHORT_FILE, lambda file: json.dump(header, file, indent=2))


def write_failures(path: Path, failures: list[Failure]) -> None:
    """`failures.csv`: patient and reason; only the header when all went well."""
    _write_table(path, [{"patient": f.patient, "reason": f.reason} for f in failures], ["patient", "reason"])


def _fingerprint_or_none(case: Case, settings: CohortSettings) -> str | None:
    """None when a file is gone or out of reach; reading it will say so by name."""
    try:
        return fingerprint(case, settings)
    except OSError:
        return None


def _write_table(path: Path, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    def write(file: Any) -> None:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

    _write(path, write)


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value


def _write(path: Path, write: Callable[[Any], None], *, binary: bool = False) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with temporary.open("wb") if binary else temporary.open("w", newline="", encoding="utf-8") as file:
            write(file)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
