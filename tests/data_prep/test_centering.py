"""The window around the patient: there, and back to the same pixels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data_prep.centering import FieldOfView, Window
from data_prep.centering import center_window as center_window_on_box
from data_prep.foreground import bounding_box

ROWS, COLUMNS = 90, 70


@pytest.fixture
def foreground() -> np.ndarray:
    """Three slices; the patient fills rows 20 to 79 and columns 5 to 54."""
    result = np.zeros((3, ROWS, COLUMNS), bool)
    result[1, 20:80, 5:55] = True
    result[2, 40:50, 20:30] = True
    return result


def center_window(
    foreground: np.ndarray, pixel_mm: tuple[float, float], field_of_view: FieldOfView, size: tuple[int, int]
) -> Window:
    box = bounding_box(foreground)
    assert box is not None
    return center_window_on_box((box[1], box[2]), pixel_mm, field_of_view, size, (ROWS, COLUMNS))


def block(rows: slice, columns: slice, dtype: type = np.float32) -> np.ndarray:
    result = np.zeros((2, ROWS, COLUMNS), dtype)
    result[1, rows, columns] = 1
    return result


def center_of_mass(image: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(image.shape)
    return float((rows * image).sum() / image.sum()), float((columns * image).sum() / image.sum())


WINDOWS = {
    "reduced": ((1.0, 1.0), 80.0, (40, 40)),
    "enlarged": ((1.0, 1.0), 80.0, (128, 128)),
    "odd factor": ((1.0, 1.0), 80.0, (64, 64)),
    "over every edge": ((1.0, 1.0), 120.0, (64, 64)),
    "tall pixels": ((2.0, 0.8), 130.0, (64, 64)),
    "wide pixels": ((0.7, 1.9), 110.0, (96, 96)),
    "a wide rectangle": ((1.0, 1.0), 100.0, (64, 96)),
    "a tall rectangle": ((1.0, 1.0), 84.0, (96, 64)),
}


@pytest.mark.parametrize("name", WINDOWS)
def test_a_bright_block_comes_back_to_the_same_pixels(
    see: Callable[..., np.ndarray], foreground: np.ndarray, name: str
) -> None:
    window = center_window(foreground, *WINDOWS[name])
    bright = block(slice(36, 52), slice(18, 32))

    seen = see(window, bright)
    restored = window.invert(seen)

    assert seen.shape == (2, *WINDOWS[name][2])
    assert restored.shape == bright.shape
    assert not seen[0].any()
    assert center_of_mass(restored[1]) == pytest.approx(center_of_mass(bright[1]), abs=0.05)
    wrong = (restored > 0.5) != (bright > 0.5)
    assert wrong.sum() <= 30  # half of the block's outline, which is 60 pixels long
    assert not wrong[1, 39:49, 21:29].any()


@pytest.mark.parametrize("name", WINDOWS)
def test_labels_keep_their_values(foreground: np.ndarray, name: str) -> None:
    window = center_window(foreground, *WINDOWS[name])
    labels = np.zeros((2, ROWS, COLUMNS), np.uint8)
    labels[1, 36:52, 18:25], labels[1, 36:52, 25:32], labels[1, 40:44, 20:30] = 1, 4, 2
    seen = window.apply_to_labels(labels)
    restored = window.invert(seen, smooth=False)
    for array in (seen, restored):
        assert array.dtype == np.uint8
        assert np.unique(array).tolist() == [0, 1, 2, 4]
    assert (restored != labels).mean() < 0.01


@pytest.mark.parametrize("smooth", [True, False])
def test_nothing_is_resampled_when_size_and_window_agree(
    see: Callable[..., np.ndarray], foreground: np.ndarray, smooth: bool
) -> None:
    window = center_window(foreground, (1.5, 1.5), 96.0, (64, 64))
    assert (window.height, window.width) == (64, 64)
    values = np.random.default_rng(0).uniform(size=foreground.shape).astype(np.float32)
    inside = values * foreground
    np.testing.assert_array_equal(window.invert(see(window, inside), smooth=smooth), inside)
    labels = (255 * inside).astype(np.uint8)
    np.testing.assert_array_equal(window.invert(window.apply_to_labels(labels), smooth=False), labels)


def test_a_window_over_the_edge_sees_zeros_there_and_returns_the_rest(see: Callable[..., np.ndarray]) -> None:
    window = Window(top=-10, left=40, height=32, width=48, source_shape=(ROWS, COLUMNS), size=(32, 48))
    ones = np.ones((1, ROWS, COLUMNS), np.float32)
    seen = see(window, ones)
    assert seen.sum() == 22 * 30
    assert seen[0, 10:, :30].all()
    restored = window.invert(np.ones_like(seen))
    assert restored.sum() == 22 * 30
    assert restored[0, :22, 40:].all()


def test_the_foreground_is_centered(foreground: np.ndarray) -> None:
    window = center_window(foreground, (1.0, 1.0), 80.0, (64, 64))
    # Rows 20 to 79 have 10 pixels to spare on either side, columns 5 to 54 have 15.
    assert (window.top, window.left, window.height, window.width) == (10, -10, 80, 80)


def test_the_longer_side_is_the_field_of_view_and_the_other_keeps_the_aspect(foreground: np.ndarray) -> None:
    window = center_window(foreground, (2.0, 0.5), 100.0, (96, 48))
    assert (window.height * 2.0, window.width * 0.5) == (100, 50)


def test_a_shape_keeps_its_proportions_when_pixels_are_not_square(
    see: Callable[..., np.ndarray], foreground: np.ndarray
) -> None:
    # 10 rows of 2 mm and 25 columns of 0.8 mm: a square of 20 mm.
    window = center_window(foreground, (2.0, 0.8), 64.0, (64, 64))
    square = see(window, block(slice(40, 50), slice(15, 40)))[1] > 0.5
    assert abs(int(square.any(axis=1).sum()) - 20) <= 1
    assert abs(int(square.any(axis=0).sum()) - 20) <= 1


def test_reducing_averages_instead_of_picking_pixels(see: Callable[..., np.ndarray]) -> None:
    checkers = np.indices((1, 64, 64)).sum(axis=0).astype(np.float32) % 2
    window = Window(top=0, left=0, height=64, width=64, source_shape=(64, 64), size=(32, 32))
    np.testing.assert_allclose(see(window, checkers), 0.5, atol=0.02)


def test_pixels_cut_off_counts_what_the_window_does_not_see(
    see: Callable[..., np.ndarray], foreground: np.ndarray
) -> None:
    whole = center_window(foreground, (1.0, 1.0), 80.0, (64, 64))
    assert whole.pixels_cut_off(foreground) == 0
    narrow = center_window(foreground, (1.0, 1.0), 40.0, (64, 64))
    # The middle 40 of 60 rows and of 50 columns are seen; the small block lies within them.
    assert narrow.pixels_cut_off(foreground) == 60 * 50 - 40 * 40


def test_no_slices_give_no_images(see: Callable[..., np.ndarray]) -> None:
    window = Window(top=0, left=0, height=40, width=40, source_shape=(ROWS, COLUMNS), size=(32, 48))
    assert see(window, np.zeros((0, ROWS, COLUMNS), np.float32)).shape == (0, 32, 48)
    assert window.invert(np.zeros((0, 32, 48), np.float32)).shape == (0, ROWS, COLUMNS)


@pytest.mark.parametrize("name", WINDOWS)
def test_what_lies_outside_the_shown_part_is_as_if_it_were_resampled(
    see: Callable[..., np.ndarray], foreground: np.ndarray, name: str
) -> None:
    window = center_window(foreground, *WINDOWS[name])
    values = np.where(foreground, np.random.default_rng(0).uniform(1, 2, foreground.shape), 0.25).astype(np.float32)
    whole = see(window, values, outside=0.25)
    part = np.full_like(whole, 0.25)
    for place, there in window.apply(values, (slice(20, 80), slice(5, 55)), outside=0.25):
        part[place] = there
    np.testing.assert_allclose(part, whole, atol=1e-5)


def test_many_slices_at_once_are_the_same_as_one_by_one(see: Callable[..., np.ndarray]) -> None:
    window = Window(top=3, left=-4, height=70, width=80, source_shape=(ROWS, COLUMNS), size=(48, 64))
    values = np.random.default_rng(0).uniform(size=(70, ROWS, COLUMNS)).astype(np.float32)
    together = see(window, values)
    for index in (0, 31, 32, 69):
        np.testing.assert_array_equal(see(window, values[index : index + 1])[0], together[index])


def test_values_are_clipped_before_they_are_averaged() -> None:
    window = Window(top=0, left=0, height=64, width=64, source_shape=(64, 64), size=(32, 32))
    spike = np.zeros((1, 64, 64), np.int16)
    spike[0, 20, 20] = 30_000
    ((_, seen),) = window.apply(spike, (slice(0, 64), slice(0, 64)), limits=(0, 1))
    assert 0 < seen.max() < 1


def test_crop_takes_source_pixels_as_they_are(see: Callable[..., np.ndarray], foreground: np.ndarray) -> None:
    window = center_window(foreground, (0.7, 1.9), "crop", (32, 40))
    # The middle of rows 20 to 79 and of columns 5 to 54.
    assert (window.top, window.left, window.height, window.width) == (34, 10, 32, 40)
    values = np.random.default_rng(0).uniform(size=foreground.shape).astype(np.float32)
    np.testing.assert_array_equal(see(window, values), values[:, 34:66, 10:50])


@pytest.mark.parametrize("size", [(64, 64), (32, 96), (200, 100)])
@pytest.mark.parametrize("pixel_mm", [(1.0, 1.0), (2.0, 0.8)])
def test_whole_holds_the_whole_slice_and_keeps_its_shape(
    see: Callable[..., np.ndarray], foreground: np.ndarray, size: tuple[int, int], pixel_mm: tuple[float, float]
) -> None:
    window = center_window(foreground, pixel_mm, "whole", size)
    assert window.pixels_cut_off(np.ones_like(foreground)) == 0
    seen = see(window, np.ones((1, ROWS, COLUMNS), np.float32))[0]
    height, width = (seen.max(axis=1) > 0.5).sum(), (seen.max(axis=0) > 0.5).sum()
    expected = ROWS * pixel_mm[0] / (COLUMNS * pixel_mm[1])
    assert height / width == pytest.approx(expected, rel=0.08)
    assert height >= size[0] - 2 or width >= size[1] - 2
