"""The embedded cohort: BraTS-like patients with known lesions, built without a network.

Anatomy comes from the MNI152 T1, gray-matter and white-matter maps that the nilearn package carries (ICBM 2009a
nonlinear symmetric atlas). Each patient is that anatomy under a random affine and a smooth elastic deformation, seen
in four contrasts with a bias field, texture and Rician noise. Lesions have edema, core and enhancing rim.

The cohort is made to be hard for answers that need no learning: small bright vessels lie in every brain, healthy or
not, and lesions at every height, so neither the brightest pixel nor the height of a slice gives the label away. Its
variant `hard` is hard for models too: see `synthetic_hard.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from data_prep.readers.nifti import write_nifti
from data_prep.synthetic_anatomy import patient_affine
from data_prep.synthetic_default import synthesize_default
from data_prep.synthetic_hard import synthesize_hard

Variant = Literal["default", "hard"]


@dataclass(frozen=True, kw_only=True)
class SyntheticPatient:
    """One patient.

    `channels` maps a contrast (t1, t1ce, t2, flair) to its volume, (128, 148, 44) int16 like BraTS files, background
    exactly 0; `labels` of the same shape holds 0, 1, 2 and 4.
    """

    name: str
    channels: dict[str, np.ndarray]
    labels: np.ndarray


def write_synthetic_patient(number: int, output: Path, *, seed: int = 0, variant: Variant = "default") -> Path:
    """Write patient `number` of the cohort `seed` below `output` in BraTS 2020 naming and return its folder.

    The same number, seed and variant give the same bytes, whatever other patients are written.
    """
    patient = synthesize_patient(number, seed=seed, variant=variant)
    folder = Path(output) / patient.name
    folder.mkdir(parents=True, exist_ok=True)
    affine = patient_affine()
    for contrast, volume in patient.channels.items():
        write_nifti(folder / f"{patient.name}_{contrast}.nii.gz", volume, affine)
    write_nifti(folder / f"{patient.name}_seg.nii.gz", patient.labels, affine)
    return folder


def synthesize_patient(number: int, *, seed: int = 0, variant: Variant = "default") -> SyntheticPatient:
    """Build patient `number` of the cohort `seed`. Every fourth is healthy."""
    synthesize, prefix = {
        "default": (synthesize_default, "Synthetic"),
        "hard": (synthesize_hard, "SyntheticHard"),
    }[variant]
    channels, labels = synthesize(np.random.default_rng([seed, number]), healthy=number % 4 == 0)
    return SyntheticPatient(name=f"{prefix}_{seed}_{number:03d}", channels=channels, labels=labels)
