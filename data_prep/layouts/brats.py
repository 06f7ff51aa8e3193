"""BraTS folders of 2018 to 2021: `<id>/<id>_flair.nii.gz`, `_t1`, `_t1ce`, `_t2`, `_seg`, at any depth."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from data_prep.case import Case, Failure
from data_prep.errors import DataError
from data_prep.layouts import OUTPUT_MARKER

MODALITIES = ("flair", "t1", "t1ce", "t2")
MASK = "seg"


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
    """Folders at or below `root` that hold a BraTS file, in order of their names.

    A folder at the end of a branch that is empty or holds NIfTI files of other names is one, too: somebody meant it to
    be a patient, and `brats_case` says what is missing.

    Raises:
        DataError: when `root` is not an existing folder.
    """
    if not root.is_dir():
        problem = "is a file, not a folder" if root.exists() else "does not exist; check the path"
        raise DataError(problem, path=root)
    seen = set()
    for folder, below, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen or OUTPUT_MARKER in files:  # a link back, twice to the same place, or our own results
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        is_misnamed = folder != os.fspath(root) and not below and (not files or any(map(_is_nifti, files)))
        if any(_modality(name) for name in files) or is_misnamed:
            yield Path(folder)


def brats_case(folder: Path, channels: tuple[str, ...], *, with_mask: bool = True) -> Case:
    """The files of one patient folder; the mask may be absent, and is not looked for without `with_mask`.

    Raises:
        DataError: when a file that is needed is missing or there twice.
    """
    _check_channels(channels)
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        found.setdefault(_modality(file.name) or "", []).append(file)
    missing = [channel for channel in channels if channel not in found]
    if missing:
        present = ", ".join(m for m in MODALITIES if m in found) or "none"
        raise DataError(f"no {' and no '.join(missing)} file; modalities found: {present}", path=folder)
    needed = (*channels, MASK) if with_mask and MASK in found else channels
    for kind in needed:
        if len(found[kind]) > 1:
            raise DataError(f"two files are its {kind}: {found[kind][0].name} and {found[kind][1].name}", path=folder)
    return Case(
        patient=folder.resolve().name,
        images={channel: found[channel][0] for channel in channels},
        mask=found[MASK][0] if MASK in needed else None,
    )


def _check_channels(channels: tuple[str, ...]) -> None:
    for channel in channels:
        if channel not in MODALITIES:
            raise DataError(f"channel {channel!r} is no BraTS modality; known are {', '.join(MODALITIES)}")


def _modality(name: str) -> str | None:
    """`flair` for `<anything>_flair.nii.gz`; None for files that are none of a BraTS patient's."""
    if not _is_nifti(name):
        return None
    _, separator, modality = name.lower().removesuffix(".gz").removesuffix(".nii").rpartition("_")
    return modality if separator and modality in (*MODALITIES, MASK) else None


def _is_nifti(name: str) -> bool:
    return name.endswith((".nii", ".nii.gz")) and not name.startswith(".")
