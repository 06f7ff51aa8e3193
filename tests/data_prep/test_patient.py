"""One patient from files to arrays, and the files that cannot be used."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image
from pydantic import ValidationError

from data_prep.case import Case, Source
from data_prep.errors import DataError
from data_prep.patient import fingerprint, prepare_patient, read_and_prepare
from data_prep.settings import CohortSettings

LESION = {5: 6, 7: 3, 8: 8}
"""Slices 5 and 8 show 36 and 64 pixels of lesion, slice 7 only 9."""


def rewrite(path: Path, change: Callable[[np.ndarray], np.ndarray], move_mm: float = 0.0) -> None:
    """Replace a file's voxels, and move it along the first axis."""
    image = nib.load(path)
    affine = image.affine.copy()
    affine[0, 3] += move_mm
    nib.save(nib.Nifti1Image(change(np.asarray(image.dataobj)), affine), path)


def refusal(case: Case, settings: CohortSettings) -> str:
    with pytest.raises(DataError) as caught:
        prepare_patient(case, settings)
    return str(caught.value)


def test_slices_are_labeled_by_the_lesion_they_show(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    prepared = prepare_patient(make_case(lesion=LESION), make_settings())
    by_index = {row["slice_index"]: row for row in prepared.slices}
    assert {n: row["lesion_area_px"] for n, row in by_index.items() if row["lesion_area_px"]} == {5: 36, 7: 9, 8: 64}
    assert {n: row["domains"] for n, row in by_index.items() if row["row"] != "" and row["domains"] != "healthy"} == {
        5: "diseased",
        7: "",
        8: "diseased",
    }
    assert prepared.patient["domain"] == "diseased"
    assert prepared.patient["slices"] == len(prepared.images) == len(prepared.mask)
    kept = [row["row"] for row in prepared.slices if row["row"] != ""]
    assert kept == list(range(len(prepared.images)))
    assert [row["slice_index"] for row in prepared.slices] == list(range(12))


def test_arrays_have_the_types_and_ranges_of_the_cohort(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    prepared = prepare_patient(make_case(lesion=LESION, outside=-3.62), make_settings(size=(64, 64)))
    assert prepared.images.dtype == np.float16
    assert prepared.images.shape[1:] == (2, 64, 64)
    assert prepared.images.min() == 0
    assert prepared.images.max() <= 1
    assert prepared.images[0, 0, 0, 0] == 0
    assert prepared.mask.dtype == np.uint8
    assert np.unique(prepared.mask).tolist() == [0, 4]


def test_the_mask_lies_on_the_lesion_of_the_image(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    settings = make_settings(intensity_percentiles=(0.0, 100.0))
    prepared = prepare_patient(make_case(lesion=LESION), settings)
    np.testing.assert_array_equal(prepared.mask > 0, prepared.images[:, 0] == 1)  # the lesion is the brightest tissue


@pytest.mark.parametrize("flips", [(1, 1, -1), (-1, 1, 1)])
def test_slices_count_from_the_feet_however_the_file_lies(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], flips: tuple[int, int, int]
) -> None:
    affine = np.diag([4.0, 4.0, 6.0, 1.0]) * [*flips, 1]
    prepared = prepare_patient(make_case(lesion=LESION, affine=affine), make_settings())
    expected = [5, 7, 8] if flips[2] == 1 else [11 - 8, 11 - 7, 11 - 5]
    assert [row["slice_index"] for row in prepared.slices if row["lesion_area_px"]] == expected


def test_a_patient_without_lesion_is_healthy(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    assert prepare_patient(make_case(), make_settings()).patient["domain"] == "healthy"


def test_preparing_twice_gives_the_same(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case, settings = make_case(lesion=LESION), make_settings(size=(64, 64))
    first, second = prepare_patient(case, settings), prepare_patient(case, settings)
    assert first.images.tobytes() == second.images.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()
    assert json.dumps([first.patient, first.slices]) == json.dumps([second.patient, second.slices])


def test_the_row_of_a_patient_tells_where_it_came_from(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case = make_case(lesion=LESION)
    row = prepare_patient(case, make_settings()).patient
    assert row["sources"] == {name: str(source.files[0]) for name, source in case.images.items()}
    files = [source.files[0] for source in case.images.values()]
    assert row["sha256"] == [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]
    assert row["source_shape"] == [40, 48, 12]
    np.testing.assert_allclose(row["source_affine"], nib.load(case.mask.files[0]).affine)
    assert row["crop_box"] == [0, -4, 48, 48]  # 48 rows are there, 40 columns are padded by 4 on either side
    assert len(row["scales"]) == 2
    assert row["slices"] + row["blank_slices"] == 12


def test_channels_are_read_in_the_order_of_the_case(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case, preparation = make_case(), make_settings().preparation
    backwards = replace(case, images=dict(reversed(case.images.items())))
    there, back = read_and_prepare(case, preparation)[0], read_and_prepare(backwards, preparation)[0]
    np.testing.assert_array_equal(back.array, there.array[::-1])


@pytest.mark.parametrize("role", ["flair", "t1", "seg"])
@pytest.mark.parametrize("damage", ["missing", "truncated", "random", "NaN", "two volumes", "complex"])
def test_a_bad_file_of_any_role_is_refused_by_its_path(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], role: str, damage: str
) -> None:
    case = make_case(lesion=LESION)
    path = (case.mask if role == "seg" else case.images[role]).files[0]
    if damage == "missing":
        path.unlink()
    elif damage == "truncated":
        path.write_bytes(path.read_bytes()[:-500])
    elif damage == "random":
        path.write_bytes(np.random.default_rng(0).bytes(3000))
    elif damage == "NaN":
        rewrite(path, lambda array: np.where(array > 0, np.nan, 0).astype(np.float32))
    elif damage == "two volumes":
        rewrite(path, lambda array: np.stack([array, array], axis=-1))
    else:
        rewrite(path, lambda array: array.astype(np.complex64))
    assert refusal(case, make_settings()).startswith(f"{path}: ")


@pytest.mark.parametrize("role", ["flair", "t1"])
@pytest.mark.parametrize("value", [0, 7])
def test_a_constant_image_is_refused_by_its_path(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], role: str, value: float
) -> None:
    case = make_case(lesion=LESION)
    rewrite(case.images[role].files[0], lambda array: np.full_like(array, value))
    message = refusal(case, make_settings())
    assert message.startswith(f"{case.images[role].files[0]}: ")
    assert f"every voxel is {value}" in message


def test_a_mask_of_another_shape_is_refused(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case = make_case(lesion=LESION)
    rewrite(case.mask.files[0], lambda array: array[..., :-1])
    message = refusal(case, make_settings())
    assert message.startswith(f"{case.mask.files[0]}: ")
    assert "(40, 48, 11)" in message
    assert "(40, 48, 12)" in message


@pytest.mark.parametrize("role", ["seg", "t1"])
def test_a_file_with_another_affine_is_refused_beyond_a_thousandth_of_a_millimeter(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], role: str
) -> None:
    case = make_case(lesion=LESION)
    path = (case.mask if role == "seg" else case.images[role]).files[0]
    rewrite(path, lambda array: array, move_mm=0.0005)
    prepare_patient(case, make_settings())
    rewrite(path, lambda array: array, move_mm=0.002)
    assert refusal(case, make_settings()).startswith(f"{path}: ")


@pytest.mark.parametrize("value", [0.5, -1, 256])
def test_a_mask_without_whole_labels_is_refused(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], value: float
) -> None:
    case = make_case(lesion=LESION)
    rewrite(case.mask.files[0], lambda array: np.where(array > 0, value, 0).astype(np.float32))
    message = refusal(case, make_settings())
    assert message.startswith(f"{case.mask.files[0]}: ")
    assert "whole labels from 0 to 255" in message


def test_whole_labels_may_be_stored_as_floats(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case = make_case(lesion=LESION)
    before = prepare_patient(case, make_settings()).mask
    rewrite(case.mask.files[0], lambda array: array.astype(np.float64))
    np.testing.assert_array_equal(prepare_patient(case, make_settings()).mask, before)


def test_a_patient_without_mask_is_refused(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    assert "has no lesion mask and no label" in refusal(replace(make_case(), mask=None), make_settings())


def test_a_fingerprint_follows_files_and_settings(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case = make_case()
    mark = fingerprint(case, make_settings())
    assert fingerprint(case, make_settings()) == mark
    assert fingerprint(case, make_settings(split_seed=3, split_shares=(0.5, 0.25, 0.25))) == mark
    assert fingerprint(case, make_settings(min_lesion_area_px=20)) != mark
    assert fingerprint(case, make_settings(size=(64, 64))) != mark
    assert fingerprint(replace(case, mask=None), make_settings()) != mark
    os.utime(case.images["t1"].files[0], (1, 1))
    assert fingerprint(case, make_settings()) != mark


@pytest.mark.parametrize(
    "change",
    [{"min_lesion_area_px": -1}, {"split_seed": -1}, {"split_shares": (0.5, 0.2, 0.2)}, {"folds": 2}, {"fold": 5}],
)
def test_unusable_settings_are_refused(make_settings: Callable[..., CohortSettings], change: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(change))):
        make_settings(**change)


def test_a_mask_stored_in_another_order_is_the_same_mask(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    case = make_case(lesion=LESION)
    before = prepare_patient(case, make_settings())
    assert case.mask is not None
    path = case.mask.files[0]
    image = nib.as_closest_canonical(nib.load(path))
    nib.save(image, path)
    after = prepare_patient(case, make_settings())
    np.testing.assert_array_equal(after.mask, before.mask)
    assert after.slices == before.slices


def test_a_lesion_that_resampling_steps_over_still_makes_a_slice_not_healthy(
    tmp_path: Path, write_image: Callable[..., Path], make_settings: Callable[..., CohortSettings]
) -> None:
    image, mask = np.zeros((90, 90, 20), np.int16), np.zeros((90, 90, 20), np.uint8)
    image[10:80, 10:80, 2:18] = np.random.default_rng(0).integers(100, 200, (70, 70, 16))
    mask[44:46, 44:46, 6:12] = 1  # between the voxels 43 and 46 that samples of 3 mm fall on
    source = {
        name: Source(format="nifti", files=(write_image(tmp_path / f"{name}.nii.gz", array, np.eye(4)),))
        for name, array in (("flair", image), ("seg", mask))
    }
    case = Case(patient="P", images={"flair": source["flair"]}, mask=source["seg"])
    for spacing_mm, suspicious in (((3, 3, 1), range(6, 12)), ((1, 1, 2), range(3, 6)), ((1, 1, 3), range(1, 5))):
        settings = make_settings(channels=("flair",), spacing_mm=spacing_mm, min_lesion_area_px=0, field_of_view_mm=90)
        rows = [row for row in prepare_patient(case, settings).slices if row["row"] != ""]
        assert {row["slice_index"] for row in rows if row["domains"] != "healthy"} >= set(suspicious) - {1}


def test_labels_of_single_slices_go_before_those_of_the_patient(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings]
) -> None:
    given = {"5": ("diseased",), "6": None}
    case = replace(make_case(lesion=LESION), domains=("healthy",), slice_domains=given)
    rows = {row["slice_index"]: row for row in prepare_patient(case, make_settings()).slices if row["row"] != ""}
    assert rows[5]["domains"] == "diseased"
    assert (rows[6]["domains"], rows[6]["reason"]) == ("", "no label")
    assert {row["domains"] for index, row in rows.items() if index not in (5, 6)} == {"healthy"}


@pytest.mark.parametrize("name", ["12", "-1", "05", "IM7.dcm"])
def test_a_label_of_a_slice_that_is_not_there_is_refused(
    make_case: Callable[..., Case], make_settings: Callable[..., CohortSettings], name: str
) -> None:
    message = refusal(replace(make_case(), slice_domains={name: ("diseased",)}), make_settings())
    assert f"labels name a slice {name!r}; axial slices are named 0 to 11" in message


def test_names_of_pictures_name_slices_along_their_own_axis_only(
    tmp_path: Path, make_settings: Callable[..., CohortSettings]
) -> None:
    for number in range(40):
        values = np.random.default_rng(number).integers(1, 255, (40, 40)).astype(np.uint8)
        Image.fromarray(values).save(tmp_path / f"s{number}.png")
    files = tuple(sorted(tmp_path.iterdir()))
    source = Source(format="picture", files=files)
    case = Case(patient="P", images={"gray": source}, domains=("healthy",), slice_domains={"s7.png": ("diseased",)})
    whole = {"channels": ("gray",), "field_of_view_mm": "whole", "foreground": "all", "intensity": "none"}
    rows = prepare_patient(case, make_settings(**whole)).slices
    assert [row["slice_index"] for row in rows if row["domains"] == "diseased"] == [7]
    message = refusal(case, make_settings(**whole, axis="coronal"))
    assert message.endswith("labels name a slice 's7.png'; coronal slices are named 0 to 39")


def test_a_mask_may_be_a_picture_of_labels(tmp_path: Path, make_settings: Callable[..., CohortSettings]) -> None:
    values = np.random.default_rng(0).integers(1, 255, (48, 48)).astype(np.uint8)
    labels = np.zeros((48, 48), np.uint8)
    labels[10:20, 5:15] = 1
    sources = {}
    for name, array in (("image", values), ("mask", labels)):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
        sources[name] = Source(format="picture", files=(tmp_path / f"{name}.png",))
    case = Case(patient="P", images={"gray": sources["image"]}, mask=sources["mask"])
    whole = {"channels": ("gray",), "field_of_view_mm": "whole", "foreground": "all", "intensity": "none"}
    prepared = prepare_patient(case, make_settings(**whole))
    np.testing.assert_array_equal(prepared.mask, labels[None])


def test_a_fingerprint_follows_the_role_of_a_file_and_the_frames_of_a_video(
    tmp_path: Path, make_settings: Callable[..., CohortSettings]
) -> None:
    path = tmp_path / "a"
    path.touch()
    video = Source(format="video", files=(path,))
    case = Case(patient="P", images={"gray": video})
    marks = {
        fingerprint(changed, make_settings())
        for changed in (
            case,
            replace(case, images={"gray": replace(video, frames_per_second=2.0)}),
            replace(case, mask=video),
            replace(case, foreground=video),
        )
    }
    assert len(marks) == 4
