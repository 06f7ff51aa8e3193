"""NIfTI files (`.nii`, `.nii.gz`) to `Volume` and back, orientation settled here, once."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from data_prep.errors import DataError
from data_prep.volume import SourceGrid, Volume


def read_nifti(path: Path) -> Volume:
    """Read one file as a single-channel volume in RAS+, with `scl_slope` and `scl_inter` applied.

    Raises:
        DataError: when the file is missing, cut short, no NIfTI, not three-dimensional, not real-valued, or when its
            geometry or values cannot be used.
    """
    path = Path(path)
    raw = _read_bytes(path)
    image = _parse(path, raw)
    shape = _three_dimensions(path, image)
    affine = _usable_affine(path, image)
    array = _values(path, image).reshape(shape)
    header = image.header
    source = SourceGrid(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        shape=shape,
        affine=affine,
        qform=(header.get_qform(), int(header["qform_code"])),
        sform=(header.get_sform(), int(header["sform_code"])),
        units=int(header["xyzt_units"]),
    )
    orientation = nib.orientations.io_orientation(affine)
    ras = nib.orientations.apply_orientation(array, orientation)
    ras_affine = affine @ nib.orientations.inv_ornt_aff(orientation, shape)
    return Volume(array=np.ascontiguousarray(ras)[None], affine=ras_affine, source=source)


def write_nifti(path: Path, array: np.ndarray, affine: np.ndarray, *, source: SourceGrid | None = None) -> None:
    """Write an (I, J, K) array in file order; with `source`, both of its transforms and its units are kept.

    The file appears whole or not at all, and the same array gives the same bytes.
    """
    image = nib.Nifti1Image(array, affine)
    if source is not None:
        image.header["xyzt_units"] = source.units
        image.set_qform(*source.qform)
        image.set_sform(*source.sform)
    else:
        image.header.set_xyzt_units("mm")
        image.set_qform(affine, 1)
        image.set_sform(affine, 1)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    temporary.write_bytes(igzip.compress(image.to_bytes(), compresslevel=1, mtime=0))
    temporary.replace(path)


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check path and permissions", path=path) from error


def _parse(path: Path, raw: bytes) -> nib.Nifti1Image:
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = igzip.decompress(raw)
        except (EOFError, OSError, IsalError) as error:  # type: ignore[misc]  # its stub does not call it an exception
            raise DataError(f"is a damaged or truncated gzip file ({error}); copy it again", path=path) from error
    try:
        image = nib.Nifti1Image.from_bytes(raw)
    except Exception as error:  # nibabel raises many kinds on foreign bytes
        raise DataError(f"is not a NIfTI file ({error})", path=path) from error
    needed = int(image.header["vox_offset"]) + int(np.prod(image.shape, dtype=object)) * image.get_data_dtype().itemsize
    if len(raw) < needed:
        raise DataError(
            f"is cut short: its header promises {needed} bytes, it has {len(raw)}; copy it again", path=path
        )
    return image


def _three_dimensions(path: Path, image: nib.Nifti1Image) -> tuple[int, int, int]:
    shape = image.shape
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3 or min(shape) < 1:
        raise DataError(f"must hold one three-dimensional image, has shape {image.shape}", path=path)
    return shape[0], shape[1], shape[2]


def _usable_affine(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    affine = np.asarray(image.affine, float)
    # A determinant relative to the axis lengths, so that tiny voxels are not mistaken for degenerate ones.
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(0))
    if not np.isfinite(affine).all() or lengths.min() == 0 or abs(np.linalg.det(affine[:3, :3] / lengths)) < 1e-3:
        raise DataError("has a singular or non-finite affine; its geometry cannot be used", path=path)
    return affine


def _values(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(f"must hold real numbers, has voxels of type {dtype}", path=path)
    array = image.get_fdata(dtype=np.float32, caching="unchanged")
    if not np.isfinite(array).all():
        raise DataError("holds NaN or infinite voxels; replace them before use", path=path)
    return array
