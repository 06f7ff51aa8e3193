"""`lesions.dcm` and `report.dcm`: valid, in the right place, true to the report, and without a trace of the patient."""

from __future__ import annotations

import shutil
import subprocess
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import highdicom as hd
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.sr.codedict import codes
from pydicom.tag import Tag

from data_prep.archive import archive_members, read_bytes
from data_prep.readers.dicom import read_dicom_series
from data_prep.readers.dicom_headers import HEADER_TAGS, SeriesHeaders, read_headers
from pipelines.reporting.deidentify import patient_name, study_date
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


def complete(k: int, dataset: Dataset) -> None:
    dataset.StudyInstanceUID = STUDY
    dataset.FrameOfReferenceUID = FRAME_OF_REFERENCE
    dataset.StudyDate, dataset.StudyTime = "20240229", "101112.5"


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
        complete(k, dataset)
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


def lesion(number: int, center_mm: np.ndarray, **changes: object) -> Lesion:
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


@pytest.fixture(params=SOURCES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Written:
    """Objects with three lesions on an oblique, anisotropic series in shuffled order."""
    files = write_source(request.param, tmp_path / "source", oblique())
    report = report_on([lesion(number, np.array([number, -2.5, 30])) for number in (1, 2, 3)])
    return write_objects(tmp_path, files, some_labels(), report)


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


def complaints_of(file: Path) -> list[str]:
    """Errors and warnings of dciodvfy, but those of elements left empty on purpose and of private coding schemes."""
    found = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False).stderr.splitlines()
    known = (*(f"needed to build DICOMDIR - Study {name}" for name in ("ID", "Date", "Time")), PRIVATE_SCHEME)
    return [line for line in found if line.startswith(("Error", "Warning")) and not any(text in line for text in known)]


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


def test_measurements_are_those_of_the_report(written: Written) -> None:
    groups = written.document.content.get_volumetric_roi_measurement_groups()
    assert len(groups) == 3
    for expected, segment, group in zip(
        written.report.lesions, written.segmentation.SegmentSequence, groups, strict=True
    ):
        assert (group.tracking_uid, group.tracking_identifier) == (segment.TrackingUID, segment.TrackingID)
        reference = group.referenced_segment
        assert reference.referenced_sop_instance_uid == written.segmentation.SOPInstanceUID
        assert reference.referenced_segment_numbers == [expected.number]
        numbers = [(m.name.value, m.value, m.unit.value) for m in group.get_measurements()]
        assert numbers == [
            (codes.SCT.Volume.value, expected.volume_mm3, "mm3"),
            (codes.SCT.LongAxis.value, expected.longest_diameter_mm, "mm"),
            ("anomaly", 0.75, "1"),
            ("anomaly", 0.25, "1"),
        ]
        peak, mean = (m.derivation for m in group.get_measurements()[2:])
        assert (peak, mean) == (codes.SCT.Maximum, codes.SCT.Mean)
        side, brightness = (e.value for e in group.get_qualitative_evaluations()[-2:])
        sides = {"left": codes.SCT.Left, "right": codes.SCT.Right, "midline": codes.DCM.Median}
        assert side == sides[expected.hemisphere]
        assert brightness.value == ("brighter" if expected.brighter else "darker")


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


@pytest.mark.parametrize("count", [0, 1])
def test_the_patients_result_is_told_with_and_without_lesions(tmp_path: Path, count: int) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    report = report_on([lesion(1, np.zeros(3))][:count])
    document = write_objects(tmp_path, files, some_labels(count), report).document
    (group,) = document.content.get_image_measurement_groups()
    assert [(m.name.value, m.value) for m in group.get_measurements()] == [
        ("patient-score", 0.625),
        ("threshold", 0.5),
        ("candidates", count),
    ]
    (abnormal,) = (e.value for e in group.get_qualitative_evaluations() if e.name.value == "abnormal")
    assert abnormal == codes.SCT.Yes
    comments = [item.TextValue for item in group[0].ContentSequence if item.name == codes.DCM.Comment]
    assert comments == [
        "1 lesion candidate." if count else "No lesion candidate.",
        "Research use only, not a medical device.",
    ]
    assert (document.CompletionFlag, document.VerificationFlag) == ("COMPLETE", "UNVERIFIED")


def test_series_of_further_channels_are_evidence(tmp_path: Path) -> None:
    def other(series: str, study: str) -> SeriesHeaders:
        def change(dataset: Dataset) -> None:
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{series}"
            dataset.SeriesInstanceUID, dataset.StudyInstanceUID = f"{SERIES}.{series}", study

        return read_headers(write_source("MR", tmp_path / series, oblique(), change=change))

    headers = read_headers(write_source("MR", tmp_path / "source", oblique()))
    others = [other("98", STUDY), other("99", f"{STUDY}.1")]
    write_structured_report(tmp_path / "r.dcm", headers, report_on([]), None, keep_dates=False, others=others)
    document = dcmread(tmp_path / "r.dcm")
    (current,), (further,) = document.CurrentRequestedProcedureEvidenceSequence, document.PertinentOtherEvidenceSequence
    assert [item.SeriesInstanceUID for item in current.ReferencedSeriesSequence] == [SERIES, f"{SERIES}.98"]
    assert [item.SeriesInstanceUID for item in further.ReferencedSeriesSequence] == [f"{SERIES}.99"]
    assert len(further.ReferencedSeriesSequence[0].ReferencedSOPSequence) == K


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


def test_three_hundred_lesions_are_written(tmp_path: Path) -> None:
    files = write_source("CT", tmp_path / "source", oblique())
    report = report_on([lesion(number + 1, np.zeros(3)) for number in range(300)])
    headers = read_headers(files)
    segmentation = write_segmentation(tmp_path / "s.dcm", headers, some_labels(300), report, keep_dates=False)
    write_structured_report(tmp_path / "r.dcm", headers, report, segmentation, keep_dates=False)
    tracked = [segment.TrackingUID for segment in dcmread(tmp_path / "s.dcm").SegmentSequence]
    raw = (tmp_path / "r.dcm").read_bytes()
    assert len(set(tracked)) == 300
    assert all(uid.encode() in raw for uid in tracked)


PLANTED = {
    **dict.fromkeys(("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"), "Planted"),
    **dict.fromkeys(("AE", "CS"), "PLANTED"),
    **{"DA": "19110911", "TM": "030405.678", "DT": "19110911030405.678", "AS": "091Y"},
    **{"IS": "9119119", "DS": "91191.19", "OB": b"Planted!", "UN": b"Planted!"},
}
TRACES = (b"lanted", b"LANTED", b"19110911", b"030405.678", b"091Y", b"9119119", b"91191.19")
NOT_PLANTED = {Tag(keyword) for keyword in HEADER_TAGS} | {
    Tag(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData")
}


def plant(dataset: Dataset, depth: int = 0) -> None:
    """Put a trace into every element that can hold text, a date or bytes, on two levels, and into private ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag, (vr, _, _, retired, _) in DicomDictionary.items():
            tag = Tag(tag)
            if tag in NOT_PLANTED or tag.group in (0, 2, 0x7FE0, 0xFFFE, 0xFFFC) or tag == Tag("SpecificCharacterSet"):
                continue
            kind = vr.split(" ")[0]
            if kind in PLANTED:
                dataset.add_new(tag, kind, PLANTED[kind])
            elif kind == "SQ" and depth == 0 and not retired and tag.group in (0x0008, 0x0010, 0x0012, 0x0040, 0x0032):
                dataset.add_new(tag, "SQ", Items([NESTED]))
        block = dataset.private_block(0x0009, "Planted", create=True)
        block.add_new(1, "LO", "Planted")
        block.add_new(2, "SQ", Items([NESTED]))


NESTED = Dataset()
NESTED.PatientName = "Planted"
NESTED.PatientBirthDate = "19110911"
NESTED.CodeMeaning = "Planted"


@pytest.mark.parametrize("kind", ["CT", "enhanced MR"])
@pytest.mark.parametrize("keep_dates", [False, True])
def test_nothing_that_a_header_says_reaches_the_objects(tmp_path: Path, kind: str, keep_dates: bool) -> None:
    def change(dataset: Dataset) -> None:
        plant(dataset)
        for group in [
            *dataset.get("PerFrameFunctionalGroupsSequence", []),
            *dataset.get("SharedFunctionalGroupsSequence", []),
        ]:
            plant(group, depth=1)

    files = write_source(kind, tmp_path / "source", oblique(), change=change)
    source = files[0].read_bytes()
    assert all(trace in source for trace in TRACES)
    report = report_on([lesion(number, np.zeros(3)) for number in (1, 2)])
    write_objects(tmp_path, files, some_labels(2), report, keep_dates=keep_dates)
    for name in ("lesions.dcm", "report.dcm"):
        raw = (tmp_path / name).read_bytes()
        assert [trace for trace in TRACES if trace in raw] == []
        assert (b"20240229" in raw) == keep_dates
        assert b"101112.5" not in raw


@pytest.mark.parametrize("keep_dates", [False, True])
def test_objects_say_how_they_were_deidentified(tmp_path: Path, keep_dates: bool) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    written = write_objects(tmp_path, files, some_labels(1), report_on([lesion(1, np.zeros(3))]), keep_dates=keep_dates)
    for dataset in (written.segmentation, written.document):
        assert (dataset.PatientID, str(dataset.PatientName).rstrip("^")) == ("P7", "P7")
        assert dataset[0x0012, 0x0062].value == "YES"
        assert all(len(text) <= 64 for text in dataset[0x0012, 0x0063].value)
        options = [(item.CodeValue, item.CodingSchemeDesignator) for item in dataset[0x0012, 0x0064].value]
        assert options == [("113100", "DCM"), ("113110", "DCM"), *([("113106", "DCM")] if keep_dates else [])]
        assert dataset.LongitudinalTemporalInformationModified == ("UNMODIFIED" if keep_dates else "REMOVED")
        assert dataset.StudyDate == ("20240229" if keep_dates else "")
        empty = (dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber, dataset.StudyID)
        assert not any(empty)


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("20240229", "2024-02-29"),
        *((text, None) for text in ("20230229", "2024", "2024W015", "Doe^Jane", "")),
    ],
)
def test_only_what_is_a_date_is_kept(tmp_path: Path, date: str, iso: str | None) -> None:
    def change(dataset: Dataset) -> None:
        dataset.StudyDate = date

    files = write_source("MR", tmp_path / "source", oblique(), change=change)
    assert study_date(read_headers(files)) == iso
    document = write_objects(tmp_path, files, some_labels(0), report_on([]), keep_dates=True).document
    assert document.StudyDate == (iso or "").replace("-", "")
    assert document.StudyTime == ""


PSEUDONYMS = ["P1", "Müller-Öß", "山田太郎", "x" * 300, "<script>", "a\\b", "a^b=c", "a\nb", "\udce4", "  "]


@pytest.mark.parametrize("pseudonym", PSEUDONYMS)
def test_any_pseudonym_becomes_name_and_id(tmp_path: Path, pseudonym: str) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    report = report_on([lesion(1, np.zeros(3))], patient=pseudonym)
    written = write_objects(tmp_path, files, some_labels(1), report)
    for dataset in (written.segmentation, written.document):
        assert dataset.PatientID == str(dataset.PatientName).removesuffix("^") == patient_name(pseudonym)
        assert 0 < len(dataset.PatientID) <= 64


def test_plain_pseudonyms_stay_and_no_two_become_one() -> None:
    for plain in ("P1", "Müller-Öß", "山田太郎", "<script>", "x" * 63):
        assert patient_name(plain) == plain
    alike = ["a\\b", "a_b", "a^b", "a\nb", "x" * 63, "x" * 64, "x" * 300 + "1", "x" * 300 + "2", "", " ", "\udce4", "_"]
    assert len({patient_name(pseudonym) for pseudonym in alike}) == len(alike)


@needs_dciodvfy
@pytest.mark.parametrize("pseudonym", PSEUDONYMS)
def test_objects_with_any_pseudonym_are_valid(tmp_path: Path, pseudonym: str) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    write_objects(tmp_path, files, some_labels(0), report_on([], patient=pseudonym))
    assert complaints_of(tmp_path / "report.dcm") == []


def test_a_file_that_cannot_be_written_names_itself(tmp_path: Path) -> None:
    headers = read_headers(write_source("MR", tmp_path / "source", oblique()))
    with pytest.raises(OSError, match=r"report\.dcm"):
        write_structured_report(tmp_path / "gone" / "report.dcm", headers, report_on([]), None, keep_dates=False)
