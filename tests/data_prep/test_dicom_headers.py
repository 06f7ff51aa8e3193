"""Headers of a DICOM series: the order of slices, what is read, and what is refused."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset

from data_prep.archive import archive_members
from data_prep.errors import DataError
from data_prep.readers.dicom import read_dicom_series
from data_prep.readers.dicom_headers import read_headers
from tests.data_prep.dicom_writing import CT, ENHANCED_MR, SERIES, oblique, write_enhanced, write_series

STORED = np.arange(5 * 4 * 3, dtype=np.int16).reshape(5, 4, 3)  # (K, rows, columns)
SHUFFLED = ("d", "a", "e", "c", "b")
"""Names of the files of slices 0 to 4: sorted, they are slices 1, 4, 3, 0, 2."""


def complete(k: int, dataset: Dataset) -> None:
    dataset.StudyInstanceUID = "1.2.3"
    dataset.FrameOfReferenceUID = "1.2.4"
    dataset.StudyDate = "20240229"


def changed(**values: str | None) -> Callable[[int, Dataset], None]:
    """A complete header, with some elements of slice 2 set to other values, or, with None, taken away."""

    def change(k: int, dataset: Dataset) -> None:
        complete(k, dataset)
        if k == 2:
            for keyword, value in values.items():
                if value is None:
                    delattr(dataset, keyword)
                else:
                    setattr(dataset, keyword, value)

    return change


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian", "deflated", "RLE"])
def test_classic_headers_follow_the_volumes_slices(tmp_path: Path, syntax: str) -> None:
    files = write_series(tmp_path, STORED, oblique(), change=complete, names=SHUFFLED, syntax=syntax)
    headers = read_headers(files)
    assert tuple(frame.file.name for frame in headers.frames) == SHUFFLED
    assert tuple(frame.file.name for frame in headers.frames) == read_dicom_series(files).source.slice_names
    assert [headers.instances[frame.file].uid for frame in headers.frames] == [f"{SERIES}.{k + 1}" for k in range(5)]
    assert {instance.sop_class for instance in headers.instances.values()} == {CT}


def test_header_tells_study_series_time_and_modality(tmp_path: Path) -> None:
    headers = read_headers(write_series(tmp_path, STORED, change=complete))
    assert (headers.study, headers.series, headers.frame_of_reference) == ("1.2.3", SERIES, "1.2.4")
    assert (headers.study_date, headers.modality) == ("20240229", "CT")
    assert headers.path == tmp_path
    assert not headers.is_lossy


def test_frames_of_an_enhanced_file_follow_the_volumes_slices(tmp_path: Path) -> None:
    file = write_enhanced(
        tmp_path / "e.dcm", STORED, oblique(), order=[3, 0, 4, 2, 1], change_file=lambda dataset: complete(0, dataset)
    )
    headers = read_headers([file])
    assert [frame.number for frame in headers.frames] == [2, 5, 4, 1, 3]
    assert headers.instances[file].sop_class == ENHANCED_MR


def test_several_files_of_several_frames_are_one_series(tmp_path: Path) -> None:
    def place(k: int, group: Dataset) -> None:
        group.PlanePositionSequence[0].ImagePositionPatient = [0, 0, 2 * k]

    def number(dataset: Dataset) -> None:
        complete(0, dataset)
        for group in dataset.PerFrameFunctionalGroupsSequence:
            group.PlanePositionSequence[0].ImagePositionPatient[2] += 6
        dataset.SOPInstanceUID = f"{SERIES}.2"

    low = write_enhanced(
        tmp_path / "b", STORED[:3], change=place, change_file=lambda dataset: complete(0, dataset), order=[2, 1, 0]
    )
    high = write_enhanced(tmp_path / "a", STORED[:2], change=place, change_file=number)
    headers = read_headers([high, low])
    assert [(frame.file, frame.number) for frame in headers.frames] == [
        *((low, 3), (low, 2), (low, 1)),
        *((high, 1), (high, 2)),
    ]
    assert list(headers.instances) == [low, high]


@pytest.mark.parametrize("syntax", ["explicit", "deflated"])
def test_members_of_an_archive_are_read(tmp_path: Path, syntax: str) -> None:
    files = write_series(tmp_path / "files", STORED, change=complete, names=SHUFFLED, syntax=syntax)
    archive = tmp_path / "scan.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in files:
            packed.write(file, f"series/{file.name}")
    headers = read_headers(archive_members(archive))
    assert headers.path == archive
    assert tuple(frame.file for frame in headers.frames) == tuple(archive / "series" / name for name in SHUFFLED)


def test_nothing_behind_the_header_is_needed(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED, change=complete)
    for file in files:
        file.write_bytes(file.read_bytes()[: -STORED[0].nbytes])
    assert len(read_headers(files).frames) == 5


def test_missing_frame_of_reference_is_told(tmp_path: Path) -> None:
    def change(k: int, dataset: Dataset) -> None:
        dataset.StudyInstanceUID = "1.2.3"
        dataset.FrameOfReferenceUID = ""

    assert read_headers(write_series(tmp_path, STORED, change=change)).frame_of_reference is None


def test_one_lossy_slice_makes_the_series_lossy(tmp_path: Path) -> None:
    assert read_headers(write_series(tmp_path, STORED, change=changed(LossyImageCompression="01"))).is_lossy


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"StudyInstanceUID": None}, "IM3: has no StudyInstanceUID"),
        ({"SOPInstanceUID": None}, "IM3: has no SOPInstanceUID"),
        ({"SOPInstanceUID": "Doe^Jane"}, "IM3: has SOPInstanceUID “Doe^Jane”, which is no UID"),
        ({"SOPInstanceUID": f"{SERIES}.1"}, "has one SOPInstanceUID in “IM1” and “IM3”"),
        ({"StudyInstanceUID": "1.2.9"}, "has files of different StudyInstanceUID"),
        ({"SeriesInstanceUID": "1.2.9"}, "has files of different SeriesInstanceUID"),
        ({"FrameOfReferenceUID": "1.2.9"}, "has files of different FrameOfReferenceUID"),
        ({"PhotometricInterpretation": "RGB"}, "IM3: is in color"),
        ({"ImagePositionPatient": None}, "IM3: has no ImagePositionPatient"),
    ],
)
def test_headers_that_cannot_be_referred_to_are_refused(tmp_path: Path, values: dict[str, str], message: str) -> None:
    files = write_series(tmp_path, STORED, change=changed(**values))
    with pytest.raises(DataError, match=re.escape(message)):
        read_headers(files)


def test_slices_that_form_no_grid_are_refused(tmp_path: Path) -> None:
    files = write_series(tmp_path, STORED, change=complete)
    with pytest.raises(DataError, match="a slice is missing"):
        read_headers([*files[:2], *files[3:]])


def test_deflated_headers_are_unpacked_within_bounds(tmp_path: Path) -> None:
    (file, *_) = write_series(tmp_path, STORED[:2], change=complete, syntax="deflated")
    raw = file.read_bytes()
    start = 144 + int.from_bytes(raw[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    file.write_bytes(raw[:start] + b"".join(packer.compress(bytes(2**20)) for _ in range(101)) + packer.flush())
    with pytest.raises(DataError, match="unpacks to more than"):
        read_headers([file])


def test_no_files_and_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="needs files"):
        read_headers([])
    with pytest.raises(DataError, match=r"gone\.dcm: cannot be read"):
        read_headers([tmp_path / "gone.dcm"])


@pytest.mark.parametrize("kind", ["classic", "enhanced", "deflated"])
def test_only_data_errors_leave_damaged_headers(tmp_path: Path, kind: str) -> None:
    if kind == "enhanced":
        files = (write_enhanced(tmp_path / "e", STORED, change_file=lambda dataset: complete(0, dataset)),)
    else:
        syntax = "deflated" if kind == "deflated" else "explicit"
        files = write_series(tmp_path, STORED[:2], change=complete, syntax=syntax)
    whole = files[0].read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for attempt in range(150):
        damaged = bytearray(whole)
        if attempt % 2:
            del damaged[random.integers(len(whole)) :]
        else:
            for place in random.integers(132, len(whole), 20):
                damaged[place] = random.integers(256)
        files[0].write_bytes(damaged)
        try:
            read_headers(files)
        except DataError:
            refused += 1
    assert refused > 50
