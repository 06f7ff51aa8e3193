"""Wrong arrays are named, with what they must be and what they are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

from evaluation.checks import check_cases, check_images, check_same_shape, check_stack

REAL = [bool, np.uint8, np.int16, np.int64, np.float16, np.float32, np.float64]


@pytest.mark.parametrize("dtype", REAL)
def test_real_numbers_of_the_right_shape_pass(dtype: Any) -> None:
    check_stack("maps", np.ones((2, 3, 4), dtype))
    check_images("images", np.ones((2, 1, 3, 4), dtype))


def test_empty_stacks_pass() -> None:
    check_stack("maps", np.ones((0, 3, 4)))
    check_images("images", np.ones((0, 2, 3, 4)))


@pytest.mark.parametrize("shape", [(), (4,), (3, 4), (1, 2, 3, 4)])
def test_other_shapes_are_no_stack(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`maps` must be (S, H, W), got {shape}")):
        check_stack("maps", np.ones(shape))


@pytest.mark.parametrize("shape", [(), (2, 3, 4), (1, 1, 2, 3, 4)])
def test_other_shapes_are_no_images(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(f"`images` must be (S, C, H, W), got {shape}")):
        check_images("images", np.ones(shape))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_one_number_that_is_not_finite_is_refused(bad: float, dtype: Any) -> None:
    maps = np.zeros((2, 3, 4), dtype)
    maps[1, 2, 3] = bad
    with pytest.raises(ValueError, match="`maps` must be finite, but holds NaN or infinity"):
        check_stack("maps", maps)
    with pytest.raises(ValueError, match="`images` must be finite, but holds NaN or infinity"):
        check_images("images", maps[None])


@pytest.mark.parametrize(("dtype", "name"), [(complex, "complex128"), (object, "object"), (str, "<U")])
def test_what_is_no_real_number_is_refused(dtype: Any, name: str) -> None:
    with pytest.raises(TypeError, match=f"`maps` must hold real numbers, got {name}"):
        check_stack("maps", np.zeros((1, 2, 2), dtype))


@pytest.mark.parametrize(("value", "name"), [([[[1.0]]], "list"), (None, "NoneType"), (1.0, "float")])
def test_what_is_no_array_is_refused(value: Any, name: str) -> None:
    for call in (check_stack, check_images):
        with pytest.raises(TypeError, match=f"`maps` must be a NumPy array, got {name}"):
            call("maps", value)
    with pytest.raises(TypeError, match=f"`maps` must be a NumPy array, got {name}"):
        check_cases(maps=value)


def test_same_shapes_pass_and_different_ones_are_named() -> None:
    check_same_shape(maps=np.ones((2, 3)), truth=np.zeros((2, 3), bool))
    check_same_shape()
    message = "arrays must have one shape, got `maps` (2, 3), `truth` (2, 3), `foreground` (3, 2)"
    with pytest.raises(ValueError, match=re.escape(message)):
        check_same_shape(maps=np.ones((2, 3)), truth=np.ones((2, 3)), foreground=np.ones((3, 2)))


def test_cases_are_one_dimensional_and_of_one_length() -> None:
    check_cases(labels=np.ones(3), scores=np.ones(3))
    check_cases(labels=np.ones(0))
    with pytest.raises(ValueError, match=r"`scores` must be \(N,\), got \(1, 3\)"):
        check_cases(labels=np.ones(3), scores=np.ones((1, 3)))
    with pytest.raises(ValueError, match=r"arrays must have one shape, got `labels` \(3,\), `scores` \(4,\)"):
        check_cases(labels=np.ones(3), scores=np.ones(4))
