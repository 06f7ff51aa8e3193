"""Plain folders of volumes: a folder a domain, a folder a patient, or a file a patient.

| shape | example |
|---|---|
| folders of domains | `healthy/A.nii.gz`, `tumor/B.nii.gz`, or `tumor/B/flair.nii.gz` |
| one folder a patient | `A/flair.nii.gz`, `A/t1.nii.gz`, `A/mask.nii.gz` |
| one file a patient | `A.nii.gz`, `A_seg.nii.gz`, or `images/A.nii.gz`, `masks/A.nii.gz` |

They are told apart in this order.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from data_prep.case import Case
from data_prep.errors import DataError, one_line
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each, unless_unclear
from data_prep.layouts.domain_folders import HEALTHY_FOLDERS, domain_folders, domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.folder_patients import FolderPatient, patients_in
from data_prep.layouts.volume_files import is_volume, listed, volume_source
from data_prep.layouts.walk import exists, is_folder, stem, walk


def recognize(root: Path) -> str | None:
    """Why `root` is a plain folder of volumes; None where it holds none."""
    try:
        found, why = _patients(root)
    except (DataError, OSError):
        return None
    return why if found else None


def find_folder_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """Patients and, where folders name them, their domains. Without `channels`, the one image that each patient has.

    In a patient's folder, files with a word such as seg, mask or lesion in their names are masks, those with brainmask
    are brain masks; all others may become channels.

    Raises:
        DataError: when `root` is no folder or holds no volume, or there are several images a patient and no `channels`.
    """
    if not _is_single(root):
        next(walk(root), None)  # says so when there is no such folder
    found, why = _patients(root)
    if not found:
        raise DataError(
            "no volume found; expected a folder a patient, or files such as <patient>.nii.gz (also .mha, .nrrd)",
            path=root,
        )
    asked = channels or _one_image(root, [patient for patient, _ in found])
    collection = Collection()
    for patient, domain in found:
        collection.add(patient.name, patient.place, partial(_case, patient, domain, asked))
    domains = domain_names(collection.domains, path=root) if collection.domains else None
    return collection.finding("folder", why, domains=domains)


def _patients(root: Path) -> tuple[list[tuple[FolderPatient, str | None]], str]:
    """Patients with the domains that folders name, and how they lie."""
    if _is_single(root):
        return [(FolderPatient(name=stem(root.name), place=root, images=[root]), None)], "one volume, a patient"
    of_domains = {folder: (name, patients_in(folder)[0]) for name, folder in domain_folders(root)}
    filled = [(name, patients) for name, patients in of_domains.values() if patients]
    if len(filled) > 1 and any(name in HEALTHY_FOLDERS for name, _ in filled):
        counts = ", ".join(f"{name} ({len(patients)})" for name, patients in filled)
        return [(p, name) for name, patients in filled for p in patients], one_line(f"folders of domains: {counts}")
    patients, kind = patients_in(root)
    plural = "" if len(patients) == 1 else "s"
    return [(patient, None) for patient in patients], f"{len(patients)} {kind}{plural} of volumes, one a patient"


def _is_single(root: Path) -> bool:
    """Whether `root` is itself a volume, as somebody has it who wants a report on one."""
    return is_volume(root.name) and exists(root) and not is_folder(root)


def _one_image(root: Path, patients: list[FolderPatient]) -> tuple[Channel, ...]:
    """The channel `image`, unless most patients have several images; a single such patient fails alone."""
    several = [patient for patient in patients if len(patient.images) > 1]
    if len(several) >= max(1, sum(len(patient.images) == 1 for patient in patients)):
        names = listed(_label(file, several[0].place) for file in several[0].images)
        raise DataError(f"has several images: {names}; say which, as in --channels flair=*word*", path=several[0].place)
    return (Channel(name="image"),)


def _case(patient: FolderPatient, domain: str | None, channels: tuple[Channel, ...]) -> Case:
    if patient.problem:
        raise DataError(patient.problem, path=patient.place)
    candidates = [(_label(file, patient.place), file) for file in patient.images]
    chosen = choose_each(channels, candidates, place=patient.place)
    mask, mask_problem = unless_unclear(lambda: _only(patient, patient.masks, "mask"))
    foreground = _only(patient, patient.brain_masks, "brain mask")
    return Case(
        patient=patient.name,
        images={name: volume_source(file) for name, file in chosen.items()},
        mask=volume_source(mask) if mask else None,
        mask_problem=mask_problem,
        foreground=volume_source(foreground) if foreground else None,
        domains=(domain,) if domain else None,
    )


def _only(patient: FolderPatient, files: list[Path], kind: str) -> Path | None:
    if len(files) > 1:
        names = listed(_label(file, patient.place) for file in files)
        raise DataError(f"several files may be its {kind}: {names}; keep one of them", path=patient.place)
    return files[0] if files else None


def _label(file: Path, place: Path) -> str:
    """What a pattern is matched with: the name of a file, or the way to it from the patient's folder."""
    return file.relative_to(place).as_posix() if place in file.parents else file.name
