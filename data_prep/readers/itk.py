"""The formats of ITK and 3D Slicer, MetaImage (`.mha`, `.mhd`) and NRRD (`.nrrd`, `.nhdr`), to `Volume`.

ITK itself is not asked: it ends the process on some damaged headers, writes to the terminal on others, and takes memory
for whatever they promise.
"""

from __future__ import annotations

import hashlib
from math import prod
from pathlib import Path

import numpy as np

from data_prep.errors import DataError, quote_private
from data_prep.grid import MAX_VOXELS
from data_prep.readers.foreign import HEAD_BYTES, bounded_by_memory, opened, refuse_foreign
from data_prep.readers.itk_header import ItkHeader, beside
from data_prep.readers.metaimage import parse_metaimage
from data_prep.readers.nrrd import NRRD_MARK, parse_nrrd
from data_prep.readers.voxels import real_values, stored_voxels
from data_prep.volume import SourceGrid, Volume, is_usable

MAX_HEADER_BYTES = 2**20


def read_itk(path: Path, several_channels: bool = False) -> Volume:
    """Read one file in RAS+, as (1, I, J, K), or as (C, I, J, K) with `several_channels`.

    Channels are the numbers of a voxel, or the images along a fourth axis. Voxels keep their integer type and are a
    view of the bytes read where these are not compressed; real numbers become float32.

    Raises:
        DataError: when the file is missing, damaged, cut short, not three-dimensional, or when its geometry or values
            cannot be used.
    """
    path = Path(path)
    with bounded_by_memory(path):
        with opened(path) as file:
            header, length = _parse(path, file.read(MAX_HEADER_BYTES))
            count = _count(path, header, several_channels)
            affine = _ras_affine(path, header)
            file.seek(0)
            raw = file.read()
        digest = hashlib.sha256(raw)
        data_path, voxel_bytes = path, memoryview(raw)[length:]
        if header.data_file is not None:
            data_path = beside(path, header.data_file)
            with opened(data_path) as file:
                voxel_bytes = memoryview(file.read())
            refuse_foreign(data_path, bytes(voxel_bytes[:HEAD_BYTES]))
            digest.update(voxel_bytes)
        from_end = len(voxel_bytes) - count * header.dtype.itemsize
        start = header.data_start if header.data_start >= 0 else max(from_end, 0)
        is_compressed = header.is_compressed
        stored = stored_voxels(data_path, voxel_bytes, start, count, header.dtype, is_compressed=is_compressed)
        values = real_values(data_path, stored)
    array = values.reshape(header.sizes[::-1]).T
    array = array[None] if header.channel_axis is None else np.moveaxis(array, header.channel_axis, 0)
    _, i, j, k = array.shape
    source = SourceGrid(path=path, sha256=digest.hexdigest(), shape=(i, j, k), affine=affine)
    return Volume.from_file_order(array, source)


def _parse(path: Path, head: bytes) -> tuple[ItkHeader, int]:
    refuse_foreign(path, head)
    kind, parse = ("NRRD", parse_nrrd) if head.startswith(NRRD_MARK) else ("MetaImage", parse_metaimage)
    try:
        return parse(head.decode("latin-1"))
    except ValueError as error:
        problem = str(error)[:200]  # which quotes the file
        raise DataError(
            f"is no {kind} file that can be used ({quote_private(problem)}); save it again", path=path
        ) from error


def _count(path: Path, header: ItkHeader, several_channels: bool) -> int:
    """How many numbers the header promises."""
    sizes, axis = header.sizes, header.channel_axis
    if len(sizes) - (axis is not None) != 3:
        raise DataError(f"must hold one three-dimensional image, has sizes {sizes}", path=path)
    if axis is not None and sizes[axis] > 1 and not several_channels:
        problem = f"holds {sizes[axis]} images or colors, sizes {sizes}"
        raise DataError(f"{problem}; split the file", path=path)
    if prod(sizes) > MAX_VOXELS:
        raise DataError(f"promises {prod(sizes)} voxels, more than {MAX_VOXELS}; its header is damaged", path=path)
    return prod(sizes)


def _ras_affine(path: Path, header: ItkHeader) -> np.ndarray:
    affine = np.eye(4)
    # Both formats measure positions toward the patient's left and back (LPS) unless they say otherwise, `Volume` toward
    # right and front (RAS+): coordinates change their sign, the order of voxels does not change.
    signs = np.array(header.to_ras)
    with np.errstate(all="ignore"):
        affine[:3, :3] = signs[:, None] * header.axes
        affine[:3, 3] = signs * header.origin
        if not is_usable(affine):
            raise DataError("has a singular or non-finite affine, or absurd voxel sizes; export it again", path=path)
    return affine
