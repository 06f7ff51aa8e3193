"""The page of one patient: what was found, where it lies, and how it was computed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from data_prep.preparation import Preparation
from data_prep.slicing import SliceAxis, slice_axis_of
from evaluation.components import MIN_SIZE
from evaluation.maps import MapSettings
from pipelines.reporting import figures
from pipelines.reporting.page import format_threshold, format_volume, render
from pipelines.reporting.pictures import Kind, Planes, Voxel, draw_picture, scale_uri
from pipelines.reporting.record import Lesion, PatientReport, Place, Standing
from pipelines.reporting.shown import ShownVolumes

_PICTURED = 24
"""Candidates that are shown in pictures; the table has all."""
_PIXELS = 5_000_000
"""All pictures of a page together, for its size: about 3 MB."""
_KINDS: dict[Kind, str] = {"input": "input", "healthy": "healthy translation", "difference": "difference"}


def render_patient_page(report: PatientReport, shown: ShownVolumes, viewer: Markup, *, for_print: bool = False) -> str:
    """The HTML of one patient.

    Args:
        report: what `report.json` holds.
        shown: the patient's volumes; candidates have the numbers of `report.lesions`.
        viewer: HTML with a script that sets `window.fpganViewer`, whose `goTo(right, anterior, superior)` takes mm.
        for_print: without viewer, buttons and scripts.
    """
    preparation, maps = Preparation.model_validate(report.preparation), MapSettings.model_validate(report.maps)
    planes = Planes(shown)
    pictured = report.lesions[:_PICTURED]
    places: list[tuple[int | None, Voxel]] = [(own.number, _voxel_of(own, shown)) for own in pictured]
    places = places or [(None, planes.strongest())]
    max_pixels = _PIXELS // (len(places) * len(planes.axes) * len(_KINDS))
    return render(
        "patient.html",
        title=f"{report.patient} · lesion report",
        report=report,
        index="../" * len(report.folder.split("/")) + "index.html",
        viewer=viewer,
        for_print=for_print,
        has_viewer=not for_print and len(planes.axes) > 1,  # of a single slice, the picture shows it all
        prepared=[*_in_words(preparation), *_maps_in_words(maps, report.channels)],
        cleaned=_cleaned_in_words(maps),
        chart=_chart(report) if report.standing else None,
        comparison=_comparison(report.standing),
        pictures=[list(_draw(report, shown, planes, number, voxel, max_pixels)) for number, voxel in places],
        pictured=pictured,
        kinds=tuple(_KINDS.values()),
        limit=shown.limit,
        scale=scale_uri(),
        candidate_color=figures.CANDIDATE_COLOR,
        truth_color=figures.TRUTH_COLOR,
        spacing=_times(report.source.spacing_mm),
        coordinates=_coordinates,
        anatomy=shown.anatomy,
        smallest=_smallest(preparation),
        no_candidate=_no_candidate(report, preparation),
    )


def _voxel_of(lesion: Lesion, shown: ShownVolumes) -> Voxel:
    """The voxel of a candidate that is nearest to its centroid, which may lie beside it, as that of a ring does."""
    center = shown.index_of(lesion.center_mm)
    if shown.lesions[center] == lesion.number:
        return center
    voxels = np.argwhere(shown.lesions == lesion.number)
    distances = (((voxels - center) * shown.spacing_mm) ** 2).sum(axis=1)
    i, j, k = map(int, voxels[distances.argmin()] if len(voxels) else center)
    return i, j, k


def _smallest(preparation: Preparation) -> str:
    """The largest area in a slice that is too small for a candidate."""
    seen = preparation.field_of_view_mm
    pixels = f"{MIN_SIZE} pixels of a slice as the model sees it"
    if not isinstance(seen, float):
        return pixels
    return f"{pixels} ({format_volume(MIN_SIZE * (seen / max(preparation.size)) ** 2)} mm²)"


def _no_candidate(report: PatientReport, preparation: Preparation) -> str:
    threshold = format_threshold(report.candidate_threshold)
    if report.score < report.candidate_threshold:
        return f"No candidate reaches a peak anomaly of {threshold}."
    largest = _smallest(preparation)
    return f"What reaches a peak anomaly of {threshold} covers at most {largest}: too small for a candidate."


@dataclass(frozen=True, kw_only=True)
class _Chart:
    """Places of scores along an axis, in % of its length."""

    ticks: Sequence[tuple[float, str]]
    healthy: Sequence[float]
    diseased: Sequence[float]
    patient: float
    threshold: float | None


def _draw(
    report: PatientReport,
    shown: ShownVolumes,
    planes: Planes,
    number: int | None,
    voxel: Voxel,
    max_pixels: int,
) -> Iterator[Markup]:
    """Input, healthy translation and difference of each plane through a voxel."""
    subject = "strongest difference" if number is None else f"candidate {number}"
    for axis in planes.axes:
        cut = planes.through(axis, voxel)
        place = f"{axis if shown.anatomy else 'slice'} {_index_in_file(report, shown, axis, voxel)}"
        for kind, words in _KINDS.items():
            title = f"{words.capitalize()}, {place}, through {subject}"
            yield draw_picture(cut, kind, title=title, corner=place, number=number, max_pixels=max_pixels)


def _index_in_file(report: PatientReport, shown: ShownVolumes, axis: SliceAxis, voxel: Voxel) -> int:
    """The index of a plane along the axis of the source file that it is cut across, from 0."""
    to_file = np.linalg.inv(np.array(report.source.affine)) @ shown.affine
    file_axis = np.abs(to_file[:3, slice_axis_of(axis)]).argmax()
    return int(np.rint(to_file[file_axis] @ (*voxel, 1)))


def _chart(report: PatientReport) -> _Chart:
    standing = report.standing or Standing(healthy=(), diseased=(), above_healthy=None, above_diseased=None)
    scores = np.array([0, *standing.healthy, *standing.diseased, report.score, report.threshold])
    known = scores[np.isfinite(scores)]
    ticks = MaxNLocator(5).tick_values(known.min(), known.max())

    def place(score: float) -> float:
        return round(100 * (score - ticks[0]) / (ticks[-1] - ticks[0]), 2)

    return _Chart(
        ticks=[(place(tick), f"{tick:.4g}") for tick in ticks],
        healthy=[place(score) for score in standing.healthy],
        diseased=[place(score) for score in standing.diseased],
        patient=place(report.score),
        threshold=place(report.threshold) if np.isfinite(report.threshold) else None,
    )


def _comparison(standing: Standing | None) -> str:
    """The patient's score among those of the validation patients, as a sentence."""
    if standing is None:
        return "The model holds no scores of validation patients to compare with."
    shares = {"healthy": standing.above_healthy, "diseased": standing.above_diseased}
    known = [f"{_percent(share)} of the {kind}" for kind, share in shares.items() if share is not None]
    missing = [kind for kind, share in shares.items() if share is None]
    sentences = [f"Higher than {' and '.join(known)} validation patients."] if known else []
    if missing:
        sentences.append(f"There were no {' and no '.join(missing)} validation patients to compare with.")
    return " ".join(sentences)


def _in_words(preparation: Preparation) -> list[tuple[str, str]]:
    """How images were prepared, as pairs of what and how."""
    rows, columns = preparation.size
    view = preparation.field_of_view_mm
    low, high = preparation.intensity_percentiles
    window = preparation.intensity_window or (np.nan, np.nan)
    views = {"whole": "the whole slice", "crop": "cut out at the resolution of the scan"}
    intensities = {
        "percentile": f"percentiles {low:g} and {high:g} become 0 and 1",
        "median": f"from percentile {low:g}, at 0, the median lies at a third",
        "zscore": f"mean ± {preparation.zscore_limit:g} standard deviations becomes 0 to 1",
        "window": f"{window[0]:g} to {window[1]:g} in units of the file become 0 to 1",
        "none": "as in the file, 0 to 1",
    }
    words = [
        ("Channels", ", ".join(preparation.channels)),
        ("Slices", f"{preparation.axis}, {rows} × {columns} pixels"),
        ("Field of view", views[view] if isinstance(view, str) else f"{view:g} mm around the patient"),
        ("Intensity", intensities[preparation.intensity]),
    ]
    if preparation.spacing_mm:
        words.append(("Resampled to", f"{_times(preparation.spacing_mm)} mm"))
    if preparation.bias_correction:
        words.append(("Bias field", "corrected (N4)"))
    return words


def _cleaned_in_words(maps: MapSettings) -> str:
    """How maps are cleaned; empty where they are not."""
    steps = [f"rim of {maps.rim_px} px left out"] if maps.rim_px else []
    steps += [f"median of {maps.median_px} px"] if maps.median_px > 1 else []
    steps += [f"Gaussian filter of {maps.gaussian_px:g} px"] if maps.gaussian_px else []
    return ", ".join(steps)


def _maps_in_words(maps: MapSettings, channels: Sequence[str]) -> list[tuple[str, str]]:
    """What differs from the patent's maps and candidates, as pairs of what and how."""
    words = []
    if isinstance(maps.reduction, int):
        words.append(("Anomaly", f"of {channels[maps.reduction]} alone"))
    elif maps.reduction == "mean":
        words.append(("Anomaly", "mean over channels"))
    if cleaned := _cleaned_in_words(maps):
        words.append(("Clean-up", cleaned))
    if maps.quantization_levels > 2:
        words.append(("Candidates", f"the highest of {maps.quantization_levels} levels"))
    return words


def _percent(share: float) -> str:
    """A share in whole %, rounded down: only all are 100 %."""
    return f"{math.floor(round(100 * share, 6))} %"


def _times(lengths: Sequence[float]) -> str:
    return " × ".join(f"{length:.3g}" for length in lengths)


def _coordinates(place: Place) -> str:
    """What the viewer goes to."""
    return ",".join(f"{value:g}" for value in place.center_mm)
