"""Fixed-point quality against loops over pixels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.translation import collateral_change, same_domain_l1
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
    assert collateral_change(maps, masks, foreground) == pytest.approx(total / count)


def test_collateral_change_by_hand() -> None:
    maps = np.array([[[0.5, 1.0]], [[0.25, 0.75]]])
    masks = np.array([[[False, True]], [[False, False]]])
    foreground = np.array([[[True, True]], [[True, False]]])
    # Of four pixels one is lesion and one background: (1/2 + 1/4) / 2, pooled over both slices.
    assert collateral_change(maps, masks, foreground) == 3 / 8


@pytest.mark.parametrize("foreground", [True, False])
def test_no_pixel_outside_the_lesion_is_undefined(foreground: bool) -> None:
    whole = np.ones((1, 2, 2), bool)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(collateral_change(np.ones((1, 2, 2)), whole, whole & foreground))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    images, same = np.random.default_rng(0).random((2, 2, 1, 4, 4))
    call_unmutated(same_domain_l1, [images, same])
    call_unmutated(collateral_change, [images[:, 0], same[:, 0] > 0.5, same[:, 0] > 0.2])
