"""A bright block at a known place in the world is found again in everything a report writes."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom as hd
import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread

from data_prep.layouts.channels import parse_channels
from data_prep.layouts.dicom_tree import find_dicom_cases
from data_prep.preparation import Preparation
from evaluation.maps import MapSettings
from pipelines.operating_point import OperatingPoint
from pipelines.pseudonyms import NamedCase
from pipelines.reporter import Reporter, ReportTask
from pipelines.reporting.settings import ReportSettings
from tests.data_prep.dicom_writing import Grid, oblique, write_enhanced, write_series
from tests.pipelines.test_report import Darkener

SHAPE = (12, 48, 60)
"""Slices, rows, columns."""
BLOCK = (slice(5, 8), slice(20, 26), slice(10, 19))
CENTER = [(part.start + part.stop - 1) / 2 for part in BLOCK]
HALF_A_VOXEL_MM = 2.2
"""Half the diagonal of a voxel of 1.5 × 0.8 × 4 mm."""


def head_with_block() -> np.ndarray:
    """(K, rows, columns): a gray ellipsoid in two shades, so that percentiles have a range, and one bright block."""
    k, row, column = np.indices(SHAPE)
    head = ((k - 5.5) / 6) ** 2 + ((row - 24) / 20) ** 2 + ((column - 30) / 26) ** 2 < 1
    stored = np.where(head, 300 + 20 * (column % 2), 0).astype(np.int16)
    stored[BLOCK] = 900
    return stored


def complete(dataset: Any) -> None:
    dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.7", "1.2.826.0.1.3680043.8.498.8"
    dataset.PatientID = "P1"


def write_classic(folder: Path, grid: Grid) -> None:
    names = [f"IM{place}" for place in np.random.default_rng(0).permutation(SHAPE[0])]
    write_series(folder, head_with_block(), grid, names=names, change=lambda _, dataset: complete(dataset))


def write_multi_frame(folder: Path, grid: Grid) -> None:
    folder.mkdir(parents=True)
    order = list(np.random.default_rng(1).permutation(SHAPE[0]))
    write_enhanced(folder / "IM.dcm", head_with_block(), grid, order=order, change_file=complete)


@pytest.fixture(params=[write_classic, write_multi_frame], ids=["classic", "enhanced"])
def reported(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, np.ndarray]:
    """The folder of the report on an oblique, anisotropic series, and where the block's center is in the world."""
    grid = oblique()
    write: Callable[[Path, Grid], None] = request.param
    write(tmp_path / "dicom", grid)
    (case,) = find_dicom_cases(tmp_path / "dicom", parse_channels("image")).cases
    stand_in: Any = Darkener(Preparation(channels=("image",), size=(96, 96), field_of_view_mm=90))
    reporter = Reporter(
        model=stand_in,
        operating_point=OperatingPoint(candidate=0.2, patient=0.3),
        maps=MapSettings(),
        task=ReportTask(run=tmp_path, digest="0" * 64, output=tmp_path / "out", settings=ReportSettings()),
    )
    reporter.report(NamedCase(name="P1", case=case))
    k, row, column = CENTER
    return tmp_path / "out" / "P1", grid.world(row, column, k)


def test_the_block_is_where_it_was_in_every_output(reported: tuple[Path, np.ndarray]) -> None:
    folder, center_mm = reported
    found = {
        "lesions.nii.gz": _center_of_nifti(folder / "lesions.nii.gz"),
        "difference.nii.gz": _center_of_nifti(folder / "difference.nii.gz"),
        "lesions.dcm": _center_of_segmentation(folder / "lesions.dcm"),
        "report.dcm": _center_in_document(folder / "report.dcm"),
        "report.json": _center_in_json(folder / "report.json"),
        "lesions.csv": _center_in_table(folder / "lesions.csv"),
        "report.html": _center_on_page(folder / "report.html"),
    }
    for name, place_mm in found.items():
        assert np.linalg.norm(place_mm - center_mm) < HALF_A_VOXEL_MM, (name, place_mm, center_mm)


def test_the_segmentation_is_the_nifti_voxel_by_voxel(reported: tuple[Path, np.ndarray]) -> None:
    folder, _ = reported
    image = nib.load(folder / "lesions.nii.gz")
    labels = np.asarray(image.dataobj)
    segmented = np.zeros_like(labels)
    to_voxel = np.linalg.inv(image.affine)
    for number, points_mm in _segment_points(folder / "lesions.dcm"):
        i, j, k = np.round(to_voxel[:3, :3] @ points_mm.T + to_voxel[:3, 3:]).astype(int)
        segmented[i, j, k] = number
    assert labels.any()
    np.testing.assert_array_equal(segmented, labels)


def test_voxels_of_the_table_are_those_of_the_file(reported: tuple[Path, np.ndarray]) -> None:
    folder, _ = reported
    report = json.loads((folder / "report.json").read_text())
    (lesion,) = report["lesions"]
    k, row, column = CENTER
    np.testing.assert_allclose(lesion["center_voxel"], (column, row, k), atol=0.75)
    affine = np.array(report["source"]["affine"])
    np.testing.assert_allclose(affine[:3, :3] @ lesion["center_voxel"] + affine[:3, 3], lesion["center_mm"], atol=0.05)
    assert (lesion["first_slice"], lesion["last_slice"]) == (5, 7)


def _center_of_nifti(path: Path) -> np.ndarray:
    image = nib.load(path)
    voxels = np.argwhere(np.asarray(image.dataobj) != 0)
    return image.affine[:3, :3] @ voxels.mean(axis=0) + image.affine[:3, 3]


def _segment_points(path: Path) -> list[tuple[int, np.ndarray]]:
    """For each frame its segment's number and where its voxels lie, (N, 3) in mm (RAS+), by the frame's own header."""
    segmentation = hd.seg.segread(path)
    shared = segmentation.SharedFunctionalGroupsSequence[0]
    along_row, along_column = np.reshape(shared.PlaneOrientationSequence[0].ImageOrientationPatient, (2, 3)).astype(
        float
    )
    between_rows, between_columns = map(float, shared.PixelMeasuresSequence[0].PixelSpacing)
    points = []
    frames = segmentation.pixel_array.reshape(-1, segmentation.Rows, segmentation.Columns)
    for pixels, group in zip(frames, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        rows, columns = np.nonzero(pixels)
        origin = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        lps = origin + np.outer(columns, along_row * between_columns) + np.outer(rows, along_column * between_rows)
        own = group if "SegmentIdentificationSequence" in group else shared  # where all frames show one segment
        points.append((own.SegmentIdentificationSequence[0].ReferencedSegmentNumber, lps * [-1, -1, 1]))
    return points


def _center_of_segmentation(path: Path) -> np.ndarray:
    return np.concatenate([points for _, points in _segment_points(path)]).mean(axis=0)


def _center_in_document(path: Path) -> np.ndarray:
    points = [
        np.array(item.GraphicData, float) * [-1, -1, 1]
        for _, item in _items(dcmread(path))
        if item.get("ValueType") == "SCOORD3D" and item.GraphicType == "POINT"
    ]
    (point,) = points
    return point


def _items(dataset: Any, depth: int = 0) -> list[tuple[int, Any]]:
    own = list(dataset.get("ContentSequence", []))
    return [(depth, item) for item in own] + [found for item in own for found in _items(item, depth + 1)]


def _center_in_json(path: Path) -> np.ndarray:
    (lesion,) = json.loads(path.read_text())["lesions"]
    return np.array(lesion["center_mm"])


def _center_in_table(path: Path) -> np.ndarray:
    with path.open() as file:
        (row,) = csv.DictReader(file)
    return np.array([float(row[f"center_{axis}_mm"]) for axis in "ras"])


def _center_on_page(path: Path) -> np.ndarray:
    places = set(re.findall(r'data-mm="([^"]*)"', path.read_text()))
    (place,) = places
    return np.array([float(number) for number in place.split(",")])
