"""A patient's report in one picture, wide and dark; readable as a thumbnail of 220 pixels."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from data_prep.preparation import Preparation
from pipelines.reporting import figures
from pipelines.reporting.pictures import LETTERS, Cut, Planes, difference_palette, round_length
from pipelines.reporting.record import PatientReport
from pipelines.reporting.shown import ShownVolumes

WIDTH, HEIGHT = 960, 320
"""Pixels of a preview."""

_SMOOTH = 2  # everything is drawn larger and then reduced: Pillow draws lines with steps
_BAND = 46  # of text, above the pictures
_SCALE = 74  # of the color scale, at the right
_EDGE = 12
_PAPER, _INK, _SOFT, _ALARM = "#0b0d10", "#f1f3f5", "#aeb6bf", "#ff8a80"


def draw_preview(report: PatientReport, shown: ShownVolumes) -> bytes:
    """A PNG of `WIDTH` × `HEIGHT` pixels: the plane of the largest difference as the model sees slices.

    From left to right: the input with candidates and ground truth outlined, its healthy translation, their signed
    difference and its color scale; above them the patient, the score and the verdict.
    """
    planes = Planes(shown)
    axis = Preparation.model_validate(report.preparation).axis
    cut = planes.through(axis, planes.strongest())
    canvas = Image.new("RGB", (WIDTH * _SMOOTH, HEIGHT * _SMOOTH), _PAPER)
    draw = ImageDraw.Draw(canvas)
    _write_band(draw, report)
    tile = (WIDTH - _SCALE) // 3, HEIGHT - _BAND
    colored = Image.fromarray(difference_palette()[cut.difference])
    for place, picture in enumerate((Image.fromarray(cut.input), Image.fromarray(cut.healthy), colored)):
        corner, pixels_a_mm = _paste(canvas, picture, cut, left=place * tile[0], tile=tile)
        if place == 0:
            _outline(draw, cut, corner, pixels_a_mm)
        _mark(draw, cut, left=place * tile[0], tile=tile, pixels_a_mm=pixels_a_mm / _SMOOTH)
    _draw_scale(canvas, draw, shown.limit)
    buffer = BytesIO()
    canvas.resize((WIDTH, HEIGHT), Image.Resampling.BOX).save(buffer, format="PNG")
    return buffer.getvalue()


def _write_band(draw: ImageDraw.ImageDraw, report: PatientReport) -> None:
    verdict = f"{report.score:.3f}  {'abnormal' if report.abnormal else 'not abnormal'}"
    color = _ALARM if report.abnormal else _INK
    middle = _BAND / 2 + 2
    _write(draw, (WIDTH - _EDGE, middle), verdict, 30, color, anchor="rm")
    room = WIDTH - 4 * _EDGE - draw.textlength(verdict, _font(30)) / _SMOOTH
    # A name may hold line breaks, which no text of one line can, and bytes that are no UTF-8.
    name = " ".join(report.patient.split()).encode(errors="replace").decode()
    if draw.textlength(name, _font(30)) > room * _SMOOTH:
        while name and draw.textlength(f"{name}…", _font(30)) > room * _SMOOTH:
            name = name[:-1]
        name += "…"
    _write(draw, (_EDGE, middle), name, 30, _INK, anchor="lm")


def _paste(
    canvas: Image.Image, picture: Image.Image, cut: Cut, *, left: int, tile: tuple[int, int]
) -> tuple[tuple[float, float], float]:
    """Fit a plane into its tile; returns its top left corner and the pixels a mm, both of the canvas."""
    height_mm, width_mm = cut.size_mm
    width, height = ((side - _EDGE) * _SMOOTH for side in tile)
    pixels_a_mm = min(width / width_mm, height / height_mm)
    size = max(1, round(width_mm * pixels_a_mm)), max(1, round(height_mm * pixels_a_mm))
    x, y = left * _SMOOTH + (tile[0] * _SMOOTH - size[0]) // 2, _BAND * _SMOOTH + (height - size[1]) // 2
    # Bicubic filtering would ring around the black outside of a difference.
    canvas.paste(picture.resize(size, Image.Resampling.BILINEAR), (x, y))
    return (x, y), pixels_a_mm


def _outline(draw: ImageDraw.ImageDraw, cut: Cut, corner: tuple[float, float], pixels_a_mm: float) -> None:
    for name, lines in cut.outlines():
        color = figures.TRUTH_COLOR if name == "truth" else figures.CANDIDATE_COLOR
        for line in lines:
            points = [(float(x), float(y)) for x, y in np.asarray(corner) + line * pixels_a_mm]
            draw.line(points, fill=color, width=(2 if name == "truth" else 3) * _SMOOTH, joint="curve")


def _mark(draw: ImageDraw.ImageDraw, cut: Cut, *, left: int, tile: tuple[int, int], pixels_a_mm: float) -> None:
    """Orientation letters at the borders of a tile, and a bar of known length at its lower left."""
    right, top, bottom, middle = left + tile[0], _BAND, HEIGHT - _EDGE, _BAND + tile[1] / 2
    if cut.anatomy:
        center = left + tile[0] / 2
        sides = [(left + _EDGE, middle, "lm"), (right - _EDGE, middle, "rm")]
        places = [*sides, (center, top, "mt"), (center, bottom, "mb")]
        for letter, (x, y, anchor) in zip(LETTERS[cut.axis], places, strict=True):
            _write(draw, (x, y), letter, 16, _SOFT, anchor=anchor)
    length = round_length(0.25 * tile[0] / pixels_a_mm)
    x = left + _EDGE
    draw.line([(value * _SMOOTH) for value in (x, bottom, x + length * pixels_a_mm, bottom)], _SOFT, width=2 * _SMOOTH)
    _write(draw, (x, bottom - 4), f"{length:g} {'mm' if cut.anatomy else 'px'}", 13, _SOFT, anchor="lb")


def _draw_scale(canvas: Image.Image, draw: ImageDraw.ImageDraw, limit: float) -> None:
    left, top, bottom = WIDTH - _SCALE + 4, _BAND + 30, HEIGHT - _EDGE - 32
    column = Image.fromarray(difference_palette()[:0:-1, None])
    canvas.paste(column.resize((14 * _SMOOTH, (bottom - top) * _SMOOTH)), (left * _SMOOTH, top * _SMOOTH))
    _write(draw, (left, top - 14), f"+{limit:.2f}", 18, _SOFT, anchor="lm")
    _write(draw, (left + 22, (top + bottom) / 2), "0", 18, _SOFT, anchor="lm")
    _write(draw, (left, bottom + 14), f"−{limit:.2f}", 18, _SOFT, anchor="lm")


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[float, float], text: str, size: int, color: str, *, anchor: str
) -> None:
    where = (place[0] * _SMOOTH, place[1] * _SMOOTH)
    draw.text(where, text, color, _font(size), anchor=anchor, stroke_width=_SMOOTH, stroke_fill=_PAPER)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size * _SMOOTH)
