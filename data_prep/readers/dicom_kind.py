"""Which DICOM objects can be slices of a volume, by their headers."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.uid import UID

from data_prep.errors import quote_private
from data_prep.readers.dicom_frames import number_of_frames

NO_IMAGES_THOUGH_THEY_HAVE_ROWS = (
    "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
    "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT Dose
    "1.2.840.10008.5.1.4.1.1.4.2",  # MR Spectroscopy
)
GRAY = ("MONOCHROME1", "MONOCHROME2")
CUT_SHORT = "has no Rows or no Columns: its header is damaged or cut short; copy it again"


def why_no_slice(dataset: Dataset) -> str | None:
    """What keeps an object from being a slice, or the slices, of a volume, in words that follow its name; else None."""
    sop_class = UID(str(dataset.get("SOPClassUID", "")))
    has_size = min(int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)) > 0
    if not has_size and "Image" in sop_class.name:
        return CUT_SHORT
    if not has_size or sop_class in NO_IMAGES_THOUGH_THEY_HAVE_ROWS:
        return f"is {sop_class.name}, not an image; leave it out"
    kinds = [str(kind).upper() for kind in _several(dataset.get("ImageType"))]
    if "MOSAIC" in kinds:
        return "is a Siemens mosaic: all slices in one picture; convert it with dcm2niix and use the NIfTI file"
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    if photometric not in GRAY or (dataset.get("SamplesPerPixel") or 1) != 1:
        kind = quote_private(photometric) if photometric else "PhotometricInterpretation is missing"
        return f"is in color ({kind}); gray images are needed"
    return None


def why_no_volume(dataset: Dataset) -> str | None:
    """As `why_no_slice`, and what makes a whole series useless though each file is a slice."""
    reason = why_no_slice(dataset)
    if reason is None and "LOCALIZER" in [str(kind).upper() for kind in _several(dataset.get("ImageType"))]:
        return "is a localizer"
    if reason is None and not dataset.get("ImagePositionPatient") and number_of_frames(dataset) == 1:
        return "has no position in space, as radiographs and secondary captures have none"
    return reason


def _several(value: object) -> list[object]:
    """The values of an element that may hold none, one or several."""
    if value is None or isinstance(value, str):
        return [value] if value else []
    return list(value) if hasattr(value, "__iter__") else [value]
