"""What arrays must be, checked where they come in."""

from __future__ import annotations

import numpy as np


def check_stack(name: str, array: np.ndarray) -> None:
    """Raise unless `array` is (S, H, W) of real, finite numbers; bool counts as such."""
    _check(name, array, 3, "(S, H, W)")


def check_images(name: str, array: np.ndarray) -> None:
    """Raise unless `array` is (S, C, H, W) of real, finite numbers."""
    _check(name, array, 4, "(S, C, H, W)")


def check_same_shape(**arrays: np.ndarray) -> None:
    """Raise unless all arrays, given by name, have one shape."""
    if len({array.shape for array in arrays.values()}) > 1:
        shapes = ", ".join(f"`{name}` {array.shape}" for name, array in arrays.items())
        raise ValueError(f"arrays must have one shape, got {shapes}")


def check_cases(**arrays: np.ndarray) -> None:
    """Raise unless all arrays, given by name, are (N,) of one N."""
    for name, array in arrays.items():
        if not isinstance(array, np.ndarray):
            raise TypeError(f"`{name}` must be a NumPy array, got {type(array).__name__}")
        if array.ndim != 1:
            raise ValueError(f"`{name}` must be (N,), got {array.shape}")
    check_same_shape(**arrays)


def _check(name: str, array: np.ndarray, dimensions: int, shape: str) -> None:
    if not isinstance(array, np.ndarray):
        raise TypeError(f"`{name}` must be a NumPy array, got {type(array).__name__}")
    if array.ndim != dimensions:
        raise ValueError(f"`{name}` must be {shape}, got {array.shape}")
    if array.dtype.kind not in "biuf":
        raise TypeError(f"`{name}` must hold real numbers, got {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"`{name}` must be finite, but holds NaN or infinity")
