"""The patients of a plain folder of volumes: a sub-folder each, or a file each with its mask beside it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.layouts.domain_folders import sub_folders
from data_prep.layouts.mask_names import says_brain_mask, says_mask, without_mask_word
from data_prep.layouts.volume_files import is_volume
from data_prep.layouts.walk import stem, walk

MASK_FOLDERS = ("labels", "labelstr", "masks")
"""Folders whose files are masks of the files of the same names in the folder beside or above; never a patient."""
_IMAGE_FOLDERS = ("images", "imagestr")
_CHANNEL_NUMBER = re.compile(r"(?P<base>.+)_\d{4}", re.DOTALL)


@dataclass(kw_only=True)
class FolderPatient:
    """The volumes of one patient by what their names say they are. `problem`: why they cannot be used."""

    name: str
    place: Path
    images: list[Path] = field(default_factory=list)
    masks: list[Path] = field(default_factory=list)
    brain_masks: list[Path] = field(default_factory=list)
    problem: str | None = None


def patients_in(folder: Path) -> tuple[list[FolderPatient], str]:
    """The patients below `folder`, none where it holds no volume, and what each of them is: a folder or a file."""
    for images in sub_folders(folder, named=_IMAGE_FOLDERS):
        if _volumes(images):
            return _file_patients(images), "file"
    below = [sub_folder for sub_folder in sub_folders(folder) if sub_folder.name.lower() not in MASK_FOLDERS]
    patients = [_folder_patient(sub_folder) for sub_folder in below]
    if not any(patient and patient.problem is None for patient in patients):
        return _file_patients(folder), "file"
    loose = [
        FolderPatient(name=stem(file.name), place=file, problem="lies beside the folders of patients; move it into one")
        for file in _volumes(folder)
    ]
    return [patient for patient in patients if patient] + loose, "folder"


def _folder_patient(folder: Path) -> FolderPatient | None:
    """All volumes at or below `folder`; None where it only holds files of other kinds."""
    levels = list(walk(folder))
    patient = FolderPatient(name=folder.name, place=folder)
    for level, names in levels:
        for file in (level / name for name in names if is_volume(name)):
            # The name of the patient, with which files may begin, may have such a word in it, too.
            own_words = re.sub(rf"^{re.escape(folder.name)}(?=[^0-9A-Za-z]|$)", "", stem(file.name))
            words = (file.parent.relative_to(folder) / own_words).as_posix()
            if says_brain_mask(words):
                patient.brain_masks.append(file)
            elif says_mask(words):
                patient.masks.append(file)
            else:
                patient.images.append(file)
    if patient.images or patient.masks or patient.brain_masks:
        return patient
    if any(names for _, names in levels):
        return None
    patient.problem = "is empty; a folder of a patient holds its volumes"
    return patient


def _file_patients(folder: Path) -> list[FolderPatient]:
    """A patient for each volume in `folder`, with the mask beside it or in a folder of masks."""
    files = _volumes(folder)
    mask_of = {file: without_mask_word(stem(file.name)) for file in files}
    if all(mask_of.values()):
        mask_of = dict.fromkeys(files)  # nothing here would be an image
    patients: dict[str, list[FolderPatient]] = {}
    for file in (file for file in files if not mask_of[file]):
        patient = FolderPatient(name=stem(file.name), place=file, images=[file])
        patients.setdefault(patient.name, []).append(patient)
    in_mask_folders = _files_of_mask_folders(folder)
    if folder.name.lower() == "imagestr" and not any(stem(file.name) in patients for file in in_mask_folders):
        patients = _grouped_by_number(folder, patients)
    strays = []
    for file, image_and_kind in mask_of.items():
        if image_and_kind is None:
            continue
        image, is_brain_mask = image_and_kind
        for patient in patients.get(image, ()):
            (patient.brain_masks if is_brain_mask else patient.masks).append(file)
        if image not in patients:
            problem = f"is named like a mask, but no image is named {image!r}; one folder a patient works, too"
            strays.append(FolderPatient(name=stem(file.name), place=file, problem=problem))
    for file in in_mask_folders:
        names = (stem(file.name), *(without_mask_word(stem(file.name)) or ())[:1])
        image = next((name for name in names if name in patients), "")
        for patient in patients.get(image, ()):
            patient.masks.append(file)
    return [patient for same_name in patients.values() for patient in same_name] + strays


def _grouped_by_number(folder: Path, patients: dict[str, list[FolderPatient]]) -> dict[str, list[FolderPatient]]:
    """Files `<patient>_0000`, `<patient>_0001`, … are the channels of one patient where all are named so."""
    grouped: dict[str, list[FolderPatient]] = {}
    for name, same_name in patients.items():
        match = _CHANNEL_NUMBER.fullmatch(name)
        if not match:
            return patients
        base = match["base"]
        whole = grouped.setdefault(base, [FolderPatient(name=base, place=folder / base)])
        whole[0].images += [file for patient in same_name for file in patient.images]
    return grouped


def _files_of_mask_folders(folder: Path) -> list[Path]:
    parent = folder.resolve().parent if folder.name in ("", "..") else folder.parent
    mask_folders = [sub_folder for top in (folder, parent) for sub_folder in sub_folders(top, named=MASK_FOLDERS)]
    return [file for sub_folder in mask_folders if sub_folder != folder for file in _volumes(sub_folder)]


def _volumes(folder: Path) -> list[Path]:
    _, names = next(walk(folder), (folder, []))
    return [folder / name for name in names if is_volume(name)]
