"""Pictures and videos below a folder: which are one patient, and what the names of folders say about them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from data_prep.case import Format
from data_prep.errors import one_line
from data_prep.layouts.walk import format_of, walk
from data_prep.splits import SPLIT_WORDS

MAX_DOMAINS = 10
"""More sub-folders than this are patients."""
_TRANSPARENT = ("images", "imgs")
"""Folders that say nothing about what they hold."""
_LEFT_OUT = ("masks", "labels")


@dataclass(frozen=True, kw_only=True, slots=True)
class MediaPatient:
    """One file, or the pictures of one folder.

    Attributes:
        name: of the file without its ending, or of the folder; with all folders before it where others are named alike.
        place: what messages name.
        folders: between the root and the patient.
        domain, split: as folders name them.
    """

    name: str
    place: Path
    files: tuple[Path, ...]
    folders: tuple[str, ...]
    domain: str | None = None
    split: str | None = None


def media_patients(root: Path, kind: Format, *, folder_is_patient: bool) -> tuple[list[MediaPatient], str]:
    """All patients at or below `root`, and one line that says how they lie.

    Folders named train, validation and test are splits. Below them, or at `root` where there are none, 2 to 10 folders
    are domains, whose names come in lower case. Files that lie there directly are a patient each; with
    `folder_is_patient`, the files of any deeper folder are one patient.

    Raises:
        DataError: when `root` is no folder.
    """
    found = _files(root, kind)
    splits = [folders[0].lower() if folders else "" for folders in found]
    has_splits = bool(splits) and all(name in SPLIT_WORDS for name in splits)
    depth = int(has_splits)
    tops = {folders[depth].lower() if len(folders) > depth else "" for folders in found}
    has_domains = "" not in tops and 2 <= len(tops) <= MAX_DOMAINS
    patients = []
    for (folders, files), top in zip(found.items(), splits, strict=True):
        domain = folders[depth].lower() if has_domains else None
        split = SPLIT_WORDS[top] if has_splits else None
        is_one = folder_is_patient and len(folders) > depth + has_domains
        for group in [files] if is_one else [[file] for file in files]:
            place = group[0].parent if is_one else group[0]
            patient = MediaPatient(
                name=place.name if is_one else place.name.rpartition(".")[0],
                place=place,
                files=tuple(group),
                folders=folders[:-1] if is_one else folders,
                domain=domain,
                split=split,
            )
            patients.append(patient)
    return _distinct(patients), _why(patients, f"{kind}s")


def _files(root: Path, kind: Format) -> dict[tuple[str, ...], list[Path]]:
    """Files of one kind by the folders they lie in, seen from `root`."""
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder, names in walk(root):
        files = [folder / name for name in names if format_of(name) == kind]
        parts = folder.relative_to(root).parts
        if files and not any(part.lower() in _LEFT_OUT for part in parts):
            telling = tuple(part for part in parts if part.lower() not in _TRANSPARENT)
            found.setdefault(telling, []).extend(files)
    return found


def _distinct(patients: list[MediaPatient]) -> list[MediaPatient]:
    """Patients of one name get those of their folders before it."""
    counts = Counter(patient.name for patient in patients)
    return [
        replace(patient, name="/".join((*patient.folders, patient.name))) if counts[patient.name] > 1 else patient
        for patient in patients
    ]


def _why(patients: list[MediaPatient], what: str) -> str:
    domains = Counter(patient.domain for patient in patients)
    if None in domains or not domains:
        return f"{len(patients)} {'patient' if len(patients) == 1 else 'patients'} of {what}"
    counts = [f"{name} ({count})" for name, count in sorted(domains.items(), key=lambda item: str(item[0]))]
    more = f" and {len(counts) - 8} more" if len(counts) > 8 else ""
    return one_line(f"folders of {what}, each a domain: {', '.join(counts[:8])}{more}")
