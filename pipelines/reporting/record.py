"""What `report.json` holds: one patient's results, every number with its unit in its name or description."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

REPORT_FORMAT = 1

Point = tuple[float, float, float]
Side = Literal["left", "right", "midline"]


class Record(BaseModel):
    """A part of a report."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Place(Record):
    """Where something of the patient lies, and how large it is."""

    center_mm: Point
    """Centroid in world coordinates of the source file in mm: right, anterior, superior are positive (RAS+)."""
    center_voxel: Point
    """The same as voxel indices of the source file, from 0, in the order of the file's axes."""
    hemisphere: Side | None
    """The patient's side of the plane through the middle of the foreground; `midline` within 5 mm of it. Null for
    pictures, which do not say how the patient lies."""
    height: float | None
    """0 at the lowest slice of the foreground, 1 at the highest; null for pictures."""
    volume_mm3: float
    """Volume on the grid of the source file, in mm³."""
    longest_diameter_mm: float
    """The longest straight line between two points of it, in any direction, in mm."""
    first_slice: int
    """Lowest index, from 0, along the axis of the source file nearest to the slice axis of the model."""
    last_slice: int
    """Highest index, from 0, along the same axis."""


class Lesion(Place):
    """One lesion candidate: connected candidates of neighboring slices."""

    number: int
    """From 1, the largest sum of anomaly first; its value in `lesions.nii.gz`."""
    peak_anomaly: float
    """Largest |input - healthy translation|; 1 is the range of intensities of this scan that the model sees."""
    mean_anomaly: float
    """Mean of the same."""
    brighter: bool
    """Whether it is on average brighter than its healthy translation."""
    match: Literal["hit", "false", "excused"] | None = None
    """`hit`: its centroid lies in a lesion of the ground truth; `false`: it does not; `excused`: it lies in one too
    small to count. Null without ground truth."""


class Truth(Record):
    """Candidates against the patient's own lesion mask."""

    lesions: int
    """Lesions of the mask of more than 10 voxels."""
    found: int
    """Those that hold the centroid of at least one candidate."""
    false_candidates: int
    """Candidates whose centroid lies in none."""
    missed: tuple[Place, ...]
    """Lesions that no candidate hits, largest first."""


class Standing(Record):
    """The patient's score among those of the validation patients that the operating point was chosen on."""

    healthy: tuple[float, ...]
    """Sorted scores of healthy validation patients, or evenly spaced ranks of them where there are many."""
    diseased: tuple[float, ...]
    """The same of diseased ones."""
    above_healthy: float | None
    """Share of the healthy scores that lie below this patient's; null without any."""
    above_diseased: float | None
    """Share of the diseased scores that lie below this patient's; null without any."""


class SourceRecord(Record):
    """What was read."""

    format: str
    """nifti, itk, dicom, picture or video."""
    fingerprint: str
    """Changes with the source files and with how they are prepared; lets an interrupted run go on."""
    sha256: dict[str, str]
    """Of the bytes that each channel was read from."""
    shape: tuple[int, int, int]
    """Voxels along the axes of the source file."""
    spacing_mm: Point
    """Voxel size along right, anterior, superior, as nearly as the scan allows."""
    affine: tuple[tuple[float, float, float, float], ...]
    """From voxel indices of the source file to world coordinates (RAS+, mm)."""


class PatientReport(Record):
    """The whole report on one patient."""

    format: int = REPORT_FORMAT
    """Of this file; it rises when a field changes its meaning."""
    patient: str
    """Pseudonym: the name of the patient's folder or file, or a salted hash."""
    folder: str
    """The patient's folder below the output folder."""
    study_date: str | None
    """ISO date of the study; null unless dates are kept."""
    created: str
    """ISO date and time of this report."""
    score: float
    """The patient's score: the largest anomaly of any slice."""
    threshold: float
    """The operating point: patients are abnormal from this score on."""
    abnormal: bool
    """Whether `score` reaches `threshold`."""
    candidate_threshold: float
    """Candidates with a lower peak are not listed."""
    standing: Standing | None
    """Null where the model holds no validation scores."""
    lesions: tuple[Lesion, ...]
    """The lesion candidates, in the order of their numbers."""
    lesion_volume_mm3: float
    """Of all candidates together, in mm³."""
    truth: Truth | None
    """Null where the patient came without a lesion mask."""
    warnings: tuple[str, ...]
    """What a reader should know before trusting the numbers."""
    files: dict[str, str]
    """The written files by what they are, relative to the patient's folder."""
    channels: tuple[str, ...]
    """The channels of the model, in order."""
    shown_channel: str
    """The channel that the pictures show: the one that changed most."""
    source: SourceRecord
    """The files that were read, and their grid."""
    preparation: dict[str, Any]
    """How images were prepared for the model."""
    maps: dict[str, Any] = {}
    """How the model's changes become maps and candidates; empty in reports of earlier versions."""
    model: dict[str, Any]
    """Run, sha256 of the model file, iteration and validation numbers."""
    settings: dict[str, Any]
    """Options of the report."""
    device: str
    """What the network ran on."""
    seconds: dict[str, float]
    """Time by part of the work, in s."""
    versions: dict[str, str]
    """Of the packages that matter for the numbers and the files."""


def write_schema(path: Path) -> None:
    """Write the JSON schema of `report.json`."""
    path.write_text(json.dumps(PatientReport.model_json_schema(), indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_schema(Path(__file__).with_name("report.schema.json"))
