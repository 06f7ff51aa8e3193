"""`report.dcm`: true to the report, and bound to what it was made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes

from data_prep.readers.dicom_headers import SeriesHeaders, read_headers
from pipelines.reporting.segmentation import write_segmentation
from pipelines.reporting.structured_report import write_structured_report
from tests.data_prep.dicom_writing import SERIES, oblique
from tests.pipelines.dicom_objects import (
    SOURCES,
    STUDY,
    K,
    lesion,
    report_on,
    some_labels,
    with_three_lesions,
    write_objects,
    write_source,
)


@pytest.mark.parametrize("kind", SOURCES)
def test_measurements_are_those_of_the_report(kind: str, tmp_path: Path) -> None:
    written = with_three_lesions(kind, tmp_path)
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


def test_a_file_that_cannot_be_written_names_itself(tmp_path: Path) -> None:
    headers = read_headers(write_source("MR", tmp_path / "source", oblique()))
    with pytest.raises(OSError, match=r"report\.dcm"):
        write_structured_report(tmp_path / "gone" / "report.dcm", headers, report_on([]), None, keep_dates=False)
