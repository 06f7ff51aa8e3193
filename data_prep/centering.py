"""The square window that all slices of one patient are seen through, and the way back.

Forward: crop (or pad) around the foreground's center, then resample to the size of the network's images.
Back: resample to the window, then paste into slices of the original size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Window:
    """A rectangle of source pixels, in rows and columns of a slice; it may reach over the slice's edge.

    `top`, `left`, `height`, `width` are source pixels; `source_shape` is the slice's (rows, columns); `size` is the
    (H, W) of the prepared image.
    """

    top: int
    left: int
    height: int
    width: int
    source_shape: tuple[int, int]
    size: tuple[int, int]

    def apply(self, slices: np.ndarray, *, smooth: bool = True) -> np.ndarray:
        """(S, rows, columns) to (S, H, W). `smooth=False` takes the nearest pixel, for labels."""
        inner, outer = self._overlap()
        cropped = np.zeros((len(slices), self.height, self.width), slices.dtype)
        cropped[:, *inner] = slices[:, *outer]
        return _resample(cropped, self.size, smooth)

    def invert(self, images: np.ndarray, *, smooth: bool = True) -> np.ndarray:
        """(S, H, W) to (S, rows, columns); pixels outside the window are 0."""
        inner, outer = self._overlap()
        enlarged = _resample(images, (self.height, self.width), smooth)
        slices = np.zeros((len(images), *self.source_shape), images.dtype)
        slices[:, *outer] = enlarged[:, *inner]
        return slices

    def pixels_cut_off(self, foreground: np.ndarray) -> int:
        """How many pixels of an (S, rows, columns) foreground lie outside the window."""
        _, outer = self._overlap()
        return int(foreground.sum() - foreground[:, *outer].sum())

    def _overlap(self) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """The part shared by window and slice: in the window's pixels, and in the slice's."""
        inner, outer = [], []
        for start, length, limit in zip(
            (self.top, self.left), (self.height, self.width), self.source_shape, strict=True
        ):
            low, high = max(start, 0), min(start + length, limit)
            outer.append(slice(low, high))
            inner.append(slice(low - start, high - start))
        return (inner[0], inner[1]), (outer[0], outer[1])


def center_window(
    foreground: np.ndarray, pixel_mm: tuple[float, float], field_of_view_mm: float, size: tuple[int, int]
) -> Window:
    """The window of `field_of_view_mm` around the middle of the foreground's bounding box.

    Args:
        foreground: (S, rows, columns) bool, not empty.
        pixel_mm: size of a source pixel along rows and columns.
        field_of_view_mm: length of the window's longer side; the other follows the aspect of `size`.
        size: (H, W) of the prepared image.
    """
    millimeters = [field_of_view_mm * n / max(size) for n in size]
    lengths = [max(1, round(mm / step)) for mm, step in zip(millimeters, pixel_mm, strict=True)]
    starts = []
    for axis, length in enumerate(lengths):
        used = np.flatnonzero(foreground.any(axis=(0, 2 - axis)))
        starts.append(int(used[0] + used[-1] + 1 - length) // 2)
    return Window(
        top=starts[0],
        left=starts[1],
        height=lengths[0],
        width=lengths[1],
        source_shape=(foreground.shape[1], foreground.shape[2]),
        size=size,
    )


def _resample(slices: np.ndarray, size: tuple[int, int], smooth: bool) -> np.ndarray:
    """Pillow's triangle filter widens with the reduction, so shrinking averages and enlarging interpolates."""
    if slices.shape[1:] == size:
        return slices
    method = Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST
    kind = np.float32 if smooth else np.int32
    rows, columns = size
    resized = [np.asarray(Image.fromarray(s.astype(kind)).resize((columns, rows), method)) for s in slices]
    return np.stack(resized).astype(slices.dtype) if resized else np.zeros((0, *size), slices.dtype)
