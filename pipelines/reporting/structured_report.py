"""`report.dcm`: the numbers of a report as a DICOM Comprehensive 3D SR by template 1500, Measurement Report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from highdicom import UID
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr import (
    AlgorithmIdentification,
    CodedConcept,
    Comprehensive3DSR,
    DeviceObserverIdentifyingAttributes,
    GraphicTypeValues3D,
    Measurement,
    MeasurementReport,
    MeasurementsAndQualitativeEvaluations,
    ObservationContext,
    ObserverContext,
    QualitativeEvaluation,
    ReferencedSegment,
    RelationshipTypeValues,
    Scoord3DContentItem,
    SourceSeriesForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.utils import collect_evidence
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from data_prep.atomic import write_atomically
from data_prep.readers.dicom_file import dicom_errors
from data_prep.readers.dicom_geometry import LPS_TO_RAS
from data_prep.readers.dicom_headers import SeriesHeaders
from pipelines.reporting.deidentify import frame_of_reference, put_patient, stand_in
from pipelines.reporting.record import Lesion, PatientReport
from pipelines.reporting.segmentation import RESEARCH_ONLY, equipment

SERIES_NUMBER = 9002
SCHEME = "99FPGAN"
ANOMALY = CodedConcept("anomaly", SCHEME, "Anomaly, |input - healthy translation|")
"""1 is the range of intensities of the scan that the model sees."""
PATIENT_SCORE = CodedConcept("patient-score", SCHEME, "Patient score: largest anomaly of any slice")
THRESHOLD = CodedConcept("threshold", SCHEME, "Threshold of the patient score")
ABNORMAL = CodedConcept("abnormal", SCHEME, "Patient score reaches the threshold")
CANDIDATES = CodedConcept("candidates", SCHEME, "Number of lesion candidates")
BRIGHTNESS = CodedConcept("brightness", SCHEME, "Brightness compared with the healthy translation")
BRIGHTER = CodedConcept("brighter", SCHEME, "Brighter than healthy")
DARKER = CodedConcept("darker", SCHEME, "Darker than healthy")
SIDES = {"left": codes.SCT.Left, "right": codes.SCT.Right, "midline": codes.DCM.Median}


def write_structured_report(
    path: Path,
    headers: Sequence[SeriesHeaders],
    report: PatientReport,
    *,
    segmentation: Dataset | None,
    keep_dates: bool = False,
) -> None:
    """Write the result on the patient and a group of measurements for each lesion candidate.

    Each group refers to its segment, has the tracking identifiers of the segment, and its centroid as a point in mm in
    the frame of reference of the source (LPS).

    Args:
        path: the file, which appears whole or not at all.
        headers: of the series of each channel, all of which are listed as evidence; the first is the one whose grid the
            report is on.
        report: what is written.
        segmentation: what `write_segmentation` returned; None without lesions.
        keep_dates: whether the date and time of the study go into the file.

    Raises:
        DataError: when the headers make no valid object.
        OSError: when the file cannot be written.
    """
    with dicom_errors(headers[0].path):
        groups = [_patient_group(report)]
        made: list[Dataset] = []
        if segmentation is not None:
            groups += [_lesion_group(lesion, report, segmentation, headers[0]) for lesion in report.lesions]
            made.append(segmentation)
        content = MeasurementReport(
            observation_context=_observer(report),
            procedure_reported=codes.SCT.ImagingProcedure,
            imaging_measurements=groups,
        )
        document = Comprehensive3DSR(
            evidence=[stand_in(headers[0], 0), *made],
            content=content,
            series_instance_uid=UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            is_complete=True,
            series_description=f"fpgan report, {RESEARCH_ONLY}",
            coding_schemes=[CodingSchemeIdentificationItem(SCHEME, name="fpgan", responsible_organization="fpgan")],
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **equipment(report),
        )
        _refer_to_source(document, [*_instances(headers), *made], content)
        put_patient(document, headers[0], report.patient, keep_dates=keep_dates)
    write_atomically(path, lambda temporary: document.save_as(temporary, enforce_file_format=True))


def _patient_group(report: PatientReport) -> MeasurementsAndQualitativeEvaluations:
    count = len(report.lesions)
    group = MeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(UID(), "Patient"),
        algorithm_id=_algorithm(report),
        measurements=[
            _number(PATIENT_SCORE, report.score),
            _number(THRESHOLD, report.threshold),
            _number(CANDIDATES, count),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(ABNORMAL, codes.SCT.Yes if report.abnormal else codes.SCT.No),
        ],
    )
    found = f"{count} lesion candidate{'s' if count > 1 else ''}." if count else "No lesion candidate."
    for text in (found, f"{RESEARCH_ONLY.capitalize()}, not a medical device."):
        group[0].ContentSequence.append(
            TextContentItem(codes.DCM.Comment, text, relationship_type=RelationshipTypeValues.CONTAINS)
        )
    return group


def _lesion_group(
    lesion: Lesion, report: PatientReport, segmentation: Dataset, headers: SeriesHeaders
) -> VolumetricROIMeasurementsAndQualitativeEvaluations:
    segment = next(item for item in segmentation.SegmentSequence if item.SegmentNumber == lesion.number)
    group = VolumetricROIMeasurementsAndQualitativeEvaluations(
        tracking_identifier=TrackingIdentifier(segment.TrackingUID, segment.TrackingID),
        referenced_segment=ReferencedSegment(
            segmentation.SOPClassUID,
            segmentation.SOPInstanceUID,
            lesion.number,
            source_series=SourceSeriesForSegmentation(headers.series),
        ),
        finding_type=codes.SCT.Lesion,
        finding_category=codes.SCT.MorphologicallyAbnormalStructure,
        algorithm_id=_algorithm(report),
        measurements=[
            Measurement(
                codes.SCT.Volume,
                lesion.volume_mm3,
                codes.UCUM.CubicMillimeter,
                method=codes.DCM.SumOfSegmentedVoxelMethodForVolume,
            ),
            Measurement(codes.SCT.LongAxis, lesion.longest_diameter_mm, codes.UCUM.Millimeter),
            _number(ANOMALY, lesion.peak_anomaly, derivation=codes.SCT.Maximum),
            _number(ANOMALY, lesion.mean_anomaly, derivation=codes.SCT.Mean),
        ],
        qualitative_evaluations=[
            QualitativeEvaluation(codes.SCT.Laterality, SIDES[lesion.hemisphere]),
            QualitativeEvaluation(BRIGHTNESS, BRIGHTER if lesion.brighter else DARKER),
        ],
    )
    group[0].ContentSequence.append(
        Scoord3DContentItem(
            codes.DCM.Center,
            GraphicTypeValues3D.POINT,
            (LPS_TO_RAS[:3, :3] @ lesion.center_mm)[None],  # its own inverse
            frame_of_reference(headers),
            relationship_type=RelationshipTypeValues.CONTAINS,
        )
    )
    return group


def _number(
    name: CodedConcept, value: float, *, derivation: CodedConcept | None = None
) -> Measurement:
    return Measurement(name, value, codes.UCUM.NoUnits, derivation=derivation)


def _algorithm(report: PatientReport) -> AlgorithmIdentification:
    return AlgorithmIdentification(
        name="fpgan",
        version=report.versions["fpgan"],
        family=codes.DCM.ArtificialIntelligence,
        parameters=[
            f"model sha256 {report.model['sha256']}",
            f"patient threshold {report.threshold:.6g}",
            f"candidate threshold {report.candidate_threshold:.6g}",
        ],
    )


def _observer(report: PatientReport) -> ObservationContext:
    device = equipment(report)
    return ObservationContext(
        observer_device_context=ObserverContext(
            observer_type=codes.DCM.Device,
            observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
                uid=generate_uid(entropy_srcs=list(device.values())),
                name="fpgan",
                manufacturer_name=device["manufacturer"],
                model_name=device["manufacturer_model_name"],
                serial_number=device["device_serial_number"],
            ),
        )
    )


def _instances(headers: Sequence[SeriesHeaders]) -> Iterator[Dataset]:
    for series in headers:
        for instance in series.instances.values():
            dataset = Dataset()
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = series.study, series.series
            dataset.SOPClassUID, dataset.SOPInstanceUID = instance.sop_class, instance.uid
            yield dataset


def _refer_to_source(document: Comprehensive3DSR, evidence: list[Dataset], content: MeasurementReport) -> None:
    """Put the source files in the place of the stand-in."""
    same_study, others = collect_evidence(evidence, content[0], study_instance_uid=document.StudyInstanceUID)
    document.CurrentRequestedProcedureEvidenceSequence = same_study
    if others:
        document.PertinentOtherEvidenceSequence = others
