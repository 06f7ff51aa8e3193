"""Reading DICOM series: geometry, encodings, values."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from io import BytesIO
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.sequence import Sequence as Items
from pydicom.valuerep import DSfloat

from data_prep.errors import DataError
from data_prep.readers.dicom import read_dicom_series
from data_prep.volume import Volume
from tests.data_prep.dicom_writing import (
    WRITTEN_BY_GDCM,
    WRITTEN_BY_PYDICOM,
    Grid,
    oblique,
    write_enhanced,
    write_series,
)

SHAPE = (5, 34, 36)
"""Slices, rows, columns; JPEG 2000 needs some."""
NAMES = ("IM3", "IM1", "IM5", "IM2", "IM4")
"""Of slices in ascending order: sorting files by name does not sort them by position."""
SAGITTAL = Grid(along_row=(0, 1, 0), along_column=(0, 0, -1), step_mm=(-2.5, 0, 0))
CORONAL = Grid(along_row=(1, 0, 0), along_column=(0, 0, -1), step_mm=(0, 2.5, 0))
DOWNWARD = Grid(step_mm=(0, 0, -3.0))
"""Slices were taken from head to foot: K ascends along the normal, so the first slice of the series comes last."""
GRIDS = {
    "axial": Grid(),
    "downward": DOWNWARD,
    "sagittal": SAGITTAL,
    "coronal": CORONAL,
    "oblique": oblique(),
    "turned by more than 45°": oblique(70, 80),
}


@pytest.fixture
def stored(rng: np.random.Generator) -> np.ndarray:
    """Each value occurs once, so a voxel in the wrong place cannot go unseen."""
    return (rng.permutation(np.prod(SHAPE)) * 10).reshape(SHAPE).astype(np.uint16)


def assert_voxels_lie_where_headers_say(volume: Volume, values: np.ndarray, grid: Grid) -> None:
    """`values` (slices, rows, columns) by world positions that are computed from the standard's equation."""
    assert volume.array.shape[0] == 1
    assert volume.array.size == values.size
    assert nib.aff2axcodes(volume.affine) == ("R", "A", "S")
    k, row, column = np.indices(values.shape).reshape(3, -1)
    world = np.array([grid.world(*index) for index in zip(row, column, k, strict=True)])
    voxels = nib.affines.apply_affine(np.linalg.inv(volume.affine), world)
    np.testing.assert_allclose(voxels, voxels.round(), atol=1e-4)
    i, j, k = voxels.round().astype(int).T
    np.testing.assert_array_equal(volume.array[0, i, j, k], values.ravel())


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS.keys())
def test_voxels_lie_where_headers_say(tmp_path: Path, stored: np.ndarray, grid: Grid) -> None:
    volume = read_dicom_series(write_series(tmp_path, stored, grid, names=NAMES))
    assert_voxels_lie_where_headers_say(volume, stored, grid)


@pytest.mark.parametrize("syntax", [*WRITTEN_BY_PYDICOM, *WRITTEN_BY_GDCM])
def test_every_encoding_of_a_classic_series(tmp_path: Path, stored: np.ndarray, syntax: str) -> None:
    volume = read_dicom_series(write_series(tmp_path, stored, oblique(), syntax=syntax, names=NAMES))
    assert_voxels_lie_where_headers_say(volume, stored, oblique())
    assert volume.array.dtype == np.uint16


@pytest.mark.parametrize("syntax", [*WRITTEN_BY_PYDICOM, *WRITTEN_BY_GDCM])
def test_every_encoding_of_an_enhanced_file(tmp_path: Path, stored: np.ndarray, syntax: str) -> None:
    path = write_enhanced(tmp_path / "enhanced.dcm", stored, oblique(), syntax=syntax, order=(3, 0, 4, 1, 2))
    volume = read_dicom_series((path,))
    assert_voxels_lie_where_headers_say(volume, stored, oblique())
    assert (volume.source.path, volume.source.slice_names) == (path, ())


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32])
def test_every_type_of_pixel(tmp_path: Path, syntax: str, dtype: type) -> None:
    limits = np.iinfo(dtype)
    stored = np.linspace(limits.min, limits.max, 2800).astype(dtype).reshape(2, 35, 40)
    volume = read_dicom_series(write_series(tmp_path, stored, syntax=syntax))
    assert_voxels_lie_where_headers_say(volume, stored, Grid())
    assert volume.array.dtype == dtype


@pytest.mark.parametrize("names", [("c", "a", "b"), ("a", "b", "c")])
def test_numbers_and_thicknesses_are_not_believed(tmp_path: Path, stored: np.ndarray, names: tuple[str, ...]) -> None:
    def lie(k: int, dataset: Dataset) -> None:
        dataset.InstanceNumber = 7 - k
        dataset.SliceThickness = 1
        dataset.SpacingBetweenSlices = 99
        dataset.SliceLocation = -5 * k

    files = write_series(tmp_path, stored[:3], names=names, change=lie)
    assert_voxels_lie_where_headers_say(read_dicom_series(files[::-1]), stored[:3], Grid())


def test_spacing_is_that_of_positions_and_pixels(tmp_path: Path, stored: np.ndarray) -> None:
    volume = read_dicom_series(write_series(tmp_path, stored, SAGITTAL))
    # R: 2.5 mm between slices; A along rows: 0.8 mm between columns; S along columns: 1.5 mm between rows.
    np.testing.assert_allclose(volume.spacing_mm, (2.5, 0.8, 1.5))


def test_two_slices_are_a_volume(tmp_path: Path, stored: np.ndarray) -> None:
    volume = read_dicom_series(write_series(tmp_path, stored[:2], oblique()))
    assert_voxels_lie_where_headers_say(volume, stored[:2], oblique())


def test_the_source_remembers_files_in_the_order_of_slices(tmp_path: Path, stored: np.ndarray) -> None:
    folder = tmp_path / "series"
    files = write_series(folder, stored, DOWNWARD, names=NAMES)
    source = read_dicom_series(files).source
    assert source.path == folder
    assert source.shape == (36, 34, 5)
    assert source.slice_names == NAMES[::-1]  # upward along the normal, while the series went down
    in_name_order = b"".join((folder / name).read_bytes() for name in sorted(NAMES))
    assert source.sha256 == hashlib.sha256(in_name_order).hexdigest()


def test_file_order_runs_along_rows_then_columns_then_slices(tmp_path: Path, stored: np.ndarray) -> None:
    volume = read_dicom_series(write_series(tmp_path, stored, oblique()))
    back = volume.source.from_ras(volume.array[0])
    np.testing.assert_array_equal(back, stored.transpose(2, 1, 0))
    for index in [(0, 0, 0), (35, 0, 0), (0, 33, 0), (0, 0, 4)]:
        column, row, k = index
        world = nib.affines.apply_affine(volume.source.affine, index)
        np.testing.assert_allclose(world, oblique().world(row, column, k), atol=1e-6)


def test_a_series_in_two_folders_is_named_by_the_folder_above(tmp_path: Path, stored: np.ndarray) -> None:
    files = write_series(tmp_path / "series" / "a", stored)
    moved = tmp_path / "series" / "b" / "IM5"
    moved.parent.mkdir()
    shutil.move(files[4], moved)
    volume = read_dicom_series((*files[:4], moved))
    assert_voxels_lie_where_headers_say(volume, stored, Grid())
    assert volume.source.path == tmp_path / "series"


def test_a_zip_archive_reads_like_the_folder(tmp_path: Path, stored: np.ndarray) -> None:
    files = write_series(tmp_path / "series", stored, oblique(), names=NAMES)
    shutil.make_archive(str(tmp_path / "packed"), "zip", tmp_path, "series")
    archive = tmp_path / "packed.zip"
    volume = read_dicom_series(tuple(archive / "series" / file.name for file in files))
    plain = read_dicom_series(files)
    np.testing.assert_array_equal(volume.array, plain.array)
    np.testing.assert_array_equal(volume.affine, plain.affine)
    assert volume.source.path == archive
    assert volume.source.sha256 == plain.source.sha256
    assert volume.source.slice_names == NAMES


def test_several_enhanced_files_may_form_one_volume(tmp_path: Path, stored: np.ndarray) -> None:
    upper = Grid(origin_mm=tuple(Grid().position(2)))
    files = [
        write_enhanced(tmp_path / "upper.dcm", stored[2:], upper),
        write_enhanced(tmp_path / "lower.dcm", stored[:2]),
    ]
    volume = read_dicom_series(files)
    assert_voxels_lie_where_headers_say(volume, stored, Grid())
    assert volume.source.path == tmp_path


def test_positions_longer_than_sixteen_characters_are_read_exactly_and_quietly(
    tmp_path: Path, stored: np.ndarray, capfd: pytest.CaptureFixture[str]
) -> None:
    def longer(k: int, dataset: Dataset) -> None:
        for keyword in ("ImagePositionPatient", "ImageOrientationPatient"):
            strings = [f"{float(number):.17f}" for number in exact[keyword][k]]
            dataset[keyword].value = [DSfloat(string, validation_mode=IGNORE) for string in strings]

    grid = oblique()
    exact = {
        "ImagePositionPatient": [grid.position(k) for k in range(5)],
        "ImageOrientationPatient": [[*grid.along_row, *grid.along_column]] * 5,
    }
    files = write_series(tmp_path, stored, grid, change=longer)
    assert b"0.93969262078590843\\" in files[0].read_bytes()  # the standard allows 16 characters
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        volume = read_dicom_series(files)
    np.testing.assert_allclose(volume.source.affine[:3, 3], np.array(grid.origin_mm) * [-1, -1, 1], rtol=0, atol=1e-14)
    np.testing.assert_allclose(
        volume.source.affine[:3, 0], np.array(grid.along_row) * [-0.8, -0.8, 0.8], rtol=0, atol=1e-15
    )
    assert capfd.readouterr() == ("", "")


def test_rounded_headers_are_a_regular_grid(tmp_path: Path, stored: np.ndarray) -> None:
    def rounded(k: int, dataset: Dataset) -> None:
        dataset.ImageOrientationPatient = [round(number, 4) for number in dataset.ImageOrientationPatient]
        dataset.ImagePositionPatient = [round(number, 1) for number in dataset.ImagePositionPatient]
        dataset.PixelSpacing = [1.5, 0.8 if k else 0.80004]

    volume = read_dicom_series(write_series(tmp_path, stored, oblique(), change=rounded))
    np.testing.assert_allclose(volume.spacing_mm, (0.8, 1.5, 4), rtol=0.01)


def test_a_slice_may_be_a_tenth_of_the_spacing_off(tmp_path: Path, stored: np.ndarray) -> None:
    def shifted(by_mm: float) -> Volume:
        def change(k: int, dataset: Dataset) -> None:
            dataset.ImagePositionPatient[2] += by_mm * (k == 2)

        return read_dicom_series(write_series(tmp_path, stored, change=change))

    np.testing.assert_allclose(shifted(0.39).spacing_mm, (0.8, 1.5, 4))
    with pytest.raises(DataError, match=r"unevenly spaced: slices are 3\.59 to 4\.41 mm apart"):
        shifted(0.41)


def rescale(slope: float | str, intercept: float | str) -> Dataset:
    values = Dataset()
    values.RescaleSlope, values.RescaleIntercept = slope, intercept
    return values


@pytest.mark.parametrize(
    ("slope", "intercept", "dtype"),
    [
        ("1", "-1024", np.int32),  # 0 to 61190 become -1024 to 60166
        ("1", "0", np.uint16),
        ("1.0", "65000.0", np.uint32),
        ("0", "-10", np.int32),  # a slope of 0 stands for none
        ("1", "0.5", np.float32),
        ("2", "0", np.float32),
        ("-0.25", "3", np.float32),
    ],
)
def test_slope_and_intercept_are_applied(
    tmp_path: Path, stored: np.ndarray, slope: str, intercept: str, dtype: type
) -> None:
    files = write_series(tmp_path, stored, change=lambda k, dataset: dataset.update(rescale(slope, intercept)))
    volume = read_dicom_series(files)
    assert volume.array.dtype == dtype
    expected = stored * (float(slope) or 1.0) + float(intercept)
    assert_voxels_lie_where_headers_say(volume, expected, Grid())


def test_each_slice_has_its_own_slope(tmp_path: Path, stored: np.ndarray) -> None:
    files = write_series(
        tmp_path, stored, names=NAMES, change=lambda k, dataset: dataset.update(rescale(0.5 * (k + 1), -8 * k))
    )
    expected = np.stack([values * 0.5 * (k + 1) - 8 * k for k, values in enumerate(stored)])
    assert_voxels_lie_where_headers_say(read_dicom_series(files), expected, Grid())


def test_each_slice_has_its_own_whole_intercept(tmp_path: Path, stored: np.ndarray) -> None:
    files = write_series(tmp_path, stored, names=NAMES, change=lambda k, dataset: dataset.update(rescale(1, -100 * k)))
    volume = read_dicom_series(files)
    assert volume.array.dtype == np.int32
    assert_voxels_lie_where_headers_say(volume, stored - 100 * np.arange(5)[:, None, None], Grid())


def test_each_frame_has_its_own_slope(tmp_path: Path, stored: np.ndarray) -> None:
    def change(k: int, group: Dataset) -> None:
        group.PixelValueTransformationSequence = Items([rescale(0.5 * (k + 1), -8 * k)])

    path = write_enhanced(tmp_path / "enhanced.dcm", stored, order=(3, 0, 4, 1, 2), change=change)
    expected = np.stack([values * 0.5 * (k + 1) - 8 * k for k, values in enumerate(stored)])
    assert_voxels_lie_where_headers_say(read_dicom_series((path,)), expected, Grid())


def test_values_take_the_smallest_integers_that_hold_them(tmp_path: Path) -> None:
    stored = np.full((2, 3, 3), 255, np.uint16)
    assert read_dicom_series(write_series(tmp_path, stored)).array.dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.int16])
def test_monochrome1_is_inverted_as_itk_does(tmp_path: Path, dtype: type) -> None:
    limits = np.iinfo(dtype)
    stored = np.linspace(limits.min, limits.max, 2800).astype(dtype).reshape(2, 35, 40)

    def change(k: int, dataset: Dataset) -> None:
        dataset.PhotometricInterpretation = "MONOCHROME1"
        dataset.update(rescale(1, -100))

    files = write_series(tmp_path, stored, change=change)
    volume = read_dicom_series(files)
    # Both ends of the stored range change places; then the intercept is added.
    assert_voxels_lie_where_headers_say(volume, limits.min + limits.max - stored.astype(int) - 100, Grid())
    by_itk = np.concatenate([SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(file))) for file in files])
    np.testing.assert_array_equal(volume.source.from_ras(volume.array[0]).transpose(2, 1, 0), by_itk)


def test_monochrome1_of_twelve_bits_is_inverted_within_them(tmp_path: Path) -> None:
    stored = np.array([0, 1, 2000, 4095] * 4, np.uint16).reshape(2, 2, 4)

    def change(k: int, dataset: Dataset) -> None:
        dataset.PhotometricInterpretation, dataset.BitsStored, dataset.HighBit = "MONOCHROME1", 12, 11

    volume = read_dicom_series(write_series(tmp_path, stored, change=change))
    assert_voxels_lie_where_headers_say(volume, 4095 - stored, Grid())


@pytest.mark.parametrize(("is_signed", "expected"), [(0, [4095, 2048, 7]), (1, [-1, -2048, 7])])
def test_bits_above_those_stored_are_ignored(tmp_path: Path, is_signed: int, expected: list[int]) -> None:
    # The upper four bits are undefined; overlays were kept there once.
    stored = np.array([0x3FFF, 0x0800, 0x5007] * 4, np.uint16).reshape(2, 2, 3)

    def change(k: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 12, 11, is_signed

    volume = read_dicom_series(write_series(tmp_path, stored, change=change))
    assert_voxels_lie_where_headers_say(volume, np.array(expected * 4).reshape(2, 2, 3), Grid())


@pytest.mark.parametrize("syntax", ["JPEG Lossless SV1", "JPEG-LS", "JPEG 2000"])
def test_negative_values_survive_compression(tmp_path: Path, syntax: str) -> None:
    stored = np.linspace(-2048, 2047, 2800).astype(np.int16).reshape(2, 35, 40)

    def change(k: int, dataset: Dataset) -> None:
        dataset.BitsStored, dataset.HighBit = 12, 11

    volume = read_dicom_series(write_series(tmp_path, stored, syntax=syntax, change=change))
    assert_voxels_lie_where_headers_say(volume, stored, Grid())


def test_a_modality_table_stands_in_place_of_slope_and_intercept(tmp_path: Path) -> None:
    stored = np.array([0, 1, 2, 3] * 4, np.uint8).reshape(2, 2, 4)

    def change(k: int, dataset: Dataset) -> None:
        table = Dataset()
        table.LUTDescriptor = [4, 0, 16]
        table.ModalityLUTType = "HU"
        table.add_new("LUTData", "US", [5, 50, 500, 5000])
        dataset.ModalityLUTSequence = Items([table])
        dataset.update(rescale(3, 7))

    volume = read_dicom_series(write_series(tmp_path, stored, change=change))
    assert_voxels_lie_where_headers_say(volume, np.array([5, 50, 500, 5000])[stored], Grid())


def test_files_without_preamble_are_read(tmp_path: Path, stored: np.ndarray) -> None:
    files = write_series(tmp_path, stored, oblique(), syntax="implicit")
    for file in files:
        raw = file.read_bytes()
        start = raw.index(b"\x08\x00\x16\x00")  # the SOPClassUID, behind preamble and meta group
        file.write_bytes(raw[start:])
    assert_voxels_lie_where_headers_say(read_dicom_series(files), stored, oblique())


def lossy_series(tmp_path: Path, name: str, change: Dataset) -> tuple[Path, ...]:
    """Two slices out of one of the files that pydicom brings along for its own tests."""
    example = pydicom.data.get_testdata_file(name, download=False)
    files = []
    for k in range(2):
        dataset = pydicom.dcmread(example)
        dataset.SOPClassUID = dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [0, 0, k], [1, 0, 0, 0, 1, 0]
        dataset.PixelSpacing = [1, 1]
        dataset.update(change)
        files.append(tmp_path / f"{k}.dcm")
        dataset.save_as(files[-1])
    return tuple(files)


@pytest.mark.parametrize("name", ["JPEG-lossy.dcm", "JPEG2000.dcm", "JPEGLSNearLossless_16.dcm", "693_J2KI.dcm"])
def test_lossy_streams_are_read_as_itk_reads_them(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    files = lossy_series(tmp_path, name, Dataset())
    volume = read_dicom_series(files)
    assert capfd.readouterr() == ("", "")
    by_itk = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(files[0])))[0]
    for k in range(2):
        np.testing.assert_array_equal(volume.source.from_ras(volume.array[0])[..., k].T, by_itk)


def test_jpeg_baseline_is_read(tmp_path: Path) -> None:
    pixels = np.tile(np.arange(0, 240, 5, dtype=np.uint8), (40, 1))
    packed = BytesIO()
    Image.fromarray(pixels).save(packed, "JPEG", quality=100)

    def change(k: int, dataset: Dataset) -> None:
        dataset.PixelData = encapsulate([packed.getvalue()])
        dataset["PixelData"].is_undefined_length = True

    files = write_series(tmp_path, np.stack([pixels, pixels]), change=change)
    for file in files:
        dataset = pydicom.dcmread(file)
        dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGBaseline8Bit
        dataset.save_as(file)
    volume = read_dicom_series(files)
    decoded = np.asarray(Image.open(packed))
    assert np.abs(decoded.astype(int) - pixels).max() <= 2
    # Two decoders of lossy JPEG may round differently by one.
    np.testing.assert_allclose(volume.source.from_ras(volume.array[0])[..., 0].T.astype(int), decoded, atol=1)
