"""BraTS folders of 2018 to 2021: `<id>/<id>_flair.nii.gz`, `_t1`, `_t1ce`, `_t2`, `_seg`, at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.case import Case, Failure
from data_prep.errors import DataError

MODALITIES = ("flair", "t1", "t1ce", "t2")
MASK = "seg"
_SUFFIXES = (".nii.gz", ".nii")


def find_brats_cases(root: Path, channels: tuple[str, ...]) -> tuple[list[Case], list[Failure]]:
    """All patients below `root`, sorted by name, and those that lack a file or share a name.

    Raises:
        DataError: when `root` is no folder, holds no patient, or a channel is no BraTS modality.
    """
    _check_channels(channels)
    cases: dict[str, Case] = {}
    failures = []
    for folder in brats_patient_folders(root):
        name = folder.resolve().name
        if name in cases:
            twin = next(iter(cases[name].images.values())).parent
            failures.append(Failure(patient=name, reason=f"{folder}: has the same name as {twin}; rename one"))
            continue
        try:
            case = brats_case(folder, channels)
            if case.mask is None:
                raise DataError(f"no {MASK} file; slice domains come from it", path=folder)
            cases[name] = case
        except DataError as error:
            failures.append(Failure(patient=name, reason=str(error)))
    if not cases and not failures:
        expected = f"<id>/<id>_{channels[0]}.nii.gz"
        raise DataError(f"no patient folder found; expected files such as {expected}", path=root)
    return [cases[name] for name in sorted(cases)], failures


def brats_patient_folders(root: Path) -> Iterator[Path]:
    """Folders at or below `root` that hold at least one BraTS file, in order of their names.

    Raises:
        DataError: when `root` is not an existing folder.
    """
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist; check the path"
        raise DataError(problem, path=root)
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:  # a link that leads back, or twice to the same place
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        if any(_modality(name) for name in files):
            yield Path(folder)


def brats_case(folder: Path, channels: tuple[str, ...]) -> Case:
    """The files of one patient folder; the mask may be absent.

    Raises:
        DataError: when a channel is missing or there twice.
    """
    _check_channels(channels)
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        modality = _modality(file.name)
        if modality is None:
            continue
        if modality in found:
            raise DataError(f"two files are its {modality}: {found[modality].name} and {file.name}", path=folder)
        found[modality] = file
    missing = [channel for channel in channels if channel not in found]
    if missing:
        present = ", ".join(m for m in MODALITIES if m in found) or "none"
        raise DataError(f"no {' and no '.join(missing)} file; modalities found: {present}", path=folder)
    return Case(patient=folder.resolve().name, images={c: found[c] for c in channels}, mask=found.get(MASK))


def _check_channels(channels: tuple[str, ...]) -> None:
    for channel in channels:
        if channel not in MODALITIES:
            raise DataError(f"channel {channel!r} is no BraTS modality; known are {', '.join(MODALITIES)}")


def _modality(name: str) -> str | None:
    """`flair` for `<anything>_flair.nii.gz`; None for files that are none of a BraTS patient's."""
    if name.startswith("."):
        return None
    for suffix in _SUFFIXES:
        if name.endswith(suffix):
            _, separator, modality = name.removesuffix(suffix).lower().rpartition("_")
            return modality if separator and modality in (*MODALITIES, MASK) else None
    return None
