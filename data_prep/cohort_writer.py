"""Writes a prepared cohort: each patient whole or not at all, the tables when all are there."""

from __future__ import annotations

import csv
import json
import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from data_prep.atomic import atomic_path, remove_leftovers, write_atomically
from data_prep.case import Case, Failure
from data_prep.cohort import COHORT_FILE, COHORT_FORMAT, UNDECODABLE, file_stem
from data_prep.errors import DataError, one_line
from data_prep.patient import fingerprint, prepare_patient
from data_prep.settings import CohortSettings
from data_prep.splits import SPLITS, fold_split, split_folds, split_subjects

ARRAYS = ("images", "masks")


@dataclass(frozen=True, kw_only=True)
class CohortSummary:
    """What a finished cohort holds.

    `patients` counts them by split, `slices` by (split, domains); `unused_slices` counts slices by the reason why they
    went; `pixels_cut_off` is the foreground outside the windows, `patients_cut_off` whose it is; `unclear_background`
    counts patients of whom the value that was taken for background fills less than half of the volume's faces;
    `removed` those of an earlier run that are no longer part of the cohort.
    """

    patients: Counter[str]
    slices: Counter[tuple[str, str]]
    unused_slices: Counter[str]
    pixels_cut_off: int
    patients_cut_off: int
    unclear_background: int
    removed: int


def write_patient(case: Case, settings: CohortSettings, output: Path) -> bool:
    """Prepare one patient and write its arrays and, last, its record. An up-to-date patient is not read again.

    Returns:
        Whether there was anything to do.

    Raises:
        DataError: when a file of the patient cannot be used; nothing of the patient is left then.
        OSError: when the output cannot be written; nothing half-written is left then.
    """
    record_path, arrays = _record_path(output, case.patient), _array_paths(output, case.patient)
    mark = _fingerprint_or_none(case, settings)
    if mark is not None and _is_up_to_date(record_path, arrays, mark):
        return False
    for path in (record_path, *arrays.values()):
        path.unlink(missing_ok=True)
    prepared = prepare_patient(case, settings)
    written = [
        (folder, array)
        for folder, array in zip(ARRAYS, (prepared.images, prepared.mask), strict=True)
        if array is not None
    ]
    for folder, array in written:
        write_atomically(arrays[folder], partial(np.save, arr=array))
    record = {
        "fingerprint": mark,
        "arrays": [folder for folder, _ in written],
        "patient": prepared.patient,
        "slices": prepared.slices,
    }
    _write_json(record_path, record)
    return True


def start_cohort(output: Path, settings: CohortSettings) -> None:
    """Make the folders, remove what a killed run left half-written; until `finish_cohort` the cohort is incomplete."""
    for folder in (*ARRAYS, "records"):
        (output / folder).mkdir(parents=True, exist_ok=True)
        remove_leftovers(output / folder)
    remove_leftovers(output)
    _write_json(output / COHORT_FILE, _header(settings))


def finish_cohort(
    output: Path,
    patients: Iterable[str],
    failures: list[Failure],
    settings: CohortSettings,
    *,
    subject_splits: Mapping[str, str] | None = None,
) -> CohortSummary:
    """Split the patients, all written before, and write the tables and `cohort.json`.

    `subject_splits` maps subjects to the splits they come with; all others are drawn.

    Records are read one after the other, so memory does not grow with slices, and files of patients that are no longer
    part of the cohort are removed.

    Raises:
        DataError: when patients of two splits hold the same image.
    """
    names = sorted(patients)
    removed = _remove_others(output, names)
    splits = _split(output, names, settings, subject_splits or {})
    counted, slices, unused = Counter[str](), Counter[tuple[str, str]](), Counter[str]()
    cut_off: list[int] = []
    unclear_background = 0
    with _table(output / "patients.csv") as write_row, _table(output / "slices.csv") as write_slice:
        for name in names:
            record = _read_record(output, name)
            split = splits[name]["split"]
            write_row(splits[name] | {key: _cell(value) for key, value in record["patient"].items()})
            counted[split] += 1
            cut_off.append(record["patient"]["pixels_cut_off"])
            unclear_background += record["patient"]["background_share"] < 0.5
            for row in record["slices"]:
                write_slice({"split": split, **row})
                if row["reason"]:
                    unused[row["reason"]] += 1
                else:
                    slices[split, row["domains"]] += 1
    write_failures(output / "failures.csv", failures)
    header = _header(settings) | {
        "complete": True,
        "patients": {split: counted[split] for split in SPLITS},
        "slices": slices.total(),
        "unused_slices": dict(sorted(unused.items())),
        "failures": len(failures),
    }
    _write_json(output / COHORT_FILE, header)
    return CohortSummary(
        patients=counted,
        slices=slices,
        unused_slices=unused,
        pixels_cut_off=sum(cut_off),
        patients_cut_off=sum(pixels > 0 for pixels in cut_off),
        unclear_background=unclear_background,
        removed=removed,
    )


def write_failures(path: Path, failures: list[Failure]) -> None:
    """`failures.csv`: patient and reason, a line each; only the header when all went well."""
    with _table(path, ["patient", "reason"]) as write_row:
        for failure in failures:
            write_row({"patient": one_line(failure.patient), "reason": failure.reason})


def _split(
    output: Path, names: list[str], settings: CohortSettings, subject_splits: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """For each patient the split, and its fold where there are folds; all cases of a subject get the same."""
    domains: dict[str, set[str]] = {}
    subject_of: dict[str, str] = {}
    digests: dict[str, str] = {}
    for name in names:
        patient = _read_record(output, name)["patient"]
        subject_of[name] = patient["subject"]
        domains.setdefault(patient["subject"], set()).add(patient["domain"])
        digests[name] = patient["image_digest"]
    strata = {subject: "+".join(sorted(found)) for subject, found in domains.items() if subject not in subject_splits}
    result: dict[str, dict[str, Any]]
    if settings.folds:
        folds = split_folds(strata, folds=settings.folds, seed=settings.split_seed)
        result = {
            name: {"split": fold_split(folds[s], test_fold=settings.fold, folds=settings.folds), "fold": folds[s]}
            for name, s in subject_of.items()
        }
    else:
        drawn = split_subjects(strata, shares=settings.split_shares, seed=settings.split_seed) | dict(subject_splits)
        result = {name: {"split": drawn[subject]} for name, subject in subject_of.items()}
    _refuse_shared_images(digests, {name: str(row["split"]) for name, row in result.items()})
    return result


def _refuse_shared_images(digests: dict[str, str], split_of: dict[str, str]) -> None:
    owner: dict[str, str] = {}
    for name, digest in digests.items():
        twin = owner.setdefault(digest, name)
        if split_of[twin] != split_of[name]:
            raise DataError(
                f"{twin} ({split_of[twin]}) and {name} ({split_of[name]}) hold the same image; "
                "remove one, or give both one split with --split-csv"
            )


def _is_up_to_date(record_path: Path, arrays: dict[str, Path], mark: str) -> bool:
    try:
        record = json.loads(record_path.read_text(encoding="utf-8"))
        return record["fingerprint"] == mark and all(arrays[folder].is_file() for folder in record["arrays"])
    except (OSError, ValueError, KeyError, TypeError):  # missing, or of another version
        return False


def _remove_others(output: Path, names: Iterable[str]) -> int:
    """Remove files of patients that the source no longer has, and count them."""
    kept = {file_stem(name) for name in names}
    others = [path for folder in ("records", *ARRAYS) for path in (output / folder).iterdir() if path.stem not in kept]
    for path in others:
        path.unlink()
    return sum(path.parent.name == "records" for path in others)


def _read_record(output: Path, patient: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(_record_path(output, patient).read_text(encoding="utf-8"))
    return record


def _record_path(output: Path, patient: str) -> Path:
    return output / "records" / f"{file_stem(patient)}.json"


def _array_paths(output: Path, patient: str) -> dict[str, Path]:
    return {folder: output / folder / f"{file_stem(patient)}.npy" for folder in ARRAYS}


def _fingerprint_or_none(case: Case, settings: CohortSettings) -> str | None:
    """None when a file is gone or out of reach; reading it will say so by name."""
    try:
        return fingerprint(case, settings)
    except (OSError, DataError):
        return None


def _header(settings: CohortSettings) -> dict[str, Any]:
    return {
        "format": COHORT_FORMAT,
        "complete": False,
        "settings": settings.model_dump(mode="json"),
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("fpgan", "numpy", "nibabel", "pillow", "pydicom", "SimpleITK")},
        },
    }


@contextmanager
def _table(path: Path, columns: list[str] | None = None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A function that appends a row to a CSV file, which appears when the block ends well.

    `columns` are those of the first row unless they are given, as for a table that may stay empty.
    """
    # Names of files that are no UTF-8 come from Python with stand-ins for their bytes, and become those bytes again.
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8", errors=UNDECODABLE) as file:
        writer = csv.writer(file)
        if columns:
            writer.writerow(columns)
        first = not columns

        def write_row(row: dict[str, Any]) -> None:
            nonlocal first
            if first:
                writer.writerow(row)
                first = False
            writer.writerow(row.values())

        yield write_row


def _write_json(path: Path, values: dict[str, Any]) -> None:
    text = json.dumps(values, indent=2) + "\n"
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, (list, dict)) else value
