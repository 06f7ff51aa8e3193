"""The DICOM series below a folder, patient by patient, from headers."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.case import Failure
from data_prep.errors import DataError
from data_prep.layouts.dicom_files import dicom_files
from data_prep.layouts.domain_folders import HEALTHY_FOLDERS
from data_prep.layouts.walk import stem


@dataclass(kw_only=True, slots=True)
class Series:
    """Files of one SeriesInstanceUID. `problem` says why none of them can be a slice of a volume."""

    label: str
    modality: str
    problem: str | None
    files: list[Path] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class Patient:
    """`series` by SeriesInstanceUID; `domains` are the domain folders that files lie in, none where there are none."""

    name: str
    series: dict[str, Series] = field(default_factory=dict)
    domains: set[str] = field(default_factory=set)

    @property
    def usable(self) -> list[Series]:
        """Series that may be volumes."""
        return [series for series in self.series.values() if series.problem is None]

    @property
    def place(self) -> Path:
        """The file, or the folder that holds all files."""
        files = [file for series in self.series.values() for file in series.files]
        return files[0] if len(files) == 1 else Path(os.path.commonpath([file.parent for file in files]))


def find_patients(root: Path) -> tuple[list[Patient], list[Failure]]:
    """All patients at or below `root`, sorted by name, and the files that cannot be read.

    Patients have domains where each of them lies below exactly one of the domain folders.

    Raises:
        DataError: when `root` does not exist, or is itself an archive that cannot be read.
    """
    from data_prep.readers.dicom_summary import summarize  # late: pydicom takes a while to import

    failures: list[Failure] = []
    paths = list(dicom_files(root, failures))
    depth = _depth_of_domains([path.relative_to(root).parts for path, _ in paths])
    patients: dict[tuple[str, str], Patient] = {}
    for path, is_marked in paths:
        parts = path.relative_to(root).parts
        domain = parts[depth - 1].lower() if depth else ""
        try:
            summary = summarize(path)
        except DataError as error:
            if is_marked:
                failures.append(Failure.of(_folder_name(path, parts[depth:]), error))
            continue
        if summary is None:
            continue
        name = summary.patient
        if not name:
            is_whole = summary.is_multi_frame or path == root
            name = path_stem(path) if is_whole and len(parts) <= depth + 1 else _folder_name(path, parts[depth:])
        # Folders of one name in two domains are two patients; one PatientID is one.
        patient = patients.setdefault((name, "" if summary.patient else domain), Patient(name=name))
        series = patient.series.setdefault(
            summary.series, Series(label=summary.label, modality=summary.modality, problem=summary.problem)
        )
        series.files.append(path)
        series.problem = series.problem and summary.problem
        patient.domains |= {domain} if domain else set()
    found = sorted(patients.values(), key=lambda patient: patient.name)
    if any(len(patient.domains) != 1 for patient in found):
        for patient in found:
            patient.domains.clear()
    return found, failures


def path_stem(path: Path) -> str:
    """A file's name without the ending that tells its format, if any."""
    return path.name[:-4] if path.name.lower().endswith(".zip") else stem(path.name)


def _folder_name(path: Path, parts: Sequence[str]) -> str:
    """The first of `parts`, the folders above `path`; for a file right in the folder that is searched, its folder."""
    return path_stem(Path(parts[0]) if len(parts) > 1 else path.resolve().parent)


def _depth_of_domains(ways: Sequence[tuple[str, ...]]) -> int:
    """At which depth below the root the folders are domains: 1, 2 where all lies in one folder, 0 where none are."""
    for depth in (1, 2):
        if not ways or min(map(len, ways)) <= depth:
            return 0
        names = {way[depth - 1].lower() for way in ways}
        if 2 <= len(names) <= 10 and any(name in HEALTHY_FOLDERS for name in names):
            return depth
        if len(names) > 1:
            return 0
    return 0
