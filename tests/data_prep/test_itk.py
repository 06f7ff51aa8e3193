"""Reading MetaImage and NRRD, held against what SimpleITK makes of the same files."""

from __future__ import annotations

import gzip
import hashlib
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from data_prep.errors import DataError
from data_prep.readers.itk import read_itk

SHAPE = (5, 4, 3)
"""Voxels along the file's three axes; the first runs fastest."""
VOXELS = np.arange(60, dtype="<i2")

META = b"""ObjectType = Image
NDims = 3
BinaryData = True
BinaryDataByteOrderMSB = False
CompressedData = False
TransformMatrix = 1 0 0 0 1 0 0 0 1
Offset = 10 20 30
ElementSpacing = 1 2 3
DimSize = 5 4 3
ElementType = MET_SHORT
ElementDataFile = LOCAL
"""
NRRD = b"""NRRD0005
# comment
type: short
dimension: 3
space: left-posterior-superior
sizes: 5 4 3
space directions: (1,0,0) (0,2,0) (0,0.5,3)
kinds: domain domain domain
endian: little
encoding: raw
space origin: (10,20,30)
key:=value

"""
FOUR_AXES = {
    b"dimension: 3": b"dimension: 4",
    b"sizes: 5 4 3": b"sizes: 2 5 3 2",
    b"directions: (1": b"directions: none (1",
    b"kinds:": b"kinds: list",
}


def changed(header: bytes, changes: dict[bytes, bytes]) -> bytes:
    for old, new in changes.items():
        assert old in header
        header = header.replace(old, new)
    return header


def itk_affine(image: sitk.Image) -> np.ndarray:
    """In RAS+: SimpleITK's corners of the first voxels with the signs of the first two coordinates turned."""
    first = (0,) * (image.GetDimension() - 3)
    at = [
        np.array(image.TransformIndexToPhysicalPoint((*index, *first)))[:3]
        for index in ((0, 0, 0), *np.eye(3, dtype=int).tolist())
    ]
    points = np.array(at) * [-1, -1, 1]
    return nib.affines.from_matvec((points[1:] - points[0]).T, points[0])


def assert_reads_as_itk(path: Path, *, several_channels: bool = False) -> None:
    image = sitk.ReadImage(path)
    stored = sitk.GetArrayFromImage(image)
    if image.GetNumberOfComponentsPerPixel() > 1:
        expected = stored.transpose(3, 2, 1, 0)
    else:
        expected = stored.transpose(0, 3, 2, 1) if stored.ndim == 4 else stored.T[None]
    volume = read_itk(path, several_channels=several_channels)
    np.testing.assert_allclose(volume.source.affine, itk_affine(image), atol=1e-9)
    np.testing.assert_array_equal([volume.source.from_ras(channel) for channel in volume.array], expected)
    assert volume.array.dtype == (np.float32 if stored.dtype.kind == "f" else stored.dtype)
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize("ending", ["mha", "mhd", "nrrd", "nhdr"])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8"])
def test_every_type_is_read_as_itk_reads_it(
    tmp_path: Path, rng: np.random.Generator, dtype: str, ending: str, compress: bool
) -> None:
    image = sitk.GetImageFromArray(rng.integers(0, 100, SHAPE[::-1]).astype(dtype))
    turn = sitk.Euler3DTransform((0, 0, 0), *rng.uniform(-3, 3, 3))
    image.SetDirection(turn.GetMatrix())
    image.SetSpacing(rng.uniform(0.3, 4, 3))
    image.SetOrigin(rng.normal(size=3))
    path = tmp_path / f"image.{ending}"
    sitk.WriteImage(image, path, useCompression=compress)
    assert_reads_as_itk(path)


@pytest.mark.parametrize("ending", ["mha", "nrrd"])
@pytest.mark.parametrize("vector", [True, False], ids=["numbers of a voxel", "fourth axis"])
def test_channels_are_read_as_itk_reads_them(
    tmp_path: Path, rng: np.random.Generator, ending: str, vector: bool
) -> None:
    shape = (3, 4, 5, 2) if vector else (2, 3, 4, 5)
    image = sitk.GetImageFromArray(rng.integers(0, 100, shape).astype(np.int16), isVector=vector)
    image.SetSpacing((1, 2, 3) if vector else (1, 2, 3, 9))
    path = tmp_path / f"image.{ending}"
    sitk.WriteImage(image, path)
    assert_reads_as_itk(path, several_channels=True)
    with pytest.raises(DataError, match=r"holds 2 images or colors, sizes .* split the file"):
        read_itk(path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {b"ElementSpacing": b"ElementSize"},
        {b"Offset": b"Position"},
        {b"Offset": b"Origin"},
        {b"TransformMatrix = 1 0 0 0 1 0 0 0 1": b"Orientation = 0 1 0 0 0 1 1 0 0"},
        {b"TransformMatrix = 1 0 0": b"Rotation = 1 0.5 0"},
        {b"LOCAL": b"Local"},
        {b"CompressedData = False\n": b"", b"ElementSpacing = 1 2 3\n": b"", b"Offset = 10 20 30\n": b""},
        {b"BinaryDataByteOrderMSB = False": b"ElementByteOrderMSB = True"},
        {b" = ": b"="},
        {b"Spacing = 1 2": b"Spacing = -1 2"},
        {b"\n": b"\r\n"},
        {
            b"NDims = 3": b"NDims = 4",
            b"5 4 3": b"5 4 3 1",
            b"= 1 0 0 0 1 0 0 0 1": b"= 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1",
            b"1 2 3": b"1 2 3 1",
            b"20 30": b"20 30 0",
        },
    ],
    ids=str,
)
def test_every_way_to_write_a_metaimage_is_read_as_itk_reads_it(tmp_path: Path, changes: dict[bytes, bytes]) -> None:
    path = tmp_path / "image.mha"
    path.write_bytes(changed(META, changes) + VOXELS.tobytes())
    assert_reads_as_itk(path)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        *({b"left-posterior-superior": space} for space in (b"RAS", b"right-anterior-superior", b"LAS", b"LPS")),
        *({b"left-posterior-superior": space} for space in (b"left-anterior-superior", b"scanner-xyz")),
        {b"space: left-posterior-superior": b"space dimension: 3"},
        {
            b"space: left-posterior-superior\n": b"",
            b"space directions: (1,0,0) (0,2,0) (0,0.5,3)\n": b"",
            b"space origin: (10,20,30)\n": b"",
        },
        {
            b"space: left-posterior-superior\n": b"",
            b"space directions: (1,0,0) (0,2,0) (0,0.5,3)\n": b"spacings: 1 2 3\n",
            b"space origin: (10,20,30)\n": b"",
        },
        {b"kinds: domain domain domain\n": b""},
        {b"domain": b"space"},
        {b"space origin: (10,20,30)\n": b""},
        {b"type: short": b"Type: SHORT"},
        {b"type: short": b"type: signed short int"},
        {b"endian: little": b"endian: big"},
        {b"(0,2,0)": b"(0, 2, 0)"},
        {b"\n": b"\r\n"},
    ],
    ids=str,
)
def test_every_way_to_write_a_nrrd_is_read_as_itk_reads_it(tmp_path: Path, changes: dict[bytes, bytes]) -> None:
    path = tmp_path / "image.nrrd"
    path.write_bytes(changed(NRRD, changes) + VOXELS.tobytes())
    assert_reads_as_itk(path)


@pytest.mark.parametrize(
    "changes",
    [
        FOUR_AXES,
        FOUR_AXES | {b"kinds:": b"kinds: vector"},
        FOUR_AXES
        | {
            b"sizes: 5 4 3": b"sizes: 5 3 2 2",
            b"directions: (1": b"directions: (1",
            b"0.5,3)": b"0.5,3) none",
            b"kinds:": b"kinds: domain",
            b"domain domain domain\n": b"domain domain list\n",
        },
    ],
    ids=["list first", "vector first", "list last"],
)
def test_the_axis_of_a_nrrd_that_has_no_direction_is_that_of_channels(
    tmp_path: Path, changes: dict[bytes, bytes]
) -> None:
    path = tmp_path / "image.nrrd"
    path.write_bytes(changed(NRRD, changes) + VOXELS.tobytes())
    assert_reads_as_itk(path, several_channels=True)


@pytest.mark.parametrize(("skip", "before"), [(b"2", b".."), (b"-1", b"......")])
def test_skipped_bytes_are_skipped(tmp_path: Path, skip: bytes, before: bytes) -> None:
    path = tmp_path / "image.nrrd"
    path.write_bytes(changed(NRRD, {b"encoding": b"byte skip: " + skip + b"\nencoding"}) + before + VOXELS.tobytes())
    assert_reads_as_itk(path)


def test_positions_left_and_posterior_become_negative(tmp_path: Path) -> None:
    path = tmp_path / "image.mha"
    path.write_bytes(META + VOXELS.tobytes())
    volume = read_itk(path)
    # Both in-plane axes run against RAS+, so the first voxel of the file is the last of the array.
    assert volume.array[0, 4, 3, 0] == 0
    assert volume.array[0, 3, 3, 0] == 1
    np.testing.assert_array_equal(volume.affine @ [4, 3, 0, 1], [-10, -20, 30, 1])
    assert volume.spacing_mm == (1, 2, 3)


def test_the_source_remembers_both_files(tmp_path: Path) -> None:
    header = changed(META, {b"LOCAL": b"voxels.raw"})
    (tmp_path / "image.mhd").write_bytes(header)
    (tmp_path / "voxels.raw").write_bytes(VOXELS.tobytes())
    source = read_itk(tmp_path / "image.mhd").source
    assert source.sha256 == hashlib.sha256(header + VOXELS.tobytes()).hexdigest()
    assert (source.path, source.shape, source.qform) == (tmp_path / "image.mhd", SHAPE, None)


BAD_FILES: dict[str, Callable[[], bytes]] = {
    "is an empty file": lambda: b"",
    "is a Git LFS pointer": lambda: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n",
    "is a web page": lambda: b"<html><body>404</body></html>",
    "it has no line ElementDataFile": lambda: np.random.default_rng(0).bytes(5000),
    "no empty line ends its header": lambda: NRRD.rstrip(),
    "promises 124 bytes, it has 120": lambda: (
        changed(NRRD, {b"encoding": b"byte skip: 4\nencoding"}) + VOXELS.tobytes()
    ),
    "promises 120 bytes, it has 119": lambda: META + VOXELS.tobytes()[:-1],
    "more than 2147483648": lambda: changed(META, {b"5 4 3": b"10000 10000 10000"}) + VOXELS.tobytes(),
    "which 84 compressed ones cannot hold": lambda: (
        changed(META, {b"CompressedData = False": b"CompressedData = True", b"5 4 3": b"500 400 300"}) + bytes(84)
    ),
    "damaged or truncated": lambda: changed(NRRD, {b"raw": b"gzip"}) + gzip.compress(VOXELS.tobytes())[:-1],
    "must hold one three-dimensional image, has sizes": lambda: (
        changed(
            META,
            {
                b"NDims = 3": b"NDims = 2",
                b"5 4 3": b"5 4",
                b"1 0 0 0 1 0 0 0 1": b"1 0 0 1",
                b"1 2 3": b"1 2",
                b"10 20 30": b"10 20",
            },
        )
        + VOXELS.tobytes()
    ),
    "it has 100000 dimensions": lambda: changed(META, {b"NDims = 3": b"NDims = 100000"}) + VOXELS.tobytes(),
    "'5 4 3' must be 4 whole numbers": lambda: changed(META, {b"NDims = 3": b"NDims = 4"}) + VOXELS.tobytes(),
    "'5 -4 3' must be 3 whole numbers of at least 1": lambda: changed(META, {b"5 4 3": b"5 -4 3"}) + VOXELS.tobytes(),
    "singular or non-finite affine": lambda: changed(META, {b"1 2 3": b"1 0 3"}) + VOXELS.tobytes(),
    "must be 3 finite numbers": lambda: changed(META, {b"10 20": b"nan 20"}) + VOXELS.tobytes(),
    "its ElementType MET_STRING is no real number": lambda: changed(META, {b"MET_SHORT": b"MET_STRING"}),
    "written as text": lambda: changed(META, {b"BinaryData = True": b"BinaryData = False"}) + b"1 2 3",
    "it holds complex numbers": lambda: changed(NRRD, FOUR_AXES | {b"kinds:": b"kinds: complex"}) + VOXELS.tobytes(),
    "its encoding 'bzip2' is not supported": lambda: changed(NRRD, {b"raw": b"bzip2"}),
    "its type 'block' is no real number": lambda: changed(NRRD, {b"short": b"block"}),
    "its endian is ''": lambda: changed(NRRD, {b"endian: little\n": b""}),
    "several files": lambda: changed(META, {b"LOCAL": b"LIST"}) + b"a.raw\nb.raw\n",
    "spreads its voxels": lambda: changed(NRRD, {b"encoding": b"data file: a%03d.raw 1 9 1\nencoding"}),
    "outside of its folder": lambda: changed(META, {b"LOCAL": b"/etc/passwd"}),
    r"outside of its folder, “\.\./secret”": lambda: changed(NRRD, {b"encoding": b"data file: ../secret\nencoding"}),
    "“a/../../secret”": lambda: changed(META, {b"LOCAL": b"a/../../secret"}),
    r"outside of its folder, “C:": lambda: changed(META, {b"LOCAL": rb"C:\secret"}),
    r"missing\.raw: cannot be read": lambda: changed(META, {b"LOCAL": b"missing.raw"}),
    "names no data file": lambda: changed(META, {b"LOCAL": b""}),
    "NaN or infinite": lambda: (
        changed(META, {b"MET_SHORT": b"MET_FLOAT", b"5 4 3": b"5 2 3"}) + np.full(30, np.nan, "<f4").tobytes()
    ),
}


@pytest.mark.parametrize("words", BAD_FILES)
def test_a_bad_file_is_refused_in_one_short_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str) -> None:
    path = tmp_path / "image.mha"
    path.write_bytes(BAD_FILES[words]())
    with pytest.raises(DataError, match=words) as caught:
        read_itk(path)
    message = str(caught.value)
    assert message.startswith(f"{tmp_path}/")
    assert "\n" not in message
    assert len(message) < len(str(path)) + 300
    assert capfd.readouterr() == ("", "")


def test_a_missing_file_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"missing\.nrrd: cannot be read \(No such file or directory\)"):
        read_itk(tmp_path / "missing.nrrd")


@pytest.mark.parametrize("pack", [zlib.compress, gzip.compress])
def test_compressed_voxels_are_checked_to_their_end(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "image.mha"
    header = changed(META, {b"CompressedData = False": b"CompressedData = True"})
    packed = pack(VOXELS.tobytes())
    path.write_bytes(header + packed)
    np.testing.assert_array_equal(np.sort(read_itk(path).array, axis=None), VOXELS)
    for bad in (packed[:-1], packed[: len(packed) // 2], packed[:-4] + bytes(4)):
        path.write_bytes(header + bad)
        with pytest.raises(DataError, match="damaged or truncated"):
            read_itk(path)


def test_neither_promises_nor_bombs_take_memory(tmp_path: Path) -> None:
    path = tmp_path / "image.mha"
    compressed = {b"CompressedData = False": b"CompressedData = True"}
    tracemalloc.start()
    try:
        path.write_bytes(changed(META, {b"5 4 3": b"1200 1200 1200"}) + VOXELS.tobytes())
        with pytest.raises(DataError, match="promises 3456000000 bytes, it has 120"):
            read_itk(path)
        path.write_bytes(changed(META, compressed) + zlib.compress(VOXELS.tobytes() + bytes(2**26), 1))
        tracemalloc.reset_peak()
        read_itk(path)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()


def test_plain_voxels_are_a_view_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "image.nrrd"
    path.write_bytes(NRRD + VOXELS.tobytes())
    base: object = read_itk(path).array
    while isinstance(base, np.ndarray) and base.base is not None:
        base = base.base
    assert bytes(base) == path.read_bytes()[len(NRRD) :]  # type: ignore[call-overload]
