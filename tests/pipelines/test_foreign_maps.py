"""Maps of other methods: which file is a patient's, and what it becomes on the cohort's slices."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

from data_prep.cohort import Cohort, open_cohort
from data_prep.errors import DataError
from pipelines.foreign_maps import find_map, read_map

DISEASED = ("P1", "P2", "P3", "P5", "P6", "P7")


@pytest.fixture
def cohort(tiny: Any) -> Cohort:
    return open_cohort(tiny.cohort)


@pytest.fixture
def maps(tmp_path: Path, tiny: Any) -> Path:
    """A folder with the lesion mask of each patient as its map."""
    folder = tmp_path / "maps"
    folder.mkdir()
    for patient in tiny.brats.iterdir():
        shutil.copy(patient / f"{patient.name}_seg.nii.gz", folder / f"{patient.name}.nii.gz")
    return folder


@pytest.fixture
def write_map(tmp_path: Path, tiny: Any) -> Callable[..., Path]:
    """`write_map(array)` writes a map of P1 on the grid of its source and returns the folder."""
    affine = nib.load(tiny.brats / "P1" / "P1_flair.nii.gz").affine

    def write(array: np.ndarray) -> Path:
        folder = tmp_path / "written"
        folder.mkdir()
        nib.save(nib.Nifti1Image(array, affine), folder / "P1.nii.gz")
        return folder

    return write


def lesion_of(tiny: Any, patient: str) -> np.ndarray:
    return np.asarray(nib.load(tiny.brats / patient / f"{patient}_seg.nii.gz").dataobj) > 0


def dice(some: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (some & other).sum() / (some.sum() + other.sum()))


@pytest.mark.parametrize("patient", DISEASED)
def test_a_map_lies_where_the_lesion_mask_lies(cohort: Cohort, maps: Path, patient: str) -> None:
    found, masks = read_map(maps, patient, cohort), cohort.masks(patient)
    assert found.dtype == np.float32
    assert found.shape == masks.shape == cohort.images(patient)[:, 0].shape
    assert dice(found > 1, masks > 0) > 0.9


@pytest.mark.parametrize("options", [["--axis", "coronal"], ["--spacing-mm", "1.2,1.3,3"]], ids=str)
def test_however_the_cohort_was_prepared(
    fpgan: Callable[..., Any], tiny: Any, maps: Path, tmp_path: Path, options: list[str]
) -> None:
    output = tmp_path / "cohort"
    result = fpgan("prepare", tiny.brats, "--output", output, "--size", 64, "--field-of-view-mm", 110, *options)
    assert result.exit_code == 0, result.output
    other = open_cohort(output)
    for patient in DISEASED:
        assert dice(read_map(maps, patient, other) > 1, other.masks(patient) > 0) > 0.85


def test_maps_are_smooth_where_masks_are_not(cohort: Cohort, maps: Path) -> None:
    assert len(np.unique(read_map(maps, "P1", cohort))) > 3  # not only 0, 2 and 4


def test_darker_and_brighter_than_healthy_count_alike(
    cohort: Cohort, tiny: Any, write_map: Callable[..., Path]
) -> None:
    lesion = lesion_of(tiny, "P1")
    # Neighbors of opposite signs would cancel if the absolute value were taken after resampling.
    signs = np.where(np.indices(lesion.shape).sum(axis=0) % 2, 0.5, -0.5).astype(np.float32)
    found = read_map(write_map(signs * lesion), "P1", cohort)
    assert found.min() >= 0
    assert dice(found > 0.25, cohort.masks("P1") > 0) > 0.9


@pytest.mark.parametrize("value", [1, 0.1, 255])
def test_equal_voxels_stay_equal(cohort: Cohort, write_map: Callable[..., Path], value: float) -> None:
    found = read_map(write_map(np.full((60, 72, 12), value, np.float32)), "P1", cohort)
    inside = found[np.asarray(cohort.images("P1"))[:, 0] > 0]
    assert len(np.unique(inside)) == 1
    assert inside[0] == pytest.approx(value, rel=1e-5)


def test_the_lowest_integer_has_an_absolute_value(cohort: Cohort, tiny: Any, write_map: Callable[..., Path]) -> None:
    folder = write_map(np.where(lesion_of(tiny, "P1"), np.int16(-32768), np.int16(0)))
    found = read_map(folder, "P1", cohort)
    assert found.max() == pytest.approx(32768)
    assert found.min() == 0


def test_volumes_that_report_wrote_are_found_and_read(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    result = fpgan("report", tiny.run, tiny.brats / "P1", "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    assert find_map(tmp_path / "reports", "P1") == tmp_path / "reports" / "P1" / "difference.nii.gz"
    found = read_map(tmp_path / "reports", "P1", open_cohort(tiny.cohort))
    assert found.max() > 0


def test_pictures_take_maps_of_one_millimeter_a_pixel(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    pixels = np.zeros((40, 48), np.uint8)
    for number in range(3):
        for domain in ("healthy", "diseased"):
            path = tmp_path / "pictures" / domain / f"{domain[0]}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels[8:32, 8:40] = random.integers(80, 120, (24, 32))
            pixels[10:16, 12:18] = 250
            Image.fromarray(pixels).save(path)
    options = ["--output", tmp_path / "cohort", "--size", 48, "--field-of-view-mm", "whole"]
    result = fpgan("prepare", tmp_path / "pictures", *options)
    assert result.exit_code == 0, result.output
    cohort = open_cohort(tmp_path / "cohort")
    bright = np.where(pixels == 250, np.float32(1), 0)
    # A picture's columns run to the left and its rows down, seen from the axes of the world.
    volume = nib.Nifti1Image(bright[::-1, ::-1].T[:, :, None], np.eye(4))
    nib.save(volume, tmp_path / "d0.nii.gz")
    found = read_map(tmp_path, "d0", cohort)
    np.testing.assert_array_equal(found[0] > 0.5, np.asarray(cohort.images("d0"))[0, 0] > 0.9)
    assert (found > 0.5).sum() == 36


@pytest.mark.parametrize(
    "names",
    [
        ["P.nii.gz", "P.nii", "P/difference.nii.gz"],
        ["P.nii", "P/difference.nii.gz"],
        ["P/difference.nii.gz", "P/healthy.nii.gz", "P/lesions.nii.gz"],
        ["P/anything.nii.gz", "P/notes.txt", "P/._anything.nii.gz"],
    ],
    ids=lambda names: names[0],
)
def test_the_first_name_that_exists_is_taken(tmp_path: Path, names: list[str]) -> None:
    place(tmp_path, *names, "Q.nii.gz", "PP.nii.gz")
    assert find_map(tmp_path, "P") == tmp_path / names[0]


@pytest.mark.parametrize(
    ("patient", "name"),
    [
        ("site/P", "site%2FP.nii.gz"),
        ("a:b", "a%3Ab.nii.gz"),
        ("a:b", "a:b.nii.gz"),
        ("50%", "50%25.nii.gz"),
        (".hidden", "%2Ehidden/difference.nii.gz"),
    ],
)
def test_names_that_no_file_can_have_are_written_as_the_cohort_writes_them(
    tmp_path: Path, patient: str, name: str
) -> None:
    place(tmp_path, name)
    assert find_map(tmp_path, patient) == tmp_path / name


@pytest.mark.parametrize(
    ("patient", "name"),
    [
        ("a%3Ab", "a%3Ab.nii.gz"),  # of the patient a:b
        ("P/difference", "P/difference.nii.gz"),  # of the patient P
        ("../P", "../P.nii.gz"),
        ("P", "p.txt"),
        ("P", "P/notes.txt"),
    ],
)
def test_the_map_of_another_patient_is_never_taken(tmp_path: Path, patient: str, name: str) -> None:
    folder = tmp_path / "maps"
    folder.mkdir()
    place(folder, name)
    assert find_map(folder, patient) is None


def test_several_volumes_of_a_patient_are_ambiguous(tmp_path: Path) -> None:
    place(tmp_path, "P/b.nii.gz", "P/a.nii.gz", "P/c.nii.gz")
    with pytest.raises(DataError, match=r"P: holds 3 volumes, a\.nii\.gz, b\.nii\.gz, …; name the map difference\.nii"):
        find_map(tmp_path, "P")


def test_a_missing_map_is_named(cohort: Cohort, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"^{tmp_path}: holds no map of P1; write P1\.nii\.gz there$"):
        read_map(tmp_path, "P1", cohort)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="none: is not a folder; give the one that holds a map for each patient"):
        find_map(tmp_path / "none", "P1")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_voxel_that_is_no_number_is_refused(cohort: Cohort, write_map: Callable[..., Path], value: float) -> None:
    array = np.zeros((60, 72, 12), np.float32)
    array[1, 2, 3] = value
    with pytest.raises(DataError, match=r"P1\.nii\.gz: holds NaN or infinite voxels"):
        read_map(write_map(array), "P1", cohort)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((60, 72, 12, 2), "must be one 3D volume, holds 2; keep the map alone"),
        ((60, 72), "must hold one three-dimensional image"),
        (
            (60, 72, 13),
            r"has shape \(60, 72, 13\), but “P1_flair\.nii\.gz” has \(60, 72, 12\); write it on the source's",
        ),
    ],
)
def test_another_shape_than_the_sources_is_refused(
    cohort: Cohort, write_map: Callable[..., Path], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(DataError, match=rf"P1\.nii\.gz: {message}"):
        read_map(write_map(np.zeros(shape, np.float32)), "P1", cohort)


def test_a_map_without_the_sources_geometry_is_refused(cohort: Cohort, tmp_path: Path) -> None:
    nib.save(nib.Nifti1Image(np.zeros((60, 72, 12), np.float32), np.eye(4)), tmp_path / "P1.nii.gz")
    with pytest.raises(
        DataError, match=r"P1\.nii\.gz: has an affine that puts a corner .* where “P1_flair\.nii\.gz” has it"
    ):
        read_map(tmp_path, "P1", cohort)


def test_a_file_cut_short_is_refused(cohort: Cohort, maps: Path) -> None:
    path = maps / "P1.nii.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:5000]))
    with pytest.raises(DataError, match=r"P1\.nii\.gz: "):
        read_map(maps, "P1", cohort)


def place(folder: Path, *names: str) -> None:
    """Empty files, with the folders that they lie in."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
