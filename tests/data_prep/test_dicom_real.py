"""Real scanners' DICOM files beside NIfTI files that other programs made of them; none is part of this repository."""

from __future__ import annotations

import os
import re
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.dicom_tree import find_dicom_cases, recognize
from data_prep.readers.dicom import read_dicom_series
from data_prep.readers.dicom_codec import CodecProcess
from data_prep.readers.dicom_file import dicom_errors, parse
from data_prep.readers.dicom_pixels import check_pixels, stored_values

BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("FPGAN_REAL_DATA", BESIDE_THE_CHECKOUT)) / "dicom"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no DICOM files at {DATA}; set FPGAN_REAL_DATA to their folder"),
]

READABLE = [
    "failing/slicecount/001",  # two slices, which its authors refuse, but converted
    "ge/anatomical/001",
    "ge/anatomical/001_implicit",
    "generic/anatomical/001",
    "generic/anatomical/001_implicit",
    "generic/anatomical/002_non_isotropic",
    "generic/compressed/001",
    "generic/compressed_j2k/001",
    "generic/compressed_jpeg/001",
    "generic/compressed_jpegls/001",
    "generic/compressed_rle/001",
    "hyperfine/anatomical/001",
    "philips_enhanced/anatomical/001",
    "philips_enhanced/anatomical/001_implicit",
    "siemens_multiframe/anatomical/001",
]


def files_in(folder: Path) -> tuple[Path, ...]:
    files = tuple(folder.glob("*.dcm"))
    assert files, folder
    return files


@pytest.mark.parametrize("name", READABLE)
@pytest.mark.parametrize("kind", ["ground_truth", "ground_truth_reoriented"])
def test_a_series_equals_its_reference(name: str, kind: str) -> None:
    folder = DATA / "geometry" / name
    volume = read_dicom_series(files_in(folder))
    reference = nib.as_closest_canonical(nib.load(folder.with_name(f"{folder.name}_{kind}.nii.gz")))
    expected = reference.get_fdata().reshape(reference.shape[:3])  # Philips' have a fourth axis of one volume
    assert volume.array.shape == (1, *expected.shape)
    # References are float64 or float32 of slope · value + intercept; ours is float32. Integers are equal.
    np.testing.assert_allclose(volume.array[0], expected, rtol=1e-6, atol=0)
    if volume.array.dtype.kind in "iu":
        np.testing.assert_array_equal(volume.array[0], expected)
    # NIfTI keeps float32, six digits of some 100 mm; directions in the headers are rounded to six digits by GE, and
    # are made unit vectors here, but not there: 1e-4 mm.
    corners = np.array(list(np.ndindex(2, 2, 2))) * (np.array(expected.shape) - 1)
    np.testing.assert_allclose(
        nib.affines.apply_affine(volume.affine, corners),
        nib.affines.apply_affine(reference.affine, corners),
        rtol=0,
        atol=2e-4,
    )


REFUSED = {
    # the normal of the slices is (0, 0.242, 0.970), but they are stacked along z: acos(0.970) = 14.0°
    "geometry/failing/gantrytilting/001": r"the gantry was tilted by 14\.0°",
    "geometry/failing/notavolume/001": (
        r"two slices at one position, 61\.50 mm along the normal: “001\.dcm” and “002\.dcm”"
    ),
    "geometry/failing/sliceincrement/001": (
        r"a slice is missing along the normal: at 33\.11 mm between “IM-0001-0009-0001\.dcm” "
        r"and “IM-0001-0010-0001\.dcm”"
    ),
    # tilted, too, but its reference was interpolated over the gap
    "geometry/failing/sliceincrement/002": (
        r"a slice is missing along the normal: at -133\.00 mm between “IM-0001-0003\.dcm” and “IM-0001-0005\.dcm”"
    ),
    "geometry/failing/sliceorientation/001": r"slices of several orientations, as in a localizer: .* differ",
    "geometry/ge/anatomical/001_single_slice": r"has only one slice, “IM-0001-0112-0001\.dcm”",
    "geometry/generic/rgb/001": r"is in color \(“RGB”\); gray images are needed",
    "files/SC_rgb.dcm": r"is in color \(“RGB”\)",
    "files/bad_sequence.dcm": r"has only one slice",
    "files/emri_small_jpeg_2k_lossless_too_short.dcm": r"is cut short: its pixel data have no end",
    **{  # their frames lie nowhere: the groups that would place them were taken out
        f"files/emri_small{kind}.dcm": r"has no position of its frames"
        for kind in ("", "_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless")
    },
    **{f"mosaic_encodings/In/{number}.dcm": r"is a Siemens mosaic: .* dcm2niix" for number in range(1, 10)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_volume_is_refused_with_its_reason(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    path = DATA / name
    with pytest.raises(DataError) as caught:
        read_dicom_series(files_in(path) if path.is_dir() else (path,))
    assert str(caught.value).startswith(str(path))
    assert re.search(REFUSED[name], str(caught.value))
    assert capfd.readouterr() == ("", "")


def test_an_enhanced_ct_of_two_frames_that_were_stored_from_the_top(capfd: pytest.CaptureFixture[str]) -> None:
    path = DATA / "files" / "eCT_Supplemental.dcm"
    volume = read_dicom_series((path,))
    assert volume.array.shape == (1, 512, 512, 2)
    np.testing.assert_allclose(volume.spacing_mm, (0.388672, 0.388672, 10))
    # Its rows run from left to right, against DICOM's x, and its columns to the back: the normal points to the feet,
    # and -149 mm, the second frame, is the lower one along it, the upper one in space.
    stored = stored_frames(path)
    np.testing.assert_array_equal(volume.array[0, :, ::-1, 1].T, stored[1].astype(int) - 1024)
    np.testing.assert_array_equal(volume.array[0, :, ::-1, 0].T, stored[0].astype(int) - 1024)
    np.testing.assert_allclose(nib.affines.apply_affine(volume.affine, [0, 511, 1]), [-99.5, 301.5, -149], atol=1e-9)
    assert capfd.readouterr() == ("", "")


def stored_frames(path: Path) -> np.ndarray:
    """The stored values of a file, which need not be placed anywhere."""
    with dicom_errors(path), CodecProcess() as codec:
        dataset = parse(path.read_bytes(), path)
        check_pixels(dataset, path)
        return np.stack(list(stored_values(dataset, path, codec)))


@pytest.mark.parametrize("number", range(1, 10))
def test_nine_encodings_of_one_picture_have_equal_pixels(number: int) -> None:
    folder = DATA / "mosaic_encodings"
    pixels = stored_frames(folder / "In" / f"{number}.dcm")[0]
    # The reference is the volume that dcm2niix cut the mosaic into: 35 slices of 64×64 in a square of 6×6, rows of
    # which were turned over.
    volume = np.asanyarray(nib.load(folder / "Ref" / f"{number}.nii").dataobj)
    tiles = pixels.reshape(6, 64, 6, 64).transpose(0, 2, 1, 3).reshape(36, 64, 64)[:35]
    np.testing.assert_array_equal(volume, tiles[:, ::-1].transpose(2, 1, 0))


@pytest.mark.parametrize("kind", ["_RLE", "_big_endian", "_jpeg_2k_lossless", "_jpeg_ls_lossless"])
def test_encodings_of_one_enhanced_file_have_equal_frames(kind: str) -> None:
    plain = stored_frames(DATA / "files" / "emri_small.dcm")
    assert plain.shape == (10, 64, 64)
    assert plain.max() > 400
    np.testing.assert_array_equal(stored_frames(DATA / "files" / f"emri_small{kind}.dcm"), plain)


def test_a_picture_behind_a_damaged_sequence_is_decoded() -> None:
    pixels = stored_frames(DATA / "files" / "bad_sequence.dcm")
    assert pixels.shape == (1, 512, 512)
    assert (pixels.min(), pixels.max()) == (13, 2267)


def test_every_case_is_tried() -> None:
    """All folders and files of the data set stand in one of the lists above."""
    folders = {path.parent.relative_to(DATA).as_posix() for path in DATA.glob("geometry/**/*.dcm")}
    single = {path.relative_to(DATA).as_posix() for path in DATA.glob("*/*.dcm")}
    single |= {path.relative_to(DATA).as_posix() for path in DATA.glob("mosaic_encodings/In/*")}
    tried = {f"geometry/{name}" for name in READABLE} | set(REFUSED) | {"files/eCT_Supplemental.dcm"}
    assert folders | single == tried


def test_series_are_found_by_their_headers() -> None:
    root = DATA / "geometry" / "generic" / "anatomical"
    assert recognize(root) == "holds DICOM files"
    with pytest.raises(DataError, match=r"has several series: “MR series 201”, “MR series 4”, “MR series 4”"):
        find_dicom_cases(root)
    finding = find_dicom_cases(root, parse_channels("t1=*201"))
    assert [case.patient for case in finding.cases] == ["dicom2nifti"]
    assert sorted(finding.cases[0].images["t1"].files) == sorted(files_in(root / "002_non_isotropic"))


def test_a_folder_of_mosaics_is_refused_as_such() -> None:
    with pytest.raises(DataError, match=r"no DICOM series that can be a volume; .* is a Siemens mosaic"):
        find_dicom_cases(DATA / "mosaic_encodings")
