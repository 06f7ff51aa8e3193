"""Reading and writing NIfTI: orientation, transforms, values."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from itertools import pairwise, permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from data_prep.readers.nifti import read_nifti, write_nifti
from data_prep.volume import SourceGrid

SHAPE = (4, 5, 6)
STRAIGHT = nib.affines.from_matvec(np.diag([0.9, 1.1, 5.0]), [-20.0, 30.0, -40.0])
SHEAR = np.array([[0, 0.1, 0.4, 0], [0, 0, 0.3, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
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


def save_as(path: Path, array: np.ndarray, dtype: str) -> None:
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(np.dtype(dtype))
    nib.save(nib.Nifti1Image(array.astype(dtype), STRAIGHT, header), path)


def owner(array: np.ndarray) -> Any:
    """The bytes or the array that holds the memory which `array` is a view of."""
    base: Any = array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    return base


@pytest.fixture
def array(rng: np.random.Generator) -> np.ndarray:
    return rng.permutation(np.prod(SHAPE)).reshape(SHAPE).astype(np.float32)


@pytest.mark.parametrize(("order", "signs"), ALL_ORDERS)
@pytest.mark.parametrize("affine", [STRAIGHT, oblique(), oblique() + SHEAR], ids=["straight", "oblique", "sheared"])
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
@pytest.mark.parametrize("dtype", ["<i2", ">i2", "<u1", "<i1", "<u2", ">u2", "<i4", "<u4", "<i8", ">u8"])
def test_integers_keep_their_type_in_native_byte_order(
    tmp_path: Path, array: np.ndarray, name: str, dtype: str
) -> None:
    save_as(tmp_path / name, array, dtype)
    volume = read_nifti(tmp_path / name)
    assert volume.array.dtype == np.dtype(dtype).newbyteorder("=")
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array[0], array)


@pytest.mark.parametrize("name", ["plain.nii", "packed.nii.gz"])
@pytest.mark.parametrize("dtype", ["<f4", ">f4", "<f8", ">f8"])
def test_real_numbers_become_float32(tmp_path: Path, array: np.ndarray, name: str, dtype: str) -> None:
    save_as(tmp_path / name, array + 0.5, dtype)
    volume = read_nifti(tmp_path / name)
    assert volume.array.dtype == np.float32
    assert volume.array.dtype.isnative
    np.testing.assert_array_equal(volume.array[0], array + 0.5)


def test_voxels_of_a_plain_file_are_a_view_of_its_bytes(tmp_path: Path, array: np.ndarray) -> None:
    stored, affine = in_file_order(array.astype(np.int16), STRAIGHT, (2, 0, 1), (-1, 1, -1))
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "image.nii")
    volume = read_nifti(tmp_path / "image.nii")
    assert owner(volume.array) == (tmp_path / "image.nii").read_bytes()
    np.testing.assert_array_equal(volume.array[0], array)


@pytest.mark.parametrize("dtype", [np.int16, np.float32])
def test_inflated_voxels_are_not_copied_again(tmp_path: Path, array: np.ndarray, dtype: type) -> None:
    stored, affine = in_file_order(array.astype(dtype), STRAIGHT, (2, 0, 1), (-1, 1, -1))
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "image.nii.gz")
    volume = read_nifti(tmp_path / "image.nii.gz")
    inflated = owner(volume.array)
    assert inflated.dtype == np.uint8  # what the decompressor filled, and nothing that was made of it
    assert inflated.nbytes == array.astype(dtype).nbytes
    np.testing.assert_array_equal(volume.array[0], array)


def with_scaling(image: nib.Nifti1Image, slope: float, inter: float) -> bytes:
    raw = bytearray(image.to_bytes())
    raw[112:120] = np.array([slope, inter], "<f4").tobytes()
    return bytes(raw)


def test_slope_and_intercept_are_applied(tmp_path: Path, array: np.ndarray) -> None:
    image = nib.Nifti1Image(array.astype(np.int16), STRAIGHT)
    (tmp_path / "image.nii").write_bytes(with_scaling(image, 0.5, -10))
    volume = read_nifti(tmp_path / "image.nii")
    assert volume.array.dtype == np.float32
    np.testing.assert_array_equal(volume.array[0], array * 0.5 - 10)


@pytest.mark.parametrize("scaling", [(1, 0), (0, 0), (0, 7), (np.nan, np.nan)], ids=str)
def test_a_scaling_that_changes_nothing_leaves_integers(
    tmp_path: Path, array: np.ndarray, scaling: tuple[float, float]
) -> None:
    image = nib.Nifti1Image(array.astype(np.int16), STRAIGHT)
    (tmp_path / "image.nii").write_bytes(with_scaling(image, *scaling))
    volume = read_nifti(tmp_path / "image.nii")
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array[0], array)


def test_large_integers_are_scaled_before_they_are_rounded(tmp_path: Path) -> None:
    large = np.full(SHAPE, 2**30 + 1, np.int32)  # float32 cannot tell it from 2**30
    (tmp_path / "image.nii").write_bytes(with_scaling(nib.Nifti1Image(large, STRAIGHT), 1, -(2.0**30)))
    np.testing.assert_array_equal(read_nifti(tmp_path / "image.nii").array, 1)


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


def test_a_fourth_axis_is_channels_where_they_were_asked_for(tmp_path: Path, array: np.ndarray) -> None:
    channels = np.stack([array, array + 1000, array * 2]).astype(np.int16)
    stored = np.stack([in_file_order(c, STRAIGHT, (1, 2, 0), (1, -1, -1))[0] for c in channels], axis=-1)
    affine = in_file_order(array, STRAIGHT, (1, 2, 0), (1, -1, -1))[1]
    nib.save(nib.Nifti1Image(stored, affine), tmp_path / "image.nii.gz")
    volume = read_nifti(tmp_path / "image.nii.gz", several_channels=True)
    np.testing.assert_array_equal(volume.array, channels)
    np.testing.assert_allclose(volume.affine, STRAIGHT, atol=1e-4)
    assert volume.source.shape == stored.shape[:3]
    assert volume.paths == (tmp_path / "image.nii.gz",) * 3


def test_three_axes_are_one_channel_where_several_were_asked_for(tmp_path: Path, array: np.ndarray) -> None:
    nib.save(nib.Nifti1Image(array, STRAIGHT), tmp_path / "image.nii")
    assert read_nifti(tmp_path / "image.nii", several_channels=True).array.shape == (1, *SHAPE)


@pytest.mark.parametrize("endianness", ["<", ">"])
def test_nifti_2_is_read_in_either_byte_order(tmp_path: Path, array: np.ndarray, endianness: str) -> None:
    header = nib.Nifti2Header(endianness=endianness)
    header.set_data_dtype(np.int16)
    nib.save(nib.Nifti2Image(array.astype(np.int16), oblique(), header), tmp_path / "image.nii")
    volume = read_nifti(tmp_path / "image.nii")
    np.testing.assert_array_equal(volume.array[0], array)
    np.testing.assert_allclose(volume.affine, oblique(), atol=1e-4)


@pytest.mark.parametrize("kind", [nib.Nifti1Pair, nib.Nifti2Pair])
@pytest.mark.parametrize(
    ("header_ending", "image_ending"), [(".hdr", ".img"), (".hdr.gz", ".img.gz"), (".HDR", ".IMG")]
)
def test_a_pair_is_read_through_its_header(
    tmp_path: Path, array: np.ndarray, kind: type, header_ending: str, image_ending: str
) -> None:
    nib.save(kind(array.astype(np.int16), oblique()), tmp_path / "made.hdr")
    pack = gzip.compress if header_ending.endswith("gz") else bytes
    header, image = (pack((tmp_path / name).read_bytes()) for name in ("made.hdr", "made.img"))
    (tmp_path / f"image{header_ending}").write_bytes(header)
    (tmp_path / f"image{image_ending}").write_bytes(image)
    volume = read_nifti(tmp_path / f"image{header_ending}")
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array[0], array)
    np.testing.assert_allclose(volume.affine, oblique(), atol=1e-4)
    assert volume.source.sha256 == hashlib.sha256(header + image).hexdigest()


def test_a_gzip_of_several_members_is_read_as_one(tmp_path: Path, array: np.ndarray) -> None:
    raw = nib.Nifti1Image(array, STRAIGHT).to_bytes()
    cuts = [0, 100, 360, 361, len(raw)]
    members = [gzip.compress(raw[a:b]) for a, b in pairwise(cuts)]
    (tmp_path / "image.nii.gz").write_bytes(b"".join(members) + gzip.compress(b"") + bytes(20))
    np.testing.assert_array_equal(read_nifti(tmp_path / "image.nii.gz").array[0], array)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_bytes_after_the_voxels_are_of_no_account(
    tmp_path: Path, array: np.ndarray, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "image.nii").write_bytes(pack(nib.Nifti1Image(array, STRAIGHT).to_bytes() + b"more"))
    np.testing.assert_array_equal(read_nifti(tmp_path / "image.nii").array[0], array)


def test_writing_with_a_source_of_another_format_takes_the_affine(tmp_path: Path, array: np.ndarray) -> None:
    source = SourceGrid(path=tmp_path / "series", sha256="", shape=SHAPE, affine=oblique())
    write_nifti(tmp_path / "map.nii.gz", array, source.affine, source=source)
    written = nib.load(tmp_path / "map.nii.gz")
    np.testing.assert_allclose(written.get_sform(), oblique(), atol=1e-4)
    np.testing.assert_allclose(written.get_qform(), oblique(), atol=1e-4)
    assert (int(written.header["sform_code"]), int(written.header["qform_code"])) == (1, 1)
    assert written.header.get_xyzt_units()[0] == "mm"


def test_an_axis_too_long_for_nifti_1_is_written_as_nifti_2(tmp_path: Path) -> None:
    long = np.arange(40_000, dtype=np.int16).reshape(-1, 1, 1)
    write_nifti(tmp_path / "map.nii.gz", long, STRAIGHT)
    np.testing.assert_array_equal(read_nifti(tmp_path / "map.nii.gz").array[0], long)
