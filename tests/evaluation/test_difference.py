"""Difference maps against a loop over pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.difference import Reduction, difference_map, foreground_of, signed_difference_map


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


@pytest.mark.parametrize("seed", range(5))
def test_foreground_is_where_any_channel_is_not_zero(seed: int) -> None:
    images, _ = random_pair(seed)
    foreground = foreground_of(images)
    assert foreground.dtype == bool
    for s, h, w in np.ndindex(3, 5, 4):
        assert foreground[s, h, w] == (images[s, 0, h, w] != 0 or images[s, 1, h, w] != 0)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("reduction", ["max", "mean"])
def test_difference_map_agrees_with_loop(seed: int, reduction: Reduction) -> None:
    images, healthy = random_pair(seed)
    result = difference_map(images, healthy, reduction=reduction)
    assert result.shape == (3, 5, 4)
    assert result.dtype == np.float32
    for place in np.ndindex(3, 5, 4):
        changes = [abs(change) for change in slow_signed(images, healthy, place)]
        expected = max(changes) if reduction == "max" else sum(changes) / len(changes)
        assert result[place] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_signed_map_takes_the_channel_that_differs_most(seed: int) -> None:
    images, healthy = random_pair(seed)
    result = signed_difference_map(images, healthy)
    assert result.shape == (3, 5, 4)
    assert result.dtype == np.float32
    for place in np.ndindex(3, 5, 4):
        assert result[place] == pytest.approx(max(slow_signed(images, healthy, place), key=abs), abs=1e-6)


def test_absolute_signed_map_is_the_difference_map() -> None:
    images, healthy = random_pair(11)
    np.testing.assert_array_equal(np.abs(signed_difference_map(images, healthy)), difference_map(images, healthy))


def test_hand_drawn_pixels() -> None:
    # Four pixels of two channels: a bright lesion, a dark one, background, and foreground of one channel alone.
    images = np.array([[[[1.0, 0.25, 0.0, 0.0]], [[0.5, 0.5, 0.0, 0.5]]]])
    healthy = np.array([[[[0.5, 1.0, 1.0, 0.25]], [[0.5, 0.75, 1.0, 0.5]]]])
    # 1 − 1/2 and 0; 1/4 − 1 and 1/2 − 3/4; background, so 0; 0 − 1/4 and 0.
    np.testing.assert_array_equal(difference_map(images, healthy), [[[1 / 2, 3 / 4, 0, 1 / 4]]])
    np.testing.assert_array_equal(difference_map(images, healthy, reduction="mean"), [[[1 / 4, 1 / 2, 0, 1 / 8]]])
    np.testing.assert_array_equal(signed_difference_map(images, healthy), [[[1 / 2, -3 / 4, 0, -1 / 4]]])


def test_channels_that_cancel_still_differ() -> None:
    images, healthy = np.full((1, 2, 1, 1), 0.5), np.array([[[[0.75]], [[0.25]]]])
    # |1/2 − 3/4| and |1/2 − 1/4|: the mean of the absolute values, not the absolute value of the mean.
    assert difference_map(images, healthy, reduction="mean")[0, 0, 0] == 1 / 4


def test_unchanged_image_gives_zero() -> None:
    images, _ = random_pair(1)
    assert not difference_map(images, images.copy()).any()
    assert not signed_difference_map(images, images.copy()).any()


@pytest.mark.parametrize("function", [difference_map, signed_difference_map])
@pytest.mark.parametrize("shapes", [((1, 2, 3, 4), (1, 2, 3, 5)), ((2, 3, 4), (2, 3, 4))])
def test_wrong_shapes_are_refused(function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        function(np.zeros(shapes[0]), np.zeros(shapes[1]))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    pair = random_pair(2)
    call_unmutated(foreground_of, pair[:1])
    call_unmutated(difference_map, pair)
    call_unmutated(difference_map, pair, reduction="mean")
    call_unmutated(signed_difference_map, pair)
