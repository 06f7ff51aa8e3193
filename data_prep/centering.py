"""The window that all slices of one patient are seen through, and the way back.

Forward: crop (or pad) around the foreground's center, then resample to the size of the network's images.
Back: resample to the window, then paste into slices of the original size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse

FieldOfView = float | Literal["crop", "whole"]

_TOGETHER = 8
"""Slices that are resampled at once: as many as stay in the processor's cache."""


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

    def apply(
        self,
        slices: Sequence[np.ndarray],
        shown: tuple[slice, slice],
        *,
        outside: float = 0.0,
        limits: tuple[float, float] | None = None,
    ) -> Iterator[tuple[tuple[slice, slice, slice], np.ndarray]]:
        """Slices of any real type to prepared images, smoothly, in parts that stay in the processor's cache.

        Args:
            slices: S slices (rows, columns).
            shown: rows and columns outside of which every value is `outside`.
            outside: the value there, and beyond the slices' edge.
            limits: values are clipped to these before they are resampled.

        Yields:
            A place in (S, H, W), and its values, float32. Everywhere else the value is `outside`.
        """
        rows, columns = shown
        row_centers = self.top + (np.arange(self.size[0]) + 0.5) * self.height / self.size[0] - 0.5
        column_centers = self.left + (np.arange(self.size[1]) + 0.5) * self.width / self.size[1] - 0.5
        row_weights = _triangle(row_centers, self.source_shape[0])[:, rows]
        column_weights = _triangle(column_centers, self.source_shape[1])[:, columns]
        seen_rows, seen_columns = _seen(row_weights), _seen(column_weights)
        by_rows = sparse.csr_array(row_weights[seen_rows])
        by_columns = sparse.csr_array(column_weights[seen_columns])
        for start in range(0, len(slices), _TOGETHER):
            some = np.stack([image[rows, columns] for image in slices[start : start + _TOGETHER]]).astype(np.float32)
            if limits:
                np.clip(some, *limits, out=some)
            some -= np.float32(outside)  # so that all that is not there counts as 0
            values = _weighted(some, by_rows, by_columns)
            values += np.float32(outside)
            yield (slice(start, start + len(some)), seen_rows, seen_columns), values

    def apply_to_labels(self, labels: Sequence[np.ndarray]) -> np.ndarray:
        """Labels of S slices (rows, columns) to (S, H, W) by the nearest pixel; 0 beyond the slice's edge."""
        rows = _nearest(self.top, self.height, self.size[0])
        columns = _nearest(self.left, self.width, self.size[1])
        inside_rows = (rows >= 0) & (rows < self.source_shape[0])
        inside_columns = (columns >= 0) & (columns < self.source_shape[1])
        result = np.zeros((len(labels), *self.size), np.uint8)
        source, target = np.ix_(rows[inside_rows], columns[inside_columns]), np.ix_(inside_rows, inside_columns)
        for image, slice_labels in zip(result, labels, strict=True):
            if slice_labels.any():
                image[target] = slice_labels[source]
        return result

    def invert(self, images: np.ndarray, *, smooth: bool = True) -> np.ndarray:
        """(S, H, W) to (S, rows, columns); pixels outside the window are 0. `smooth=False` takes the nearest pixel."""
        slices = np.zeros((len(images), *self.source_shape), images.dtype)
        (inner_rows, outer_rows), (inner_columns, outer_columns) = (
            _overlap(range(start, start + length), limit)
            for start, length, limit in zip(
                (self.top, self.left), (self.height, self.width), self.source_shape, strict=True
            )
        )
        if not smooth:
            rows, columns = (_nearest(0, n, m) for n, m in zip(self.size, (self.height, self.width), strict=True))
            enlarged = images[:, rows[inner_rows]][:, :, columns[inner_columns]]
            slices[:, outer_rows, outer_columns] = enlarged
            return slices
        row_centers = (np.arange(self.height) + 0.5) * self.size[0] / self.height - 0.5
        column_centers = (np.arange(self.width) + 0.5) * self.size[1] / self.width - 0.5
        by_rows = sparse.csr_array(_triangle(row_centers, self.size[0])[inner_rows])
        by_columns = sparse.csr_array(_triangle(column_centers, self.size[1])[inner_columns])
        for start in range(0, len(images), _TOGETHER):
            some = images[start : start + _TOGETHER].astype(np.float32)
            slices[start : start + _TOGETHER, outer_rows, outer_columns] = _weighted(some, by_rows, by_columns)
        return slices

    def pixels_cut_off(self, foreground: np.ndarray) -> int:
        """How many pixels of an (S, rows, columns) foreground lie outside the window."""
        rows = _overlap(range(self.top, self.top + self.height), self.source_shape[0])[1]
        columns = _overlap(range(self.left, self.left + self.width), self.source_shape[1])[1]
        return int(np.count_nonzero(foreground) - np.count_nonzero(foreground[:, rows, columns]))


def center_window(
    box: tuple[slice, slice],
    pixel_mm: tuple[float, float],
    field_of_view: FieldOfView,
    size: tuple[int, int],
    source_shape: tuple[int, int],
) -> Window:
    """The window around the middle of the foreground.

    Args:
        box: rows and columns of the foreground's bounding box.
        pixel_mm: size of a source pixel along rows and columns.
        field_of_view: length of the window's longer side in mm, the other follows the aspect of `size`; `crop`: `size`
            source pixels, nothing is resampled; `whole`: the smallest window that holds the whole slice.
        size: (H, W) of the prepared image.
        source_shape: (rows, columns) of a slice.
    """
    if field_of_view == "whole":
        box = (slice(0, source_shape[0]), slice(0, source_shape[1]))
        # One scale for both axes, in mm for each prepared pixel, so that the picture keeps its shape.
        scale = max(n * mm / m for n, mm, m in zip(source_shape, pixel_mm, size, strict=True))
        lengths = [_whole(scale * m / mm) for m, mm in zip(size, pixel_mm, strict=True)]
    elif field_of_view == "crop":
        lengths = list(size)
    else:
        lengths = [_whole(field_of_view * m / max(size) / mm) for m, mm in zip(size, pixel_mm, strict=True)]
    starts = [int(used.start + used.stop - length) // 2 for used, length in zip(box, lengths, strict=True)]
    return Window(
        top=starts[0], left=starts[1], height=lengths[0], width=lengths[1], source_shape=source_shape, size=size
    )


def _whole(pixels: float) -> int:
    """The nearest whole number from 1, the same for spacings that differ by what a file format rounds."""
    return max(1, round(round(pixels, 3)))


def _overlap(wanted: range, limit: int) -> tuple[slice, slice]:
    """The part of `wanted` within 0 to `limit`: counted from the start of `wanted`, and as it is."""
    low, high = max(wanted.start, 0), max(min(wanted.stop, limit), max(wanted.start, 0))
    return slice(low - wanted.start, high - wanted.start), slice(low, high)


def _nearest(first: int, length: int, size: int) -> np.ndarray:
    """For each of `size` pixels the nearest of `length` pixels that begin at `first`."""
    return first + np.minimum(((np.arange(size) + 0.5) * length / size).astype(int), length - 1)


def _triangle(centers: np.ndarray, count: int) -> np.ndarray:
    """Weights (N, count) of `count` pixels for N evenly spaced centers, in pixels; a row sums to 1.

    The triangle filter widens with the reduction: shrinking averages and enlarging interpolates. A center beyond the
    edge has no weights.
    """
    reach = max(1.0, float(centers[1] - centers[0])) if len(centers) > 1 else 1.0
    weights = np.clip(1 - np.abs(centers[:, None] - np.arange(count)) / reach, 0, None)
    weights[(centers < -0.5) | (centers > count - 0.5)] = 0
    total = weights.sum(axis=1, keepdims=True)
    return np.divide(weights, total, out=weights, where=total > 0).astype(np.float32)


def _weighted(images: np.ndarray, rows: sparse.csr_array, columns: sparse.csr_array) -> np.ndarray:
    """(S, a, b) by weights (h, a) and (w, b) to (S, h, w).

    Few weights are not 0, and a sparse product with all images at once runs at the speed of memory.
    """
    count, height, width = len(images), rows.shape[0], columns.shape[0]
    by_row = rows @ images.swapaxes(0, 1).reshape(images.shape[1], count * images.shape[2])
    by_column = columns @ by_row.reshape(height * count, images.shape[2]).T
    result: np.ndarray = by_column.reshape(width, height, count).transpose(2, 1, 0)
    return result


def _seen(weights: np.ndarray) -> slice:
    """The stretch of rows that have weights."""
    used = np.flatnonzero(weights.any(axis=1))
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
