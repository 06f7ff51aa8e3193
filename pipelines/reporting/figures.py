"""The look of all figures: quiet axes, colors that stay apart in print and for color-blind readers."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no window system is needed, or looked for

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

MODEL_COLOR = "#0b5cad"
CANDIDATE_COLOR = "#e8590c"
TRUTH_COLOR = "#1098ad"
LINE_STYLES: tuple[dict[str, Any], ...] = (
    {"color": MODEL_COLOR, "linestyle": "-", "linewidth": 2.0},
    {"color": "#555555", "linestyle": "--", "linewidth": 1.4},
    {"color": "#b3730a", "linestyle": ":", "linewidth": 1.8},
    {"color": "#7b4fa3", "linestyle": "-.", "linewidth": 1.4},
)
"""Of curves that share a panel, the evaluated method's first."""
DIFFERENCE_COLORS = "RdBu_r"
"""Diverging around zero: red where the image is brighter than its healthy translation, blue where it is darker."""

_STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "axes.titlesize": 9,
    "figure.facecolor": "white",
    "legend.frameon": False,
}


@contextmanager
def figure(
    rows: int, columns: int, *, width: float, height: float, **kwargs: Any
) -> Iterator[tuple[Figure, np.ndarray]]:
    """A figure of `width` × `height` inches and its axes (rows, columns), closed at the end."""
    with plt.rc_context(_STYLE):
        canvas, axes = plt.subplots(
            rows, columns, figsize=(width, height), squeeze=False, layout="constrained", **kwargs
        )
        try:
            yield canvas, axes
        finally:
            plt.close(canvas)


def to_png(canvas: Figure, *, dpi: int = 110) -> bytes:
    """The figure as PNG bytes, the same for the same figure."""
    buffer = BytesIO()
    canvas.savefig(buffer, format="png", dpi=dpi, facecolor=canvas.get_facecolor(), metadata={"Software": None})
    return buffer.getvalue()


def rgb(color: str) -> tuple[float, float, float]:
    """Red, green and blue of a color, each in [0, 1]."""
    return to_rgb(color)


def data_uri(picture: bytes, kind: str = "png") -> str:
    """A picture as a URI that a self-contained page can show."""
    return f"data:image/{kind};base64,{base64.b64encode(picture).decode()}"


def show_slice(axes: Axes, image: np.ndarray, *, title: str = "", aspect: float = 1.0) -> None:
    """A gray slice (rows, columns) in [0, 1], without axes."""
    axes.imshow(image, cmap="gray", vmin=0, vmax=1, aspect=aspect, interpolation="nearest")
    bare(axes, title)


def show_difference(axes: Axes, difference: np.ndarray, limit: float, *, title: str = "", aspect: float = 1.0) -> Any:
    """A signed difference (rows, columns), its color scale from -limit to limit; returns the image for a color bar."""
    image = axes.imshow(
        difference, cmap=DIFFERENCE_COLORS, vmin=-limit, vmax=limit, aspect=aspect, interpolation="nearest"
    )
    bare(axes, title)
    return image


def show_map(axes: Axes, anomaly: np.ndarray, *, title: str = "") -> Any:
    """An anomaly map (rows, columns) of any range, dark where it is high; returns the image for a color bar."""
    low, high = float(anomaly.min()), float(anomaly.max())
    high = high if high > low else low + 1  # a map of one value is pale all over
    image = axes.imshow(anomaly, cmap="Purples", vmin=low, vmax=high, interpolation="nearest")
    bare(axes, title)
    return image


def outline(axes: Axes, mask: np.ndarray, color: str, *, dashed: bool = False) -> None:
    """The border of a mask (rows, columns)."""
    if mask.any() and not mask.all():
        style = "dashed" if dashed else "solid"
        axes.contour(mask.astype(float), [0.5], colors=[color], linewidths=1.3, linestyles=style)


def letter(axes: Axes, letters: Sequence[str]) -> None:
    """Orientation letters at the left, right, top and bottom of a slice."""
    places = (
        (0.02, 0.5, "left", "center"),
        (0.98, 0.5, "right", "center"),
        (0.5, 0.98, "center", "top"),
        (0.5, 0.02, "center", "bottom"),
    )
    for text, (x, y, horizontal, vertical) in zip(letters, places, strict=True):
        axes.text(x, y, text, transform=axes.transAxes, color="#ffd43b", fontsize=8, ha=horizontal, va=vertical)


def scale_bar(axes: Axes, pixel_mm: float, *, length_mm: float = 50) -> None:
    """A bar of `length_mm` at the lower left of a slice whose columns are `pixel_mm` apart."""
    rows = axes.images[0].get_size()[0]
    start, y = 2.0, rows * 0.95
    axes.plot([start, start + length_mm / pixel_mm], [y, y], color="#ffd43b", linewidth=1.5)
    axes.text(start, y - rows * 0.02, f"{length_mm:g} mm", color="#ffd43b", fontsize=7, va="bottom")


def bare(axes: Axes, title: str = "") -> None:
    """Axes without ticks and frame."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    if title:
        axes.set_title(title, parse_math=False)  # a patient's name may hold dollar signs
