"""Difference maps and their clean-up against a loop over pixels and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from evaluation.difference import Reduction, clean_map, difference_map, foreground_of, signed_difference_map

REDUCTIONS: list[Reduction] = ["max", "mean", 0, 1]


def random_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Images (3, 2, 5, 4) with much exact background, and translations that change the background too."""
    rng = np.random.default_rng(seed)
    images = rng.random((3, 2, 5, 4), dtype=np.float32)
    images[rng.random(images.shape) < 0.5] = 0.0
    return images, rng.random(images.shape, dtype=np.float32)


def slow_signed(images: np.ndarray, healthy: np.ndarray, place: tuple[int, int, int]) -> list[float]:
    """x − G(x, healthy) of every channel at one place, all 0 where no channel shows anything."""
    s, h, w = place
    channels = range(images.shape[1])
    if all(images[s, c, h, w] == 0 for c in channels):
        return [0.0 for _ in channels]
    return [float(images[s, c, h, w]) - float(healthy[s, c, h, w]) for c in channels]


def slow_reduction(changes: list[float], reduction: Reduction) -> float:
    if reduction == "max":
        return max(changes, key=abs)
    return sum(changes) / len(changes) if reduction == "mean" else changes[int(reduction)]


@pytest.mark.parametrize("seed", range(5))
def test_foreground_is_where_any_channel_is_not_zero(seed: int) -> None:
    images, _ = random_pair(seed)
    foreground = foreground_of(images)
    assert foreground.dtype == bool
    for s, h, w in np.ndindex(3, 5, 4):
        assert foreground[s, h, w] == (images[s, 0, h, w] != 0 or images[s, 1, h, w] != 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_difference_map_agrees_with_loop(seed: int, reduction: Reduction) -> None:
    images, healthy = random_pair(seed)
    result = difference_map(images, healthy, reduction=reduction)
    assert result.shape == (3, 5, 4)
    assert result.dtype == np.float32
    for place in np.ndindex(3, 5, 4):
        changes = [abs(change) for change in slow_signed(images, healthy, place)]
        assert result[place] == pytest.approx(slow_reduction(changes, reduction), abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_signed_map_agrees_with_loop(seed: int, reduction: Reduction) -> None:
    images, healthy = random_pair(seed)
    result = signed_difference_map(images, healthy, reduction=reduction)
    assert result.shape == (3, 5, 4)
    assert result.dtype == np.float32
    for place in np.ndindex(3, 5, 4):
        expected = slow_reduction(slow_signed(images, healthy, place), reduction)
        assert result[place] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("reduction", ["max", 0, 1])
def test_absolute_signed_map_is_the_difference_map(reduction: Reduction) -> None:
    images, healthy = random_pair(11)
    signed = signed_difference_map(images, healthy, reduction=reduction)
    np.testing.assert_array_equal(np.abs(signed), difference_map(images, healthy, reduction=reduction))


def test_of_channels_that_differ_equally_the_first_gives_the_sign() -> None:
    images = np.full((1, 3, 1, 1), 0.5)
    healthy = np.array([[[[0.5]], [[0.75]], [[0.25]]]])  # 0, −1/4 and 1/4
    assert signed_difference_map(images, healthy)[0, 0, 0] == -1 / 4
    assert signed_difference_map(images[:, ::-1], healthy[:, ::-1])[0, 0, 0] == 1 / 4


def test_one_channel_is_the_map_of_that_channel_inside_the_foreground_of_all() -> None:
    images = np.array([[[[0.5, 0.0, 0.0]], [[0.0, 0.5, 0.0]]]])
    healthy = np.array([[[[0.25, 0.25, 1.0]], [[0.75, 0.5, 1.0]]]])
    # The second pixel shows the patient in the other channel alone; the third is background in both.
    np.testing.assert_array_equal(difference_map(images, healthy, reduction=0), [[[1 / 4, 1 / 4, 0]]])
    np.testing.assert_array_equal(signed_difference_map(images, healthy, reduction=1), [[[-3 / 4, 0, 0]]])


@pytest.mark.parametrize("function", [difference_map, signed_difference_map])
@pytest.mark.parametrize("reduction", ["median", 2, -1, 1.0])
def test_impossible_reduction_is_refused(function: Callable[..., Any], reduction: Any) -> None:
    with pytest.raises(ValueError, match="`reduction` must be 'max', 'mean' or a channel below 2, got"):
        function(*random_pair(0), reduction=reduction)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("function", [difference_map, signed_difference_map])
def test_map_moves_with_the_images(function: Callable[..., Any], reduction: Reduction) -> None:
    images, healthy = random_pair(3)
    whole = function(images, healthy, reduction=reduction)
    np.testing.assert_array_equal(
        function(images[..., ::-1, ::-1], healthy[..., ::-1, ::-1], reduction=reduction), whole[:, ::-1, ::-1]
    )
    order = [2, 0, 1]
    np.testing.assert_array_equal(function(images[order], healthy[order], reduction=reduction), whole[order])


def test_whole_numbers_do_not_wrap_around() -> None:
    images, healthy = np.array([[[[1, 1]]]], np.uint8), np.array([[[[1, 2]]]], np.uint8)
    np.testing.assert_array_equal(signed_difference_map(images, healthy), [[[0, -1]]])


def test_hand_drawn_pixels() -> None:
    # Four pixels of two channels: a bright lesion, a dark one, background, and foreground of one channel alone.
    images = np.array([[[[1.0, 0.25, 0.0, 0.0]], [[0.5, 0.5, 0.0, 0.5]]]])
    healthy = np.array([[[[0.5, 1.0, 1.0, 0.25]], [[0.5, 0.75, 1.0, 0.5]]]])
    # 1 − 1/2 and 0; 1/4 − 1 and 1/2 − 3/4; background, so 0; 0 − 1/4 and 0.
    np.testing.assert_array_equal(difference_map(images, healthy), [[[1 / 2, 3 / 4, 0, 1 / 4]]])
    np.testing.assert_array_equal(difference_map(images, healthy, reduction="mean"), [[[1 / 4, 1 / 2, 0, 1 / 8]]])
    np.testing.assert_array_equal(signed_difference_map(images, healthy), [[[1 / 2, -3 / 4, 0, -1 / 4]]])
    # (1/2 + 0) / 2; (−3/4 − 1/4) / 2; background; (−1/4 + 0) / 2.
    mean = signed_difference_map(images, healthy, reduction="mean")
    np.testing.assert_array_equal(mean, [[[1 / 4, -1 / 2, 0, -1 / 8]]])


def test_channels_that_cancel_still_differ() -> None:
    images, healthy = np.full((1, 2, 1, 1), 0.5), np.array([[[[0.75]], [[0.25]]]])
    # |1/2 − 3/4| and |1/2 − 1/4|: the mean of the absolute values, not the absolute value of the mean.
    assert difference_map(images, healthy, reduction="mean")[0, 0, 0] == 1 / 4
    assert signed_difference_map(images, healthy, reduction="mean")[0, 0, 0] == 0


def test_unchanged_image_gives_zero() -> None:
    images, _ = random_pair(1)
    assert not difference_map(images, images.copy()).any()
    assert not signed_difference_map(images, images.copy()).any()


@pytest.mark.parametrize("function", [difference_map, signed_difference_map])
@pytest.mark.parametrize("shapes", [((1, 2, 3, 4), (1, 2, 3, 5)), ((2, 3, 4), (2, 3, 4))])
def test_wrong_shapes_are_refused(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        function(np.zeros(shapes[0]), np.zeros(shapes[1]))


def random_map(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A signed map and a foreground of blobs with holes, which reaches the image border here and there."""
    rng, shape = np.random.default_rng(seed), (3, 9, 11)
    foreground = ndimage.binary_dilation(rng.random(shape) < 0.06, np.ones((1, 3, 3)), iterations=2)
    foreground &= rng.random(shape) < 0.97
    return np.where(foreground, rng.normal(size=shape), 0).astype(np.float32), foreground


def slow_clean(maps: np.ndarray, foreground: np.ndarray, rim_px: int, median_px: int) -> np.ndarray:
    """Pixel by pixel; only pixels of the image are asked whether they are background."""
    count, height, width = maps.shape

    def kept(s: int, h: int, w: int) -> bool:
        rows = range(max(0, h - rim_px), min(height, h + rim_px + 1))
        columns = range(max(0, w - rim_px), min(width, w + rim_px + 1))
        return all(foreground[s, row, column] for row in rows for column in columns)

    def value(s: int, h: int, w: int) -> float:
        h, w = min(max(h, 0), height - 1), min(max(w, 0), width - 1)
        return float(maps[s, h, w]) if kept(s, h, w) else 0.0

    cleaned = np.zeros_like(maps)
    steps = range(-(median_px // 2), median_px // 2 + 1)
    for s, h, w in np.ndindex(count, height, width):
        if kept(s, h, w):
            cleaned[s, h, w] = sorted(value(s, h + down, w + right) for down in steps for right in steps)[
                median_px**2 // 2
            ]
    return cleaned


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("rim_px", [0, 1, 2])
@pytest.mark.parametrize("median_px", [1, 3, 5])
def test_clean_map_agrees_with_loop(seed: int, rim_px: int, median_px: int) -> None:
    maps, foreground = random_map(seed)
    cleaned = clean_map(maps, foreground, rim_px=rim_px, median_px=median_px)
    assert cleaned.dtype == maps.dtype
    np.testing.assert_array_equal(cleaned, slow_clean(maps, foreground, rim_px, median_px))


@pytest.mark.parametrize("rim_px", [0, 1, 4])
@pytest.mark.parametrize("median_px", [1, 3, 7])
def test_clean_map_agrees_with_scipy(rim_px: int, median_px: int) -> None:
    maps, foreground = np.random.default_rng(7).normal(size=(2, 40, 50)), np.ones((2, 40, 50), bool)
    foreground[0, 10:13, 5:30] = foreground[:, :, -2:] = False
    kept = foreground
    for _ in range(rim_px):
        kept = ndimage.binary_erosion(kept, np.ones((1, 3, 3)), border_value=1)
    filtered = ndimage.median_filter(np.where(kept, maps, 0), size=(1, median_px, median_px), mode="nearest")
    cleaned = clean_map(maps, foreground, rim_px=rim_px, median_px=median_px)
    assert kept.sum() > 500
    np.testing.assert_array_equal(cleaned, np.where(kept, filtered, 0))


def test_rim_of_a_drawn_patient(draw: Callable[..., np.ndarray]) -> None:
    foreground = draw("......", ".xxxx.", ".xxxx.", ".xxxx.", "......")[None] > 0
    expected = draw("......", "......", "..xx..", "......", "......")[None]
    np.testing.assert_array_equal(clean_map(np.ones(foreground.shape), foreground, rim_px=1), expected)
    assert not clean_map(np.ones(foreground.shape), foreground, rim_px=2).any()


def test_image_border_is_no_rim_but_a_hole_is(draw: Callable[..., np.ndarray]) -> None:
    foreground = draw("xxxxxx", "xxxxxx", "xxxxx.")[None] > 0
    expected = draw("xxxxxx", "xxxx..", "xxxx..")[None]
    np.testing.assert_array_equal(clean_map(np.ones(foreground.shape), foreground, rim_px=1), expected)
    everywhere = np.ones((1, 3, 3), bool)
    assert clean_map(everywhere.astype(float), everywhere, rim_px=5, median_px=3).all()


def test_median_removes_a_single_pixel_and_keeps_the_middle_of_a_lesion(draw: Callable[..., np.ndarray]) -> None:
    maps = draw(".......", ".a..bb.", "....bb.", "....bb.", ".......", a=1.0, b=0.5)[None]
    # Six of the nine pixels around a pixel of the middle row are 1/2, four around one of the other rows.
    expected = draw(".......", ".......", "....bb.", ".......", ".......", b=0.5)[None]
    np.testing.assert_array_equal(clean_map(maps, np.ones(maps.shape, bool), median_px=3), expected)


def test_median_stays_in_its_slice_and_inside_the_foreground() -> None:
    maps = np.zeros((3, 5, 5))
    maps[1] = 1
    foreground = np.ones(maps.shape, bool)
    foreground[:, 2, 2] = False
    cleaned = clean_map(np.where(foreground, maps, 0), foreground, median_px=3)
    np.testing.assert_array_equal(cleaned, np.where(foreground, maps, 0))


def slow_gaussian(maps: np.ndarray, foreground: np.ndarray, sigma: float) -> np.ndarray:
    """Pixel by pixel: the mean of all around, weighed by a bell that ends at four standard deviations."""
    _, height, width = maps.shape
    reach = int(4 * sigma + 0.5)
    steps = [
        (down, right, np.exp(-(down**2 + right**2) / (2 * sigma**2)))
        for down in range(-reach, reach + 1)
        for right in range(-reach, reach + 1)
    ]
    smooth = np.zeros(maps.shape)
    for s, h, w in np.argwhere(foreground):
        for down, right, weight in steps:
            place = s, min(max(h + down, 0), height - 1), min(max(w + right, 0), width - 1)
            smooth[s, h, w] += weight * maps[place] * foreground[place]
    return smooth / sum(weight for *_, weight in steps)


@pytest.mark.parametrize("sigma", [0.7, 1, 2.5])
def test_gaussian_agrees_with_loop(sigma: float) -> None:
    maps, foreground = random_map(3)
    smooth = clean_map(maps, foreground, gaussian_px=sigma)
    assert smooth.dtype == maps.dtype
    np.testing.assert_allclose(smooth, slow_gaussian(maps, foreground, sigma), atol=1e-6)


def test_gaussian_prefers_a_lesion_to_a_brighter_pixel(draw: Callable[..., np.ndarray]) -> None:
    maps = draw(".........", ".a....bb.", "......bb.", "......bb.", ".........", a=1.0, b=0.7)[None]
    smooth = clean_map(maps, np.ones(maps.shape, bool), gaussian_px=1)
    assert maps.argmax() == 10
    assert maps.flat[smooth.argmax()] == 0.7


def test_smoothing_comes_after_rim_and_median() -> None:
    maps, foreground = random_map(2)
    cleaned = clean_map(maps, foreground, rim_px=1, median_px=3)
    rim = clean_map(np.ones(maps.shape), foreground, rim_px=1) > 0
    np.testing.assert_array_equal(
        clean_map(maps, foreground, rim_px=1, median_px=3, gaussian_px=1), clean_map(cleaned, rim, gaussian_px=1)
    )


def test_without_settings_a_map_stays_as_it_is() -> None:
    maps, foreground = random_map(1)
    np.testing.assert_array_equal(clean_map(maps, foreground), maps)


def test_foreground_may_be_numbers() -> None:
    maps, foreground = random_map(1)
    cleaned = clean_map(maps, foreground.astype(np.uint8), rim_px=1, median_px=3)
    np.testing.assert_array_equal(cleaned, clean_map(maps, foreground, rim_px=1, median_px=3))


def test_clean_map_moves_with_the_map() -> None:
    maps, foreground = random_map(2)
    cleaned = clean_map(maps, foreground, rim_px=1, median_px=3)
    flipped = clean_map(maps[:, ::-1, ::-1], foreground[:, ::-1, ::-1], rim_px=1, median_px=3)
    np.testing.assert_array_equal(flipped, cleaned[:, ::-1, ::-1])
    order = [1, 2, 0]
    np.testing.assert_array_equal(clean_map(maps[order], foreground[order], rim_px=1, median_px=3), cleaned[order])


@pytest.mark.parametrize(
    "settings",
    [
        {"rim_px": -1},
        {"median_px": 2},
        {"median_px": 0},
        {"median_px": -1},
        {"gaussian_px": -1},
        {"gaussian_px": np.inf},
        {"gaussian_px": np.nan},
    ],
)
def test_impossible_clean_up_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(settings))}` must be"):
        clean_map(*random_map(0), **settings)


def test_map_and_foreground_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        clean_map(np.zeros((1, 4, 4)), np.zeros((1, 4, 5), bool))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    pair = random_pair(2)
    call_unmutated(foreground_of, pair[:1])
    call_unmutated(difference_map, pair)
    call_unmutated(difference_map, pair, reduction="mean")
    call_unmutated(signed_difference_map, pair)
    call_unmutated(signed_difference_map, pair, reduction="mean")
    call_unmutated(clean_map, random_map(2))
    call_unmutated(clean_map, random_map(2), rim_px=1, median_px=3, gaussian_px=1)
