"""`report.dcm`: the numbers of a report as a DICOM Comprehensive 3D SR by template 1500, Measurement Report."""

from __future__ import annotations

from collections.abc import Sequence
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
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from data_prep.atomic import write_atomically
from data_prep.readers.dicom_file import dicom_errors
from data_prep.readers.dicom_geometry import LPS_TO_RAS
from data_prep.readers.dicom_headers import Instance, SeriesHeaders
from pipelines.reporting.deidentify import frame_of_reference, put_patient, stand_in
from pipelines.reporting.record import Lesion, PatientReport
from pipelines.reporting.segmentation import RESEARCH_ONLY, equipment, reference

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
    headers: SeriesHeaders,
    report: PatientReport,
    segmentation: Dataset | None,
    *,
    keep_dates: bool,
    others: Sequence[SeriesHeaders] = (),
) -> None:
    """Write the result on the patient and a group of measurements for each lesion candidate.

    Each group refers to its segment, has the tracking identifiers of the segment, and its centroid as a point in mm in
    the frame of reference of the source (LPS).

    Args:
        path: the file, which appears whole or not at all.
        headers: of the series whose grid the report is on.
        report: what is written.
        segmentation: what `write_segmentation` returned; None without lesions.
        keep_dates: whether the date of the study go into the file.
        others: of the series of further channels, which are listed as evidence, too.

    Raises:
        DataError: when the headers make no valid object.
        OSError: when the file cannot be written.
    """
    with dicom_errors(headers.path):
        groups = [_patient_group(report)]
        made: list[Dataset] = []
        if segmentation is not None:
            groups += [_lesion_group(lesion, report, segmentation, headers) for lesion in report.lesions]
            made.append(segmentation)
        document = Comprehensive3DSR(
            evidence=[stand_in(headers, 0), *made],
            content=MeasurementReport(
                observation_context=_observer(report),
                procedure_reported=codes.SCT.ImagingProcedure,
                imaging_measurements=groups,
            ),
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
        _refer_to_source(document, [headers, *others], made)
        put_patient(document, headers, report.patient, keep_dates=keep_dates)
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
    segment = segmentation.SegmentSequence[lesion.number - 1]
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
            *([QualitativeEvaluation(codes.SCT.Laterality, SIDES[lesion.hemisphere])] if lesion.hemisphere else []),
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


def _number(name: CodedConcept, value: float, *, derivation: CodedConcept | None = None) -> Measurement:
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


def _refer_to_source(document: Comprehensive3DSR, headers: Sequence[SeriesHeaders], made: list[Dataset]) -> None:
    """Put all source files in the place of the stand-in, grouped by study and series, beside what was made of them."""
    studies: dict[str, list[Dataset]] = {}
    for series in headers:
        references = [reference(instance) for instance in series.instances.values()]
        studies.setdefault(series.study, []).append(_series(series.series, references))
    for dataset in made:
        instance = Instance(sop_class=dataset.SOPClassUID, uid=dataset.SOPInstanceUID)
        studies[dataset.StudyInstanceUID].append(_series(dataset.SeriesInstanceUID, [reference(instance)]))
    items = {study: Dataset() for study in studies}
    for study, item in items.items():
        item.StudyInstanceUID, item.ReferencedSeriesSequence = study, studies[study]
    document.CurrentRequestedProcedureEvidenceSequence = [items.pop(document.StudyInstanceUID)]
    if items:
        document.PertinentOtherEvidenceSequence = list(items.values())


def _series(uid: str, references: list[Dataset]) -> Dataset:
    item = Dataset()
    item.SeriesInstanceUID, item.ReferencedSOPSequence = uid, references
    return item
