"""DICOM series of every kind, reports on them, and both objects made of these, for tests of what the objects hold."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom.dataset import Dataset

from data_prep.archive import archive_members
from data_prep.readers.dicom_headers import SeriesHeaders, read_headers
from pipelines.reporting.record import Lesion, PatientReport, SourceRecord
from pipelines.reporting.segmentation import write_segmentation
from pipelines.reporting.structured_report import write_structured_report
from tests.data_prep.dicom_writing import MR, SERIES, Grid, oblique, write_enhanced, write_series

K, ROWS, COLUMNS = 7, 12, 10
SHUFFLED = (4, 2, 6, 0, 5, 1, 3)
"""Where slice k stands among the files, or frames."""
STUDY, FRAME_OF_REFERENCE = "1.2.826.0.1.3680043.8.498.77", "1.2.826.0.1.3680043.8.498.78"
PRIVATE_CLASS = "1.3.46.670589.11.0.0.12.9"
SOURCES = ("CT", "MR", "rounded CT", "private class", "zip", "enhanced MR", "concatenation")
PRIVATE_SCHEME = "Unrecognized defined term <99FPGAN>"
needs_dciodvfy = pytest.mark.skipif(shutil.which("dciodvfy") is None, reason="dciodvfy (dicom3tools) is not installed")


@dataclass(frozen=True, kw_only=True)
class Written:
    """A patient's two objects, read again, and what they were made of."""

    headers: SeriesHeaders
    labels: np.ndarray
    report: PatientReport
    files: list[Path]
    segmentation: Dataset
    document: Dataset


def write_source(
    kind: str,
    folder: Path,
    grid: Grid,
    stored: np.ndarray | None = None,
    change: Callable[[Dataset], None] | None = None,
) -> list[Path]:
    """The files of one of `SOURCES`, shuffled; `change` alters each header."""
    stored = np.zeros((K, ROWS, COLUMNS), np.int16) if stored is None else stored

    def of_slice(k: int, dataset: Dataset) -> None:
        _complete(k, dataset)
        dataset.SOPInstanceUID = f"{SERIES}.{90 - k}"
        if kind == "MR":
            dataset.SOPClassUID, dataset.Modality = MR, "MR"
        if kind == "private class":
            dataset.SOPClassUID = PRIVATE_CLASS
        if kind == "rounded CT":
            dataset.ImageOrientationPatient = [round(float(c), 3) for c in dataset.ImageOrientationPatient]
        if change:
            change(dataset)

    def of_file(dataset: Dataset) -> None:
        of_slice(0, dataset)

    if kind == "enhanced MR":
        order = list(np.argsort(SHUFFLED))
        return [write_enhanced(folder / "e.dcm", stored, grid, order=order, change_file=of_file)]
    if kind == "concatenation":
        return [_write_part(folder, part, stored, grid, of_file) for part in ((3, 1, 2), (6, 0, 4, 5))]
    files = write_series(folder, stored, grid, change=of_slice, names=[f"IM{place}" for place in SHUFFLED])
    if kind != "zip":
        return list(files)
    with zipfile.ZipFile(folder / "scan.zip", "w") as archive:
        for file in files:
            archive.write(file, file.name)
    return archive_members(folder / "scan.zip")


def lesion(number: int, center_mm: np.ndarray, **changes: object) -> Lesion:
    """A lesion with values of its own by its number, centered at `center_mm` in RAS+ mm."""
    return Lesion(
        **{
            "number": number,
            "center_mm": tuple(float(c) for c in center_mm),
            "center_voxel": (0, 0, 0),
            "hemisphere": ("left", "right", "midline")[number % 3],
            "height": 0.5,
            "volume_mm3": 12.5 * number,
            "longest_diameter_mm": 3.25 * number,
            "first_slice": 0,
            "last_slice": 1,
            "peak_anomaly": 0.75,
            "mean_anomaly": 0.25,
            "brighter": bool(number % 2),
            **changes,
        }
    )


def report_on(lesions: list[Lesion], patient: str = "P7") -> PatientReport:
    """A report with these lesions, whose numbers are all binary fractions."""
    return PatientReport(
        patient=patient,
        folder="P7",
        study_date=None,
        created="2026-01-01T00:00:00",
        score=0.625,
        threshold=0.5,
        abnormal=True,
        candidate_threshold=0.375,
        standing=None,
        lesions=tuple(lesions),
        lesion_volume_mm3=1.0,
        truth=None,
        warnings=(),
        files={},
        channels=("flair",),
        shown_channel="flair",
        source=SourceRecord(
            format="dicom", fingerprint="", sha256={}, shape=(1, 1, 1), spacing_mm=(1, 1, 1), affine=()
        ),
        preparation={},
        model={"sha256": "0123456789abcdef" * 4},
        settings={},
        device="cpu",
        seconds={},
        versions={"fpgan": "0.1.0"},
    )


def some_labels(count: int = 3) -> np.ndarray:
    """(I, J, K) labels: `count` scattered lesions of a few voxels each, that touch and cross several slices."""
    random = np.random.default_rng(count)
    labels = np.zeros(COLUMNS * ROWS * K, np.uint16)
    places = random.permutation(labels.size)
    for number in range(1, count + 1):
        labels[places[2 * number : 2 * number + 2]] = number
    return labels.reshape(COLUMNS, ROWS, K)


def write_objects(
    folder: Path, files: list[Path], labels: np.ndarray, report: PatientReport, *, keep_dates: bool = False
) -> Written:
    """Both objects of a report, read again."""
    headers = read_headers(files)
    segmentation = None
    if report.lesions:
        segmentation = write_segmentation(folder / "lesions.dcm", headers, labels, report, keep_dates=keep_dates)
    write_structured_report(folder / "report.dcm", headers, report, segmentation, keep_dates=keep_dates)
    return Written(
        headers=headers,
        labels=labels,
        report=report,
        files=files,
        segmentation=hd.seg.segread(folder / "lesions.dcm") if report.lesions else Dataset(),
        document=hd.sr.srread(folder / "report.dcm"),
    )


def with_three_lesions(kind: str, folder: Path) -> Written:
    """Objects with three lesions on an oblique, anisotropic series in shuffled order."""
    files = write_source(kind, folder / "source", oblique())
    report = report_on([lesion(number, np.array([number, -2.5, 30])) for number in (1, 2, 3)])
    return write_objects(folder, files, some_labels(), report)


def complaints_of(file: Path) -> list[str]:
    """Errors and warnings of dciodvfy, but those of elements left empty on purpose and of private coding schemes."""
    found = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr.splitlines()
    known = (*(f"needed to build DICOMDIR - Study {name}" for name in ("ID", "Date", "Time")), PRIVATE_SCHEME)
    return [line for line in found if line.startswith(("Error", "Warning")) and not any(text in line for text in known)]


def _complete(k: int, dataset: Dataset) -> None:
    dataset.StudyInstanceUID = STUDY
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.StudyDate, dataset.StudyTime = "20240229", "101112.5"


def _write_part(
    folder: Path, slices: tuple[int, ...], stored: np.ndarray, grid: Grid, of_file: Callable[[Dataset], None]
) -> Path:
    """An enhanced file with some of the slices."""

    def place(dataset: Dataset) -> None:
        of_file(dataset)
        dataset.SOPInstanceUID = f"{SERIES}.{slices[0]}"
        for k, group in zip(slices, dataset.PerFrameFunctionalGroupsSequence, strict=True):
            group.PlanePositionSequence[0].ImagePositionPatient = grid.position(k)

    return write_enhanced(folder / f"part{slices[0]}.dcm", stored[list(slices)], grid, change_file=place)
