"""`lesions.dcm`: in the right place, and, like `report.dcm`, valid and bound to its sources."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from data_prep.archive import read_bytes
from data_prep.readers.dicom import read_dicom_series
from tests.data_prep.dicom_writing import SERIES, oblique
from tests.pipelines.dicom_objects import (
    COLUMNS,
    FRAME_OF_REFERENCE,
    ROWS,
    SOURCES,
    STUDY,
    K,
    Written,
    complaints_of,
    lesion,
    needs_dciodvfy,
    report_on,
    some_labels,
    with_three_lesions,
    write_objects,
    write_source,
)


@pytest.fixture(params=SOURCES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    return with_three_lesions(request.param, tmp_path)


def test_segments_lie_where_the_labels_do(written: Written) -> None:
    grid = oblique()
    expected = {
        (int(written.labels[i, j, k]), *np.round(grid.world(row=j, column=i, k=k), 1))
        for i, j, k in np.argwhere(written.labels)
    }
    found = set()
    segmentation = written.segmentation
    (shared,) = segmentation.SharedFunctionalGroupsSequence
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient).reshape(2, 3)
    between_rows, between_columns = shared.PixelMeasuresSequence[0].PixelSpacing
    for pixels, group in zip(segmentation.pixel_array, segmentation.PerFrameFunctionalGroupsSequence, strict=True):
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        position = np.array(group.PlanePositionSequence[0].ImagePositionPatient)
        for row, column in np.argwhere(pixels):
            lps = position + orientation[0] * between_columns * column + orientation[1] * between_rows * row
            found.add((number, *np.round(lps * [-1, -1, 1], 1)))
    assert found == expected
    assert len(found) == np.count_nonzero(written.labels)


@pytest.mark.parametrize("kind", ["CT", "enhanced MR"])
def test_segmentation_is_a_volume_on_the_grid_of_the_source(tmp_path: Path, kind: str) -> None:
    grid = oblique()
    files = write_source(kind, tmp_path / "source", grid)
    report = report_on([lesion(number, np.zeros(3)) for number in (1, 2, 3)])
    written = write_objects(tmp_path, files, some_labels(), report)
    volume = written.segmentation.get_volume(combine_segments=True, allow_missing_positions=True)
    to_index = np.linalg.inv(volume.affine)
    for i, j, k in np.argwhere(written.labels):
        place = (to_index @ [*(grid.world(row=j, column=i, k=k) * [-1, -1, 1]), 1])[:3]
        assert place == pytest.approx(np.round(place), abs=1e-4)
        assert volume.array[tuple(np.round(place).astype(int))] == written.labels[i, j, k]
    assert np.count_nonzero(volume.array) == np.count_nonzero(written.labels)


def test_frames_refer_to_the_slices_they_lie_on(written: Written) -> None:
    sources = [dcmread(BytesIO(read_bytes(file))) for file in written.files]
    places = {}
    for source in sources:
        groups = source.get("PerFrameFunctionalGroupsSequence")
        for number, place in enumerate([group.PlanePositionSequence[0] for group in groups] if groups else [source], 1):
            key = (source.SOPClassUID, source.SOPInstanceUID, number if groups else None)
            places[key] = place.ImagePositionPatient
    for group in written.segmentation.PerFrameFunctionalGroupsSequence:
        (item,) = group.DerivationImageSequence[0].SourceImageSequence
        key = (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID, item.get("ReferencedFrameNumber"))
        assert group.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(places[key], abs=1e-4)


def test_both_objects_refer_to_all_source_files_and_no_other(written: Written) -> None:
    source = {(instance.sop_class, instance.uid) for instance in written.headers.instances.values()}
    (series,) = written.segmentation.ReferencedSeriesSequence
    for items in (series.ReferencedInstanceSequence, written.segmentation.SourceImageSequence):
        assert {(item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) for item in items} == source
        assert len(items) == len(source)
    assert series.SeriesInstanceUID == SERIES
    made = (written.segmentation.SOPClassUID, written.segmentation.SOPInstanceUID)
    (study,) = written.document.CurrentRequestedProcedureEvidenceSequence
    evidence = [
        (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID)
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    ]
    assert sorted(evidence) == sorted([*source, made])
    for dataset in (written.segmentation, written.document):
        assert dataset.StudyInstanceUID == study.StudyInstanceUID == STUDY
    assert written.segmentation.FrameOfReferenceUID == FRAME_OF_REFERENCE


@needs_dciodvfy
@pytest.mark.parametrize("keep_dates", [False, True])
@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("kind", ["CT", "MR", "enhanced MR", "concatenation"])
def test_both_objects_are_valid(tmp_path: Path, kind: str, count: int, keep_dates: bool) -> None:
    report = report_on([lesion(number + 1, np.zeros(3)) for number in range(count)])
    files = write_source(kind, tmp_path / "source", oblique())
    write_objects(tmp_path, files, some_labels(count), report, keep_dates=keep_dates)
    for file in tmp_path.glob("*.dcm"):
        assert complaints_of(file) == []
    assert len(list(tmp_path.glob("*.dcm"))) == (2 if count else 1)


def test_segments_are_described(written: Written) -> None:
    segmentation = written.segmentation
    assert segmentation.SegmentationType == "BINARY"
    assert "research use only" in segmentation.SeriesDescription
    for number, segment in enumerate(segmentation.SegmentSequence, start=1):
        assert (segment.SegmentNumber, segment.SegmentLabel) == (number, f"Lesion candidate {number}")
        assert segment.SegmentedPropertyTypeCodeSequence[0].CodeValue == codes.SCT.Lesion.value
        assert segment.SegmentAlgorithmType == "AUTOMATIC"
        assert segment.SegmentAlgorithmName == "fpgan"
    assert len({segment.TrackingUID for segment in segmentation.SegmentSequence}) == 3
    for dataset in (segmentation, written.document):
        assert (dataset.Manufacturer, dataset.DeviceSerialNumber) == ("fpgan", "0123456789abcdef")


def test_empty_frames_are_left_out(written: Written) -> None:
    slices = sum(len(np.unique(np.nonzero(written.labels == number)[2])) for number in (1, 2, 3))
    assert written.segmentation.NumberOfFrames == slices


def center_of(group: object) -> np.ndarray:
    """The center of a group of measurements in RAS+ mm."""
    (item,) = (item for item in group[0].ContentSequence if item.ValueType == "SCOORD3D")
    assert item.name == codes.DCM.Center
    assert item.ReferencedFrameOfReferenceUID == FRAME_OF_REFERENCE
    return np.array(item.GraphicData) * [-1, -1, 1]


@pytest.mark.parametrize("kind", ["CT", "enhanced MR", "zip"])
def test_a_bright_voxel_is_found_again_in_both_objects(tmp_path: Path, kind: str) -> None:
    grid, (row, column, k) = oblique(), (8, 3, 5)
    stored = np.zeros((K, ROWS, COLUMNS), np.int16)
    stored[k, row, column] = 1000
    files = write_source(kind, tmp_path / "source", grid, stored)
    volume = read_dicom_series(files)
    bright = volume.channels[0] == 1000
    center = (volume.affine @ [*np.argwhere(bright)[0], 1])[:3]
    labels = volume.source.from_ras(bright.astype(np.uint16))
    written = write_objects(tmp_path, files, labels, report_on([lesion(1, center)]))
    where = grid.world(row, column, k)
    (group,) = written.document.content.get_volumetric_roi_measurement_groups()
    assert center_of(group) == pytest.approx(where, abs=1e-3)
    (frame,) = written.segmentation.PerFrameFunctionalGroupsSequence
    (place,) = np.argwhere(written.segmentation.pixel_array)
    assert place.tolist() == [row, column]
    assert frame.PlanePositionSequence[0].ImagePositionPatient == pytest.approx(grid.position(k), abs=1e-3)


def test_a_series_without_frame_of_reference_gets_the_same_each_time(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        del dataset.FrameOfReferenceUID

    files = write_source("CT", tmp_path / "source", oblique(), change=change)
    first, second = (
        write_objects(tmp_path, files, some_labels(1), report_on([lesion(1, np.zeros(3))])).segmentation
        for _ in range(2)
    )
    assert first.FrameOfReferenceUID == second.FrameOfReferenceUID
    assert first.SOPInstanceUID != second.SOPInstanceUID


def test_lossy_sources_make_a_lossy_segmentation(tmp_path: Path) -> None:
    def change(dataset: Dataset) -> None:
        dataset.LossyImageCompression = "01"

    files = write_source("CT", tmp_path / "source", oblique(), change=change)
    written = write_objects(tmp_path, files, some_labels(1), report_on([lesion(1, np.zeros(3))]))
    assert written.segmentation.LossyImageCompression == "01"
