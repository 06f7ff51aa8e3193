"""Reading videos: which frames, their values and orientation, files that cannot be used."""

from __future__ import annotations

import builtins
import hashlib
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.readers.video import read_video
from data_prep.slicing import to_slices
from data_prep.volume import Volume

WIDTH, HEIGHT = 64, 48
PICTURE = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
PICTURE[:16, :16] = 255
"""White at the top left."""


@pytest.fixture
def write_video(tmp_path: Path) -> Callable[..., Path]:
    """`write_video(name)`: 12 frames, 10 a second; frame n has 20 n at its bottom, and white at the top left.

    `times` are those at which frames are shown, in tenths of a second.
    """

    def write(
        name: str = "a.mp4", codec: str = "libx264", pixels: str = "yuv420p", times: list[int] | None = None
    ) -> Path:
        with av.open(tmp_path / name, "w") as container:
            stream = container.add_stream(codec, rate=10)
            stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, pixels
            for number, time in enumerate(times or range(12)):
                picture = PICTURE.copy()
                picture[32:] = 20 * number
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = time, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode())
        return tmp_path / name

    return write


def screens(volume: Volume) -> np.ndarray:
    """(C, K, H, W): what a screen shows."""
    return np.array([to_slices(channel, "axial") for channel in volume.array])


def numbers(volume: Volume) -> list[int]:
    """Which frames were taken, by the value at their bottom."""
    return [round(float(value) * 255 / 20) for value in screens(volume)[0, :, 40, 40]]


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("a.mp4", "libx264", "yuv420p"),
        ("a.avi", "mpeg4", "yuv420p"),
        ("a.avi", "rawvideo", "rgb24"),
        ("a.mkv", "ffv1", "bgr0"),
        ("a.mov", "mjpeg", "yuvj420p"),
    ],
)
def test_every_frame_is_a_slice(write_video: Callable[..., Path], name: str, codec: str, pixels: str) -> None:
    path = write_video(name, codec, pixels)
    volume = read_video(path)
    assert volume.array.shape == (1, WIDTH, HEIGHT, 12)
    assert volume.array.dtype == np.float32
    assert numbers(volume) == list(range(12))
    shown = screens(volume)[0, 5]
    assert shown[[4, 4, 24], [4, 60, 4]] == pytest.approx([1, 0, 0], abs=0.06)  # compression is lossy
    assert volume.spacing_mm == (1, 1, 1)
    assert volume.source.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert volume.paths == (path,)


@pytest.mark.parametrize(
    ("rate", "taken"),
    [
        (10, list(range(12))),
        (100, list(range(12))),  # no frame is taken twice
        (5, [0, 2, 4, 6, 8, 10]),
        (1, [0, 10]),
        (3, [0, 4, 7, 10]),  # shown at 0, 0.4, 0.7 and 1.0 s, the first of each third of a second
        (0.1, [0]),
    ],
)
def test_one_frame_of_each_interval_is_taken(write_video: Callable[..., Path], rate: float, taken: list[int]) -> None:
    assert numbers(read_video(write_video(), frames_per_second=rate)) == taken


def test_frames_are_chosen_by_the_time_they_are_shown(write_video: Callable[..., Path]) -> None:
    path = write_video(times=[0, 1, 2, 3, 20, 21, 22, 40])  # in tenths of a second; it halts twice
    assert numbers(read_video(path, frames_per_second=1)) == [0, 4, 7]


def test_colors_are_three_channels_or_luma(tmp_path: Path) -> None:
    red = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    red[..., 0] = 255
    with av.open(tmp_path / "a.mkv", "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "bgr0"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(red, format="rgb24")))
        container.mux(stream.encode())
    np.testing.assert_array_equal(screens(read_video(tmp_path / "a.mkv", color=True))[:, 0, 9, 9], [1, 0, 0])
    np.testing.assert_allclose(read_video(tmp_path / "a.mkv").array, 0.299, atol=0.5 / 255)


@pytest.mark.parametrize(
    ("matrix", "white"),
    [
        ((1, 0, 0, 1), (0, 0)),
        ((0, 1, -1, 0), (0, -1)),  # a quarter turn with the clock: x becomes -y, y becomes x
        ((-1, 0, 0, -1), (-1, -1)),
        ((0, -1, 1, 0), (-1, 0)),
    ],
)
def test_frames_are_turned_as_the_phone_was_held(
    write_video: Callable[..., Path], matrix: tuple[int, int, int, int], white: tuple[int, int]
) -> None:
    path = write_video()
    a, b, c, d = (number * 65536 for number in matrix)
    raw = bytearray(path.read_bytes())
    place = raw.find(b"tkhd") + 4 + 40  # the matrix of the track's header
    raw[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 2**30)
    path.write_bytes(raw)
    shown = screens(read_video(path))[0, 0]
    assert shown.shape == ((HEIGHT, WIDTH) if a else (WIDTH, HEIGHT))
    corners = {(row, column): float(shown[row, column]) for row in (0, -1) for column in (0, -1)}
    assert corners == pytest.approx({place: float(place == white) for place in corners}, abs=0.06)


def sound(path: Path) -> None:
    with av.open(path, "w", format="matroska") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


BAD_FILES: dict[str, Callable[[Path], object]] = {
    "is an empty file": lambda path: path.write_bytes(b""),
    "is a Git LFS pointer": lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"),
    "is a web page": lambda path: path.write_bytes(b"<html>"),
    "Invalid data": lambda path: path.write_bytes(np.random.default_rng(0).bytes(5000)),
    "damaged or no video": lambda path: path.write_bytes(b"#EXTM3U\n#EXTINF:10,\nother.mp4\n"),
    "has no video stream": sound,
}


@pytest.mark.parametrize("words", BAD_FILES)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str], words: str) -> None:
    path = tmp_path / "a.mp4"
    BAD_FILES[words](path)
    with pytest.raises(DataError, match=words) as caught:
        read_video(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert capfd.readouterr() == ("", "")


def test_a_video_without_its_end_is_refused(write_video: Callable[..., Path]) -> None:
    path = write_video()
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(DataError, match="damaged or no video"):
        read_video(path)


def test_too_many_frames_are_refused(write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video()
    monkeypatch.setattr("data_prep.readers.video.MAX_VOXELS", 11 * WIDTH * HEIGHT)
    with pytest.raises(DataError, match="has too many frames of 64 x 48 pixels for one volume; take fewer"):
        read_video(path)
    assert read_video(path, frames_per_second=5).array.shape[-1] == 6
    with pytest.raises(DataError, match="too many"):
        read_video(path, frames_per_second=5, color=True)


def test_more_frames_than_the_file_speaks_of_are_refused_as_well(
    write_video: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video("a.mkv", "ffv1", "bgr0")
    monkeypatch.setattr("data_prep.readers.video._check_promises", lambda *_: None)
    monkeypatch.setattr("data_prep.readers.video.MAX_VOXELS", 11 * WIDTH * HEIGHT)
    with pytest.raises(DataError, match="too many frames"):
        read_video(path)


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_must_be_above_zero(write_video: Callable[..., Path], rate: float) -> None:
    with pytest.raises(DataError, match="frames_per_second must be a number above 0"):
        read_video(write_video(), frames_per_second=rate)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_import = builtins.__import__

    def import_all_but_av(name: str, *others: Any, **more: Any) -> Any:
        if name.split(".")[0] == "av":
            raise ImportError(name)
        return real_import(name, *others, **more)

    monkeypatch.setattr(builtins, "__import__", import_all_but_av)
    with pytest.raises(DataError, match=r"pip install 'fpgan\[video\]'"):
        read_video(tmp_path / "a.mp4")
