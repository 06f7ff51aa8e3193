"""Stored values of a DICOM file's frames, and their way to real ones."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames
from pydicom.pixels import get_decoder
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from data_prep.errors import DataError
from data_prep.readers.dicom_codec import CodecProcess
from data_prep.readers.dicom_frames import Frame, number_of_frames

DECODED_IN_A_PROCESS = {
    "1.2.840.10008.1.2.4.50": "JPEG Baseline",
    "1.2.840.10008.1.2.4.51": "JPEG Extended",
    "1.2.840.10008.1.2.4.57": "JPEG Lossless",
    "1.2.840.10008.1.2.4.70": "JPEG Lossless SV1",
    "1.2.840.10008.1.2.4.80": "JPEG-LS Lossless",
    "1.2.840.10008.1.2.4.81": "JPEG-LS Near-Lossless",
    "1.2.840.10008.1.2.4.90": "JPEG 2000 Lossless",
    "1.2.840.10008.1.2.4.91": "JPEG 2000",
}
INTEGERS = (np.uint8, np.int8, np.uint16, np.int16, np.uint32, np.int32, np.int64)
LARGEST_RATIO = 1032
SMALLEST_LIMIT = 64 * 2**20
"""Compressed pixels may promise this many bytes, or `LARGEST_RATIO` times their own, whichever is more: empty slices
pack to almost nothing."""


def check_pixels(dataset: Dataset, path: Path) -> None:
    """Refuse pixel data that are not there, or cannot hold what the header promises, before memory is taken for them.

    Raises:
        DataError: with the reason.
    """
    if "PixelData" not in dataset:
        if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
            raise DataError("holds floating-point pixels, which are not read; convert it to NIfTI", path=path)
        raise DataError("has no pixel data; copy it again, or leave it out", path=path)
    syntax = _transfer_syntax(dataset)
    allocated, stored = int(dataset.BitsAllocated), int(dataset.BitsStored)
    if allocated not in (8, 16, 32) or not 0 < stored <= allocated:
        raise DataError(f"has pixels of {stored} bits in {allocated}; 8, 16 or 32 can be read", path=path)
    promised = number_of_frames(dataset) * int(dataset.Rows) * int(dataset.Columns) * allocated // 8
    present = len(dataset.PixelData)
    if not syntax.is_encapsulated and present < promised:
        raise DataError(
            f"is cut short: its header promises {promised} bytes of pixels, it has {present}; copy it again", path=path
        )
    if promised > max(SMALLEST_LIMIT, LARGEST_RATIO * present):
        raise DataError(f"promises {promised} bytes of pixels in {present}; it is damaged, copy it again", path=path)
    if syntax.is_encapsulated and syntax != RLELossless and syntax not in DECODED_IN_A_PROCESS:
        raise DataError(f"is compressed as {syntax.name}, which is not read; decompress it first", path=path)


def stored_values(dataset: Dataset, path: Path, codec: CodecProcess) -> Iterator[np.ndarray]:
    """The frames of one file in stored order, (rows, columns) integers; brighter is higher.

    Raises:
        DataError: when frames are missing or cannot be decoded.
    """
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    stored, is_signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    inverts = dataset.PhotometricInterpretation == "MONOCHROME1"
    expected, found = number_of_frames(dataset), 0
    for pixels, bits in _decoded(dataset, path, codec):
        values = _significant(pixels.reshape(rows, columns), min(bits, stored), is_signed)
        if inverts:
            # Low is white. As gdcm, and so ITK, does it: v becomes 2^stored - 1 - v, signed values -1 - v, before the
            # rescale, so both ends of the stored range change places.
            values = ~values if is_signed else np.uint32(2**stored - 1) - values
        yield values
        found += 1
        if found == expected:
            return
    raise DataError(f"has {found} frames of the {expected} that its header promises; copy it again", path=path)


def real_values(stored: list[np.ndarray], frames: list[Frame], series: Path) -> np.ndarray:
    """Stored values of `frames` to real ones, (K, rows, columns): the smallest integers that fit, or float32.

    Empties `stored` while it goes, so that a large volume is not there twice.

    Raises:
        DataError: when values are not finite.
    """
    if all(frame.slope == 1 and frame.intercept.is_integer() and abs(frame.intercept) < 2**31 for frame in frames):
        shifts = [int(frame.intercept) for frame in frames]
        lowest = min(int(values.min()) + shift for values, shift in zip(stored, shifts, strict=True))
        highest = max(int(values.max()) + shift for values, shift in zip(stored, shifts, strict=True))
        smallest = next(t for t in INTEGERS if np.iinfo(t).min <= lowest and highest <= np.iinfo(t).max)
        real = np.empty((len(stored), *stored[0].shape), smallest)
        for k in reversed(range(len(stored))):
            values = stored.pop()
            real[k] = values.astype(np.int64) + shifts[k] if shifts[k] else values
        return real
    real = np.empty((len(stored), *stored[0].shape), np.float32)
    with np.errstate(all="ignore"):
        for k in reversed(range(len(stored))):
            real[k] = stored.pop() * frames[k].slope + frames[k].intercept
            if not np.isfinite(real[k]).all():
                raise DataError(f"has values beyond float32 in {frames[k]}; export it again", path=series)
    return real


def _decoded(dataset: Dataset, path: Path, codec: CodecProcess) -> Iterator[tuple[np.ndarray, int]]:
    """Each frame as it leaves its decoder, and how many bits of a pixel carry it."""
    syntax = _transfer_syntax(dataset)
    if syntax not in DECODED_IN_A_PROCESS:
        for pixels, _ in get_decoder(syntax).iter_array(dataset, raw=True):
            yield pixels, int(dataset.BitsAllocated)
        return
    offsets = (dataset.get("ExtendedOffsetTable"), dataset.get("ExtendedOffsetTableLengths"))
    streams = generate_frames(
        dataset.PixelData,
        number_of_frames=number_of_frames(dataset),
        extended_offsets=offsets if all(offsets) else None,
    )
    for stream in streams:
        yield codec.decode(
            stream,
            syntax=str(syntax),
            rows=int(dataset.Rows),
            columns=int(dataset.Columns),
            is_signed=bool(dataset.PixelRepresentation),
            path=path,
        )


def _transfer_syntax(dataset: Dataset) -> UID:
    """As the file names it; for files without the group that does, as pydicom found its data to be encoded."""
    named = dataset.file_meta.get("TransferSyntaxUID")
    if named:
        return UID(str(named))
    is_implicit, is_little = dataset.original_encoding
    guessed = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian if is_little else ExplicitVRBigEndian
    dataset.file_meta.TransferSyntaxUID = guessed
    return guessed


def _significant(pixels: np.ndarray, bits: int, is_signed: bool) -> np.ndarray:
    """The low `bits` of each pixel with their sign; what lies above is undefined and held overlays once."""
    size = pixels.dtype.itemsize
    shift = 8 * size - bits
    unsigned = pixels.astype(pixels.dtype.newbyteorder("="), copy=False).view(f"u{size}")
    return np.right_shift(np.left_shift(unsigned, shift).view(f"{'i' if is_signed else 'u'}{size}"), shift)
