"""Foreground and intensity scale."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.intensity import IntensityScale, background_value, fit_percentiles

SHAPE = (20, 24, 10)


@pytest.mark.parametrize("outside", [0.0, -3.62, 1000.0, 1.5])
def test_a_constant_background_is_found_whatever_its_value(head: Callable[..., np.ndarray], outside: float) -> None:
    volume = head(SHAPE, outside=outside)
    assert background_value(volume) == np.float32(outside)
    scale, foreground = fit_percentiles(volume, 0, 100)
    assert scale.background == np.float32(outside)
    np.testing.assert_array_equal(foreground, head(SHAPE, outside=0) != 0)


@pytest.mark.parametrize("outside", [-3.62, 1.5, 1000.0])
def test_a_head_that_touches_the_faces_does_not_hide_the_background(
    head: Callable[..., np.ndarray], outside: float
) -> None:
    cropped = head(SHAPE, outside=outside)[3:-3, 4:-4, 2:-2]
    assert (cropped[0] != np.float32(outside)).any()
    assert background_value(cropped) == np.float32(outside)


def test_percentiles_are_taken_inside_the_foreground() -> None:
    volume = np.full((10, 10, 10), -5, np.float32)
    volume[2:8, 2:8, 2:8] = np.arange(216).reshape(6, 6, 6)
    scale, _ = fit_percentiles(volume, 10, 90)
    assert scale.low == pytest.approx(21.5)  # a tenth of the way from 0 to 215
    assert scale.high == pytest.approx(193.5)


def test_more_background_does_not_change_the_scale(head: Callable[..., np.ndarray]) -> None:
    volume = head(SHAPE, outside=-3.62)
    padded = np.pad(volume, 6, constant_values=np.float32(-3.62))
    assert fit_percentiles(padded, 0.5, 99.9)[0] == fit_percentiles(volume, 0.5, 99.9)[0]


def test_the_scale_maps_low_to_zero_and_high_to_one_and_clips_beyond() -> None:
    scale = IntensityScale(background=0, low=10, high=30)
    values = np.array([-100, 10, 15, 30, 31], np.float32)
    assert scale.normalize(values).tolist() == [0, 0, 0.25, 1, 1]


def test_normalizing_keeps_single_precision() -> None:
    scale = IntensityScale(background=0, low=10, high=30)
    assert scale.normalize(np.zeros(3, np.float32)).dtype == np.float32
    assert scale.restore_difference(np.zeros(3, np.float32)).dtype == np.float32


def test_a_difference_is_restored_without_its_offset() -> None:
    scale = IntensityScale(background=0, low=10, high=30)
    before, after = np.array([12, 20, 30], np.float32), np.array([12, 15, 10], np.float32)
    difference = scale.normalize(after) - scale.normalize(before)
    np.testing.assert_allclose(scale.restore_difference(difference), after - before, atol=1e-5)


@pytest.mark.parametrize("value", [0.0, -3.62, 7.0])
def test_a_constant_volume_is_an_error(value: float) -> None:
    with pytest.raises(DataError, match=f"every voxel is {value:g}"):
        fit_percentiles(np.full(SHAPE, value, np.float32), 0.5, 99.9)


def test_a_foreground_without_contrast_is_an_error() -> None:
    volume = np.zeros(SHAPE, np.float32)
    volume[5:15, 5:15, 3:7] = 4
    with pytest.raises(DataError, match=r"constant \(4\)"):
        fit_percentiles(volume, 0.5, 99.9)


def test_the_volume_is_not_changed(head: Callable[..., np.ndarray]) -> None:
    volume = head(SHAPE)
    before = volume.copy()
    scale, _ = fit_percentiles(volume, 5, 95)
    scale.normalize(volume)
    np.testing.assert_array_equal(volume, before)
