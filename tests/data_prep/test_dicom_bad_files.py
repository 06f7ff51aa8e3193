"""DICOM series that cannot be used: each is refused with its own `DataError` that names the series or the file."""

from __future__ import annotations

import re
import subprocess
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items

from data_prep.errors import DataError
from data_prep.readers import dicom_codec
from data_prep.readers.dicom import read_dicom_series
from tests.data_prep.dicom_writing import Grid, oblique, save, write_enhanced, write_series

STORED = np.arange(5 * 40 * 36, dtype=np.uint16).reshape(5, 40, 36)
"""Slices, rows, columns."""


def message_of(files: tuple[Path, ...], *, names: Path) -> str:
    """The message without the path that it must start with."""
    with pytest.raises(DataError) as caught:
        read_dicom_series(files)
    message = str(caught.value)
    assert message.startswith(f"{names}: ")
    assert "\n" not in message
    return message.removeprefix(f"{names}: ")


def with_element(keyword: str, values: dict[int, object]) -> Callable[[int, Dataset], None]:
    """Sets an element of the slices that `values` names; None deletes it."""

    def change(k: int, dataset: Dataset) -> None:
        if k in values:
            setattr(dataset, keyword, values[k])
            if values[k] is None:
                delattr(dataset, keyword)

    return change


def at(*heights_mm: float, sideways_mm: float = 0) -> Callable[[int, Dataset], None]:
    """Puts slices at these heights of an axial series, each `sideways_mm` behind the one before."""

    def change(k: int, dataset: Dataset) -> None:
        dataset.ImagePositionPatient = [-30, 20 + sideways_mm * k, heights_mm[k]]

    return change


OTHER_PLANE = [0, 1, 0, 0, 0, -1]
SERIES_PROBLEMS: dict[str, tuple[Callable[[int, Dataset], None], str]] = {
    "a missing slice": (
        at(0, 4, 12, 16, 20),
        r"a slice is missing along the normal: at 8\.00 mm between “IM2” and “IM3”; copy",
    ),
    "two missing slices in one place": (
        at(0, 4, 8, 20, 24),
        r"2 slices are missing along the normal: at 12\.00, 16\.00 mm between “IM3” and “IM4”; copy",
    ),
    "missing slices in two places": (
        at(0, 8, 12, 16, 24),
        r"2 slices are missing along .*: at 4\.00 mm between “IM1” and “IM2”, at 20\.00 mm between “IM4” and “IM5”",
    ),
    "a missing slice among rounded positions": (at(0, 4.1, 7.9, 16.1, 20), r"at 12\.00 mm between “IM3” and “IM4”"),
    "uneven spacing": (
        at(0, 4, 8, 14, 18),
        r"unevenly spaced: slices are 4\.00 to 6\.00 mm apart, as “IM3” at 8\.00 mm and “IM4” at 14\.00 mm",
    ),
    "two slices at one position": (
        at(0, 4, 8, 8, 12),
        r"two slices at one position, 8\.00 mm along the normal: “IM3” and “IM4”; it may hold several echoes or time",
    ),
    "all slices at one position": (at(7, 7, 7, 7, 7), r"two slices at one position, 7\.00 mm .*: “IM1” and “IM2”"),
    "every slice twice": (at(0, 4, 0, 4, 8), r"two slices at one position, 0\.00 mm along the normal: “IM1” and “IM3”"),
    "a tilted gantry": (
        at(0, 4, 8, 12, 16, sideways_mm=0.7),  # 4 mm up and 0.7 mm back from slice to slice: atan(0.7 / 4) = 9.9°
        r"slices shifted sideways: the gantry was tilted by 9\.9°",
    ),
    "one slice that is shifted sideways": (
        with_element("ImagePositionPatient", {2: [-25, 20, -32]}),
        r"a slice shifted sideways by 5\.00 mm: “IM3”",
    ),
    "several orientations": (
        with_element("ImageOrientationPatient", {3: OTHER_PLANE}),
        r"slices of several orientations, as in a localizer: “IM1” and “IM4” differ",
    ),
    "slices turned in their plane": (
        with_element("ImageOrientationPatient", {1: [0, 1, 0, -1, 0, 0]}),
        r"slices of several orientations.*“IM1” and “IM2”",
    ),
    "several pixel spacings": (
        with_element("PixelSpacing", {2: [1.5, 0.9]}),
        r"different pixel spacing: “IM1” has \[1\.5, 0\.8\] mm, “IM3” \[1\.5, 0\.9\] mm",
    ),
    "several series": (
        with_element("SeriesInstanceUID", {4: "1.2.3"}),
        r"different SeriesInstanceUID: “IM1” has “1\.2\.826\S*”, “IM5” “1\.2\.3”; give one series",
    ),
    "several photometric interpretations": (
        with_element("PhotometricInterpretation", {1: "MONOCHROME1"}),
        r"different PhotometricInterpretation: “IM1” has “MONOCHROME2”, “IM2” “MONOCHROME1”",
    ),
}


@pytest.mark.parametrize("name", SERIES_PROBLEMS)
def test_files_that_form_no_volume_are_refused_by_their_folder(tmp_path: Path, name: str) -> None:
    change, expected = SERIES_PROBLEMS[name]
    files = write_series(tmp_path / "series", STORED, change=change)
    assert re.search(expected, message_of(files[::-1], names=tmp_path / "series"))


def test_slices_of_different_size_are_refused_by_their_folder(tmp_path: Path) -> None:
    first = write_series(tmp_path, STORED[:2], names=("a", "b"))
    second = write_series(tmp_path, STORED[:1, :30], Grid(origin_mm=(-30, 20, -32)), names=("c",))
    message = message_of((*first, *second), names=tmp_path)
    assert message == "has slices of different size: “a” has 36×40 pixels, “c” 36×30; separate them"


def test_positions_are_told_along_the_normal_of_an_oblique_series(tmp_path: Path) -> None:
    grid = oblique()
    files = write_series(tmp_path, STORED, grid)
    normal = np.array(grid.step_mm) / 4
    height = normal @ grid.position(2)
    message = message_of(files[:2] + files[3:], names=tmp_path)
    assert message.startswith(f"a slice is missing along the normal: at {height:.2f} mm between “IM2” and “IM4”")


def test_one_slice_is_refused_by_its_file(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:1])
    assert message_of(files, names=files[0]) == "has only one slice, “IM1”; a volume needs two or more"


def test_no_file_is_refused() -> None:
    with pytest.raises(DataError, match="needs files, got none"):
        read_dicom_series(())


FIRST_FILE_PROBLEMS: dict[str, tuple[Callable[[int, Dataset], None], str]] = {
    "color": (with_element("PhotometricInterpretation", {0: "RGB"}), r"is in color \(“RGB”\); gray images are needed"),
    "a palette": (with_element("PhotometricInterpretation", {0: "PALETTE COLOR"}), r"is in color \(“PALETTE COLOR”\)"),
    "several samples": (with_element("SamplesPerPixel", {0: 3}), "is in color"),
    "a mosaic": (
        with_element("ImageType", {0: ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}),
        "is a Siemens mosaic: all slices in one picture; convert it with dcm2niix",
    ),
    "a segmentation": (
        with_element("SOPClassUID", {0: "1.2.840.10008.5.1.4.1.1.66.4"}),
        "is Segmentation Storage, not an image",
    ),
    "no position": (with_element("ImagePositionPatient", {0: None}), "has no ImagePositionPatient, so it is no slice"),
    "no orientation": (with_element("ImageOrientationPatient", {0: None}), "has no ImageOrientationPatient"),
    "no pixel spacing": (with_element("PixelSpacing", {0: None}), "has no PixelSpacing, .* radiograph"),
    "an empty position": (with_element("ImagePositionPatient", {0: ""}), "has no ImagePositionPatient"),
    "a position of two numbers": (with_element("ImagePositionPatient", {0: [1, 2]}), r"\[1\.0, 2\.0\]; 3 numbers"),
    "a position beyond all patients": (with_element("ImagePositionPatient", {0: [1e300, 0, 0]}), "a patient's size"),
    "an orientation of zeros": (with_element("ImageOrientationPatient", {0: [0] * 6}), "no two perpendicular"),
    "parallel directions": (with_element("ImageOrientationPatient", {0: [1, 0, 0, 1, 0, 0]}), "no two perpendicular"),
    "a pixel spacing of zero": (with_element("PixelSpacing", {0: [0, 1]}), "must be positive"),
    "no pixel data": (with_element("PixelData", {0: None}), "has no pixel data"),
    "half the pixels": (with_element("PixelData", {0: bytes(1440)}), "promises 2880 bytes of pixels, it has 1440"),
    "no rows": (with_element("Rows", {0: None}), "has no Rows or no Columns"),
    "twelve bits allocated": (with_element("BitsAllocated", {0: 12}), "has pixels of 16 bits in 12"),
    "more bits stored than allocated": (with_element("BitsStored", {0: 17}), "has pixels of 17 bits in 16"),
    "no bits": (with_element("BitsStored", {0: None}), "cannot be read as DICOM"),
}


@pytest.mark.parametrize("name", FIRST_FILE_PROBLEMS)
def test_a_file_that_is_no_slice_is_refused_by_its_path(tmp_path: Path, name: str) -> None:
    change, expected = FIRST_FILE_PROBLEMS[name]
    files = write_series(tmp_path, STORED, change=change)
    assert re.search(expected, message_of(files, names=files[0]))


def test_an_object_without_pixels_is_refused_by_its_kind(tmp_path: Path) -> None:
    report = Dataset()
    report.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    report.SeriesInstanceUID = "1.2.3"
    path = save(report, tmp_path / "report.dcm", "explicit")
    assert message_of((path,), names=path) == "is Basic Text SR Storage, not an image; leave it out"


@pytest.mark.parametrize(("slope", "problem"), [("nan", "RescaleSlope nan"), ("1e300", "beyond float32")])
def test_values_that_are_no_numbers_are_refused(tmp_path: Path, slope: str, problem: str) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.RescaleSlope, dataset.RescaleIntercept = slope if k == 1 else 1, 0

    files = write_series(tmp_path, STORED, change=change)
    with pytest.raises(DataError, match=problem) as caught:
        read_dicom_series(files)
    assert str(caught.value).startswith(str(tmp_path))


def test_more_voxels_than_can_be_read_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.Rows = dataset.Columns = 65535

    files = write_series(tmp_path, STORED, change=change)
    assert message_of(files, names=tmp_path) == "promises 65535×65535×5 voxels, more than can be read"


@pytest.mark.parametrize("syntax", ["RLE", "JPEG-LS", "JPEG 2000"])
def test_compressed_pixels_that_promise_too_much_are_refused_before_memory_is_taken(
    tmp_path: Path, syntax: str
) -> None:
    files = write_series(tmp_path, STORED[:2], syntax=syntax)
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.Rows = dataset.Columns = 20000
        dataset.save_as(file)
    assert "promises 800000000 bytes of pixels in" in message_of(files, names=files[0])


def test_a_stream_of_another_size_than_its_header_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:2], syntax="JPEG 2000")
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.Rows, dataset.Columns = 36, 40
        dataset.save_as(file)
    assert "holds 36×40 pixels of 1 components, but its header says 40×36" in message_of(files, names=files[0])


def test_an_encoding_that_cannot_be_decoded_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:2], syntax="JPEG 2000")
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.201"
        dataset.save_as(file)
    assert "is compressed as High-Throughput JPEG 2000" in message_of(files, names=files[0])


ENCODINGS = ["implicit", "explicit", "big endian", "deflated", "RLE", "JPEG Lossless", "JPEG-LS"]


@pytest.mark.parametrize("syntax", ENCODINGS)
@pytest.mark.parametrize("kept", [0, 100, 131, 140, 200, 400, 0.5, 0.9, -8])
def test_a_file_that_is_cut_short_is_refused_by_its_path(tmp_path: Path, syntax: str, kept: float) -> None:
    files = write_series(tmp_path, STORED[:2], syntax=syntax)
    raw = files[1].read_bytes()
    files[1].write_bytes(raw[: int(kept * len(raw)) if isinstance(kept, float) else kept])
    message = message_of(files, names=files[1])
    assert re.search("cut short|damaged|not a DICOM file|promises", message)


def test_one_missing_byte_is_told(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:2])
    files[1].write_bytes(files[1].read_bytes()[:-1])
    assert "promises 2880 bytes of pixels, it has 2879" in message_of(files, names=files[1])


def test_a_frame_that_is_cut_short_within_a_whole_file_is_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:2], syntax="JPEG 2000")
    dataset = pydicom.dcmread(files[0])
    stream = next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = pydicom.encaps.encapsulate([stream[: len(stream) // 2 * 2 - 40]])
    dataset.save_as(files[0])
    assert message_of(files, names=files[0]).startswith("is cut short: its compressed pixels have no end")


def test_deflated_data_are_unpacked_within_bounds(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED[:2], syntax="deflated")
    raw = files[0].read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = b"".join(packer.compress(bytes(2**20)) for _ in range(300)) + packer.flush()
    files[0].write_bytes(raw[:start] + bomb)
    assert message_of(files, names=files[0]) == "unpacks to more than 104857600 bytes; it will not be read"


def test_files_that_are_no_dicom_are_refused(tmp_path: Path) -> None:
    for number, raw in enumerate([b"", b"<html></html>" * 50, np.random.default_rng(0).bytes(5000), bytes(5000)]):
        path = tmp_path / f"{number}.dcm"
        path.write_bytes(raw)
        assert "is not a DICOM file" in message_of((path,), names=path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    missing = tmp_path / "IM1"
    assert message_of((missing,), names=missing).startswith("cannot be read (No such file or directory)")
    assert message_of((tmp_path,), names=tmp_path).startswith("cannot be read (Is a directory)")


def without_groups(dataset: Dataset) -> None:
    del dataset.PerFrameFunctionalGroupsSequence
    dataset.ImagePositionPatient = [0, 0, 0]


def one_group_less(dataset: Dataset) -> None:
    dataset.PerFrameFunctionalGroupsSequence = dataset.PerFrameFunctionalGroupsSequence[:-1]


def a_billion_frames(dataset: Dataset) -> None:
    dataset.NumberOfFrames = 10**9


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (without_groups, "has no position of its frames"),
        (one_group_less, "has 5 frames, but places 4"),
        (a_billion_frames, "has 1000000000 frames, but places 5"),
    ],
)
def test_frames_that_are_not_placed_are_refused(
    tmp_path: Path, change: Callable[[Dataset], None], expected: str
) -> None:
    path = write_enhanced(tmp_path / "enhanced.dcm", STORED, change_file=change)
    assert expected in message_of((path,), names=path)


def test_frames_are_named_where_they_form_no_volume(tmp_path: Path) -> None:
    def same_place(k: int, group: Dataset) -> None:
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, k // 2]

    path = write_enhanced(tmp_path / "echoes.dcm", STORED, change=same_place)
    expected = "0.00 mm along the normal: frame 1 of “echoes.dcm” and frame 2 of “echoes.dcm”"
    assert expected in message_of((path,), names=path)


def test_frames_of_several_orientations_are_refused(tmp_path: Path) -> None:
    def turned(k: int, group: Dataset) -> None:
        if k == 4:
            orientation = Dataset()
            orientation.ImageOrientationPatient = OTHER_PLANE
            group.PlaneOrientationSequence = Items([orientation])

    path = write_enhanced(tmp_path / "localizer.dcm", STORED, change=turned)
    assert "frame 1 of “localizer.dcm” and frame 5 of “localizer.dcm” differ" in message_of((path,), names=path)


def test_too_few_frames_are_refused(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "enhanced.dcm", STORED, syntax="JPEG-LS")
    dataset = pydicom.dcmread(path)
    streams = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=5))
    dataset.PixelData = pydicom.encaps.encapsulate(streams[:4])
    dataset.save_as(path)
    assert "4 frames of the 5" in message_of((path,), names=path)


@pytest.mark.parametrize("dies", [True, False], ids=["dies", "hangs"])
def test_a_decoder_that_dies_or_hangs_costs_only_its_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dies: bool
) -> None:
    decoder = tmp_path / "decoder.py"
    decoder.write_text("import os\nos.abort()\n" if dies else "import time\ntime.sleep(60)\n")
    monkeypatch.setattr(dicom_codec, "SCRIPT", decoder)
    monkeypatch.setattr(dicom_codec, "SECONDS_PER_FRAME", 1.0)
    files = write_series(tmp_path / "series", STORED[:2], syntax="JPEG-LS")
    start = time.monotonic()
    assert "cannot be decoded" in message_of(files, names=files[0])
    assert time.monotonic() - start < 30


def test_no_decoder_is_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    native = write_series(tmp_path / "native", STORED[:2])
    compressed = write_series(tmp_path / "compressed", STORED[:2], syntax="JPEG-LS")
    started: list[subprocess.Popen[bytes]] = []

    class Watched(subprocess.Popen):  # type: ignore[type-arg]
        def __init__(self, command: list[str], **options: object) -> None:
            super().__init__(command, **options)  # type: ignore[call-overload]
            started.append(self)

    monkeypatch.setattr(subprocess, "Popen", Watched)
    read_dicom_series(native)
    assert started == []
    read_dicom_series(compressed)
    assert [process.poll() is None for process in started] == [False]


def test_pixels_of_no_size_are_refused_by_their_folder(tmp_path: Path) -> None:
    tiny = with_element("PixelSpacing", {k: [1e-200, 1e-200] for k in range(5)})
    files = write_series(tmp_path, STORED, change=tiny)
    assert message_of(files, names=tmp_path).startswith("has voxel sizes that cannot be real")
