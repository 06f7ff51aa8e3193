"""The page of one patient and the index over all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from data_prep.preparation import Preparation, PreparedSlices, source_slices, volume_foreground
from data_prep.slicing import SliceAxis, slice_axis_of, slice_spacing_mm, to_slices
from data_prep.volume import Volume
from pipelines.localize import Localization
from pipelines.reporting import figures
from pipelines.reporting.page import render

_SHOWN_SLICES = 3
_LETTERS: dict[SliceAxis, str] = {"axial": "RLAP", "coronal": "RLSI", "sagittal": "APSI"}
"""Letters at the left, right, top and bottom of a slice."""


def render_patient_page(report: Mapping[str, Any], picture: bytes, files: Sequence[str]) -> str:
    """The HTML of one patient; `report` is what `report.json` holds."""
    return render(
        "patient.html", title=report["patient"], report=report, picture=figures.data_uri(picture), files=files
    )


def render_index(reports: Sequence[Mapping[str, Any]], failures: Sequence[Any]) -> str:
    """The HTML over all patients, in the order given."""
    return render("index.html", title="Lesion reports", reports=reports, failures=failures)


def draw_patient(
    volume: Volume,
    prepared: PreparedSlices,
    localization: Localization,
    scores: np.ndarray,
    preparation: Preparation,
) -> tuple[bytes, bytes]:
    """Pictures of the most abnormal slices at the resolution of the source: the page's, and a thumbnail."""
    axis = preparation.axis
    worst = source_slices(prepared, volume, preparation)[np.argsort(-scores, kind="stable")[:_SHOWN_SLICES]]
    # The channel that changed most; with one channel, that one.
    change = [
        np.abs(source - healthy).max() / (scale.high - scale.low)
        for source, healthy, scale in zip(volume.channels, localization.healthy, prepared.scales, strict=True)
    ]
    channel = int(np.argmax(change))
    scale = prepared.scales[channel]
    foreground = volume_foreground(volume, prepared, preparation)
    before, after = (
        to_slices(np.where(foreground, scale.normalize(array), 0), axis)
        for array in (volume.channels[channel], localization.healthy[channel])
    )
    difference, labels = to_slices(localization.difference, axis), to_slices(localization.labels, axis)
    box = _bounding_box(to_slices(foreground, axis))
    limit = max(0.1, float(np.abs(difference).max()))
    _, row_mm, column_mm = slice_spacing_mm(volume.spacing_mm, axis)
    aspect = row_mm / column_mm
    height = 2.35 * len(worst)
    with figures.figure(len(worst), 4, width=8.2, height=height) as (canvas, axes):
        for row, index in zip(axes, worst, strict=True):
            view = (index, *box)
            number = volume.index_in_file(slice_axis_of(axis), int(index))
            figures.show_slice(row[0], before[view], title=f"input, slice {number}", aspect=aspect)
            figures.letter(row[0], _LETTERS[axis])
            figures.scale_bar(row[0], column_mm)
            figures.show_slice(row[1], after[view], title="healthy translation", aspect=aspect)
            shown = figures.show_difference(row[2], difference[view], limit, title="difference", aspect=aspect)
            figures.show_slice(row[3], before[view], title="candidates", aspect=aspect)
            figures.outline(row[3], labels[view] > 0, figures.CANDIDATE_COLOR)
        canvas.colorbar(shown, ax=axes[:, 2].tolist(), shrink=0.6)
        picture = figures.to_png(canvas)
    view = (worst[0], *box)
    with figures.figure(1, 1, width=1.6, height=1.6) as (canvas, axes):
        canvas.set_layout_engine("none")
        axes[0, 0].set_position((0, 0, 1, 1))
        canvas.set_facecolor("black")
        figures.show_slice(axes[0, 0], before[view], aspect=aspect)
        figures.outline(axes[0, 0], labels[view] > 0, figures.CANDIDATE_COLOR)
        thumbnail = figures.to_png(canvas)
    return picture, thumbnail


def _bounding_box(foreground: np.ndarray) -> tuple[slice, slice]:
    """Rows and columns of (S, rows, columns) that hold foreground, with a small margin."""
    ranges = []
    for axis in (1, 2):
        used = np.flatnonzero(foreground.any(axis=(0, 3 - axis)))
        ranges.append(slice(max(0, int(used[0]) - 3), int(used[-1]) + 4))
    return ranges[0], ranges[1]
