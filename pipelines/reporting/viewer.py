"""The interactive viewer of a patient's page: three planes through a crosshair, which brainsprite draws.

brainsprite (https://github.com/brainsprite/brainsprite) cuts planes from a sprite: the sagittal slices of a volume side
by side in one image, here of cubic voxels and in the order of the screen, so every axis runs against RAS+ as in
`data_prep.slicing`: to the patient's left, back and feet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from markupsafe import Markup
from PIL import Image
from scipy.ndimage import maximum_filter

from pipelines.reporting import figures
from pipelines.reporting.page import render
from pipelines.reporting.pictures import gray
from pipelines.reporting.shown import ShownVolumes

_MOST_VOXELS = 170**3
"""Finer volumes are averaged to coarser voxels: the page stays near 1.5 MB, the sprite small enough for a phone."""
_MARGIN = 0.05
"""Room for letters around the foreground, as a share of its longest side."""


def render_viewer(shown: ShownVolumes) -> Markup:
    """An HTML fragment with its scripts inline and its images as data URIs; it takes its colors from `base.html`.

    Its script offers the page `window.fpganViewer` with `goTo(right_mm, anterior_mm, superior_mm)`, which moves the
    crosshair to the nearest voxel, and `positionMm()`, where it is; both are world coordinates (RAS+). At first it lies
    on the largest absolute difference, of the lesion candidates if there are any.

    Raises:
        ModuleNotFoundError: if the package that brings brainsprite is not installed, or without it.
    """
    grid = _screen_grid(shown)
    difference = _averaged(shown.difference, grid)
    limit = shown.limit
    truth = np.zeros_like(shown.foreground) if shown.truth is None else shown.truth
    marks = _nearest((shown.lesions > 0) + 2 * truth.astype(np.uint8), grid)
    around = maximum_filter(_nearest(shown.foreground.astype(np.uint8), grid), 5)  # its smooth border takes few bytes
    data = {
        "size": grid.shape,
        "toWorld": grid.affine[:3].tolist(),
        "toVoxel": np.linalg.inv(grid.affine)[:3].tolist(),
        "voxelMm": grid.voxel_mm,
        "start": _start(difference, marks & 1 > 0),
        "limit": limit,
        "anatomy": shown.anatomy,
        "colors": _colors().ravel().tolist(),
        "outlines": {"candidates": [1, figures.CANDIDATE_COLOR], "truth": [2, figures.TRUTH_COLOR]},
        "around": 4,
        "images": {
            "input": _sprite(gray(_averaged(shown.image, grid)), "jpeg"),
            "healthy": _sprite(gray(_averaged(shown.healthy, grid)), "jpeg"),
            "difference": _sprite((127 * (difference / limit) + 127.5).astype(np.uint8), "png"),
            "marks": _sprite(marks + 4 * around, "png"),
        },
    }
    return Markup(
        render(
            "viewer.html",
            brainsprite=Markup(brainsprite_source()),
            data=data,
            channel=shown.channel,
            anatomy=shown.anatomy,
            limit=limit,
            scale=_css_gradient(_colors()),
            tilt=_tilt(shown.affine),
            candidate_color=figures.CANDIDATE_COLOR if shown.lesions.any() else None,
            truth_color=figures.TRUTH_COLOR if truth.any() else None,
        )
    )


@cache
def brainsprite_source() -> str:
    """The JavaScript of brainsprite, as the package nilearn ships it.

    Raises:
        ModuleNotFoundError: if nilearn is not installed, or without it.
    """
    package = find_spec("nilearn")  # found, not imported: that takes seconds
    if package is None or package.origin is None:
        raise ModuleNotFoundError("the viewer of a report needs the package nilearn; install it: pip install nilearn")
    # Versions keep it in different folders.
    scripts = sorted(Path(package.origin).parent.rglob("brainsprite.min.js"))
    if not scripts:
        raise ModuleNotFoundError(
            "the installed nilearn ships no brainsprite.min.js, which the viewer of a report needs; "
            "install another version of nilearn"
        )
    return scripts[0].read_text(encoding="utf-8")


@dataclass(frozen=True)
class _ScreenGrid:
    """Cubic voxels in the order of the screen.

    Attributes:
        positions: for each axis, where its voxels lie, as fractional indices of the source's; they descend.
        affine: (4, 4), from voxels to world positions (RAS+, mm).
        voxel_mm: their side.
    """

    positions: tuple[np.ndarray, np.ndarray, np.ndarray]
    affine: np.ndarray
    voxel_mm: float

    @property
    def shape(self) -> tuple[int, int, int]:
        x, y, z = (len(p) for p in self.positions)
        return x, y, z


def _screen_grid(shown: ShownVolumes) -> _ScreenGrid:
    """Voxels over the foreground and a margin, as fine as the finest of the source if they are not too many."""
    spacing = np.array(shown.spacing_mm)
    ends = np.array([_range_used(shown.foreground, axis) for axis in range(3)])
    sides_mm = (ends[:, 1] - ends[:, 0]) * spacing
    margin_mm = _MARGIN * sides_mm.max()
    voxel_mm = max(float(spacing.min()), float(((sides_mm + 2 * margin_mm).prod() / _MOST_VOXELS) ** (1 / 3)))
    # Where voxels keep their size they keep their places, too, and stay sharp: the margins are of whole voxels.
    counts = np.maximum(1, np.round(sides_mm / voxel_mm)).astype(int) + 2 * round(margin_mm / voxel_mm)
    steps = voxel_mm / spacing
    x, y, z = (
        middle + step * ((count - 1) / 2 - np.arange(count))
        for middle, step, count in zip(ends.mean(axis=1), steps, counts, strict=True)
    )
    affine = shown.affine @ np.diag([*-steps, 1.0])
    affine[:, 3] = shown.affine @ (x[0], y[0], z[0], 1.0)
    return _ScreenGrid((x, y, z), affine, voxel_mm)


def _range_used(foreground: np.ndarray, axis: int) -> tuple[float, float]:
    """Outer faces of the foreground along an axis, as fractional indices; those of the volume without foreground."""
    used = np.flatnonzero(foreground.any(axis=tuple(a for a in range(3) if a != axis)))
    first, last = (used[0], used[-1]) if used.size else (0, foreground.shape[axis] - 1)
    return float(first) - 0.5, float(last) + 0.5


def _averaged(volume: np.ndarray, grid: _ScreenGrid) -> np.ndarray:
    """Linear interpolation of (I, J, K) float32, over as much as a voxel spans where that is more; 0 outside."""
    weights = [_weights(count, positions) for count, positions in zip(volume.shape, grid.positions, strict=True)]
    used = [np.flatnonzero(w.any(axis=0)) for w in weights]
    box = tuple(slice(u[0], u[-1] + 1) for u in used)
    volume = volume[box]
    for w, span in zip(weights, box, strict=True):
        # The axis in front is replaced by one at the end, so after three turns all are in order again.
        volume = np.tensordot(volume, w[:, span], axes=(0, 1))
    return volume


def _weights(count: int, positions: np.ndarray) -> np.ndarray:
    """What each of `count` voxels in a row gives to each position: (positions, count) float32."""
    step = abs(positions[1] - positions[0]) if len(positions) > 1 else 1.0
    distance = np.abs(positions[:, None] - np.arange(count))
    weights = np.clip(1 - distance / max(1.0, step), 0, None)
    weights[~_within(count, positions)] = 0
    return (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1e-6)).astype(np.float32)


def _nearest(volume: np.ndarray, grid: _ScreenGrid) -> np.ndarray:
    """The nearest voxels of (I, J, K); 0 outside."""
    for axis, positions in enumerate(grid.positions):
        count = volume.shape[axis]
        volume = volume.take(np.clip(np.round(positions).astype(int), 0, count - 1), axis=axis)
        volume[(slice(None),) * axis + (~_within(count, positions),)] = 0
    return volume


def _within(count: int, positions: np.ndarray) -> np.ndarray:
    """Which positions lie in one of `count` voxels in a row."""
    return (positions >= -0.5) & (positions <= count - 0.5)


def _sprite(volume: np.ndarray, image_format: str) -> str:
    """Sagittal slices of a volume (X, Y, Z) uint8 side by side in a nearly square image, as a data URI."""
    x, y, z = volume.shape
    columns = max(1, round(math.sqrt(x * z / y)))
    rows = math.ceil(x / columns)
    slices = np.zeros((rows * columns, z, y), np.uint8)
    slices[:x] = volume.transpose(0, 2, 1)
    mosaic = slices.reshape(rows, columns, z, y).transpose(0, 2, 1, 3).reshape(rows * z, columns * y)
    buffer = BytesIO()
    Image.fromarray(mosaic).save(buffer, image_format, quality=80)
    return figures.data_uri(buffer.getvalue(), image_format)


def _start(difference: np.ndarray, candidates: np.ndarray) -> list[int]:
    """The voxel of the largest absolute difference, of the candidates if there are any; the middle if none differs."""
    change = np.abs(difference)
    if candidates.any():
        change *= candidates
    if not change.any():
        return [n // 2 for n in change.shape]
    return [int(index) for index in np.unravel_index(int(change.argmax()), change.shape)]


@cache
def _colors() -> np.ndarray:
    """(255, 4) uint8 red, green, blue and alpha of differences from -limit to limit; zero is clear."""
    share = np.linspace(-1, 1, 255)
    colors = matplotlib.colormaps[figures.DIFFERENCE_COLORS]((share + 1) / 2, bytes=True)
    colors[:, 3] = np.round(255 * np.minimum(1, 1.5 * np.abs(share)))
    return colors


def _css_gradient(colors: np.ndarray) -> str:
    stops = colors[np.linspace(0, 254, 17).round().astype(int)].tolist()
    rgb = (f"rgb({red} {green} {blue} / {alpha / 255:.2f})" for red, green, blue, alpha in stops)
    return f"linear-gradient(to right, {', '.join(rgb)})"


def _tilt(affine: np.ndarray) -> int:
    """By how many degrees the axis that is turned most is turned against the world's."""
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    return round(math.degrees(math.acos(min(1.0, float(np.diag(directions).min())))))
