"""Small DICOM series for tests, written with pydicom; compressed ones with gdcm."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

CT, MR = UID("1.2.840.10008.5.1.4.1.1.2"), UID("1.2.840.10008.5.1.4.1.1.4")
ENHANCED_CT, ENHANCED_MR = UID("1.2.840.10008.5.1.4.1.1.2.1"), UID("1.2.840.10008.5.1.4.1.1.4.1")
SERIES = "1.2.826.0.1.3680043.8.498.1"
WRITTEN_BY_PYDICOM = {
    "implicit": ImplicitVRLittleEndian,
    "explicit": ExplicitVRLittleEndian,
    "big endian": ExplicitVRBigEndian,
    "deflated": DeflatedExplicitVRLittleEndian,
    "RLE": RLELossless,
}
WRITTEN_BY_GDCM = {
    "JPEG Lossless": "JPEGLosslessProcess14",
    "JPEG Lossless SV1": "JPEGLosslessProcess14_1",
    "JPEG-LS": "JPEGLSLossless",
    "JPEG 2000": "JPEG2000Lossless",
}
Change = Callable[[int, Dataset], None]


@dataclass(frozen=True, kw_only=True)
class Grid:
    """Where slices lie, in DICOM's own terms (LPS, mm). `step_mm` goes from slice to slice."""

    origin_mm: tuple[float, ...] = (-30.0, 20.0, -40.0)
    along_row: tuple[float, ...] = (1.0, 0.0, 0.0)
    along_column: tuple[float, ...] = (0.0, 1.0, 0.0)
    between_rows_mm: float = 1.5
    between_columns_mm: float = 0.8
    step_mm: tuple[float, ...] = (0.0, 0.0, 4.0)

    def position(self, k: float) -> list[float]:
        return [o + k * s for o, s in zip(self.origin_mm, self.step_mm, strict=True)]

    def world(self, row: float, column: float, k: float) -> np.ndarray:
        """The RAS+ position of a pixel's center: equation C.7.6.2.1-1 of the standard, then x and y change sign."""
        lps = (
            np.array(self.position(k))
            + np.array(self.along_row) * self.between_columns_mm * column
            + np.array(self.along_column) * self.between_rows_mm * row
        )
        return lps * [-1, -1, 1]


def oblique(first: float = 20, second: float = -35) -> Grid:
    """Turned by two angles in degrees about two axes; 1.5 mm rows, 0.8 mm columns, 4 mm slices."""
    a, b = np.deg2rad([first, second])
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    row, column, normal = (about_z @ about_x).T
    return Grid(along_row=tuple(row), along_column=tuple(column), step_mm=tuple(4 * normal))


def write_series(
    folder: Path,
    stored: np.ndarray,
    grid: Grid | None = None,
    *,
    syntax: str = "explicit",
    change: Change = lambda k, dataset: None,
    names: Sequence[str] | None = None,
) -> tuple[Path, ...]:
    """A file a slice of (K, rows, columns) integers; `change(k, dataset)` alters a slice before it is written."""
    folder.mkdir(parents=True, exist_ok=True)
    grid = grid or Grid()
    files = []
    for k, pixels in enumerate(stored):
        dataset = image(pixels, CT)
        dataset.SOPInstanceUID = f"{SERIES}.{k + 1}"
        dataset.InstanceNumber = k + 1
        dataset.ImagePositionPatient = grid.position(k)
        dataset.ImageOrientationPatient = [*grid.along_row, *grid.along_column]
        dataset.PixelSpacing = [grid.between_rows_mm, grid.between_columns_mm]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some tests write what should not be written
            change(k, dataset)
        files.append(save(dataset, folder / (names[k] if names else f"IM{k + 1}"), syntax))
    return tuple(files)


def write_enhanced(
    path: Path,
    stored: np.ndarray,
    grid: Grid | None = None,
    *,
    syntax: str = "explicit",
    order: Sequence[int] | None = None,
    change: Change = lambda k, group: None,
    change_file: Callable[[Dataset], None] = lambda dataset: None,
) -> Path:
    """All slices in one file, stored in `order`; `change(k, group)` alters the functional groups of slice k."""
    path.parent.mkdir(parents=True, exist_ok=True)
    grid = grid or Grid()
    order = range(len(stored)) if order is None else order
    dataset = image(stored[list(order)], ENHANCED_MR)
    dataset.SOPInstanceUID = f"{SERIES}.1"
    shared, measures, orientation = Dataset(), Dataset(), Dataset()
    measures.PixelSpacing = [grid.between_rows_mm, grid.between_columns_mm]
    orientation.ImageOrientationPatient = [*grid.along_row, *grid.along_column]
    shared.PixelMeasuresSequence = Items([measures])
    shared.PlaneOrientationSequence = Items([orientation])
    dataset.SharedFunctionalGroupsSequence = Items([shared])
    groups = []
    for k in order:
        group, position = Dataset(), Dataset()
        position.ImagePositionPatient = grid.position(k)
        group.PlanePositionSequence = Items([position])
        change(k, group)
        groups.append(group)
    dataset.PerFrameFunctionalGroupsSequence = Items(groups)
    change_file(dataset)
    return save(dataset, path, syntax)


def image(pixels: np.ndarray, sop_class: UID) -> Dataset:
    """An image without a place in space: (rows, columns), or (frames, rows, columns)."""
    dataset = Dataset()
    dataset.SOPClassUID = sop_class
    dataset.PatientID = "P1"
    dataset.Modality = "CT" if sop_class in (CT, ENHANCED_CT) else "MR"
    dataset.SeriesInstanceUID = SERIES
    dataset.SeriesNumber = 3
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    if pixels.ndim == 3:
        dataset.NumberOfFrames = len(pixels)
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8 * pixels.dtype.itemsize
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.PixelData = pixels.tobytes()
    return dataset


def save(dataset: Dataset, path: Path, syntax: str) -> Path:
    """Write `dataset`, whose pixels are little-endian, in a transfer syntax by its name here."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID", SERIES)
    if "PixelData" in dataset:
        dataset["PixelData"].VR = "OB" if dataset.BitsAllocated <= 8 else "OW"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if syntax == "RLE":
            dataset.compress(RLELossless, encoding_plugin="pydicom", generate_instance_uid=False)
        elif syntax in WRITTEN_BY_PYDICOM:
            dataset.file_meta.TransferSyntaxUID = WRITTEN_BY_PYDICOM[syntax]
        if syntax == "big endian" and dataset.BitsAllocated > 8:
            pixels = np.frombuffer(dataset.PixelData, f"<u{dataset.BitsAllocated // 8}")
            dataset.PixelData = pixels.byteswap().tobytes()
        dataset.save_as(path, enforce_file_format=True)
        if syntax in WRITTEN_BY_GDCM:
            compressed = compress(path, WRITTEN_BY_GDCM[syntax])
            dataset["PixelData"] = compressed["PixelData"]
            dataset.file_meta.TransferSyntaxUID = compressed.file_meta.TransferSyntaxUID
            dataset.save_as(path, enforce_file_format=True)
    return path


def compress(path: Path, syntax: str) -> Dataset:
    """What gdcm makes of a file, in a process of its own, which it may end. Its headers are not those it was given."""
    script = (
        "import sys, gdcm\n"
        "reader = gdcm.ImageReader(); reader.SetFileName(sys.argv[1]); assert reader.Read()\n"
        "change = gdcm.ImageChangeTransferSyntax(); change.SetInput(reader.GetImage())\n"
        "change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, sys.argv[2])))\n"
        "assert change.Change()\n"
        "writer = gdcm.ImageWriter(); writer.SetFileName(sys.argv[1]); writer.SetFile(reader.GetFile())\n"
        "writer.SetImage(change.GetOutput()); assert writer.Write()\n"
    )
    subprocess.run([sys.executable, "-c", script, os.fspath(path), syntax], check=True, capture_output=True)
    return dcmread(path)
