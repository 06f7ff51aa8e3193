"""Files that cannot be used: each is refused with a `DataError` that starts with its path."""

from __future__ import annotations

import contextlib
import gzip
import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from isal import igzip

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


LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 3120170\n"


def analyze_header() -> bytes:
    return with_number(
        bytearray(nib.AnalyzeImage(np.ones(SHAPE, np.int16), np.eye(4)).header.binaryblock), 40, 3, kind="h"
    )


RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])
BAD_FILES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "an empty gzip": lambda: gzip.compress(b""),
    "a Git LFS pointer": lambda: LFS_POINTER,
    "an Analyze header": lambda: analyze_header(),
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
    "a header that promises 10^12 voxels": lambda: with_number(image(), DIM_1, 10_000, 10_000, 10_000, kind="h"),
    "rubbish after the gzip": lambda: gzip.compress(image()) + b"rubbish",
    "a damaged second member": lambda: gzip.compress(image()) + gzip.compress(b"more")[:-8] + bytes(8),
    "two volumes": lambda: image(shape=(*SHAPE, 2)),
    "a vector a voxel": lambda: image(shape=(*SHAPE, 1, 3)),
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
    assert read_nifti(target).difference_from(volume) is None


@pytest.mark.parametrize("name", QFORM_ODDITIES)
def test_an_odd_qform_beside_a_good_sform_never_breaks_writing_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "patient_flair.nii"
    path.write_bytes(QFORM_ODDITIES[name]())
    refuse_or_write_back(path)


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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (LFS_POINTER, "is a Git LFS pointer, not the image; run `git lfs pull`"),
        (b"<!DOCTYPE html><html>", "is a web page .* download it again"),
        (b"\n  <html lang='en'>", "is a web page .* download it again"),
        (b"", "is an empty file"),
        # No time in it: its bytes name the test, and test processes collect at different seconds.
        (gzip.compress(b"<html>", mtime=0), "is a web page .* download it again"),
        (analyze_header(), "is an Analyze file, which has no orientation"),
        (image(RGB), "holds RGB"),
        (image(np.complex64), "holds complex64"),
        (image(shape=(*SHAPE, 2)), r"holds 2 images, shape \(5, 6, 7, 2\); split the file"),
        (image(shape=(*SHAPE, 1, 3)), r"has shape \(5, 6, 7, 1, 3\)"),
    ],
)
def test_the_message_says_what_the_file_is(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "patient_flair.nii.gz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_nifti(path)


def test_five_axes_are_refused_even_for_several_channels(tmp_path: Path) -> None:
    path = tmp_path / "patient.nii"
    path.write_bytes(image(shape=(*SHAPE, 2, 3)))
    with pytest.raises(DataError, match=r"has shape \(5, 6, 7, 2, 3\)"):
        read_nifti(path, several_channels=True)


def test_a_pair_without_its_image_says_so(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.int16), np.eye(4)), tmp_path / "patient.hdr")
    (tmp_path / "patient.img").unlink()
    with pytest.raises(DataError, match=r"patient\.hdr: .* its \.img is missing"):
        read_nifti(tmp_path / "patient.hdr")


def test_a_short_image_of_a_pair_is_named_itself(tmp_path: Path) -> None:
    nib.save(nib.Nifti1Pair(np.ones(SHAPE, np.int16), np.eye(4)), tmp_path / "patient.hdr")
    (tmp_path / "patient.img").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"patient\.img: .* promises 420 bytes, it has 100"):  # 5·6·7 voxels of 2 bytes
        read_nifti(tmp_path / "patient.hdr")


def peak_bytes(read: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_what_a_gzip_holds_beyond_the_image_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "patient.nii.gz"
    path.write_bytes(igzip.compress(bytes(image()) + bytes(2**26)))
    assert peak_bytes(lambda: read_nifti(path)) < 2**22


def test_an_extension_of_the_header_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "patient.nii.gz"
    raw = with_number(image(), VOX_OFFSET, 352 + 2**26)
    path.write_bytes(igzip.compress(bytes(raw[:352]) + bytes(2**26) + bytes(raw[352:])))
    assert peak_bytes(lambda: np.testing.assert_array_equal(read_nifti(path).array, 1)) < 2**22


@pytest.mark.parametrize("sides", [(10_000, 10_000, 10_000), (1200, 1200, 1200)], ids=["10^12", "as many as may be"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "packed"])
def test_a_promise_takes_no_memory(tmp_path: Path, sides: tuple[int, int, int], pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "patient.nii.gz"
    path.write_bytes(pack(bytes(with_number(image(), DIM_1, *sides, kind="h"))))

    def refuse() -> None:
        with pytest.raises(DataError, match="promises"):
            read_nifti(path)

    assert peak_bytes(refuse) < 2**22


def test_a_promise_that_the_gzip_could_hold_but_does_not_is_told_by_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "patient.nii.gz"
    raw = with_number(image(), DIM_1, SHAPE[0] + 1, kind="h")
    path.write_bytes(gzip.compress(bytes(raw)))
    with pytest.raises(DataError, match=r"promises 856 bytes, it has 772"):  # 352 + 6·6·7 and 5·6·7 voxels of 2 bytes
        read_nifti(path)


@pytest.mark.parametrize("pixdim", [-1, 0, 1e30])
def test_nothing_is_written_to_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str], pixdim: float) -> None:
    path = tmp_path / "patient.nii"
    raw = with_number(image(sform_code=0), PIXDIM_1, pixdim)
    path.write_bytes(with_number(raw, 254, 99, kind="h"))  # an sform code that there is not
    with contextlib.suppress(DataError):
        read_nifti(path)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")
