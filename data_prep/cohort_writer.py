"""Writes a prepared cohort: each patient whole or not at all, the tables when all are there."""

from __future__ import annotations

import csv
import json
import platform
from collections.abc import Iterable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.atomic import write_atomically
from data_prep.case import Case, Failure
from data_prep.cohort import COHORT_FILE, COHORT_FORMAT
from data_prep.errors import DataError
from data_prep.patient import CohortSettings, fingerprint, prepare_patient
from data_prep.splits import SPLITS, split_patients


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
        write_atomically(arrays[folder], partial(np.save, arr=array))
    record = {"fingerprint": mark, "patient": prepared.patient, "slices": prepared.slices}
    _write_json(record_path, record)


def start_cohort(output: Path, settings: CohortSettings) -> None:
    """Make the folders; from now until `finish_cohort` the cohort counts as incomplete.

    Raises:
        DataError: when `output` holds a cohort of other settings; going on would mix the two.
    """
    path = output / COHORT_FILE
    header = _header(settings)
    if path.is_file() and json.loads(path.read_text()).get("settings") != header["settings"]:
        raise DataError("was begun with other settings; give the same ones, or `--overwrite`", path=output)
    for folder in ("images", "masks", "records"):
        (output / folder).mkdir(parents=True, exist_ok=True)
    _write_json(path, header)


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
    counts = {split: sum(s == split for s in split_of.values()) for split in SPLITS}
    header = _header(settings) | {
        "complete": True,
        "patients": counts,
        "slices": len(slice_rows),
        "failures": len(failures),
    }
    _write_json(output / COHORT_FILE, header)


def write_failures(path: Path, failures: list[Failure]) -> None:
    """`failures.csv`: patient and reason; only the header when all went well."""
    _write_table(path, [{"patient": f.patient, "reason": f.reason} for f in failures], ["patient", "reason"])


def _fingerprint_or_none(case: Case, settings: CohortSettings) -> str | None:
    """None when a file is gone or out of reach; reading it will say so by name."""
    try:
        return fingerprint(case, settings)
    except OSError:
        return None


def _header(settings: CohortSettings) -> dict[str, Any]:
    return {
        "format": COHORT_FORMAT,
        "complete": False,
        "settings": settings.model_dump(mode="json"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("numpy", "nibabel", "pillow")},
        },
    }


def _write_table(path: Path, rows: list[dict[str, Any]], columns: list[str] | None = None) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns or list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value
