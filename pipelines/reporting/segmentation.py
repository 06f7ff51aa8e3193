"""`lesions.dcm`: the lesion candidates as a DICOM Segmentation, a segment each, on the slices of the source series."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from highdicom import UID, AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, Segmentation, SegmentationTypeValues, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import ExplicitVRLittleEndian

from data_prep.atomic import write_atomically
from data_prep.readers.dicom_file import dicom_errors
from data_prep.readers.dicom_headers import Instance, SeriesHeaders
from pipelines.reporting.deidentify import put_patient, stand_in
from pipelines.reporting.record import PatientReport

RESEARCH_ONLY = "research use only"
SERIES_NUMBER = 9001
"""Far from the numbers of scanners; PACS list series by them."""


def write_segmentation(
    path: Path, headers: SeriesHeaders, labels: np.ndarray, report: PatientReport, *, keep_dates: bool
) -> Dataset:
    """Write the lesion candidates and return the written object, which `write_structured_report` refers to.

    Args:
        path: the file, which appears whole or not at all.
        headers: of the series that the labels lie on.
        labels: (I, J, K) unsigned integers in the order of the source files, as in `SourceGrid`: 0 or the number of a
            lesion. Segments have these numbers.
        report: the same patient's, with at least one lesion.
        keep_dates: whether the date of the study go into the file.

    Raises:
        DataError: when the headers make no valid object.
        OSError: when the file cannot be written.
    """
    with dicom_errors(headers.path):
        segmentation = Segmentation(
            source_images=[stand_in(headers, k) for k in range(len(headers.frames))],
            pixel_array=np.ascontiguousarray(labels.transpose(2, 1, 0)),  # (K, rows, columns)
            segmentation_type=SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(lesion.number, report) for lesion in report.lesions],
            series_instance_uid=UID(),
            series_number=SERIES_NUMBER,
            sop_instance_uid=UID(),
            instance_number=1,
            content_label="LESIONS",
            content_description=f"Lesion candidates of fpgan, {RESEARCH_ONLY}",
            series_description=f"fpgan lesion candidates, {RESEARCH_ONLY}",
            transfer_syntax_uid=ExplicitVRLittleEndian,
            **equipment(report),
        )
        _refer_to_source(segmentation, headers)
        put_patient(segmentation, headers, report.patient, keep_dates=keep_dates)
    write_atomically(path, lambda temporary: segmentation.save_as(temporary, enforce_file_format=True))
    return segmentation


def equipment(report: PatientReport) -> dict[str, str]:
    """The software as the device that made an object; the model stands in for a serial number."""
    return {
        "manufacturer": "fpgan",
        "manufacturer_model_name": "Fixed-Point GAN",
        "software_versions": report.versions["fpgan"],
        "device_serial_number": str(report.model["sha256"])[:16],
    }


def reference(instance: Instance) -> Dataset:
    """An item that refers to one file of a series."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
    return item


def _segment(number: int, report: PatientReport) -> SegmentDescription:
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Lesion candidate {number}",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Lesion,
        algorithm_type=SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=AlgorithmIdentificationSequence(
            name="fpgan", family=codes.DCM.ArtificialIntelligence, version=report.versions["fpgan"], source="fpgan"
        ),
        tracking_uid=UID(),
        tracking_id=f"Lesion candidate {number}",
    )


def _refer_to_source(segmentation: Segmentation, headers: SeriesHeaders) -> None:
    """Put the source slices in the place of their stand-ins."""
    references = {file: reference(instance) for file, instance in headers.instances.items()}
    segmentation.SourceImageSequence = list(references.values())
    segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence = list(references.values())
    groups = segmentation.PerFrameFunctionalGroupsSequence
    items = [group.DerivationImageSequence[0].SourceImageSequence[0] for group in groups]
    # All slices before the first change: segments that share a slice share the item, too.
    slices = [int(item.ReferencedSOPInstanceUID.rpartition(".")[2]) - 1 for item in items]
    for item, k in zip(items, slices, strict=True):
        frame = headers.frames[k]
        instance = headers.instances[frame.file]
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = instance.sop_class, instance.uid
        if frame.number is not None:
            item.ReferencedFrameNumber = frame.number
