"""Volumes, their source grids, and joining channels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.volume import SourceGrid, Volume, stack_channels

SHAPE = (4, 5, 6)


def grid(affine: np.ndarray, name: str = "patient_flair.nii", shape: tuple[int, int, int] = SHAPE) -> SourceGrid:
    return SourceGrid(path=Path("folder") / name, sha256="", shape=shape, affine=affine)


def volume(value: float, affine: np.ndarray, name: str, shape: tuple[int, int, int] = SHAPE) -> Volume:
    channel = np.full(shape, value, np.float32)
    source = grid(affine, name, shape)
    return Volume(channels=(channel,), affine=affine, source=source, paths=(Path(name),), sha256=(name,))


def moved(affine: np.ndarray, *by_mm: float) -> np.ndarray:
    return nib.affines.from_matvec(np.eye(3), by_mm) @ affine


def test_channels_of_different_shapes_are_an_error() -> None:
    channels = (np.zeros(SHAPE), np.zeros((4, 5, 7)))
    with pytest.raises(ValueError, match=r"must be \(I, J, K\) arrays of one shape"):
        Volume(channels=channels, affine=np.eye(4), source=grid(np.eye(4)), paths=(), sha256=())


def test_turning_to_ras_copies_nothing_and_from_ras_leads_back(rng: np.random.Generator) -> None:
    affine = np.array([[0.0, -2, 0, 9], [0, 0, 3, 4], [1, 0, 0, -7], [0, 0, 0, 1]])  # up, left, forward
    stored = rng.integers(0, 9, (1, 4, 5, 6)).astype(np.int16)
    source = grid(affine, shape=(4, 5, 6))
    turned = Volume.from_file_order(stored, source)
    assert turned.shape == (5, 6, 4)
    assert np.shares_memory(turned.channels[0], stored)
    np.testing.assert_array_equal(source.from_ras(turned.channels[0]), stored[0])
    # One voxel, followed by hand: file (3, 1, 2) lies at (-2 * 1 + 9, 3 * 2 + 4, 3 - 7).
    where = np.linalg.inv(turned.affine) @ [7, 10, -4, 1]
    assert turned.channels[0][tuple(np.round(where[:3]).astype(int))] == stored[0, 3, 1, 2]


def test_spacing_of_a_turned_grid_is_measured_along_its_axes() -> None:
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    affine = nib.affines.from_matvec(turn @ np.diag([0.5, 2, 5]), [1, 2, 3])
    assert volume(0, affine, "patient_t1.nii").spacing_mm == pytest.approx((0.5, 2, 5))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_from_ras_keeps_values_and_type(rng: np.random.Generator, dtype: type) -> None:
    # File axes run to the left, the back and the top: two reversals lead back.
    array = rng.integers(0, 5, SHAPE).astype(dtype)
    in_file_order = grid(np.diag([-1.0, -1, 3, 1])).from_ras(array)
    assert in_file_order.dtype == array.dtype
    np.testing.assert_array_equal(in_file_order, array[::-1, ::-1])


def test_from_ras_reorders_axes() -> None:
    # File axes run up, right and forward, so its shape is (S, R, A).
    affine = np.array([[0.0, 2, 0, 0], [0, 0, 3, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    array = np.arange(2 * 3 * 4).reshape(2, 3, 4)
    stored = grid(affine, shape=(4, 2, 3)).from_ras(array)
    np.testing.assert_array_equal(stored, array.transpose(2, 0, 1))


def on_grid(affine: np.ndarray, shape: tuple[int, int, int] = SHAPE) -> Volume:
    return Volume.from_file_order(np.zeros((1, *shape), np.uint8), grid(affine, shape=shape))


def test_grids_within_a_thousandth_of_a_millimeter_are_the_same() -> None:
    affine = np.diag([2.0, 2, 3, 1])
    assert on_grid(moved(affine, 0.0009, 0, -0.0009)).difference_from(on_grid(affine)) is None


def test_grids_further_apart_differ_by_a_distance() -> None:
    affine = np.diag([2.0, 2, 3, 1])
    difference = on_grid(moved(affine, 0, 0.0012, 0)).difference_from(on_grid(affine))
    assert difference is not None
    assert "0.0012 mm" in difference
    assert "patient_flair.nii" in difference


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_spacing_error_that_adds_up_over_the_image_is_a_difference(axis: int) -> None:
    # 0.0005 mm a voxel is 0.0015 mm or more after the three to five steps along an axis.
    affine = np.diag([2.0, 2, 3, 1])
    stretched = affine.copy()
    stretched[axis, axis] += 0.0005
    assert on_grid(stretched).difference_from(on_grid(affine)) is not None


def test_the_order_in_which_files_store_voxels_is_no_difference() -> None:
    # The same 4 by 5 by 6 voxels, stored from the left and the top, and with the second axis first.
    affine = np.diag([2.0, 2, 3, 1])
    turned = affine @ np.array([[0, -1, 0, 3], [1, 0, 0, 0], [0, 0, -1, 5], [0, 0, 0, 1.0]])
    assert on_grid(turned, shape=(5, 4, 6)).difference_from(on_grid(affine)) is None


def test_other_voxels_along_the_same_directions_are_a_difference() -> None:
    lying = np.array([[0.0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    assert "other directions" in str(on_grid(lying).difference_from(on_grid(np.eye(4))))


def test_grids_of_other_shape_differ_by_shape() -> None:
    assert on_grid(np.eye(4), shape=(4, 5, 7)).difference_from(on_grid(np.eye(4))) == (
        "shape (4, 5, 7), but “patient_flair.nii” has (4, 5, 6)"
    )


def test_channels_are_joined_in_order() -> None:
    names = ("patient_flair.nii", "patient_t1.nii", "patient_t2.nii")
    joined = stack_channels([volume(n, np.eye(4), name) for n, name in enumerate(names)])
    assert joined.array.shape == (3, *SHAPE)
    assert joined.array[:, 0, 0, 0].tolist() == [0, 1, 2]
    assert joined.source.path.name == "patient_flair.nii"
    assert joined.sha256 == names


@pytest.mark.parametrize(
    "other",
    [
        volume(1, np.eye(4), "patient_t1.nii", shape=(4, 5, 7)),
        volume(1, moved(np.eye(4), 1, 0, 0), "patient_t1.nii"),
    ],
    ids=["shape", "affine"],
)
def test_a_channel_on_another_grid_is_refused_by_its_path(other: Volume) -> None:
    with pytest.raises(DataError) as caught:
        stack_channels([volume(0, np.eye(4), "patient_flair.nii"), other])
    assert str(caught.value).startswith("patient_t1.nii: ")


def test_a_source_is_immutable() -> None:
    source = grid(np.eye(4))
    with pytest.raises(AttributeError):
        source.shape = (1, 1, 1)  # type: ignore[misc]
    assert replace(source, units=10).units == 10
