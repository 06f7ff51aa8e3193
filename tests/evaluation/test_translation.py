"""Fixed-point quality against loops over pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.translation import (
    collateral_change,
    collateral_sums,
    labels_with_one_attribute_changed,
    same_domain_l1,
)
from evaluation.undefined import UndefinedMetricWarning


@pytest.mark.parametrize("seed", range(5))
def test_same_domain_l1_agrees_with_loop(seed: int) -> None:
    images, same = np.random.default_rng(seed).random((2, 3, 2, 5, 4)).astype(np.float32)
    result = same_domain_l1(images, same)
    assert result.shape == (3,)
    for s in range(3):
        changes = [abs(float(images[s][place]) - float(same[s][place])) for place in np.ndindex(2, 5, 4)]
        assert result[s] == pytest.approx(sum(changes) / 40, rel=1e-5)


def test_same_domain_l1_by_hand() -> None:
    images = np.array([[[[0.0, 1.0]], [[0.5, 0.0]]], [[[0.25, 0.0]], [[0.0, 0.0]]]])
    same = np.array([[[[0.5, 0.5]], [[0.5, 0.0]]], [[[0.25, 0.0]], [[0.0, 0.0]]]])
    # (1/2 + 1/2 + 0 + 0) / 4: opposite signs do not cancel, and background counts; the second is a fixed point.
    assert same_domain_l1(images, same).tolist() == [1 / 4, 0]


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="got"):
        same_domain_l1(np.zeros((2, 1, 4, 4)), np.zeros((1, 1, 4, 4)))


@pytest.mark.parametrize("seed", range(5))
def test_collateral_change_agrees_with_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps, masks, foreground = rng.random((3, 5, 4)), rng.random((3, 5, 4)) < 0.3, rng.random((3, 5, 4)) < 0.7
    total, count = 0.0, 0
    for place in np.ndindex(3, 5, 4):
        if foreground[place] and not masks[place]:
            total, count = total + maps[place], count + 1
    assert collateral_sums(maps, masks, foreground) == (pytest.approx(total), count)
    assert collateral_change(maps, masks, foreground) == pytest.approx(total / count)


def test_collateral_change_by_hand() -> None:
    maps = np.array([[[0.5, 1.0]], [[0.25, 0.75]]])
    masks = np.array([[[False, True]], [[False, False]]])
    foreground = np.array([[[True, True]], [[True, False]]])
    # Of four pixels one is lesion and one background: (1/2 + 1/4) / 2, pooled over both slices.
    assert collateral_sums(maps, masks, foreground) == (3 / 4, 2)
    assert collateral_change(maps, masks, foreground) == 3 / 8


def test_pooled_collateral_change_is_that_of_the_sums_of_patients() -> None:
    rng = np.random.default_rng(7)
    stacks = rng.random((6, 5, 4)).astype(np.float32), rng.integers(0, 3, (6, 5, 4)), rng.random((6, 5, 4)) < 0.7
    patients = [collateral_sums(*(stack[part] for stack in stacks)) for part in (slice(0, 2), slice(2, 6))]
    total, count = (sum(column) for column in zip(*patients, strict=True))
    assert total / count == pytest.approx(collateral_change(*stacks), rel=1e-12)


def test_collateral_change_does_not_depend_on_order() -> None:
    rng = np.random.default_rng(8)
    stacks = rng.random((4, 5, 4)), rng.random((4, 5, 4)) < 0.3, rng.random((4, 5, 4)) < 0.7
    whole = collateral_change(*stacks)
    order = rng.permutation(4)
    assert collateral_change(*(stack[order] for stack in stacks)) == pytest.approx(whole)
    assert collateral_change(*(stack[:, ::-1, ::-1] for stack in stacks)) == pytest.approx(whole)


def test_foreground_and_lesions_may_be_numbers() -> None:
    maps, foreground = np.array([[[0.5, 1.0, 0.25]]]), np.array([[[1, 2, 0]]])
    assert collateral_sums(maps, np.array([[[0, 4, 0]]]), foreground) == (1 / 2, 1)
    assert collateral_change(maps, np.array([[[0, 4, 0]]]), foreground) == 1 / 2


@pytest.mark.parametrize("function", [collateral_change, collateral_sums])
def test_collateral_change_refuses_different_shapes(function: Callable[..., Any]) -> None:
    with pytest.raises(ValueError, match="one shape"):
        function(np.ones((1, 2, 2)), np.ones((1, 2, 2)), np.ones((1, 2, 3)))


@pytest.mark.parametrize("foreground", [True, False])
def test_no_pixel_outside_the_lesion_is_undefined(foreground: bool) -> None:
    whole = np.ones((1, 2, 2), bool)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(collateral_change(np.ones((1, 2, 2)), whole, whole & foreground))
    assert collateral_sums(np.ones((1, 2, 2)), whole, whole & foreground) == (0, 0)


def test_whole_numbers_do_not_wrap_around() -> None:
    assert same_domain_l1(np.zeros((1, 1, 1, 1), np.uint8), np.ones((1, 1, 1, 1), np.uint8)).tolist() == [1]


def test_same_domain_l1_follows_its_images() -> None:
    images, same = np.random.default_rng(1).random((2, 4, 2, 5, 4))
    whole, order = same_domain_l1(images, same), [2, 0, 3, 1]
    np.testing.assert_array_equal(same_domain_l1(images[order], same[order]), whole[order])
    assert same_domain_l1(images[..., ::-1], same[..., ::-1]) == pytest.approx(whole)
    np.testing.assert_array_equal(same_domain_l1(same, images), whole)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.float32])
def test_labels_with_one_attribute_changed_by_hand(dtype: type) -> None:
    changed = labels_with_one_attribute_changed(np.array([[0, 0, 0], [1, 0, 1]], dtype))
    assert changed.dtype == dtype
    assert changed.tolist() == [[[1, 0, 0], [0, 1, 0], [0, 0, 1]], [[0, 0, 1], [1, 1, 1], [1, 0, 0]]]


@pytest.mark.parametrize("seed", range(5))
def test_labels_with_one_attribute_changed_agree_with_loop(seed: int) -> None:
    labels = np.random.default_rng(seed).integers(0, 2, (6, 4))
    changed = labels_with_one_attribute_changed(labels)
    assert changed.shape == (6, 4, 4)
    for n, k in np.ndindex(6, 4):
        expected = labels[n].tolist()
        expected[k] = 1 - expected[k]
        assert changed[n, k].tolist() == expected


def test_attribute_changed_twice_is_as_it_was() -> None:
    labels = np.random.default_rng(9).integers(0, 2, (5, 3))
    changed = labels_with_one_attribute_changed(labels)
    for k in range(3):
        np.testing.assert_array_equal(labels_with_one_attribute_changed(changed[:, k])[:, k], labels)


def test_no_labels_have_no_targets() -> None:
    assert labels_with_one_attribute_changed(np.zeros((0, 3))).shape == (0, 3, 3)


@pytest.mark.parametrize("labels", [np.zeros(3), np.zeros((1, 2, 3)), np.full((2, 3), 0.5), np.full((2, 3), -1)])
def test_impossible_labels_are_refused(labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="`labels` must"):
        labels_with_one_attribute_changed(labels)


def test_labels_in_a_list_are_refused() -> None:
    with pytest.raises(TypeError, match="`labels` must be a NumPy array, got list"):
        labels_with_one_attribute_changed([[0, 1]])


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    images, same = np.random.default_rng(0).random((2, 2, 1, 4, 4))
    call_unmutated(same_domain_l1, [images, same])
    call_unmutated(collateral_change, [images[:, 0], same[:, 0] > 0.5, same[:, 0] > 0.2])
    call_unmutated(collateral_sums, [images[:, 0], same[:, 0] > 0.5, same[:, 0] > 0.2])
    call_unmutated(labels_with_one_attribute_changed, [np.array([[0, 1], [1, 1]])])
