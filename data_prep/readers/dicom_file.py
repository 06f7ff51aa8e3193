"""DICOM files to pydicom data sets: quietly, within bounds, with `DataError` as the only exception."""

from __future__ import annotations

import logging
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from threading import RLock

import pydicom
from pydicom.dataset import Dataset

from data_prep.archive import MAX_PROMISED_BYTES, MAX_PROMISED_RATIO, archive_of, read_bytes
from data_prep.errors import DataError, quote_private

DEFLATED = b"1.2.840.10008.1.2.1.99"
EXPLICIT = b"1.2.840.10008.1.2.1"
LARGEST_META_GROUP = 4096
"""Bytes in which the transfer syntax is looked for."""

SUMMARY_TAGS = (
    *("SOPClassUID", "PatientID", "SeriesInstanceUID", "SeriesDescription", "ProtocolName", "SeriesNumber"),
    *("Modality", "ImageType", "Rows", "Columns", "NumberOfFrames", "SamplesPerPixel", "PhotometricInterpretation"),
    "ImagePositionPatient",
)
"""What is needed to tell series apart, and whether one can be a volume."""
IMAGE_TAGS = (
    *SUMMARY_TAGS,
    *("ImageOrientationPatient", "PixelSpacing", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PlanarConfiguration"),
    *("RescaleSlope", "RescaleIntercept", "ModalityLUTSequence"),
    *("PixelData", "FloatPixelData", "DoubleFloatPixelData", "ExtendedOffsetTable", "ExtendedOffsetTableLengths"),
)
"""All that a volume is made of. Leaving the rest unread saves most of the time."""


def parse(raw: bytes, path: Path) -> Dataset:
    """The data set in the bytes of one file, `IMAGE_TAGS` of it; files without preamble are read, too.

    Raises:
        DataError: when the bytes are no DICOM, cut short, or damaged.
    """
    with dicom_errors(path):
        raw = _inflated(raw, path)
        dataset = pydicom.dcmread(BytesIO(raw), force=True, specific_tags=list(IMAGE_TAGS))
        if "SOPClassUID" not in dataset:
            # pydicom drops all it has read when compressed pixels have no end.
            before_pixels = pydicom.dcmread(
                BytesIO(raw), force=True, specific_tags=["SOPClassUID"], stop_before_pixels=True
            )
            if "SOPClassUID" in before_pixels:
                raise DataError("is cut short: its pixel data have no end; copy it again", path=path)
            raise DataError("is not a DICOM file, or damaged: it has no SOPClassUID; copy it again", path=path)
        return dataset


def read_summary(path: Path) -> Dataset:
    """`SUMMARY_TAGS` of one file, as `read_header`."""
    return read_header(path, SUMMARY_TAGS)


def read_header(path: Path, tags: Sequence[str]) -> Dataset:
    """Some elements of one file. Of a plain file nothing behind the header is read.

    Raises:
        DataError: when the file cannot be read or is damaged.
    """
    options = {"force": True, "specific_tags": list(tags), "stop_before_pixels": True}
    with dicom_errors(path):
        if archive_of(path) or DEFLATED in read_bytes(path, at_most=LARGEST_META_GROUP):
            return pydicom.dcmread(BytesIO(_inflated(read_bytes(path), path)), **options)
        with path.open("rb") as file:
            return pydicom.dcmread(file, **options)


_state = RLock()
"""Warnings and pydicom's settings belong to the whole process; threads of one worker take turns with them."""


@contextmanager
def dicom_errors(path: Path) -> Iterator[None]:
    """Around all that touches pydicom, which also parses late, when an element is first asked for.

    Its many exceptions become one `DataError`; its warnings (over-long numbers, unusual types: most scanners' files
    have some) reach neither the terminal nor callers that turn warnings into errors.
    """
    with _state:
        yield from _quiet(path)


def _quiet(path: Path) -> Iterator[None]:
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), pydicom.config.disable_value_validation():
            warnings.simplefilter("ignore")
            yield
    except DataError:
        raise
    except Exception as error:  # pydicom and numpy raise many kinds on foreign bytes
        reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise DataError(
            f"cannot be read as DICOM ({quote_private(reason)}); it may be damaged, copy it again", path=path
        ) from error
    finally:
        logger.setLevel(level)


def _inflated(raw: bytes, path: Path) -> bytes:
    """A deflated file as an undeflated one. pydicom would inflate it, too, but to any size."""
    if DEFLATED not in raw[:LARGEST_META_GROUP]:
        return raw
    start = _end_of_meta_group(raw)
    limit = max(MAX_PROMISED_BYTES, MAX_PROMISED_RATIO * len(raw))
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        dataset = stream.decompress(raw[start:], limit)
    except zlib.error as error:
        raise DataError(f"is damaged: its deflated data are no such ({error}); copy it again", path=path) from error
    if len(dataset) >= limit:
        raise DataError(f"unpacks to more than {limit} bytes; it will not be read", path=path)
    if not stream.eof:
        raise DataError("is cut short: its deflated data have no end; copy it again", path=path)
    return raw[:start].replace(DEFLATED, EXPLICIT.ljust(len(DEFLATED), b"\0")) + dataset


def _end_of_meta_group(raw: bytes) -> int:
    """Where group 0002 ends, which is always explicit and little-endian; its own length element may lie."""
    offset = 132
    while raw[offset : offset + 2] == b"\x02\x00":
        is_long = raw[offset + 4 : offset + 6] in (b"OB", b"OW", b"SQ", b"UN", b"UT")
        length = raw[offset + 8 : offset + 12] if is_long else raw[offset + 6 : offset + 8]
        offset += (12 if is_long else 8) + int.from_bytes(length, "little")
    return offset
