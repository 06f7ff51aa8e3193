"""Evaluations of maps that no network made: patients, their maps as another method would write them, what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd

from evaluation.numbers import UNDEFINED_BECAUSE

VALIDATION = ("P2", "P3", "P4")
TEST = ("P10", "P11", "P5", "P6", "P7", "P8", "P9")
HEALTHY = ("P0", "P4", "P8", "P9")
"""Of twelve patients P0 to P11; those that are neither in validation nor test are in training."""
PREPARED = ("--size", 64, "--field-of-view-mm", 110)
FILES = {
    "metrics.json",
    "slices.csv",
    "patients.csv",
    "lesions.csv",
    "measurements.npz",
    "curves.png",
    "cases.png",
    "index.html",
    ".fpgan",
}
"""What an evaluation writes."""
OF_A_TRANSLATION = {"fixed_point.same_domain_l1"}
"""Numbers that maps of another method do not have."""
SOME, FEW = "--set=resamples=200", "--set=resamples=20"
"""For tests that look at intervals, and for others."""


@dataclass(frozen=True)
class Mapped:
    """Folders: patients, `splits` and the cohort they become, the lesion masks as maps, and evaluations of maps.

    `exact` evaluates the masks, `noisy` maps in which some lesions drown, `noisier` the same with more noise.
    """

    brats: Path
    splits: Path
    cohort: Path
    masks: Path
    exact: Path
    noisy: Path
    noisier: Path


def lesion_of(brats: Path, patient: str) -> np.ndarray:
    """A patient's lesion mask as 0 and 1, float32 on the grid of its source."""
    return (np.asarray(nib.load(mask_of(brats, patient)).dataobj) > 0).astype(np.float32)


def mask_of(brats: Path, patient: str) -> Path:
    return brats / patient / f"{patient}_seg.nii.gz"


def write_map(folder: Path, brats: Path, patient: str, values: np.ndarray, *, name: str | None = None) -> Path:
    """Values on the grid of a patient's source, as the map of the patient or of another `name`."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name or patient}.nii.gz"
    nib.save(nib.Nifti1Image(values.astype(np.float32), nib.load(mask_of(brats, patient)).affine), path)
    return path


def write_masks(folder: Path, brats: Path, patients: tuple[str, ...] = VALIDATION + TEST) -> Path:
    """The lesion masks as maps."""
    for patient in patients:
        write_map(folder, brats, patient, lesion_of(brats, patient))
    return folder


def write_noisy(folder: Path, brats: Path, *, noise: float) -> Path:
    """Lesions of 0 to 0.9 by patient, in noise that is the same but for its size, which `noise` says."""
    for patient in VALIDATION + TEST:
        random = np.random.default_rng(int(patient[1:]))
        lesion = lesion_of(brats, patient)
        values = (
            random.uniform(0, 0.9) * lesion
            + random.uniform(size=lesion.shape)
            + noise * random.uniform(size=lesion.shape)
        )
        write_map(folder, brats, patient, values)
    return folder


def write_patients(path: Path, brats: Path, patients: dict[str, tuple[bool, str]]) -> Path:
    """A table of patients: for each whether it has its mask, and its domain."""
    lines = ["patient,flair,mask,domain"]
    for patient, (has_mask, domain) in patients.items():
        mask = mask_of(brats, patient) if has_mask else ""
        lines.append(f"{patient},{brats / patient / f'{patient}_flair.nii.gz'},{mask},{domain}")
    path.write_text("\n".join(lines))
    return path


def prepare(fpgan: Callable[..., Any], source: Path, cohort: Path, splits: Path, *options: object) -> Path:
    result = fpgan("prepare", source, "--output", cohort, *PREPARED, "--split-csv", splits, *options)
    assert result.exit_code == 0, result.output
    return cohort


def evaluate_maps(fpgan: Callable[..., Any], maps: Path, cohort: Path, output: Path, *options: object) -> str:
    """Evaluate maps; returns what the command says."""
    result = fpgan("evaluate", "--maps", maps, cohort, "--output", output, *options)
    assert result.exit_code == 0, result.output
    return str(result.output)


def metrics_of(evaluation: Path) -> dict[str, Any]:
    """`metrics.json`, refusing what is no JSON: NaN and infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return dict(json.loads((evaluation / "metrics.json").read_text(encoding="utf-8"), parse_constant=refuse))


def table_of(evaluation: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(evaluation / f"{name}.csv")


def undefined_in(metrics: dict[str, Any]) -> set[str]:
    """Numbers that are null, each with an interval of null."""
    found = set()
    for name in UNDEFINED_BECAUSE:
        group, key = name.split(".")
        if metrics[group][key] is None:
            assert metrics[group][f"{key}_ci95"] == [None, None]
            found.add(name)
    return found
