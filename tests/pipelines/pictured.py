"""A small patient with one candidate, for tests of pages and pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from data_prep.preparation import Preparation
from pipelines.reporting.record import Lesion, PatientReport, Place, SourceRecord, Standing
from pipelines.reporting.shown import ShownVolumes

SHAPE = (12, 20, 8)
SPACING_MM = (0.8, 1.5, 4.0)
FOREGROUND = (slice(1, 11), slice(2, 18), slice(1, 7))
SPOT = (slice(8, 10), slice(13, 16), slice(4, 6))
"""To the right, in front and above: far from the middle in every plane."""


def shown_patient(*, shape: tuple[int, int, int] = SHAPE, **changed: Any) -> ShownVolumes:
    """A gray block with a bright spot, which is candidate 1; the mask has a hole where the foreground ends."""
    foreground = np.zeros(shape, bool)
    foreground[FOREGROUND] = True
    image = np.where(foreground, np.float32(0.4), 0).astype(np.float32)
    healthy, lesions = image.copy(), np.zeros(shape, np.uint16)
    image[SPOT], lesions[SPOT] = 0.9, 1
    values: dict[str, Any] = {
        "image": image,
        "healthy": healthy,
        "difference": image - healthy,
        "lesions": lesions,
        "truth": None,
        "foreground": foreground,
        "affine": np.diag([*SPACING_MM, 1.0])
        + np.array([[0, 0, 0, -4.0], [0, 0, 0, -10], [0, 0, 0, 30], [0, 0, 0, 0]]),
        "spacing_mm": SPACING_MM,
        "channel": "flair",
    }
    return ShownVolumes(**(values | changed))


def one_slice() -> ShownVolumes:
    """The slice of `shown_patient` through the candidate, alone."""
    whole = shown_patient()
    names = ("image", "healthy", "difference", "lesions", "foreground")
    return shown_patient(**{name: getattr(whole, name)[:, :, 5:6] for name in names})


PLACE = Place(
    center_mm=(2.8, 11.0, 48.0),
    center_voxel=(8.5, 14.0, 4.5),
    hemisphere="right",
    height=0.62,
    volume_mm3=12345.6,
    longest_diameter_mm=9.87,
    first_slice=4,
    last_slice=5,
)


def lesion(number: int = 1, **changed: Any) -> Lesion:
    values = {"number": number, "peak_anomaly": 0.512, "mean_anomaly": 0.345, "brighter": True}
    return Lesion(**(PLACE.model_dump() | values | changed))


def patient_report(**changed: Any) -> PatientReport:
    """The report on `shown_patient`."""
    values: dict[str, Any] = {
        "patient": "P-17",
        "folder": "P-17",
        "study_date": None,
        "created": "2025-03-04T05:06:07+00:00",
        "score": 0.5,
        "threshold": 0.25,
        "abnormal": True,
        "candidate_threshold": 0.2,
        "standing": Standing(healthy=(0.1, 0.2), diseased=(0.4, 0.6, 0.8), above_healthy=1.0, above_diseased=1 / 3),
        "lesions": (lesion(),),
        "lesion_volume_mm3": 12345.6,
        "truth": None,
        "warnings": (),
        "files": {"table of candidates": "lesions.csv"},
        "channels": ("flair",),
        "shown_channel": "flair",
        "source": SourceRecord(
            format="nifti",
            fingerprint="f",
            sha256={"flair": "abc"},
            shape=SHAPE,
            spacing_mm=SPACING_MM,
            affine=tuple(map(tuple, shown_patient().affine.tolist())),  # type: ignore[arg-type]  (four by four)
        ),
        "preparation": Preparation(channels=("flair",)).model_dump(mode="json"),
        "model": {"run": "first", "sha256": "def", "iteration": 1000},
        "settings": {},
        "device": "cpu",
        "seconds": {"page": 0.5},
        "versions": {"fpgan": "0.1.0"},
    }
    return PatientReport(**(values | changed))
