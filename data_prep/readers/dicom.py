"""One DICOM series to `Volume`: classic, a file a slice, or enhanced, all slices in one file."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut

from data_prep.archive import archive_of, read_bytes
from data_prep.errors import DataError, quote_private
from data_prep.grid import MAX_VOXELS
from data_prep.readers.dicom_codec import CodecProcess
from data_prep.readers.dicom_file import dicom_errors, parse
from data_prep.readers.dicom_frames import Frame, frames_of
from data_prep.readers.dicom_geometry import stack
from data_prep.readers.dicom_kind import why_no_slice
from data_prep.readers.dicom_pixels import check_pixels, real_values, stored_values
from data_prep.volume import SourceGrid, Volume

SAME_IN_A_SERIES = ("SeriesInstanceUID", "PhotometricInterpretation")


def read_dicom_series(files: Sequence[Path]) -> Volume:
    """Read all files of one series as a single-channel volume in RAS+; paths may lead into zip archives.

    Values are rescaled (HU in CT): integers where they stay such, else float32. `source.path` is the file where there
    is one, else the archive or the folder that holds all; in file order I runs along rows, J along columns, K upwards
    along their normal.

    Raises:
        DataError: when the files are no images, do not form one regular grid, or cannot be decoded.
    """
    files = sorted({Path(file) for file in files})
    if not files:
        raise DataError("a DICOM series needs files, got none")
    series = series_path(files)
    digest = hashlib.sha256()
    datasets: dict[Path, Dataset] = {}
    frames: list[Frame] = []
    for path in files:
        raw = read_bytes(path)
        digest.update(raw)
        datasets[path] = parse(raw, path)
        del raw
        with dicom_errors(path):
            _check_kind(datasets[path], path, datasets[files[0]], files[0], series)
            frames += frames_of(datasets[path], path)
    order, affine = stack(frames, series)
    rows, columns = frames[0].rows, frames[0].columns
    if rows * columns * len(frames) > MAX_VOXELS:
        raise DataError(f"promises {columns}×{rows}×{len(frames)} voxels, more than can be read", path=series)
    for path, dataset in datasets.items():
        with dicom_errors(path):
            check_pixels(dataset, path)
    voxels = _voxels(datasets, frames, order, series)  # (K, J, I)
    is_classic = all(frame.number is None for frame in frames)
    source = SourceGrid(
        path=series,
        sha256=digest.hexdigest(),
        shape=(columns, rows, len(frames)),
        affine=affine,
        slice_names=tuple(frames[index].file.name for index in order) if is_classic else (),
    )
    return Volume.from_file_order(voxels.transpose(2, 1, 0)[None], source)


def series_path(files: Sequence[Path]) -> Path:
    """What stands for a series: its only file, the zip archive that holds all its files, or the folder that does."""
    if len(files) == 1:
        return files[0]
    archives = {archive_of(file) for file in files}
    archive = archives.pop()
    if not archives and archive is not None:
        return archive
    try:
        return Path(os.path.commonpath([file.parent for file in files]))
    except ValueError:  # on two drives
        return files[0].parent


def _check_kind(dataset: Dataset, path: Path, first: Dataset, first_path: Path, series: Path) -> None:
    reason = why_no_slice(dataset)
    if reason is not None:
        raise DataError(reason, path=path)
    for keyword in SAME_IN_A_SERIES:
        mine, theirs = dataset.get(keyword), first.get(keyword)
        if mine != theirs:
            one, value, other, other_value = (
                quote_private(str(text)) for text in (first_path.name, theirs, path.name, mine)
            )
            raise DataError(
                f"has files of different {keyword}: {one} has {value}, {other} {other_value}; give one series",
                path=series,
            )


def _voxels(datasets: dict[Path, Dataset], frames: list[Frame], order: list[int], series: Path) -> np.ndarray:
    """(K, rows, columns) real values, K ascending along the normal. Empties `datasets` while it goes."""
    place = {index: k for k, index in enumerate(order)}
    values = [np.empty(0)] * len(frames)
    index = 0
    with CodecProcess() as codec:
        for path in list(datasets):
            dataset = datasets.pop(path)
            with dicom_errors(path):
                for stored in stored_values(dataset, path, codec):
                    is_table = bool(dataset.get("ModalityLUTSequence"))
                    values[place[index]] = apply_modality_lut(stored, dataset) if is_table else stored
                    index += 1
    with dicom_errors(series):
        return real_values(values, [frames[i] for i in order], series)
