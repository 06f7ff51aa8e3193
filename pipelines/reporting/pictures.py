"""Planes of a patient as pictures: SVG drawn in millimeters, so that voxels of any shape keep their proportions."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from typing import Literal

import contourpy
import matplotlib
import numpy as np
from markupsafe import Markup
from PIL import Image

from data_prep.foreground import bounding_box
from data_prep.slicing import SliceAxis, slice_axis_of, slice_spacing_mm, to_slices
from pipelines.reporting import figures
from pipelines.reporting.page import render
from pipelines.reporting.shown import ShownVolumes

LETTERS: dict[SliceAxis, str] = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Letters at the left, right, top and bottom of a plane."""

Kind = Literal["input", "healthy", "difference"]
Voxel = tuple[int, int, int]

_ZERO = 128
"""The byte of a difference of 0. Byte 0 is outside the patient; 1 and 255 are the ends of the scale."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One plane of a patient within the box around the foreground: arrays (rows, columns), row 0 at the top.

    Attributes:
        axis: the plane's orientation.
        input, healthy: uint8, 255 for an intensity of 1.
        difference: uint8, places in `difference_palette`.
        lesions: uint16, the number of each candidate, 0 elsewhere.
        truth: bool; None without a mask.
        pixel_mm: height and width of a pixel.
        anatomy: as in `ShownVolumes`.
    """

    axis: SliceAxis
    input: np.ndarray
    healthy: np.ndarray
    difference: np.ndarray
    lesions: np.ndarray
    truth: np.ndarray | None
    pixel_mm: tuple[float, float]
    anatomy: bool

    @property
    def size_mm(self) -> tuple[float, float]:
        """Height and width."""
        rows, columns = self.input.shape
        return rows * self.pixel_mm[0], columns * self.pixel_mm[1]

    def outlines(self, number: int | None = None) -> Iterator[tuple[str, list[np.ndarray]]]:
        """What is outlined, each with its closed lines, (N, 2) of x and y in mm from the top left corner.

        `candidate` is the one of that `number`, `other` are all others; without a number all are `candidate`.
        """
        candidate = self.lesions > 0 if number is None else self.lesions == number
        if self.truth is not None:
            yield "truth", trace(self.truth, self.pixel_mm)
        yield "other", trace((self.lesions > 0) & ~candidate, self.pixel_mm)
        yield "candidate", trace(candidate, self.pixel_mm)


class Planes:
    """Cuts through one patient.

    Attributes:
        axes: the planes of more than one row and column; a volume of one slice has one such plane.
    """

    def __init__(self, shown: ShownVolumes) -> None:
        self._shown = shown
        box = bounding_box(shown.foreground)
        assert box is not None  # no patient without a foreground is prepared
        self._box = box
        shape = np.array(shown.image.shape)
        self.axes: tuple[SliceAxis, ...] = tuple(
            axis for axis in LETTERS if (np.delete(shape, slice_axis_of(axis)) > 1).all()
        )

    def strongest(self) -> Voxel:
        """The voxel (i, j, k) of the largest difference of either sign."""
        place = np.unravel_index(np.abs(self._shown.difference).argmax(), self._shown.difference.shape)
        i, j, k = map(int, place)
        return i, j, k

    def through(self, axis: SliceAxis, voxel: Voxel) -> Cut:
        """The plane of orientation `axis` that holds a voxel (i, j, k)."""
        shown, box = self._shown, list(self._box)
        index = voxel[slice_axis_of(axis)]
        box[slice_axis_of(axis)] = slice(index, index + 1)

        def plane(volume: np.ndarray) -> np.ndarray:
            return to_slices(volume[tuple(box)], axis)[0]

        steps = np.clip(np.rint(plane(shown.difference) * ((_ZERO - 1) / shown.limit)), 1 - _ZERO, _ZERO - 1)
        _, row_mm, column_mm = slice_spacing_mm(shown.spacing_mm, axis)
        return Cut(
            axis=axis,
            input=gray(plane(shown.image)),
            healthy=gray(plane(shown.healthy)),
            difference=np.where(plane(shown.foreground), steps + _ZERO, 0).astype(np.uint8),
            lesions=plane(shown.lesions),
            truth=None if shown.truth is None else plane(shown.truth),
            pixel_mm=(row_mm, column_mm),
            anatomy=shown.anatomy,
        )


def draw_picture(
    cut: Cut, kind: Kind, *, title: str, corner: str, number: int | None = None, max_pixels: int
) -> Markup:
    """One `<svg>`: a black square with the plane in its middle, orientation letters and a bar of known length.

    Its unit is the millimeter, its origin the plane's top left corner.

    Args:
        cut: the plane.
        kind: what is shown; the input has the outlines.
        title: for screen readers.
        corner: a few letters for the top left corner.
        number: the candidate that is outlined more strongly than others.
        max_pixels: larger planes are reduced to that many pixels.
    """
    height, width = cut.size_mm
    longest = max(height, width)
    margin = 0.08 * longest
    side = longest + 2 * margin
    left, top = (width - side) / 2, (height - side) / 2
    middle = ((-margin / 2, height / 2), (width + margin / 2, height / 2))
    ends = ((width / 2, -margin / 2), (width / 2, height + margin / 2))
    bar_mm = round_length(0.22 * side)
    picture = render(
        "picture.html",
        title=title,
        corner=corner,
        left=left,
        top=top,
        side=side,
        width=width,
        height=height,
        image=figures.data_uri(_png(getattr(cut, kind), kind, max_pixels)),
        outlines=[(name, _path(lines)) for name, lines in cut.outlines(number) if lines] if kind == "input" else [],
        letters=list(zip(LETTERS[cut.axis], (*middle, *ends), strict=True)) if cut.anatomy else [],
        unit="mm" if cut.anatomy else "px",
        bar_mm=bar_mm,
        candidate_color=figures.CANDIDATE_COLOR,
        truth_color=figures.TRUTH_COLOR,
    )
    return Markup(picture)


def scale_uri() -> str:
    """The color scale of differences as a picture of one row, from the darkest to the brightest, as a URI."""
    return figures.data_uri(_png(np.arange(1, 256, dtype=np.uint8)[None], "difference", 255))


@cache
def difference_palette() -> np.ndarray:
    """Colors (256, 3) uint8 of a difference's bytes; black outside the patient."""
    colors = matplotlib.colormaps[figures.DIFFERENCE_COLORS](np.linspace(0, 1, 2 * _ZERO - 1), bytes=True)[:, :3]
    return np.concatenate([np.zeros((1, 3), np.uint8), colors])


def trace(mask: np.ndarray, pixel_mm: tuple[float, float]) -> list[np.ndarray]:
    """Closed lines along the border of a mask (rows, columns), (N, 2) of x and y in mm from its top left corner."""
    if not mask.any():
        return []
    # A ring of background closes lines at the edge. The center of the first pixel lies at 0.5 pixels.
    padded = np.pad(mask.astype(np.float32), 1)
    lines = contourpy.contour_generator(z=padded, line_type=contourpy.LineType.Separate).lines(0.5)
    return [(np.asarray(line) - 0.5) * pixel_mm[::-1] for line in lines]


def gray(plane: np.ndarray) -> np.ndarray:
    return np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8)


def _png(pixels: np.ndarray, kind: Kind, max_pixels: int) -> bytes:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    factor = math.sqrt(max_pixels / pixels.size)
    if factor < 1:
        size = max(1, int(picture.width * factor)), max(1, int(picture.height * factor))
        # Between the byte of the outside and that of a value lies no color that means anything.
        how = Image.Resampling.NEAREST if kind == "difference" else Image.Resampling.BOX
        picture = picture.resize(size, how)
    if kind == "difference":
        picture.putpalette(difference_palette().tobytes())
    buffer = BytesIO()
    picture.save(buffer, format="PNG")
    return buffer.getvalue()


def _path(lines: list[np.ndarray]) -> str:
    """Closed lines as the commands of an SVG path."""
    return "".join("M" + "L".join(f"{x:.5g} {y:.5g}" for x, y in line[:-1]) + "Z" for line in lines)


def round_length(longest: float) -> float:
    """The largest of 1, 2, 5, 10, … (and of smaller powers of ten) up to `longest`."""
    power = 10.0 ** math.floor(math.log10(longest))
    return max(step * power for step in (1, 2, 5) if step * power <= longest)
