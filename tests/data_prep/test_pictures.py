"""Reading pictures: values of every kind of pixel, order and orientation of slices, files that cannot be used."""

from __future__ import annotations

import hashlib
import os
import struct
import tracemalloc
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data_prep.errors import DataError
from data_prep.readers.picture import read_pictures
from data_prep.slicing import to_slices
from data_prep.volume import Volume

GRAY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
"""4 rows, 6 columns."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in Rec. 601."""


def screens(volume: Volume) -> np.ndarray:
    """(C, K, H, W): what a screen shows."""
    return np.array([to_slices(channel, "axial") for channel in volume.array])


def read_one(path: Path, color: bool = False) -> np.ndarray:
    """(C, H, W) of a volume of one picture."""
    return screens(read_pictures((path,), color))[:, 0]


def png(size: tuple[int, int], depth: int, color_type: int, rows: list[bytes], extra: bytes = b"") -> bytes:
    """A PNG by hand, for kinds of pixels that Pillow does not write. Color types: 0 gray, 2 RGB, 4 gray and alpha."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", *size, depth, color_type, 0, 0, 0)
    packed = zlib.compress(b"".join(b"\0" + row for row in rows))
    transparent = chunk(b"tRNS", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + transparent + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("ending", ["png", "tif", "tiff", "PNG"])
def test_eight_bits_are_divided_by_255(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(GRAY).save(path)
    volume = read_pictures((path,))
    assert volume.array.shape == (1, 6, 4, 1)
    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(screens(volume)[0, 0], GRAY / 255, atol=1e-7)


@pytest.mark.parametrize("ending", ["png", "tif"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_sixteen_bits_are_kept(tmp_path: Path, ending: str, dtype: str) -> None:
    pixels = (GRAY.astype(np.uint16) * 257 + 1).astype(dtype)
    Image.fromarray(pixels.astype("<u2") if ending == "png" else pixels).save(tmp_path / f"a.{ending}")
    read = read_one(tmp_path / f"a.{ending}")
    np.testing.assert_allclose(read[0], pixels.astype(float) / 65535, atol=1e-7)


def test_one_bit_is_zero_or_one(tmp_path: Path) -> None:
    Image.fromarray(GRAY > 100).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_one(tmp_path / "a.png")[0], GRAY > 100)


def test_real_numbers_stay_as_they_are(tmp_path: Path) -> None:
    pixels = GRAY.astype(np.float32) * 3 - 100
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_one(tmp_path / "a.tif")[0], pixels)


@pytest.mark.parametrize("bits", [8, 16])
def test_a_tiff_whose_zero_is_white_is_turned_over(tmp_path: Path, bits: int) -> None:
    pixels = GRAY if bits == 8 else GRAY.astype(np.uint16) * 257
    path = tmp_path / "a.tif"
    Image.fromarray(pixels).save(path)
    raw = bytearray(path.read_bytes())
    entry = raw.find(struct.pack("<HHI", 262, 3, 1))  # PhotometricInterpretation, a short
    struct.pack_into("<H", raw, entry + 8, 0)
    path.write_bytes(raw)
    np.testing.assert_allclose(read_one(path)[0], 1 - GRAY / 255, atol=1e-6)


def test_colors_become_luma_or_three_channels(tmp_path: Path) -> None:
    colors = np.zeros((4, 6, 3), np.uint8)
    colors[0, :3] = np.diag([255, 255, 255])
    colors[1, 0] = (10, 20, 30)
    Image.fromarray(colors).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_one(tmp_path / "a.png", color=True), colors.transpose(2, 0, 1) / 255, atol=1e-7)
    np.testing.assert_allclose(read_one(tmp_path / "a.png")[0, 0, :3], LUMA, atol=0.5 / 255)


@pytest.mark.parametrize("pixels", [GRAY, GRAY.astype(np.uint16) * 257, GRAY.astype(np.float32) / 255])
def test_gray_is_repeated_where_colors_were_asked_for(tmp_path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(tmp_path / "a.tif")
    np.testing.assert_allclose(read_one(tmp_path / "a.tif", color=True), np.stack([GRAY / 255] * 3), atol=1e-6)


def test_a_palette_becomes_its_colors(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 1, 2]], np.uint8), "P")
    picture.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 51])
    picture.save(tmp_path / "a.png")
    np.testing.assert_allclose(read_one(tmp_path / "a.png", color=True)[:, 0], np.diag([1, 1, 0.2]), atol=1e-7)


def test_cyan_magenta_yellow_and_black_become_red_green_and_blue(tmp_path: Path) -> None:
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    np.testing.assert_allclose(read_one(tmp_path / "a.jpg", color=True)[:, 8, 8], [1, 0, 0], atol=0.02)


@pytest.mark.parametrize("color", [False, True])
def test_what_is_transparent_lies_over_black(tmp_path: Path, color: bool) -> None:
    half = np.stack([GRAY, np.full_like(GRAY, 51)], axis=-1)  # 51 of 255 is a fifth
    Image.fromarray(half, "LA").save(tmp_path / "a.png")
    np.testing.assert_allclose(read_one(tmp_path / "a.png", color)[-1], GRAY / 255 / 5, atol=0.51 / 255)
    (tmp_path / "b.png").write_bytes(png((3, 1), 8, 0, [b"\x05\x10\xff"], extra=b"\0\x05"))
    np.testing.assert_allclose(read_one(tmp_path / "b.png", color)[-1], [[0, 16 / 255, 1]], atol=1e-7)


def test_colors_of_sixteen_bits_are_read_with_eight(tmp_path: Path) -> None:
    rows = [np.array([[65535, 0, 0x8011]], ">u2").tobytes()]
    (tmp_path / "a.png").write_bytes(png((1, 1), 16, 2, rows))
    np.testing.assert_allclose(read_one(tmp_path / "a.png", color=True)[:, 0, 0], [1, 0, 0x80 / 255], atol=1e-7)


@pytest.mark.parametrize("ending", ["jpg", "tif", "png"])
@pytest.mark.parametrize(
    ("orientation", "corner"),
    [(1, (0, 0)), (2, (0, -1)), (3, (-1, -1)), (4, (-1, 0)), (5, (0, 0)), (6, (0, -1)), (7, (-1, -1)), (8, (-1, 0))],
)
def test_pictures_stand_upright_as_their_exif_says(
    tmp_path: Path, ending: str, orientation: int, corner: tuple[int, int]
) -> None:
    pixels = np.zeros((32, 48), np.uint8)
    pixels[:16, :16] = 255  # where the stored picture begins; the tag says which corner of the shown one that is
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"a.{ending}"
    Image.fromarray(pixels).save(path, exif=exif)
    shown = read_one(path)[0]
    assert shown.shape == ((32, 48) if orientation < 5 else (48, 32))
    corners = {(row, column): float(shown[row, column]) for row in (0, -1) for column in (0, -1)}
    assert corners == pytest.approx({place: float(place == corner) for place in corners}, abs=0.02)


def test_slices_follow_the_natural_order_of_names(tmp_path: Path) -> None:
    names = ["img10.png", "img2.png", "IMG1.png", "img02b.png"]
    for value, name in enumerate(names):
        Image.fromarray(np.full((4, 6), value, np.uint8)).save(tmp_path / name)
    volume = read_pictures(tuple(tmp_path / name for name in names))
    assert volume.source.slice_names == ("IMG1.png", "img2.png", "img02b.png", "img10.png")
    np.testing.assert_allclose(screens(volume)[0, :, 0, 0] * 255, [2, 1, 3, 0], atol=1e-5)
    assert volume.array.shape == (1, 6, 4, 4)
    assert volume.source.path == tmp_path
    contents = b"".join((tmp_path / name).read_bytes() for name in volume.source.slice_names)
    assert volume.source.sha256 == hashlib.sha256(contents).hexdigest()


def test_a_pixel_counts_as_a_millimeter(tmp_path: Path) -> None:
    Image.fromarray(GRAY).save(tmp_path / "a.png", dpi=(72, 72))
    volume = read_pictures((tmp_path / "a.png",))
    assert volume.spacing_mm == (1, 1, 1)
    assert volume.paths == (tmp_path / "a.png",)
    np.testing.assert_array_equal(volume.affine, np.eye(4))
    np.testing.assert_array_equal(volume.source.from_ras(volume.array[0]), volume.array[0])


def test_pictures_of_two_sizes_are_refused_by_both_names(tmp_path: Path) -> None:
    Image.new("L", (6, 4)).save(tmp_path / "a.png")
    Image.new("L", (4, 6)).save(tmp_path / "b.png")
    with pytest.raises(DataError, match=r"b\.png: has 4 x 6 pixels, but a\.png has 6 x 4"):
        read_pictures((tmp_path / "a.png", tmp_path / "b.png"))


def bad_file(kind: str, path: Path) -> None:
    picture = Image.fromarray(GRAY)
    match kind:
        case "several pages":
            picture.save(path, "TIFF", save_all=True, append_images=[picture, picture])
        case "moving":
            picture.save(path, "PNG", save_all=True, append_images=[Image.new("L", (6, 4))])
        case "32 bits":
            Image.fromarray(GRAY.astype(np.int32)).save(path, "TIFF")
        case "LAB":
            Image.new("LAB", (6, 4)).save(path, "TIFF")
        case "NaN":
            Image.fromarray(np.full((4, 6), np.nan, np.float32)).save(path, "TIFF")
        case "GIF":
            picture.save(path, "GIF")
        case "random":
            path.write_bytes(np.random.default_rng(0).bytes(500))
        case "empty":
            path.write_bytes(b"")
        case "pointer":
            path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
        case "web page":
            path.write_bytes(b"<!doctype html>")
        case "half a PNG" | "half a JPEG":
            Image.effect_noise((64, 64), 50).save(path, kind.split()[-1])
            path.write_bytes(path.read_bytes()[:1000])
        case "half a TIFF":
            Image.effect_noise((64, 64), 50).save(path, "TIFF", compression="tiff_lzw")
            path.write_bytes(path.read_bytes()[:-1000])
        case "bomb":
            path.write_bytes(png((60_000, 60_000), 8, 0, [b"\0"]))
        case "promise":
            path.write_bytes(png((10_000, 10_000), 8, 0, [b"\0"]))


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("several pages", "has 3 pages; save each as a file of its own"),
        ("moving", "has 2 pages"),
        ("32 bits", "has 32-bit or signed numbers; save it with 8 or 16 bits"),
        ("LAB", "cannot be read as a PNG, JPEG, TIFF picture"),
        ("NaN", "holds NaN or infinite"),
        ("GIF", "its format is unknown"),
        ("random", "its format is unknown"),
        ("empty", "is an empty file"),
        ("pointer", "is a Git LFS pointer, not the image; run `git lfs pull`"),
        ("web page", "is a web page"),
        ("half a PNG", "cannot be read"),
        ("half a JPEG", "truncated"),
        ("half a TIFF", "cannot be read"),
        ("bomb", "promises too many pixels .* scale it down"),
        ("promise", "promises 100000000 pixels, which .* bytes cannot hold"),
    ],
)
def test_a_bad_picture_is_refused_in_one_line_and_takes_no_memory(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], kind: str, words: str
) -> None:
    path = tmp_path / "a.png"
    bad_file(kind, path)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=words) as caught:
            read_pictures((path,))
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_missing_picture_is_refused_by_its_path(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.png: cannot be read \(No such file or directory\)"):
        read_pictures((tmp_path / "a.png",))


def test_no_picture_at_all_is_refused() -> None:
    with pytest.raises(DataError, match="no picture"):
        read_pictures(())


def test_what_libraries_write_after_a_bad_tiff_is_seen_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bad_file("half a TIFF", tmp_path / "a.tif")
    with pytest.raises(DataError):
        read_pictures((tmp_path / "a.tif",))
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"
