"""`Summary`: to whom and to which series a DICOM file belongs, from its header alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.dataset import Dataset

from data_prep.errors import DataError
from data_prep.readers.dicom_file import dicom_errors, read_summary
from data_prep.readers.dicom_frames import number_of_frames
from data_prep.readers.dicom_kind import CUT_SHORT, why_no_volume

MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """What one header says.

    Attributes:
        patient: PatientID, empty where it is blank.
        series: SeriesInstanceUID.
        label: `<SeriesDescription> <ProtocolName> <Modality> series <SeriesNumber>`, without what is blank.
        modality: as DICOM abbreviates it: CT, MR, …
        is_multi_frame: whether it holds several slices.
        problem: what keeps the file from being a slice of a volume, in words that follow its name; None: nothing.
    """

    patient: str
    series: str
    label: str
    modality: str
    is_multi_frame: bool
    problem: str | None


def summarize(path: Path) -> Summary | None:
    """Read the header of one file; None where it is no DICOM object, or only an index of others (DICOMDIR).

    Raises:
        DataError: when the file cannot be read, is cut short or damaged.
    """
    dataset = read_summary(path)
    with dicom_errors(path):
        if not dataset.get("SOPClassUID"):
            if dataset.preamble is None or dataset.file_meta.get("MediaStorageSOPClassUID") == MEDIA_STORAGE_DIRECTORY:
                return None
            raise DataError("has no SOPClassUID: its header is damaged or cut short; copy it again", path=path)
        number = _text(dataset, "SeriesNumber")
        names = [_text(dataset, keyword) for keyword in ("SeriesDescription", "ProtocolName", "Modality")]
        label = " ".join(name for name in (*names, f"series {number}" if number else "") if name)
        problem = why_no_volume(dataset)
        if problem == CUT_SHORT:
            raise DataError(problem, path=path)
        if problem is None and not _text(dataset, "SeriesInstanceUID"):
            raise DataError("has no SeriesInstanceUID, so its series is unknown; export it again", path=path)
        return Summary(
            patient=_text(dataset, "PatientID"),
            series=_text(dataset, "SeriesInstanceUID"),
            label=label or "unnamed series",
            modality=_text(dataset, "Modality"),
            is_multi_frame=number_of_frames(dataset) > 1,
            problem=problem,
        )


def _text(dataset: Dataset, keyword: str) -> str:
    value = dataset.get(keyword)
    return "" if value is None else " ".join(str(value).split())
