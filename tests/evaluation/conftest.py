"""Builders that the tests of several evaluation modules share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def draw() -> Callable[..., np.ndarray]:
    """Build an array from a drawing: rows of characters, each with a value; what has none is 0."""

    def draw(*rows: str, **values: float) -> np.ndarray:
        levels = values or {"x": 1.0}
        return np.array([[levels.get(character, 0.0) for character in row] for row in rows])

    return draw


@pytest.fixture
def call_unmutated() -> Callable[..., Any]:
    """Call a function and check that it left its arrays as they were."""

    def call(function: Callable[..., Any], arrays: Sequence[np.ndarray], **settings: Any) -> Any:
        before = [array.copy() for array in arrays]
        result = function(*arrays, **settings)
        for array, copy in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(array, copy)
        return result

    return call
