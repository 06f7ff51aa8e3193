"""NIfTI files (`.nii`, `.nii.gz`, `.hdr` with `.img`) to `Volume` and back."""

from __future__ import annotations

import hashlib
import logging
from math import isfinite, prod
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from nibabel.spatialimages import HeaderDataError

from data_prep.atomic import write_atomically
from data_prep.errors import DataError
from data_prep.grid import MAX_VOXELS
from data_prep.readers.foreign import bounded_by_memory, opened, refuse_foreign
from data_prep.readers.inflate import GZIP_MARK, head_of
from data_prep.readers.voxels import real_values, stored_voxels
from data_prep.volume import SourceGrid, Volume, is_usable

_SILENT = logging.Logger("nifti")
"""Takes what nibabel says about headers that it mends; the application's logging does not know it."""
_SILENT.addHandler(logging.NullHandler())


def read_nifti(path: Path, several_channels: bool = False) -> Volume:
    """Read one file (of a pair, the `.hdr`) in RAS+, as (1, I, J, K), or as (C, I, J, K) with `several_channels`.

    Voxels keep their integer type and are a view of the bytes read where `scl_slope` and `scl_inter` change nothing;
    otherwise they are scaled float32. Nothing but the header is read or inflated before its promises were checked.

    Raises:
        DataError: when the file is missing, cut short, no NIfTI, not three-dimensional, not real-valued, or when its
            geometry or values cannot be used.
    """
    path = Path(path)
    with np.errstate(all="ignore"), bounded_by_memory(path):
        with opened(path) as file:
            header = _header(path, head_of(file, path))
            shape = _shape(path, header, several_channels)
            dtype = _real_type(path, header)
            affine = _usable_affine(path, header)
            raw = file.read()
        digest = hashlib.sha256(raw)
        image_path = path
        if _is_pair(header):
            image_path = _image_beside(path)
            with opened(image_path) as file:
                raw = file.read()
            refuse_foreign(image_path, raw)
            digest.update(raw)
        packed = raw.startswith(GZIP_MARK)
        start = _first_byte(path, header)
        stored = stored_voxels(image_path, raw, start, prod(shape), dtype, is_compressed=packed)
        values = real_values(image_path, _scaled(path, header, stored))
        qform = _qform(header, affine)
    source = SourceGrid(
        path=path,
        sha256=digest.hexdigest(),
        shape=shape[:3],
        affine=affine,
        qform=qform,
        sform=(header.get_sform(), int(header["sform_code"])),
        units=int(header["xyzt_units"]),
    )
    # On disk the first axis runs fastest, the one of channels slowest.
    return Volume.from_file_order(values.reshape(shape[::-1]).transpose(0, 3, 2, 1), source)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray, *, source: SourceGrid | None = None) -> None:
    """Write an (I, J, K) array in file order; with `source`, the transforms it has and its units are kept.

    The file appears whole or not at all, and the same array gives the same bytes.
    """
    kind = nib.Nifti1Image if max(array.shape) <= np.iinfo(np.int16).max else nib.Nifti2Image
    image = kind(array, affine)
    image.header["xyzt_units"] = source.units if source else 2
    image.set_qform(*(source.qform if source and source.qform else (affine, 1)))
    image.set_sform(*(source.sform if source and source.sform else (affine, 1)))
    packed = igzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))


def _header(path: Path, head: bytes) -> nib.Nifti1Header:
    refuse_foreign(path, head)
    is_nifti2 = 540 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    kind = nib.Nifti2Header if is_nifti2 else nib.Nifti1Header
    try:
        header = kind(head[: kind.sizeof_hdr], check=False)
        if header["magic"].item() not in (kind.single_magic, kind.pair_magic):
            if header["sizeof_hdr"] == kind.sizeof_hdr:
                raise DataError("is an Analyze file, which has no orientation; export it as NIfTI", path=path)
            raise ValueError("it has no NIfTI mark")
        sizes = header["pixdim"][1:4].copy()
        header.check_fix(logger=_SILENT, error_level=40)
    except DataError:
        raise
    except Exception as error:  # nibabel raises many kinds on foreign bytes
        reason = " ".join(str(error).split())
        raise DataError(f"is not a NIfTI file ({reason}); download or export it again", path=path) from error
    # nibabel reads a voxel size of 0 as 1 mm; without an sform all geometry would rest on that guess.
    if header["sform_code"] == 0 and not (np.isfinite(sizes).all() and sizes.all()):
        raise DataError(f"has voxel sizes {sizes.tolist()} mm and no other geometry; export it again", path=path)
    return header


def _shape(path: Path, header: nib.Nifti1Header, several_channels: bool) -> tuple[int, int, int, int]:
    """(I, J, K, C), known to be bearable."""
    try:
        shape = full = tuple(map(int, header.get_data_shape()))
    except HeaderDataError as error:
        raise DataError(f"has a damaged header ({error}); export it again", path=path) from error
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) not in (3, 4) or min(shape) < 1:
        raise DataError(f"must hold one three-dimensional image, has shape {full}; export one as such", path=path)
    if len(shape) == 4 and not several_channels:
        raise DataError(f"holds {shape[3]} images, shape {full}; split the file", path=path)
    if prod(shape) > MAX_VOXELS:
        raise DataError(f"promises {prod(shape)} voxels, more than {MAX_VOXELS}; its header is damaged", path=path)
    return shape[0], shape[1], shape[2], shape[3] if len(shape) == 4 else 1


def _real_type(path: Path, header: nib.Nifti1Header) -> np.dtype:
    dtype = header.get_data_dtype()
    if dtype.kind not in "iuf":
        name = nib.nifti1.data_type_codes.label[int(header["datatype"])]
        raise DataError(f"must hold one real number a voxel, holds {name}; convert it", path=path)
    return dtype


def _usable_affine(path: Path, header: nib.Nifti1Header) -> np.ndarray:
    try:
        affine = np.asarray(header.get_best_affine(), float)
    except (ValueError, HeaderDataError) as error:
        raise DataError(f"has a damaged qform ({error}) and no other geometry; export it again", path=path) from error
    if not is_usable(affine):
        raise DataError("has a singular or non-finite affine, or absurd voxel sizes; export it again", path=path)
    return affine


def _qform(header: nib.Nifti1Header, affine: np.ndarray) -> tuple[np.ndarray, int]:
    """The header's qform and its code; where it is damaged beside a good sform, the latter as an unused qform."""
    try:
        matrix = header.get_qform()
    except (ValueError, HeaderDataError):
        return affine, 0
    return (matrix, int(header["qform_code"])) if is_usable(matrix) else (affine, 0)


def _is_pair(header: nib.Nifti1Header) -> bool:
    return header["magic"].item() == header.pair_magic


def _image_beside(path: Path) -> Path:
    stem, found, _ = path.name.lower().rpartition(".hdr")
    if not found:
        raise DataError("is the header of a pair of files, which must be named .hdr and .img", path=path)
    for ending in (".img", ".img.gz", ".IMG", ".IMG.GZ"):
        beside = path.with_name(path.name[: len(stem)] + ending)
        if beside.exists():
            return beside
    raise DataError("is the header of a pair of files, but its .img is missing; put it beside", path=path)


def _first_byte(path: Path, header: nib.Nifti1Header) -> int:
    offset = float(header["vox_offset"])
    least = 0 if _is_pair(header) else header.sizeof_hdr + 4
    if not (isfinite(offset) and offset >= least):
        raise DataError(f"has voxels that begin inside its header, at byte {offset:g}; export it again", path=path)
    return int(offset)


def _scaled(path: Path, header: nib.Nifti1Header, stored: np.ndarray) -> np.ndarray:
    """The stored numbers themselves where the header scales by 1 and adds nothing, or has no scaling."""
    try:
        slope, inter = header.get_slope_inter()
    except HeaderDataError as error:
        raise DataError(f"has a scaling that cannot be used ({error}); export it again", path=path) from error
    if slope is None or (slope, inter) == (1, 0):
        return stored
    # 32-bit integers do not fit into the mantissa of float32 before they are scaled.
    values = stored.astype(np.float32 if stored.dtype.itemsize <= 2 else np.float64)
    np.multiply(values, slope, out=values)
    return np.add(values, inter, out=values)
