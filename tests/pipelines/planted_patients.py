"""Series and folders of patients with planted texts in all headers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from tests.conftest import draw_head, write_brats_patient
from tests.data_prep.dicom_writing import MR, SERIES, write_enhanced, write_series
from tests.pipelines.planted import (
    MARK,
    pack,
    plant_around,
    plant_dicom,
    plant_nifti,
    write_bids,
    write_metaimage,
    write_nrrd,
)


@dataclass(frozen=True)
class Inputs:
    """Folders of patients; all but `plain` are called like what is planted in their headers."""

    dicom: Path
    plain: Path
    brats: Path
    bids: Path
    itk: Path


def write_inputs(root: Path) -> Inputs:
    """Write all of `Inputs`."""
    found = Inputs(*(root / name for name in ("dicom", "plain", "brats", "bids", "itk")))
    write_classic(found.dicom / f"{MARK} classic", f"{MARK} ONE")
    write_frames(found.dicom / f"{MARK} enhanced" / f"{MARK}.dcm", f"{MARK} TWO")
    pack(write_classic(root / "classic", f"{MARK} THREE"), found.dicom / f"{MARK} classic.zip")
    pack(write_frames(root / "enhanced" / "frames.dcm", f"{MARK} FOUR").parent, found.dicom / f"{MARK} enhanced.zip")
    write_classic(found.plain / "first", f"{MARK} ONE")
    write_frames(found.plain / "second" / "frames.dcm", f"{MARK} TWO")
    for path in write_brats_patient(found.brats, "P1", seed=1).iterdir():
        plant_nifti(path)
    write_bids(found.bids, found.brats / "P1" / "P1_flair.nii.gz")
    voxels, _ = draw_head(np.random.default_rng(1), lesion=True)
    write_metaimage(found.itk / "M1" / "M1_flair.mha", voxels)
    write_nrrd(found.itk / "N1" / "N1_flair.nrrd", voxels)
    return found


def slices(seed: int = 1) -> np.ndarray:
    """A head as (K, rows, columns)."""
    return draw_head(np.random.default_rng(seed), lesion=True)[0].transpose(2, 1, 0).astype(np.uint16)


def write_classic(folder: Path, patient: str, *, spoil: Callable[[int, Dataset], None] | None = None) -> Path:
    """An MR series, a file a slice, with texts in the headers of both ends, and in the first in sequences, too."""

    def plant(k: int, dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality = MR, "MR"
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = f"{SERIES}.100", f"{SERIES}.200"
        if k in (0, 11):
            plant_dicom(dataset, nested=k == 0 and spoil is None)
        dataset.PatientID = patient
        if spoil:
            spoil(k, dataset)

    files = write_series(folder, slices(), change=plant, names=[f"{MARK} {k:02}" for k in range(12)])
    if not spoil:
        for path in files:
            plant_around(path)
    return folder


def write_frames(path: Path, patient: str) -> Path:
    """The same as one file of an enhanced MR image, with texts in the functional groups of a frame, too."""

    def plant(dataset: Dataset) -> None:
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = f"{SERIES}.100", f"{SERIES}.200"
        plant_dicom(dataset)
        dataset.PatientID = patient

    def plant_group(k: int, group: Dataset) -> None:
        if k == 0:
            plant_dicom(group, nested=False)

    write_enhanced(path, slices(), change=plant_group, change_file=plant)
    plant_around(path)
    return path


def put(**elements: Any) -> Callable[[int, Dataset], None]:
    """Other elements in every slice."""

    def spoil(k: int, dataset: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return spoil
