"""Baselines without training against loops and hand-made tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from evaluation.baselines import (
    PositionTable,
    areas_above,
    foreground_areas,
    intensity_map,
    learn_position_table,
    local_contrast_map,
    mirror_difference_map,
)
from evaluation.roc import auc_score
from evaluation.undefined import UndefinedMetricWarning


def slow_bin(height: float, bins: int) -> int:
    """Bins hold their lower edge; the last holds the top as well."""
    for number in range(bins - 1):
        if height < (number + 1) / bins:
            return number
    return bins - 1


@pytest.mark.parametrize("seed", range(5))
def test_intensity_map_is_the_brightest_channel(seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 5, (3, 2, 5, 4)) / 4
    result = intensity_map(images)
    assert result.shape == (3, 5, 4)
    for s, h, w in np.ndindex(3, 5, 4):
        assert result[s, h, w] == max(images[s, 0, h, w], images[s, 1, h, w])


def random_patient(seed: int, shape: tuple[int, ...] = (3, 2, 6, 9)) -> tuple[np.ndarray, np.ndarray]:
    """Images and a ragged foreground that leaves out the first columns and the last; images go on outside it."""
    rng = np.random.default_rng(seed)
    count, _, height, width = shape
    foreground = rng.random((count, height, width)) < 0.7
    foreground[..., : 1 + seed % 3] = foreground[..., -1] = False
    return rng.random(shape, dtype=np.float32), foreground


def slow_contrast(images: np.ndarray, foreground: np.ndarray, side: int) -> np.ndarray:
    channels, height, width = images.shape[1:]
    contrast = np.zeros(foreground.shape)
    for s, h, w in np.argwhere(foreground):
        rows = range(max(0, h - side // 2), min(height, h + side // 2 + 1))
        columns = range(max(0, w - side // 2), min(width, w + side // 2 + 1))
        around = [(row, column) for row in rows for column in columns if foreground[s, row, column]]
        for c in range(channels):
            mean = sum(float(images[s, c, row, column]) for row, column in around) / len(around)
            contrast[s, h, w] = max(contrast[s, h, w], abs(float(images[s, c, h, w]) - mean))
    return contrast


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("window_px", [3, 5, 21])
def test_local_contrast_agrees_with_loop(seed: int, window_px: int) -> None:
    images, foreground = random_patient(seed)
    contrast = local_contrast_map(images, foreground, window_px=window_px)
    assert contrast.dtype == np.float32
    np.testing.assert_allclose(contrast, slow_contrast(images, foreground, window_px), atol=1e-6)


def test_local_contrast_of_a_full_slice_agrees_with_scipy() -> None:
    images = np.random.default_rng(0).random((2, 1, 30, 40))
    everywhere = np.ones((2, 30, 40), bool)
    mean = ndimage.generic_filter(images[:, 0], np.nanmean, size=(1, 7, 7), mode="constant", cval=np.nan)
    contrast = local_contrast_map(images, everywhere, window_px=7)
    np.testing.assert_allclose(contrast, np.abs(images[:, 0] - mean), atol=1e-6)


def test_local_contrast_by_hand() -> None:
    images = np.array([[[[0.5, 1.0, 0.0, 0.25]], [[0.5, 0.25, 0.0, 0.25]]]])
    foreground = np.array([[[True, True, False, True]]])
    # 1/2 − 3/4 and 1/2 − 3/8; 1 − 3/4 and 1/4 − 3/8; background; a pixel with no other around it is its own mean.
    expected = [[[1 / 4, 1 / 4, 0, 0]]]
    np.testing.assert_allclose(local_contrast_map(images, foreground, window_px=3), expected, atol=1e-7)


def test_even_image_has_no_contrast_wherever_the_foreground_ends() -> None:
    _, foreground = random_patient(1)
    images = np.full((3, 1, 6, 9), 0.7, np.float32)
    assert local_contrast_map(images, foreground, window_px=5) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("width", "window_px"), [(240, 31), (128, 17), (40, 5), (8, 3)])
def test_default_window_is_about_an_eighth_of_the_width(width: int, window_px: int) -> None:
    images, foreground = random_patient(0, (1, 1, 12, width))
    expected = local_contrast_map(images, foreground, window_px=window_px)
    np.testing.assert_array_equal(local_contrast_map(images, foreground), expected)
    assert not np.array_equal(local_contrast_map(images, foreground, window_px=window_px + 2), expected)


@pytest.mark.parametrize("window_px", [4, 1, -3])
def test_impossible_window_is_refused(window_px: int) -> None:
    with pytest.raises(ValueError, match="`window_px` must be odd and at least 3"):
        local_contrast_map(*random_patient(0), window_px=window_px)


def slow_mirror(images: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Mirrored at a place in columns, found as the middle of the outermost pixels of the patient."""
    columns = [w for _, _, w in np.argwhere(foreground)]
    middle = (min(columns) + max(columns)) / 2
    difference = np.zeros(foreground.shape)
    for s, h, w in np.argwhere(foreground):
        partner = int(middle + (middle - w))
        if foreground[s, h, partner]:
            changes = [abs(float(own[h, w]) - float(own[h, partner])) for own in images[s]]
            difference[s, h, w] = max(changes)
    return difference


@pytest.mark.parametrize("seed", range(6))
def test_mirror_difference_agrees_with_loop(seed: int) -> None:
    images, foreground = random_patient(seed)
    difference = mirror_difference_map(images, foreground)
    assert difference.dtype == np.float32
    np.testing.assert_allclose(difference, slow_mirror(images, foreground), atol=1e-6)


def test_mirror_difference_by_hand() -> None:
    # The patient takes columns 1 to 4, so that the axis lies between 2 and 3; the second slice alone reaches 1.
    foreground = np.array([[[0, 0, 1, 1, 1, 0]], [[0, 1, 1, 1, 0, 0]]], bool)
    first = [[[0.0, 0.0, 0.5, 0.75, 1.0, 0.0]], [[0.0, 0.0, 0.0, 0.5, 1.0, 0.0]]]
    second = [[[0.0, 1.0, 0.25, 0.5, 0.0, 0.0]], [[0.0, 1.0, 0.25, 0.25, 0.0, 0.0]]]
    # 1/2 − 3/4 and 0 − 1/2; 1/4 − 1/2 and 1/4 − 1/4. Columns 1 and 4 are partners, one of them always background.
    expected = [[[0, 0, 1 / 2, 1 / 2, 0, 0]], [[0, 0, 1 / 4, 1 / 4, 0, 0]]]
    np.testing.assert_array_equal(mirror_difference_map(np.array([first, second]), foreground), expected)


def test_axis_may_lie_on_a_column() -> None:
    images = np.array([[[[0.0, 0.25, 0.5, 1.0]]]])
    expected = [[[0, 3 / 4, 0, 3 / 4]]]  # columns 1 and 3; the middle one is its own mirror image
    np.testing.assert_array_equal(mirror_difference_map(images, images[:, 0] > 0), expected)


@pytest.mark.parametrize("width", [6, 7])
def test_symmetric_patient_differs_nowhere_from_its_mirror_image(width: int) -> None:
    images = np.zeros((2, 2, 5, 12), np.float32)
    half = np.random.default_rng(width).random((2, 2, 5, width), dtype=np.float32)
    images[..., 1 : width + 1] = half + half[..., ::-1]
    assert not mirror_difference_map(images, (images > 0).any(axis=1)).any()


def test_mirror_difference_is_the_same_on_both_sides_and_follows_the_patient() -> None:
    images, foreground = random_patient(4)
    difference = mirror_difference_map(images, foreground)
    np.testing.assert_array_equal(
        mirror_difference_map(images[..., ::-1], foreground[..., ::-1]), difference[..., ::-1]
    )
    moved = [np.pad(a, [(0, 0)] * (a.ndim - 1) + [(3, 1)]) for a in (images, foreground, difference)]
    np.testing.assert_array_equal(mirror_difference_map(*moved[:2]), moved[2])


def test_without_foreground_nothing_stands_out() -> None:
    images, nowhere = np.ones((2, 1, 4, 5)), np.zeros((2, 4, 5), bool)
    assert not mirror_difference_map(images, nowhere).any()
    assert not local_contrast_map(images, nowhere).any()


@pytest.mark.parametrize("function", [local_contrast_map, mirror_difference_map])
def test_maps_move_with_the_images(function: Callable[..., np.ndarray]) -> None:
    images, foreground = random_patient(5)
    whole, order = function(images, foreground), [2, 0, 1]
    np.testing.assert_array_equal(function(images[order], foreground[order]), whole[order])
    flipped = function(images[..., ::-1, ::-1], foreground[..., ::-1, ::-1])
    np.testing.assert_allclose(flipped, whole[..., ::-1, ::-1], atol=1e-6)
    np.testing.assert_array_equal(function(images, foreground.astype(np.uint8)), whole)


@pytest.mark.parametrize("function", [local_contrast_map, mirror_difference_map])
@pytest.mark.parametrize("shape", [(3, 6, 8), (2, 6, 9), (6, 9)])
def test_foreground_of_other_slices_is_refused(function: Callable[..., Any], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="`foreground`"):
        function(np.zeros((3, 2, 6, 9)), np.zeros(shape, bool))


@pytest.mark.parametrize("seed", range(5))
def test_areas_agree_with_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps, foreground = rng.integers(0, 5, (4, 3, 5)) / 4, rng.random((4, 3, 5)) < 0.5
    shares, areas = foreground_areas(foreground), areas_above(maps, 0.5)
    for s in range(4):
        assert shares[s] == sum(foreground[s, h, w] for h in range(3) for w in range(5)) / 15
        assert areas[s] == sum(maps[s, h, w] >= 0.5 for h in range(3) for w in range(5))
    order = rng.permutation(4)
    np.testing.assert_array_equal(foreground_areas(foreground[order]), shares[order])
    np.testing.assert_array_equal(areas_above(maps[order], 0.5), areas[order])


def test_areas_by_hand() -> None:
    maps = np.array([[[0.0, 0.25], [0.5, 1.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert foreground_areas(maps > 0).tolist() == [3 / 4, 0]
    assert areas_above(maps, 0.5).tolist() == [2, 0]  # the threshold itself counts
    assert areas_above(maps, 0).tolist() == [4, 4]


def test_unknown_threshold_is_refused() -> None:
    with pytest.raises(ValueError, match="`threshold` must be a number"):
        areas_above(np.zeros((1, 2, 2)), float("nan"))


@pytest.mark.parametrize("seed", range(10))
def test_position_table_agrees_with_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, heights = rng.random(40) < 0.4, rng.random(40)
    table = learn_position_table(labels, heights, bins=16)  # 40 slices in 16 bins: some are often empty
    assert table.edges == pytest.approx([number / 16 for number in range(17)])
    for number in range(16):
        inside = [label for label, height in zip(labels, heights, strict=True) if slow_bin(height, 16) == number]
        expected = sum(inside) / len(inside) if inside else labels.sum() / 40
        assert table.shares[number] == pytest.approx(expected)
    others = rng.random(30)
    assert table.score(others) == pytest.approx([table.shares[slow_bin(height, 16)] for height in others])


def test_position_table_by_hand() -> None:
    labels = np.array([False, False, True, True, False])
    heights = np.array([0.0, 0.2, 0.3, 0.4, 1.0])
    table = learn_position_table(labels, heights, bins=4)
    # Two healthy below 1/4, two abnormal below 1/2, none below 3/4, so the overall 2/5; one healthy at the top.
    assert table.shares == pytest.approx([0, 1, 2 / 5, 0])
    assert table.score(np.array([0.1, 0.45, 0.6, 0.9])) == pytest.approx([0, 1, 2 / 5, 0])


def test_first_and_last_slice_lie_in_the_end_bins() -> None:
    table = PositionTable(edges=np.array([0, 0.5, 1]), shares=np.array([0.25, 0.75]))
    assert table.score(np.array([1.0, 0.0])).tolist() == [0.75, 0.25]


def test_bin_holds_its_lower_edge() -> None:
    table = learn_position_table(np.array([False, True]), np.array([0.25, 0.5]), bins=2)
    assert table.shares.tolist() == [0, 1]
    assert table.score(np.array([0.5])).tolist() == [1]


def test_slice_on_an_inner_edge_is_scored_in_the_bin_where_it_was_learned() -> None:
    for height in np.arange(21) / 20:  # on the edges of the default 20 bins, in floats now and then just beside them
        far = (height + 0.5) % 1
        table = learn_position_table(np.array([True, False]), np.array([height, far]))
        assert table.score(np.array([height, far])).tolist() == [1, 0]


def test_position_alone_separates_slices_where_height_predicts_label() -> None:
    heights = np.tile(np.linspace(0, 1, 41), 3)
    labels = np.abs(heights - 0.5) < 0.2
    table = learn_position_table(labels, heights)
    unseen = np.linspace(0.01, 0.99, 60)
    assert auc_score(np.abs(unseen - 0.5) < 0.2, table.score(unseen)) > 0.95


def test_position_cannot_be_learned_from_nothing() -> None:
    with pytest.warns(UndefinedMetricWarning, match="slice position"):
        table = learn_position_table(np.empty(0, bool), np.empty(0))
    assert np.isnan(table.score(np.array([0.5]))).all()


def test_labels_and_heights_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        learn_position_table(np.array([True, False]), np.array([0.5]))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    heights = rng.random(12)
    call_unmutated(intensity_map, [rng.random((2, 2, 3, 3))])
    table = call_unmutated(learn_position_table, [rng.random(12) < 0.5, heights])
    call_unmutated(table.score, [heights])
    patient = random_patient(0)
    call_unmutated(local_contrast_map, patient)
    call_unmutated(mirror_difference_map, patient)
    call_unmutated(foreground_areas, patient[1:])
    call_unmutated(areas_above, [patient[0][:, 0]], threshold=0.5)
