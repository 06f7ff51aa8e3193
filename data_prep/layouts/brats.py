"""BraTS 2013 to 2023: one folder a patient at any depth, files named for their modality.

| years | files of a patient |
|---|---|
| 2013–2015 | `VSD.Brain.XX.O.MR_Flair.54512.mha`, each in a folder of the same name; `OT` is the mask |
| 2017–2021 | `<id>_flair.nii.gz`, `_t1`, `_t1ce`, `_t2`, `_seg` |
| 2023 | `<id>-t2f.nii.gz`, `-t1n`, `-t1c`, `-t2w`, `-seg` |
"""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_prep.case import Case
from data_prep.errors import DataError, one_line
from data_prep.layouts.channels import Channel
from data_prep.layouts.collecting import Collection, choose_each, unless_unclear
from data_prep.layouts.finding import Finding
from data_prep.layouts.mask_names import says_mask
from data_prep.layouts.volume_files import is_volume, listed, volume_source
from data_prep.layouts.walk import stem, walk

MODALITIES = ("flair", "t1", "t1ce", "t2")
MASK = "seg"
FOREGROUND = "brainmask"

ALIASES = {
    **{name: name for name in MODALITIES},
    "t2f": "flair",
    "t1n": "t1",
    "t1c": "t1ce",
    "t1gd": "t1ce",
    "t2w": "t2",
}
_WORDS = ALIASES | {
    "seg": MASK,
    "segm": MASK,
    "ot": MASK,
    "glistrboost_manuallycorrected": MASK,
    "brainmask": FOREGROUND,
    "brain_mask": FOREGROUND,
    "mask_brain": FOREGROUND,
}
_NAME = re.compile(rf"(?P<id>.+)[_.-](?P<word>{'|'.join(_WORDS)})", re.IGNORECASE | re.DOTALL)
_VSD_NAME = re.compile(rf"vsd\..+[_.-](?P<word>{'|'.join(_WORDS)})(\.\d+)?", re.IGNORECASE | re.DOTALL)
_TIME_POINT = re.compile(r"(BraTS-[A-Za-z]+-\d{5})-\d{3}")


class _File(NamedTuple):
    path: Path
    identity: str
    """What precedes the modality in its name; `vsd` for all of the names that begin so."""
    kind: str
    """A modality, `MASK` or `FOREGROUND`; empty for other volumes."""


def recognize(root: Path) -> str | None:
    """Why `root` holds BraTS patients; None where it does not."""
    try:
        return _why(_patient_folders(root))
    except (DataError, OSError):
        return None


def find_brats_cases(root: Path, channels: tuple[Channel, ...] = ()) -> Finding:
    """All patients at or below `root`; the channels are flair unless others are asked for.

    A folder at the end of a branch that is empty or holds volumes of other names counts, too: somebody meant it to be a
    patient, and its failure says what is missing.

    Raises:
        DataError: when `root` is no folder or holds no patient, or a channel is no BraTS modality and has no pattern.
    """
    wanted = _canonical(channels or (Channel(name="flair"),))
    patients = _patient_folders(root)
    collection = Collection()
    for folder, files in patients.items():
        collection.add(_name_of(folder), folder, partial(_case, folder, files, wanted))
    if not collection:
        raise DataError(f"no patient folder found; expected files such as <id>/<id>_{wanted[0].name}.nii.gz", path=root)
    return collection.finding("brats", _why(patients) or "asked for; no file is named as in BraTS")


def _canonical(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """The same channels by the names of `MODALITIES`, where they are modalities."""
    for channel in channels:
        if channel.pattern is None and channel.name.lower() not in ALIASES:
            known = ", ".join(MODALITIES)
            raise DataError(
                f"channel {channel.name!r} is no BraTS modality; known are {known}; others need a pattern, "
                f"as in {channel.name}=*word*"
            )
    named = tuple(replace(channel, name=ALIASES.get(channel.name.lower(), channel.name)) for channel in channels)
    names = [channel.name for channel in named]
    if len(set(names)) < len(names):
        raise DataError(f"channels name one modality twice: {', '.join(channel.name for channel in channels)}")
    return named


def _patient_folders(root: Path) -> dict[Path, list[_File]]:
    """Each folder that is a patient, in order of the walk, with its volumes."""
    patients: dict[Path, list[_File]] = {}
    misnamed: dict[Path, list[_File]] = {}
    for folder, names in walk(root):
        files = [_file(folder / name) for name in names if is_volume(name)]
        if any(file.kind for file in files):
            for file in files:
                patients.setdefault(_owner(root, file), []).append(file)
        elif folder != root and (files or not names) and _is_leaf(folder):
            misnamed[folder] = files
    for folder, files in misnamed.items():
        # In the releases with one folder a modality, this is one of no known modality.
        patients.setdefault(folder.parent if folder.parent in patients else folder, []).extend(files)
    return patients


def _is_leaf(folder: Path) -> bool:
    _, below, _ = next(os.walk(folder), ("", [], []))
    return all(name.startswith(".") for name in below)


def _owner(root: Path, file: _File) -> Path:
    """The folder of the patient: that of the file, or the one above where each modality has a folder named like it."""
    folder = file.path.parent
    is_folder_of_file = folder != root and stem(folder.name) == stem(file.path.name)
    is_one_of_several = file.identity.lower() in ("vsd", _name_of(folder.parent).lower())
    return folder.parent if is_folder_of_file and is_one_of_several else folder


def _file(path: Path) -> _File:
    name = stem(path.name)
    if match := _VSD_NAME.fullmatch(name):
        return _File(path, "vsd", _WORDS[match["word"].lower()])
    if match := _NAME.fullmatch(name):
        return _File(path, match["id"], _WORDS[match["word"].lower()])
    return _File(path, "", "")


def _name_of(folder: Path) -> str:
    # `.` and `..` have no name of their own; a link keeps the name that the user sees.
    return folder.resolve().name if folder.name in ("", "..") else folder.name


def _why(patients: dict[Path, list[_File]]) -> str | None:
    typical = [files for folder, files in patients.items() if _is_typical(folder, files)]
    if not typical:
        return None
    example = next(file.path.name for file in typical[0] if file.kind in MODALITIES)
    folders = "1 folder holds" if len(typical) == 1 else f"{len(typical)} folders hold"
    return one_line(f"{folders} files named as in BraTS, such as {example}")


def _is_typical(folder: Path, files: list[_File]) -> bool:
    """Files that end in `_t1` are found in any collection; BraTS names them for the folder or has several kinds.

    A mask of another name is none of BraTS; a plain folder of patients knows what to do with it.
    """
    images = [file for file in files if file.kind in MODALITIES]
    kinds = [file.kind for file in files if file.kind]
    is_named_for_folder = any(file.identity.lower() == _name_of(folder).lower() for file in images)
    if not images or any(not file.kind and says_mask(stem(file.path.name)) for file in files):
        return False
    return is_named_for_folder or len(kinds) == len(set(kinds)) > 1


def _case(folder: Path, files: list[_File], channels: tuple[Channel, ...]) -> Case:
    missing = [channel.name for channel in channels if not channel.pattern and not _of_kind(files, channel.name)]
    if missing:
        present = ", ".join(kind for kind in MODALITIES if _of_kind(files, kind))
        there = f"modalities found: {present}" if present else f"there is {listed(file.path.name for file in files)}"
        raise DataError(f"no {' and no '.join(missing)} file; {there}", path=folder)
    images = [(file.path.name, file.path) for file in files if file.kind not in (MASK, FOREGROUND)]
    by_pattern = choose_each([channel for channel in channels if channel.pattern], images, place=folder)
    by_kind = {c.name: file for c in channels if not c.pattern and (file := _only(folder, files, c.name))}
    chosen = by_pattern | by_kind
    if len(set(chosen.values())) < len(chosen):
        raise DataError(f"one file would be two of {', '.join(chosen)}; give another pattern", path=folder)
    foreground = _only(folder, files, FOREGROUND)
    mask, mask_problem = unless_unclear(lambda: _only(folder, files, MASK))
    name = _name_of(folder)
    time_point = _TIME_POINT.fullmatch(name)
    return Case(
        patient=name,
        subject=time_point[1] if time_point else name,
        images={channel.name: volume_source(chosen[channel.name]) for channel in channels},
        mask=volume_source(mask) if mask else None,
        mask_problem=mask_problem,
        foreground=volume_source(foreground) if foreground else None,
    )


def _of_kind(files: list[_File], kind: str) -> list[Path]:
    return [file.path for file in files if file.kind == kind]


def _only(folder: Path, files: list[_File], kind: str) -> Path | None:
    """The file of one kind, None without one."""
    paths = _of_kind(files, kind)
    if len(paths) > 1:
        raise DataError(f"several files are its {kind}: {listed(path.name for path in paths)}; keep one", path=folder)
    return paths[0] if paths else None
