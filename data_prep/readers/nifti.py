"""NIfTI files (`.nii`, `.nii.gz`) to `Volume` and back, orientation settled here, once."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from isal import igzip
from isal.igzip_lib import IsalError

from data_prep.atomic import write_atomically
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
    source = SourceGrid(
        path=path,
        sha256=hashlib.sha256(raw).hexdigest(),
        shape=shape,
        affine=affine,
        qform=_qform(image, affine),
        sform=(image.header.get_sform(), int(image.header["sform_code"])),
        units=int(image.header["xyzt_units"]),
    )
    orientation = nib.orientations.io_orientation(affine)
    ras = nib.orientations.apply_orientation(array, orientation)
    ras_affine = affine @ nib.orientations.inv_ornt_aff(orientation, shape)
    return Volume(array=np.ascontiguousarray(ras)[None], affine=ras_affine, source=source, paths=(path,))


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
    packed = igzip.compress(image.to_bytes(), compresslevel=1, mtime=0)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed))


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
    is_nifti2 = 540 in (int.from_bytes(raw[:4], "little"), int.from_bytes(raw[:4], "big"))
    kind = nib.Nifti2Image if is_nifti2 else nib.Nifti1Image
    try:
        image = kind.from_bytes(raw)
        start, header_size = int(image.dataobj.offset), image.header.sizeof_hdr + 4
    except Exception as error:  # nibabel raises many kinds on foreign bytes
        raise DataError(f"is not a NIfTI file ({' '.join(str(error).split())})", path=path) from error
    if start < header_size:
        raise DataError(f"has voxels that begin inside its header, at byte {start}; export it again", path=path)
    needed = start + int(np.prod(image.shape, dtype=object)) * image.get_data_dtype().itemsize
    if len(raw) < needed:
        raise DataError(
            f"is cut short: its header promises {needed} bytes, it has {len(raw)}; copy it again", path=path
        )
    if int(image.header["sform_code"]) == 0:
        # nibabel reads a voxel size of 0 as 1 mm; without an sform all geometry would rest on that guess.
        sizes = type(image.header)(raw[: image.header.sizeof_hdr], check=False)["pixdim"][1:4]
        if not (np.isfinite(sizes).all() and (sizes != 0).all()):
            raise DataError(f"has voxel sizes {sizes.tolist()} mm; its geometry cannot be used", path=path)
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
    if not _is_usable(affine):
        raise DataError("has a singular or non-finite affine; its geometry cannot be used", path=path)
    return affine


def _qform(image: nib.Nifti1Image, affine: np.ndarray) -> tuple[np.ndarray, int]:
    """The header's qform and its code; where it is damaged beside a good sform, the latter as an unused qform."""
    try:
        matrix = image.header.get_qform()
    except ValueError:
        return affine, 0
    return (matrix, int(image.header["qform_code"])) if _is_usable(matrix) else (affine, 0)


def _is_usable(affine: np.ndarray) -> bool:
    lengths = np.sqrt((affine[:3, :3] ** 2).sum(0))
    if not np.isfinite(affine).all() or lengths.min() == 0:
        return False
    # Relative to the axis lengths, so that tiny voxels are not mistaken for degenerate ones.
    return abs(float(np.linalg.det(affine[:3, :3] / lengths))) >= 1e-3


def _values(path: Path, image: nib.Nifti1Image) -> np.ndarray:
    dtype = image.get_data_dtype()
    if dtype.kind not in "iuf":
        raise DataError(f"must hold real numbers, has voxels of type {dtype}", path=path)
    array = image.get_fdata(dtype=np.float32, caching="unchanged")
    if not np.isfinite(array).all():
        raise DataError("holds NaN or infinite voxels; replace them before use", path=path)
    return array
