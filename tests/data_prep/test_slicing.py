"""Slices as a radiologist sees them, and back."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.slicing import SliceAxis, slice_spacing_mm, to_slices, to_volume

RIGHT, FRONT, TOP = 3, 4, 5
"""Last index of each axis of a RAS+ volume of shape (4, 5, 6)."""
AXES: tuple[SliceAxis, ...] = ("axial", "coronal", "sagittal")


@pytest.fixture
def volume() -> np.ndarray:
    return np.arange(4 * 5 * 6).reshape(4, 5, 6)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("lead", [(), (2,), (2, 3)])
def test_a_volume_is_rebuilt_from_its_slices(rng: np.random.Generator, axis: SliceAxis, lead: tuple[int, ...]) -> None:
    volume = rng.normal(size=(*lead, 4, 5, 6))
    np.testing.assert_array_equal(to_volume(to_slices(volume, axis), axis), volume)


@pytest.mark.parametrize("axis", AXES)
def test_slices_are_rebuilt_from_their_volume(rng: np.random.Generator, axis: SliceAxis) -> None:
    slices = rng.normal(size=(2, 4, 5, 6))
    np.testing.assert_array_equal(to_slices(to_volume(slices, axis), axis), slices)


def test_an_axial_slice_has_the_front_at_the_top_and_the_right_at_the_left(volume: np.ndarray) -> None:
    slices = to_slices(volume, "axial")
    assert slices.shape == (6, 5, 4)
    assert slices[2, 0, 0] == volume[RIGHT, FRONT, 2]
    assert slices[2, 0, -1] == volume[0, FRONT, 2]
    assert slices[2, -1, 0] == volume[RIGHT, 0, 2]


def test_a_coronal_slice_has_the_crown_at_the_top_and_the_right_at_the_left(volume: np.ndarray) -> None:
    slices = to_slices(volume, "coronal")
    assert slices.shape == (5, 6, 4)
    assert slices[2, 0, 0] == volume[RIGHT, 2, TOP]
    assert slices[2, -1, 0] == volume[RIGHT, 2, 0]


def test_a_sagittal_slice_has_the_crown_at_the_top_and_looks_to_the_left(volume: np.ndarray) -> None:
    slices = to_slices(volume, "sagittal")
    assert slices.shape == (4, 6, 5)
    assert slices[2, 0, 0] == volume[2, FRONT, TOP]
    assert slices[2, 0, -1] == volume[2, 0, TOP]


@pytest.mark.parametrize("axis", AXES)
def test_slicing_copies_nothing(volume: np.ndarray, axis: SliceAxis) -> None:
    assert np.shares_memory(to_slices(volume, axis), volume)


@pytest.mark.parametrize(
    ("axis", "expected"), [("axial", (5.0, 2.0, 1.0)), ("coronal", (2.0, 5.0, 1.0)), ("sagittal", (1.0, 5.0, 2.0))]
)
def test_spacing_follows_slices_rows_and_columns(axis: SliceAxis, expected: tuple[float, float, float]) -> None:
    assert slice_spacing_mm((1.0, 2.0, 5.0), axis) == expected
