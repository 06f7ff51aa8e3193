"""Damaged files of every format: a reader gives a sound volume or a `DataError`, in bounded memory."""

from __future__ import annotations

import gzip
import tracemalloc
from collections.abc import Callable
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import nibabel as nib
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from data_prep.case import Format, Source
from data_prep.errors import DataError
from data_prep.layouts.walk import format_of
from data_prep.readers import read_source

VOXELS = np.arange(210, dtype=np.int16).reshape(5, 6, 7)
PIXELS = (np.arange(1200).reshape(40, 30) % 251).astype(np.uint8)
COLORS = np.stack([PIXELS, PIXELS[::-1], 255 - PIXELS], axis=-1)
MOST_BYTES = 2**26
"""Far more than any of these files holds, far less than a damaged header may promise."""


def nifti(kind: type) -> bytes:
    return kind(VOXELS, np.diag([1.0, 2, 3, 1])).to_bytes()


def saved(name: str, save: Callable[[Path], object]) -> bytes:
    with TemporaryDirectory() as folder:
        save(Path(folder) / name)
        return (Path(folder) / name).read_bytes()


def itk(name: str, *, compress: bool) -> bytes:
    image = SimpleITK.GetImageFromArray(VOXELS)
    return saved(name, lambda path: SimpleITK.WriteImage(image, path, useCompression=compress))


def picture(kind: str, pixels: np.ndarray, **options: object) -> bytes:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def video(name: str, codec: str) -> bytes:
    def save(path: Path) -> None:
        with av.open(path, "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for number in range(6):
                noise = np.random.default_rng(number).integers(0, 255, (48, 64, 3)).astype(np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
            container.mux(stream.encode())

    return saved(name, save)


FILES: dict[str, Callable[[], bytes]] = {
    "plain.nii": lambda: nifti(nib.Nifti1Image),
    "packed.nii.gz": lambda: gzip.compress(nifti(nib.Nifti1Image), mtime=0),
    "nifti2.nii": lambda: nifti(nib.Nifti2Image),
    "pair.hdr": lambda: nib.Nifti1Pair(VOXELS, np.eye(4)).header.binaryblock,
    "plain.mha": lambda: itk("plain.mha", compress=False),
    "packed.mha": lambda: itk("packed.mha", compress=True),
    "detached.mhd": lambda: itk("detached.mhd", compress=False),
    "plain.nrrd": lambda: itk("plain.nrrd", compress=False),
    "packed.nrrd": lambda: itk("packed.nrrd", compress=True),
    "detached.nhdr": lambda: itk("detached.nhdr", compress=False),
    "color.png": lambda: picture("PNG", COLORS),
    "deep.png": lambda: picture("PNG", PIXELS.astype(np.uint16) * 257),
    "color.jpg": lambda: picture("JPEG", COLORS),
    "progressive.jpg": lambda: picture("JPEG", PIXELS, progressive=True),
    "plain.tif": lambda: picture("TIFF", PIXELS),
    "packed.tif": lambda: picture("TIFF", COLORS, compression="tiff_lzw"),
    "real.tif": lambda: picture("TIFF", PIXELS.astype(np.float32), compression="tiff_adobe_deflate"),
    "video.mp4": lambda: video("video.mp4", "libx264"),
    "video.avi": lambda: video("video.avi", "mpeg4"),
}
NUMBERS = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\xc0\x7f")
TELLING = (*NUMBERS, b"-1", b"0", b"99999", b"nan", b"1e300", b"\n", b"4294967296", b"../", b"%s%n")
"""What header fields are overwritten with: bounds of numbers in either byte order, NaN, and odd text."""


@cache
def sound_file(name: str) -> bytes:
    return FILES[name]()


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One to four wounds: bytes flipped, cut out, inserted or overwritten, mostly near the start; or an early end."""
    wounds = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["flip", "remove", "insert", "overwrite", "overwrite", "end"]),
                st.one_of(st.floats(0, 1), st.integers(0, 400)),
                st.one_of(st.sampled_from(TELLING), st.binary(min_size=1, max_size=8)),
            ),
            min_size=1,
            max_size=4,
        )
    )

    def damage(raw: bytes) -> bytes:
        for kind, where, piece in wounds:
            at = int(where * len(raw)) if isinstance(where, float) else min(where, len(raw))
            before, after = raw[:at], raw[at:]
            match kind:
                case "flip":
                    raw = before + bytes([after[0] ^ (piece[0] or 1)]) + after[1:] if after else before
                case "remove":
                    raw = before + after[len(piece) :]
                case "insert":
                    raw = before + piece + after
                case "overwrite":
                    raw = before + piece + after[len(piece) :]
                case "end":
                    raw = before
        return raw

    return damage


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all files; a folder an example would take more time than all readers."""
    path = tmp_path_factory.mktemp("damaged")
    (path / "pair.img").write_bytes(VOXELS.tobytes())
    (path / "detached.raw").write_bytes(VOXELS.tobytes())
    return path


def read_or_refuse(path: Path, channel: int | None) -> None:
    kind: Format | None = format_of(path.name)
    assert kind is not None
    tracemalloc.start()
    try:
        volume = read_source(Source(format=kind, files=(path,), channel=channel))
    except DataError as error:
        message = str(error)
        assert message.startswith(str(path.parent))
        assert "\n" not in message
    else:
        assert volume.array.ndim == 4
        assert volume.array.size > 0
        assert np.isfinite(volume.array).all()
        assert np.isfinite(volume.affine).all()
        assert volume.source.from_ras(volume.array[0]).shape == volume.source.shape
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < MOST_BYTES


@pytest.mark.parametrize("name", FILES)
def test_sound_files_are_read(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(sound_file(name))
    kind = format_of(name)
    assert kind is not None
    assert read_source(Source(format=kind, files=(path,))).array.size > 0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", FILES)
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(damage=damages(), channel=st.sampled_from([None, 0]))
def test_a_damaged_file_is_read_or_refused(
    folder: Path, name: str, damage: Callable[[bytes], bytes], channel: int | None
) -> None:
    path = folder / name
    path.write_bytes(damage(sound_file(name)))
    read_or_refuse(path, channel)


@pytest.mark.filterwarnings("error")
@settings(max_examples=100, deadline=None, derandomize=True, database=None)
@given(damage=damages())
def test_a_damaged_file_within_a_sound_gzip_is_read_or_refused(folder: Path, damage: Callable[[bytes], bytes]) -> None:
    path = folder / "within.nii.gz"
    path.write_bytes(gzip.compress(damage(sound_file("plain.nii"))))
    read_or_refuse(path, None)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("name", "data"), [("pair.hdr", "pair.img"), ("detached.mhd", "detached.raw")])
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(damage=damages())
def test_damaged_voxels_beside_a_sound_header_are_read_or_refused(
    folder: Path, name: str, data: str, damage: Callable[[bytes], bytes]
) -> None:
    apart = folder / "apart"
    apart.mkdir(exist_ok=True)
    (apart / name).write_bytes(sound_file(name))
    (apart / data).write_bytes(damage(VOXELS.tobytes()))
    read_or_refuse(apart / name, None)
