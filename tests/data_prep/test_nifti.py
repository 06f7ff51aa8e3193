"""Reading and writing NIfTI: orientation, transforms, values."""

from __future__ import annotations

import gzip
import hashlib
from itertools import permutations, product
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.readers.nifti import read_nifti, write_nifti

SHAPE = (4, 5, 6)
STRAIGHT = nib.affines.from_matvec(np.diag([0.9, 1.1, 5.0]), [-20.0, 30.0, -40.0])
ALL_ORDERS = [(order, signs) for order in permutations(range(3)) for signs in product((1, -1), repeat=3)]


def oblique(degrees: float = 20) -> np.ndarray:
    """`STRAIGHT`, turned about two axes."""
    angle = np.deg2rad(degrees)
    about_s = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    about_r = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    return nib.affines.from_matvec(about_s @ about_r, [0, 0, 0]) @ STRAIGHT


def in_file_order(
    array: np.ndarray, affine: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The same image with file axis n along axis `order[n]` of `array`, reversed where `signs[n]` is -1."""
    index_map = np.zeros((4, 4))
    index_map[3, 3] = 1
    for n, (axis, sign) in enumerate(zip(order, signs, strict=True)):
        index_map[axis, n] = sign
        index_map[axis, 3] = 0 if sign == 1 else array.shape[axis] - 1
    stored = array.transpose(order)[:: signs[0], :: signs[1], :: signs[2]]
    return np.ascontiguousarray(stored), affine @ index_map


@pytest.fixture
def array(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)


@pytest.mark.parametrize(("order", "signs"), ALL_ORDERS)
@pytest.mark.parametrize("affine", [STRAIGHT, oblique()], ids=["straight", "oblique"])
def test_any_axis_order_is_read_as_ras(
    tmp_path: Path, array: np.ndarray, affine: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    stored, stored_affine = in_file_order(array, affine, order, signs)
    nib.save(nib.Nifti1Image(stored, stored_affine), tmp_path / "image.nii")

    volume = read_nifti(tmp_path / "image.nii")

    np.testing.assert_array_equal(volume.array, array[None])
    np.testing.assert_allclose(volume.affine, affine, atol=1e-4)
    brightest_in_file = np.unravel_index(stored.argmax(), stored.shape)
    brightest_as_read = np.unravel_index(volume.array[0].argmax(), SHAPE)
    world = nib.affines.apply_affine(nib.load(tmp_path / "image.nii").affine, brightest_in_file)
    np.testing.assert_allclose(nib.affines.apply_affine(volume.affine, brightest_as_read), world, atol=1e-4)
    np.testing.assert_array_equal(volume.source.from_ras(volume.array[0]), stored)


@pytest.mark.parametrize(("order", "signs"), ALL_ORDERS[::5])
def test_a_map_written_in_file_order_lies_on_its_image(
    tmp_path: Path, array: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    stored, stored_affine = in_file_order(array, oblique(), order, signs)
    nib.save(nib.Nifti1Image(stored, stored_affine), tmp_path / "image.nii")
    volume = read_nifti(tmp_path / "image.nii")
    doubled = volume.source.from_ras(volume.array[0] * 2)

    write_nifti(tmp_path / "map.nii.gz", doubled, volume.source.affine, source=volume.source)

    written = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_array_equal(written.get_fdata(), stored * 2)
    np.testing.assert_array_equal(written.affine, nib.load(tmp_path / "image.nii").affine)


@pytest.mark.parametrize(("qform_code", "sform_code"), [(1, 1), (1, 0), (0, 2), (3, 4), (0, 0)])
def test_writing_with_a_source_keeps_transforms_codes_and_units(
    tmp_path: Path, array: np.ndarray, qform_code: int, sform_code: int
) -> None:
    image = nib.Nifti1Image(array, np.eye(4))
    image.set_qform(oblique(10), qform_code)
    image.set_sform(oblique(30) + 0.25, sform_code)  # sheared, and unlike the qform
    image.header.set_xyzt_units("mm", "msec")
    nib.save(image, tmp_path / "image.nii")
    before = nib.load(tmp_path / "image.nii").header

    source = read_nifti(tmp_path / "image.nii").source
    write_nifti(tmp_path / "map.nii.gz", array, source.affine, source=source)

    after = nib.load(tmp_path / "map.nii.gz").header
    assert int(after["qform_code"]) == qform_code
    assert int(after["sform_code"]) == sform_code
    assert after.get_xyzt_units() == ("mm", "msec")
    np.testing.assert_allclose(after.get_qform(), before.get_qform(), atol=1e-5)
    np.testing.assert_array_equal(after.get_sform(), before.get_sform())
    np.testing.assert_allclose(after.get_best_affine(), before.get_best_affine(), atol=1e-5)
    np.testing.assert_array_equal(after.get_zooms(), before.get_zooms())


def test_geometry_comes_from_the_qform_where_there_is_no_sform(tmp_path: Path, array: np.ndarray) -> None:
    image = nib.Nifti1Image(array, np.eye(4))
    image.set_qform(oblique(), 1)
    image.set_sform(None, 0)
    nib.save(image, tmp_path / "image.nii")
    np.testing.assert_allclose(read_nifti(tmp_path / "image.nii").affine, oblique(), atol=1e-4)


def test_writing_without_a_source_uses_the_given_affine(tmp_path: Path, array: np.ndarray) -> None:
    write_nifti(tmp_path / "map.nii.gz", array, oblique())
    written = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(written.affine, oblique(), atol=1e-4)
    np.testing.assert_allclose(written.get_qform(), oblique(), atol=1e-4)
    assert written.header.get_xyzt_units()[0] == "mm"


def test_the_same_array_gives_the_same_bytes(tmp_path: Path, array: np.ndarray) -> None:
    write_nifti(tmp_path / "first.nii.gz", array, STRAIGHT)
    write_nifti(tmp_path / "second.nii.gz", array.copy(), STRAIGHT.copy())
    assert (tmp_path / "first.nii.gz").read_bytes() == (tmp_path / "second.nii.gz").read_bytes()
    assert (tmp_path / "first.nii.gz").read_bytes()[4:8] == bytes(4)  # no time of writing
    assert sorted(file.name for file in tmp_path.iterdir()) == ["first.nii.gz", "second.nii.gz"]


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
def test_written_values_and_their_type_are_kept(tmp_path: Path, array: np.ndarray, dtype: type) -> None:
    write_nifti(tmp_path / "map.nii.gz", array.astype(dtype), STRAIGHT)
    written = nib.load(tmp_path / "map.nii.gz")
    assert written.get_data_dtype() == dtype
    np.testing.assert_array_equal(written.get_fdata(), array)


@pytest.mark.parametrize("name", ["plain.nii", "packed.nii.gz"])
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u1", "<i4", "<f4", ">f4", "<f8"])
def test_every_real_voxel_type_is_read(tmp_path: Path, array: np.ndarray, name: str, dtype: str) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(array.astype(dtype), STRAIGHT, header), tmp_path / name)
    volume = read_nifti(tmp_path / name)
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array[0], array)


def test_slope_and_intercept_are_applied(tmp_path: Path, array: np.ndarray) -> None:
    image = nib.Nifti1Image(array.astype(np.int16), STRAIGHT)
    image.header.set_slope_inter(0.5, -10)
    raw = bytearray(image.to_bytes())
    raw[112:120] = np.array([0.5, -10], "<f4").tobytes()
    (tmp_path / "image.nii").write_bytes(raw)
    np.testing.assert_array_equal(read_nifti(tmp_path / "image.nii").array[0], array * 0.5 - 10)


def test_compression_is_told_by_content_not_by_name(tmp_path: Path, array: np.ndarray) -> None:
    raw = nib.Nifti1Image(array, STRAIGHT).to_bytes()
    (tmp_path / "plain.nii.gz").write_bytes(raw)
    (tmp_path / "packed.nii").write_bytes(gzip.compress(raw))
    for name in ("plain.nii.gz", "packed.nii"):
        np.testing.assert_array_equal(read_nifti(tmp_path / name).array[0], array)


def test_a_fourth_axis_of_one_volume_is_dropped(tmp_path: Path, array: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(array[..., None], STRAIGHT), tmp_path / "image.nii")
    volume = read_nifti(tmp_path / "image.nii")
    assert volume.array.shape == (1, *SHAPE)
    assert volume.source.shape == SHAPE


def test_the_source_remembers_path_and_digest(tmp_path: Path, array: np.ndarray) -> None:
    path = tmp_path / "image.nii.gz"
    nib.save(nib.Nifti1Image(array, STRAIGHT), path)
    source = read_nifti(path).source
    assert source.path == path
    assert source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
