"""Files that cannot be used: each is refused with a `DataError` that starts with its path."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.readers.nifti import read_nifti, write_nifti

SHAPE = (5, 6, 7)
DIM_1, QFAC, PIXDIM_1, VOX_OFFSET, SLOPE, QUATERN_B = 42, 76, 80, 108, 112, 256
"""Byte offsets in a NIfTI-1 header."""


def image(
    dtype: object = np.int16, shape: tuple[int, ...] = SHAPE, qform_code: int = 1, sform_code: int = 1
) -> bytearray:
    """A sound file of 1 by 2 by 3 mm voxels as bytes."""
    affine = np.diag([1.0, 2.0, 3.0, 1.0])
    result = nib.Nifti1Image(np.ones(shape, dtype), affine)
    result.set_qform(affine, qform_code)
    result.set_sform(affine, sform_code)
    return bytearray(result.to_bytes())


def with_number(raw: bytearray, offset: int, *numbers: float, kind: str = "f") -> bytearray:
    struct.pack_into(f"<{len(numbers)}{kind}", raw, offset, *numbers)
    return raw


def with_voxel(value: float) -> bytearray:
    raw = image(np.float32)
    return with_number(raw, len(raw) - 8, value)


def with_sform(sform: np.ndarray) -> bytearray:
    return with_number(image(), 280, *sform[:3].ravel())


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "random bytes": lambda: np.random.default_rng(0).bytes(5000),
    "an HTML page": lambda: b"<!DOCTYPE html>\n<html><body><h1>404 Not Found</h1></body></html>\n" * 20,
    "a zipped HTML page": lambda: gzip.compress(b"<!DOCTYPE html><html><body>404</body></html>" * 20),
    "half a gzip": lambda: gzip.compress(image())[:60],
    "a gzip without its last byte": lambda: gzip.compress(image())[:-1],
    "nothing but a gzip mark": lambda: b"\x1f\x8b",
    "random bytes after a gzip header": lambda: gzip.compress(image())[:10] + np.random.default_rng(0).bytes(900),
    "a gzip with a wrong checksum": lambda: gzip.compress(image())[:-8] + bytes(8),
    "a header alone": lambda: image()[:352],
    "half a header": lambda: image()[:100],
    "half the voxels": lambda: image()[:-210],
    "one byte short": lambda: image()[:-1],
    "one byte short within a gzip": lambda: gzip.compress(image()[:-1]),
    "a header that promises one more plane": lambda: with_number(image(), DIM_1, SHAPE[0] + 1, kind="h"),
    "a header that promises a terabyte": lambda: with_number(image(), DIM_1, 32767, 32767, 1024, kind="h"),
    "a negative dimension": lambda: with_number(image(), DIM_1, -5, kind="h"),
    "a dimension of zero": lambda: with_number(image(), DIM_1, 0, kind="h"),
    "voxels that start within the header": lambda: with_number(image(), VOX_OFFSET, 0),
    "voxels that start too late": lambda: with_number(image(), VOX_OFFSET, 368),
    "voxels that start beyond any file": lambda: with_number(image(), VOX_OFFSET, 1e30),
    "voxels that start nowhere": lambda: with_number(image(), VOX_OFFSET, np.nan),
    "a NaN voxel": lambda: with_voxel(np.nan),
    "an infinite voxel": lambda: with_voxel(np.inf),
    "an infinite slope": lambda: with_number(image(), SLOPE, 3e38, 3e38),
    "an intercept of NaN": lambda: with_number(image(), SLOPE, 2, np.nan),
    "two volumes": lambda: image(shape=(*SHAPE, 2)),
    "a single plane": lambda: image(shape=SHAPE[:2]),
    "color": lambda: image(RGB),
    "complex numbers": lambda: image(np.complex64),
    "an affine with a zero column": lambda: with_sform(np.diag([1.0, 0.0, 3.0, 1.0])),
    "an affine with two parallel axes": lambda: with_sform(np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0.0]])),
    "an affine of NaN": lambda: with_sform(np.full((3, 4), np.nan)),
    "an infinite affine": lambda: with_sform(np.full((3, 4), np.inf)),
    "zero zooms under a qform": lambda: with_number(image(sform_code=0), PIXDIM_1, 0, 0, 0),
    "zero zooms and no transform": lambda: with_number(image(sform_code=0, qform_code=0), PIXDIM_1, 0, 0, 0),
    "one zero zoom and no transform": lambda: with_number(image(sform_code=0, qform_code=0), PIXDIM_1, 0),
    "zooms of NaN under a qform": lambda: with_number(image(sform_code=0), PIXDIM_1, np.nan),
    "no rotation in the only qform": lambda: with_number(image(sform_code=0), QUATERN_B, 2),
}


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", BAD_FILES)
@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
def test_a_bad_file_is_refused_by_its_path(tmp_path: Path, name: str, suffix: str) -> None:
    path = tmp_path / f"patient_flair{suffix}"
    path.write_bytes(BAD_FILES[name]())
    with pytest.raises(DataError) as caught:
        read_nifti(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "patient_flair.nii.gz"
    with pytest.raises(DataError) as caught:
        read_nifti(path)
    assert str(caught.value).startswith(f"{path}: cannot be read (No such file or directory)")


def test_a_folder_in_place_of_a_file_is_refused_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "patient_flair.nii"
    path.mkdir()
    with pytest.raises(DataError) as caught:
        read_nifti(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_a_short_file_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "patient_flair.nii"
    path.write_bytes(image()[:-210])
    with pytest.raises(DataError, match=r"promises 772 bytes, it has 562"):  # 352 + 5·6·7 voxels of 2 bytes
        read_nifti(path)


QFORM_ODDITIES: dict[str, Callable[[], bytearray]] = {
    "no rotation in the qform": lambda: with_number(image(), QUATERN_B, 2),
    "no rotation in an unused qform": lambda: with_number(image(qform_code=0), QUATERN_B, 2),
    "a NaN rotation": lambda: with_number(image(), QUATERN_B, np.nan),
    "a NaN zoom": lambda: with_number(image(), PIXDIM_1, np.nan),
    "a NaN zoom of an unused qform": lambda: with_number(image(qform_code=0), PIXDIM_1, np.nan),
    "an infinite zoom": lambda: with_number(image(), PIXDIM_1, np.inf),
    "a zero zoom": lambda: with_number(image(), PIXDIM_1, 0),
    "a negative zoom": lambda: with_number(image(), PIXDIM_1, -1),
    "a handedness of zero": lambda: with_number(image(), QFAC, 0),
    "a handedness of NaN": lambda: with_number(image(), QFAC, np.nan),
}


def refuse_or_write_back(path: Path) -> None:
    """Either the file is refused, or a map on its grid can be written and lies on that grid."""
    try:
        volume = read_nifti(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 - both outcomes are right
        return
    target = path.with_name("map.nii.gz")
    write_nifti(target, volume.source.from_ras(volume.array[0]), volume.source.affine, source=volume.source)
    assert read_nifti(target).source.difference_from(volume.source) is None


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", QFORM_ODDITIES)
def test_an_odd_qform_beside_a_good_sform_never_breaks_writing_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "patient_flair.nii"
    path.write_bytes(QFORM_ODDITIES[name]())
    refuse_or_write_back(path)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("codes", [(1, 1), (0, 1), (1, 0), (0, 0)], ids=["both", "sform", "qform", "neither"])
def test_damaged_header_bytes_raise_nothing_but_data_errors(tmp_path: Path, codes: tuple[int, int]) -> None:
    rng = np.random.default_rng(codes)
    path = tmp_path / "patient_flair.nii"
    for _ in range(50):
        raw = image(qform_code=codes[0], sform_code=codes[1])
        for offset in rng.integers(0, 348, size=2):
            raw[offset] = rng.choice([0, 127, 128, 255, rng.integers(256)])
        path.write_bytes(raw)
        refuse_or_write_back(path)
