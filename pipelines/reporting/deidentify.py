"""What of a source series may go into the DICOM objects of a report: an allow list, with a pseudonym for the patient.

Nothing is copied and then cleaned. `SeriesHeaders` holds UIDs, geometry, date and modality; what of these goes
out is written here, by name. UIDs are retained, or references to the source slices would lead nowhere.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date
from importlib.metadata import version

import numpy as np
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import MRImageStorage, generate_uid
from pydicom.valuerep import DSfloat

from data_prep.readers.dicom_headers import SeriesHeaders

UTF_8 = "ISO_IR 192"
LONGEST_NAME = 63
"""Characters of a PatientID; a PatientName's component group has one more, and a caret."""
EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime"),
)
METHOD = ("Basic profile by an allow list: UIDs, geometry, modality", f"fpgan {version('fpgan')}")
"""DeidentificationMethod, at most 64 characters a value."""


def study_date(headers: SeriesHeaders) -> str | None:
    """The day of the study as YYYY-MM-DD; None where the header has no valid one."""
    if not re.fullmatch(r"[0-9]{8}", headers.study_date):
        return None
    try:
        return date.fromisoformat(headers.study_date).isoformat()
    except ValueError:  # as of month 13
        return None


def patient_name(pseudonym: str) -> str:
    """The pseudonym as PatientID and PatientName can hold it, different for different pseudonyms.

    A backslash would end the value, `^` and `=` a part of the name, and both are short. Where something had to be
    changed, a digest of the pseudonym is appended.
    """
    name = "".join("_" if c in "\\^=" or not c.isprintable() else c for c in pseudonym).strip()
    if name == pseudonym and 0 < len(name) <= LONGEST_NAME:
        return name
    digest = hashlib.sha256(pseudonym.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - len(digest) - 1]}-{digest}"


def frame_of_reference(headers: SeriesHeaders) -> str:
    """FrameOfReferenceUID; where the headers have none, one made of the SeriesInstanceUID, the same each time."""
    return headers.frame_of_reference or generate_uid(entropy_srcs=["frame of reference", headers.series])


def stand_in(headers: SeriesHeaders, k: int) -> Dataset:
    """A header of one slice, index `k` along the volume's K axis, with geometry in mm (LPS) and no patient.

    It is a single MR image whatever the source, so that one way serves classic and enhanced series, concatenations and
    private classes; what is made of it must refer to the source instead. Its SOPInstanceUID ends in `k` + 1.
    """
    frame, first, last = headers.frames[k], headers.frames[0], headers.frames[-1]
    step_mm = float(np.linalg.norm(last.position_mm - first.position_mm)) / (len(headers.frames) - 1)
    dataset = Dataset()
    dataset.SpecificCharacterSet = UTF_8
    dataset.SOPClassUID = MRImageStorage
    dataset.SOPInstanceUID = f"2.25.{k + 1}"
    dataset.StudyInstanceUID = headers.study
    dataset.SeriesInstanceUID = headers.series
    dataset.FrameOfReferenceUID = frame_of_reference(headers)
    dataset.Rows, dataset.Columns = frame.rows, frame.columns
    dataset.ImagePositionPatient = _decimals(frame.position_mm)
    # One direction and size for all: those of slices may differ in the last digits.
    dataset.ImageOrientationPatient = _decimals(first.orientation.ravel())
    dataset.PixelSpacing = _decimals(first.spacing_mm)
    dataset.SliceThickness, dataset.SpacingBetweenSlices = _decimals(np.array([step_mm, step_mm]))
    for keyword in EMPTY:
        setattr(dataset, keyword, "")
    if headers.is_lossy:
        dataset.LossyImageCompression = "01"
    return dataset


def put_patient(dataset: Dataset, headers: SeriesHeaders, pseudonym: str, *, keep_dates: bool) -> None:
    """Write the pseudonym into a finished object, and how it came that there is no name; the study's date if kept."""
    options = [codes.DCM.BasicApplicationConfidentialityProfile, codes.DCM.RetainUidsOption]
    if keep_dates:
        options.append(codes.DCM.RetainLongitudinalTemporalInformationFullDatesOption)
        dataset.StudyDate = (study_date(headers) or "").replace("-", "")
    dataset.LongitudinalTemporalInformationModified = "UNMODIFIED" if keep_dates else "REMOVED"
    dataset.SpecificCharacterSet = UTF_8
    dataset.PatientID = patient_name(pseudonym)
    dataset.PatientName = f"{dataset.PatientID}^"  # without the caret it is in a retired form, for some readers
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = list(METHOD)
    dataset.DeidentificationMethodCodeSequence = [_coded(code) for code in options]


def _coded(code: Code) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme_designator, code.meaning
    return item


def _decimals(numbers: np.ndarray) -> list[DSfloat]:
    return [DSfloat(float(number), auto_format=True) for number in numbers]
