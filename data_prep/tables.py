"""Labels and splits that a user gives as a table, joined to the cases a layout found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.case import Case, Failure
from data_prep.errors import DataError
from data_prep.labels import DomainNames
from data_prep.layouts.domain_folders import attribute_names, domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.table import UNKNOWN
from data_prep.layouts.table_file import Row, read_rows
from data_prep.splits import SPLIT_WORDS

_HELD = {"1": True, "true": True, "yes": True, "0": False, "-1": False, "false": False, "no": False}


@dataclass(frozen=True, kw_only=True)
class LabelTable:
    """What a table says of patients and of single slices; None where it says that nothing is known.

    `patients` maps a patient to its domains; `slices` a patient to those of its slices, by index or file name.
    """

    path: Path
    domains: DomainNames
    patients: dict[str, tuple[str, ...] | None]
    slices: dict[str, dict[str, tuple[str, ...] | None]]


def read_label_table(path: Path) -> LabelTable:
    """Read columns `patient`, perhaps `slice`, and either `domain` or one column an attribute holding 0 or 1.

    A row without a slice is for all slices of the patient that have no row of their own. `slice` is the slice's index
    in the file, from 0 along the slice axis, or the name of its own file.

    Raises:
        DataError: when columns are missing, a value is no label, or a row stands twice; the message gives the line.
    """
    columns, rows = _rows(path, ("patient",))
    columns = [name for name in columns if name not in ("patient", "slice")]
    if "domain" in columns:
        known = (row.cells["domain"] for row in rows if row.cells["domain"].lower() not in UNKNOWN)
        domains = domain_names(known, path=path)
    elif columns:
        domains = attribute_names(columns, path=path)
    else:
        raise DataError("needs a column `domain`, or one column an attribute with 0 or 1", path=path)
    patients: dict[str, tuple[str, ...] | None] = {}
    slices: dict[str, dict[str, tuple[str, ...] | None]] = {}
    for row in rows:
        patient, key = row.cells["patient"], row.cells.get("slice", "")
        place = slices.setdefault(patient, {}) if key else patients
        if (key or patient) in place:
            raise DataError(f"line {row.line}: {patient}{' slice ' + key if key else ''} has a row already", path=path)
        if not domains.exclusive:
            place[key or patient] = _held(row, domains.names, path)
        else:
            domain = row.cells["domain"]
            place[key or patient] = None if domain.lower() in UNKNOWN else (domain,)
    return LabelTable(path=path, domains=domains, patients=patients, slices=slices)


def apply_labels(finding: Finding, table: LabelTable) -> tuple[Finding, list[str]]:
    """The finding with the table's labels; a case the table does not name becomes a failure.

    Returns:
        The labeled finding, and names in the table that no case has.
    """
    cases, failures = [], list(finding.failures)
    for case in finding.cases:
        given, slices = table.patients.get(case.patient), table.slices.get(case.patient)
        if given is None and slices is None:
            reason = str(DataError(f"has no label for {case.patient}; give it one", path=table.path))
            failures.append(Failure(patient=case.patient, reason=reason))
        else:
            cases.append(replace(case, domains=given, slice_domains=slices))
    known = {case.patient for case in finding.cases} | {failure.patient for failure in finding.failures}
    strangers = sorted({*table.patients, *table.slices} - known)
    return replace(finding, cases=cases, failures=failures, domains=table.domains), strangers


def read_split_table(path: Path) -> dict[str, str]:
    """Patient to train, validation or test, from columns `patient` and `split`.

    Raises:
        DataError: when a column is missing, a split unknown or a patient named twice.
    """
    splits: dict[str, str] = {}
    for row in _rows(path, ("patient", "split"))[1]:
        patient, split = row.cells["patient"], row.cells["split"].lower()
        if patient in splits:
            raise DataError(f"line {row.line}: {patient} has a row already", path=path)
        if split not in SPLIT_WORDS:
            problem = f"line {row.line}: split must be train, validation or test, got {row.cells['split']!r}"
            raise DataError(problem, path=path)
        splits[patient] = SPLIT_WORDS[split]
    return splits


def apply_splits(cases: list[Case], splits: Mapping[str, str], path: Path) -> tuple[list[Case], list[str]]:
    """The cases with the table's splits; a row may name the patient or the subject.

    Returns:
        The cases, and names in the table that no case and no subject has.

    Raises:
        DataError: when a case has no row: a split must not be guessed beside given ones.
    """
    missing = [case.patient for case in cases if case.patient not in splits and case.subject not in splits]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise DataError(f"has no row for {missing[0]}{more}; give every patient a split", path=path)
    known = {case.patient for case in cases} | {case.subject for case in cases}
    placed = [replace(case, split=splits.get(case.patient) or splits[case.subject]) for case in cases]
    return placed, sorted(splits.keys() - known)


def _rows(path: Path, required: tuple[str, ...]) -> tuple[list[str], list[Row]]:
    columns, rows = read_rows(path)
    missing = [name for name in required if name not in columns]
    if missing:
        raise DataError(f"has no column {missing[0]}; its columns are {', '.join(columns)}", path=path)
    if not rows:
        raise DataError("has no row below its first line", path=path)
    for row in rows:
        if row.problem or not row.cells["patient"]:
            raise DataError(f"line {row.line}: {row.problem or 'names no patient'}", path=path)
    return columns, rows


def _held(row: Row, names: tuple[str, ...], path: Path) -> tuple[str, ...]:
    for name in names:
        if row.cells[name].lower() not in _HELD:
            raise DataError(f"line {row.line}: {name} must be 0 or 1, got {row.cells[name]!r}", path=path)
    return tuple(name for name in names if _HELD[row.cells[name].lower()])
