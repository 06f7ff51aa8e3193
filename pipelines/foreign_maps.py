"""Anomaly maps of any other method: NIfTI volumes on the grids of the patients' sources, onto a cohort's slices."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np

from data_prep.case import Source
from data_prep.cohort import Cohort, file_stem
from data_prep.errors import DataError
from data_prep.readers import read_source
from data_prep.readers.foreign import bounded_by_memory
from data_prep.regrid import slices_on_cohort_grid
from pipelines.errors import MapWarning


def find_map(folder: Path, patient: str) -> Path | None:
    """The file that holds a patient's map, None without one.

    The first of `<patient>.nii.gz`, `<patient>.nii`, `<patient>/difference.nii.gz` as `fpgan report` writes it, and the
    only `.nii.gz` file in a folder `<patient>`. Names are those of `file_stem`; a `:` may also stand as it is.

    Raises:
        DataError: when `folder` is none, or a patient's folder holds several volumes.
    """
    if not folder.is_dir():
        raise DataError("is not a folder; give the one that holds a map for each patient", path=folder)
    stem = file_stem(patient)
    # Other characters are not taken as they are: `a/b` or `a%3Ab` could then be the map of the patient `a` or `a:b`.
    for name in dict.fromkeys((stem, stem.replace("%3A", ":"))):
        for path in (folder / f"{name}.nii.gz", folder / f"{name}.nii", folder / name / "difference.nii.gz"):
            if path.is_file():
                return path
        volumes = sorted(path for path in (folder / name).glob("*.nii.gz") if not path.name.startswith("."))
        if len(volumes) > 1:
            problem = f"holds {len(volumes)} volumes, {volumes[0].name}, {volumes[1].name}"
            raise DataError(
                f"{problem}{', …' * (len(volumes) > 2)}; name the map difference.nii.gz", path=folder / name
            )
        if volumes:
            return volumes[0]
    return None


def read_map(folder: Path, patient: str, cohort: Cohort) -> np.ndarray:
    """A patient's map on the slices of the cohort, resampled as the images were.

    Returns:
        (S, H, W) float32 in the order of `cohort.images(patient)`, not negative, higher = more abnormal: of a signed
        difference the absolute value, taken on the grid of the file. 0 beyond the edge of the source.

    Raises:
        DataError: when there is no map, several may be meant, or the file cannot be read, is not one 3D volume, holds
            NaN or infinity, or lies on another grid than the patient's source.
    """
    path = find_map(folder, patient)
    if path is None:
        raise DataError(f"holds no map of {patient}; write {file_stem(patient)}.nii.gz there", path=folder)
    with bounded_by_memory(path):
        volume = read_source(Source(format="nifti", files=(path,), channel=0))
        if len(volume.channels) > 1:
            raise DataError(f"must be one 3D volume, holds {len(volume.channels)}; keep the map alone", path=path)
        if volume.channels[0].min() < 0:
            warnings.warn("maps hold negative values; their absolute values are used", MapWarning, stacklevel=2)
        # In float32, as the lowest integer of a type has no absolute value in it.
        magnitude = np.abs(volume.channels[0], dtype=np.float32)
        return _without_noise(slices_on_cohort_grid(replace(volume, channels=(magnitude,)), cohort, patient))


def _without_noise(values: np.ndarray) -> np.ndarray:
    """Values to 16 binary digits: interpolation errs in the last of its 24, and makes what was equal unequal.

    A map of zeros and ones would else have peaks of 1 and of 0.9999999, and a threshold at 1 would part them.
    """
    mantissas, exponents = np.frexp(values)
    return np.ldexp(np.round(mantissas * 2**16) / 2**16, exponents)
