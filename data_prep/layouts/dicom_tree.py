"""DICOM files in any arrangement, also in zip archives: patients and series come from headers, not from folders.

Folders count in two places only: the first one names patients whose PatientID is blank, and where one of a few folders
is named like healthy or control, they are domains.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import groupby, islice
from pathlib import Path

from data_prep.archive import read_bytes
from data_prep.case import Case, Source
from data_prep.errors import DataError, quote_private
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each
from data_prep.layouts.dicom_files import HEAD, files_and_members, has_mark, is_archive
from data_prep.layouts.dicom_series import Patient, find_patients
from data_prep.layouts.domain_folders import domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.volume_files import listed

LOOKED_AT = 2000
LOOKED_AT_PER_FOLDER = 5
"""How many files are looked at to recognize a DICOM folder; others hold thousands that are something else."""


def recognize(root: Path) -> str | None:
    """Why `root`, a folder, a zip archive or a single file, holds DICOM; None where the first files do not."""
    try:
        files = islice(files_and_members(root, []), LOOKED_AT)
        for _, in_folder in groupby(files, key=lambda file: file.parent):
            if any(_is_marked(file) for file in islice(in_folder, LOOKED_AT_PER_FOLDER)):
                return "holds DICOM files"
    except (DataError, OSError):
        return "is a zip archive" if is_archive(root) else None  # which finding cases says what is wrong with
    return None


def find_dicom_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """Patients, a series a channel, and their domains where folders name them.

    A channel's pattern is matched with `<SeriesDescription> <ProtocolName> <Modality> series <SeriesNumber>`. Without
    `channels`, each patient must have one series that may be a volume; its channel is named like its modality.

    Raises:
        DataError: when there is no DICOM series that may be a volume, or there are several and no `channels`.
    """
    patients, failures = find_patients(root)
    if not patients and not failures:
        raise DataError("no DICOM file found; check the path", path=root)
    if not failures and not any(patient.usable for patient in patients):
        raise DataError(f"no DICOM series that can be a volume; there is {_unusable(patients)}", path=root)
    channels = channels or _only_channel(patients)
    collection = Collection()
    for patient in patients:
        collection.add(patient.name, patient.place, partial(_case, patient, channels))
    number = sum(len(patient.series) for patient in patients)
    why = f"DICOM headers (series: {number}, patients: {len(patients)})"
    domains = domain_names(collection.domains, path=root) if collection.domains else None
    finding = collection.finding("dicom", why, domains=domains)
    return replace(finding, failures=[*failures, *finding.failures])


def _only_channel(patients: list[Patient]) -> tuple[Channel, ...]:
    for patient in patients:
        if len(patient.usable) > 1:
            labels = listed((series.label for series in patient.usable), quote=quote_private)
            problem = f"has several series: {labels}; say which, as in --channels name=*word*"
            raise DataError(problem, path=patient.place)
    modalities = sorted({series.modality.lower() for patient in patients for series in patient.usable})
    if len(modalities) > 1:
        raise DataError(
            f"some patients have a {quote_private(modalities[0])} series, others a {quote_private(modalities[1])} "
            "series; say which is meant, as in "
            "--channels name=*word*"
        )
    return (Channel(name=(modalities[0] if modalities else "") or "image"),)


def _case(patient: Patient, channels: tuple[Channel, ...]) -> Case:
    candidates = [(series.label, series.files) for series in patient.usable]
    if not candidates:
        raise DataError(f"has no series that can be a volume; there is {_unusable([patient])}", path=patient.place)
    chosen = choose_each(channels, candidates, place=patient.place, kind="scan")
    return Case(
        patient=patient.name,
        images={name: Source(format="dicom", files=tuple(sorted(files))) for name, files in chosen.items()},
        domains=tuple(patient.domains) or None,
    )


def _unusable(patients: list[Patient]) -> str:
    """Series that are none, each with its reason, at most four of them."""
    series = [series for patient in patients for series in patient.series.values()]
    reasons = [f"{quote_private(one.label)}, which {one.problem}" for one in series]
    return ", ".join(reasons[:4]) + (f" and {len(reasons) - 4} more" if len(reasons) > 4 else "")


def _is_marked(path: Path) -> bool:
    try:
        return has_mark(read_bytes(path, at_most=HEAD))
    except DataError:
        return False
