"""Volumes on a patient's source grid, onto the slices of its cohort."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage

from data_prep.case import Case
from data_prep.cohort import Cohort, open_cohort
from data_prep.errors import DataError
from data_prep.patient import read_and_prepare
from data_prep.preparation import restore_volume
from data_prep.readers.nifti import read_nifti
from data_prep.regrid import slices_on_cohort_grid
from tests.data_prep.conftest import AFFINE

LESION = {4: 10, 5: 12, 6: 12, 7: 8}
ALL_ORIENTATIONS = [
    "".join(code)
    for order in permutations(("LR", "PA", "IS"))
    for code in product(*order)  # every order of the axes, every one in both directions
]
FIXED = {"intensity": "window", "intensity_window": (0, 4)}


def turned(degrees: float) -> np.ndarray:
    """An affine of (40, 48, 12) voxels of three different sizes, turned about the superior axis."""
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    affine = np.array([[c, -s, 0, 0], [s, c, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]) @ np.diag([-4, -4.5, 6, 1])
    affine[:3, 3] = [31.4, 57.1, -33]
    return affine


def reoriented(path: Path, codes: str, output: Path) -> Path:
    """A copy of a file that stores the same voxels at the same places in the world in another order.

    `codes` says where its axes run, from a file whose axes run to LPS as nearly as they can.
    """
    image = nib.load(path)
    order = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("LPS"), nib.orientations.axcodes2ornt(codes))
    array = nib.orientations.apply_orientation(np.asarray(image.dataobj), order)
    affine = image.affine @ nib.orientations.inv_ornt_aff(order, image.shape)
    nib.save(nib.Nifti1Image(array, affine), output)
    return output


def mask_of(case: Case) -> Path:
    assert case.mask
    return case.mask.files[0]


@pytest.fixture
def prepare(
    tmp_path: Path,
    make_case: Callable[..., Case],
    make_settings: Callable[..., Any],
    write_cohort: Callable[..., Path],
) -> Callable[..., tuple[Case, Cohort]]:
    """`prepare(affine=…, change=…, size=…, axis=…)`: a patient with a lesion, alone in its cohort."""

    def build(
        affine: np.ndarray = AFFINE, change: Callable[[Case], None] | None = None, **settings: object
    ) -> tuple[Case, Cohort]:
        case = make_case("patient", lesion=LESION, affine=affine)
        if change:
            change(case)
        return case, open_cohort(write_cohort(tmp_path / "cohort", [case], make_settings(**settings)))

    return build


def check_against_images(case: Case, cohort: Cohort) -> None:
    """Under `FIXED` an image is its source on the cohort's grid, but for a factor; its edge mixes with background."""
    found = slices_on_cohort_grid(read_nifti(case.images["flair"].files[0]), cohort, "patient")
    images = np.asarray(cohort.images("patient")[:, 0], np.float32)
    assert found.shape == images.shape
    inner = ndimage.binary_erosion(images > 0, np.ones((1, 3, 3)), iterations=2)
    assert inner.any(axis=(1, 2)).mean() > 0.5
    np.testing.assert_allclose(found[inner] / 4, images[inner], atol=1e-3)


def dice(some: np.ndarray, other: np.ndarray) -> float:
    return float(2 * (some & other).sum() / (some.sum() + other.sum()))


def test_the_lesion_mask_comes_out_where_the_cohort_has_it(prepare: Callable[..., tuple[Case, Cohort]]) -> None:
    case, cohort = prepare()
    found = slices_on_cohort_grid(read_nifti(mask_of(case)), cohort, "patient")
    # A prepared pixel is one of the source: both ways are exact.
    np.testing.assert_array_equal(found, cohort.masks("patient"))
    assert found.dtype == np.float32
    assert found.any()


@pytest.mark.parametrize(
    "settings",
    [
        {"size": (64, 80)},
        {"axis": "coronal"},
        {"axis": "sagittal", "size": (96, 64)},
        {"field_of_view_mm": "crop"},
        {"field_of_view_mm": 90.0},
        {"field_of_view_mm": "whole", "axis": "coronal"},
        {"spacing_mm": (3.0, 3.0, 3.0)},
        {"spacing_mm": (2.0, 5.0, 7.0), "axis": "coronal"},
        {"spacing_mm": (3.5, 4.0, 5.0), "axis": "sagittal", "size": (40, 64)},
    ],
    ids=str,
)
def test_a_volume_goes_the_way_of_the_images(
    prepare: Callable[..., tuple[Case, Cohort]], settings: dict[str, Any]
) -> None:
    case, cohort = prepare(affine=turned(20), **FIXED, **settings)
    check_against_images(case, cohort)
    found = slices_on_cohort_grid(read_nifti(mask_of(case)), cohort, "patient")
    assert dice(found > 2, cohort.masks("patient") > 0) > 0.85


@pytest.mark.parametrize("axis", ["axial", "coronal"])
def test_slices_dropped_as_blank_leave_gaps(prepare: Callable[..., tuple[Case, Cohort]], axis: str) -> None:
    def blank(case: Case) -> None:
        for source in case.images.values():
            image = nib.load(source.files[0])
            array = np.asarray(image.dataobj).copy()
            array[:, :, 5:7], array[:, 32:34] = 0, 0
            nib.save(nib.Nifti1Image(array, image.affine), source.files[0])

    case, cohort = prepare(change=blank, axis=axis, spacing_mm=(4.0, 4.0, 6.5), min_foreground_share=0.02, **FIXED)
    assert np.diff(cohort.slices["slice_index"]).max() > 1
    check_against_images(case, cohort)


@pytest.mark.parametrize("degrees", range(10, 22))
def test_a_grid_whose_size_rounds_at_a_half_is_the_same_again(
    prepare: Callable[..., tuple[Case, Cohort]], degrees: float
) -> None:
    # 40 voxels of 4 mm make 38.5 of these: the last bit of the recorded affine decides between 38 and 39.
    case, cohort = prepare(affine=turned(degrees), **FIXED, spacing_mm=(320 / 77, 4.5, 6.0))
    check_against_images(case, cohort)


@pytest.mark.parametrize("degrees", [0, 20, 45])
def test_the_order_in_which_a_file_stores_its_voxels_does_not_matter(
    prepare: Callable[..., tuple[Case, Cohort]], tmp_path: Path, degrees: float
) -> None:
    case, cohort = prepare(affine=turned(degrees), size=(64, 64))
    source = case.images["flair"].files[0]
    expected = slices_on_cohort_grid(read_nifti(source), cohort, "patient")
    assert len(set(ALL_ORIENTATIONS)) == 48
    for codes in ALL_ORIENTATIONS:
        copy = read_nifti(reoriented(source, codes, tmp_path / "copy.nii"))
        np.testing.assert_array_equal(slices_on_cohort_grid(copy, cohort, "patient"), expected, err_msg=codes)


@pytest.mark.parametrize("codes", ["RAS", "PIR", "SAL", "IRP", "LSA"])
@pytest.mark.parametrize("degrees", [0, 20])
def test_sources_of_any_orientation(
    prepare: Callable[..., tuple[Case, Cohort]], tmp_path: Path, codes: str, degrees: float
) -> None:
    def reorient(case: Case) -> None:
        for source in case.sources:
            reoriented(source.files[0], codes, source.files[0])

    case, cohort = prepare(affine=turned(degrees), change=reorient, axis="coronal")
    found = slices_on_cohort_grid(read_nifti(mask_of(case)), cohort, "patient")
    assert dice(found > 2, cohort.masks("patient") > 0) > 0.9


@pytest.mark.parametrize("settings", [{}, {"axis": "coronal"}, {"size": (64, 64)}], ids=str)
def test_maps_that_were_restored_to_the_source_come_back(
    prepare: Callable[..., tuple[Case, Cohort]], settings: dict[str, Any]
) -> None:
    case, cohort = prepare(**settings)
    preparation = cohort.settings.preparation
    volume, prepared = read_and_prepare(case, preparation)
    count, _, height, width = prepared.images.shape
    s, row, column = np.indices((count, height, width))
    maps = (2 + np.sin(9 * row / height) * np.cos(7 * column / width) + s / count).astype(np.float32)
    restored = restore_volume(maps, prepared, volume, preparation)
    found = slices_on_cohort_grid(replace(volume, channels=(restored,)), cohort, "patient")
    inside = cohort.images("patient")[:, 0] > 0
    np.testing.assert_allclose(found[inside], maps[inside], atol=0.05)


def test_nothing_lies_beyond_the_edge_of_the_source(prepare: Callable[..., tuple[Case, Cohort]]) -> None:
    case, cohort = prepare(field_of_view_mm=400.0)
    volume = read_nifti(case.images["flair"].files[0])
    ones = replace(volume, channels=(np.ones(volume.shape, np.float32),))
    found = slices_on_cohort_grid(ones, cohort, "patient")
    assert set(np.unique(found.round(6))) == {0, 1}
    # 160 by 192 mm of 400 by 400.
    assert found.mean() == pytest.approx(0.4 * 0.48, abs=0.03)


@pytest.mark.parametrize(
    ("shape", "affine", "message"),
    [
        ((40, 48, 11), AFFINE, r"has shape \(40, 48, 11\), but “patient_flair.nii.gz” has \(40, 48, 12\); write it"),
        (
            (40, 48, 12),
            turned(1),
            "has an affine that puts a corner .* mm away from where “patient_flair.nii.gz” has it",
        ),
        ((40, 48, 12), AFFINE[:, [1, 0, 2, 3]], r"has shape \(40, 48, 12\) along other directions than “patient_fla"),
        ((40, 48, 12), np.eye(4), "has an affine that puts a corner"),
    ],
    ids=["shape", "affine", "axes", "none"],
)
def test_another_grid_than_the_sources_is_refused(
    prepare: Callable[..., tuple[Case, Cohort]],
    write_image: Callable[..., Path],
    tmp_path: Path,
    shape: tuple[int, ...],
    affine: np.ndarray,
    message: str,
) -> None:
    _, cohort = prepare()
    path = write_image(tmp_path / "map.nii.gz", np.zeros(shape, np.float32), affine)
    with pytest.raises(DataError, match=rf"map\.nii\.gz: {message}"):
        slices_on_cohort_grid(read_nifti(path), cohort, "patient")


def test_a_damaged_table_is_named(prepare: Callable[..., tuple[Case, Cohort]]) -> None:
    case, cohort = prepare()
    broken = replace(cohort, patients=cohort.patients.assign(crop_box="[1, 2"))
    with pytest.raises(DataError, match="cohort: its tables are damaged where they tell of patient"):
        slices_on_cohort_grid(read_nifti(mask_of(case)), broken, "patient")
