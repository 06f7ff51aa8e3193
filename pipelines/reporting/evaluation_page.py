"""The page of results that `fpgan evaluate` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort
from evaluation.protocol import Protocol
from pipelines.measuring import Calibration, SplitMeasurements
from pipelines.methods import METHOD, TITLES, MapSource
from pipelines.metrics import INTERVAL
from pipelines.reporting import figures
from pipelines.reporting.evaluation_cases import choose_cases, draw_attribute_grid, draw_cases
from pipelines.reporting.evaluation_figures import draw_curves
from pipelines.reporting.page import format_number, render
from pipelines.reporting.titles import COMPARED, NUMBER_TITLES, digits_of

_TELLING_AUC = 0.8
_DRAWN = (METHOD, "intensity", "local_contrast", "mirror_difference")
"""Methods with curves of their own; more lines than these nobody can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a page shows.

    `title` and `origin` name what was evaluated, `model` is None where maps of another method were; `metrics` is what
    `metrics.json` holds, `slices` and `patients` are the tables.
    """

    title: str
    origin: str
    metrics: Mapping[str, Any]
    test: SplitMeasurements
    calibration: Calibration
    protocol: Protocol
    cohort: Cohort
    source: MapSource
    model: FixedPointGAN | None
    slices: pd.DataFrame
    patients: pd.DataFrame


def write_evaluation_page(output: Path, evaluation: Evaluation) -> None:
    """Write `index.html` and its pictures `curves.png`, `cases.png` and, for attributes, `attributes.png`."""
    pictures = _draw(evaluation)
    for name, picture in pictures.items():
        (output / f"{name}.png").write_bytes(picture)
    metrics = evaluation.metrics
    page = render(
        "evaluation.html",
        title="Evaluation",
        evaluated=evaluation.title,
        origin=evaluation.origin,
        metrics=metrics,
        channels=", ".join(evaluation.cohort.settings.preparation.channels),
        columns=[NUMBER_TITLES[name] for name in COMPARED],
        methods=[
            (title, [_cell(own, name) for name in COMPARED])
            for title, own in (
                (evaluation.title, metrics),
                *((TITLES[name], own) for name, own in metrics["baselines"].items()),
            )
        ],
        notes=_notes(metrics),
        numbers=[(title, _cell(metrics, name)) for name, title in NUMBER_TITLES.items()],
        resamples=evaluation.protocol.resamples,
        pictures={name: figures.data_uri(picture) for name, picture in pictures.items()},
    )
    (output / "index.html").write_text(page, encoding="utf-8", errors="xmlcharrefreplace")


def _draw(evaluation: Evaluation) -> dict[str, bytes]:
    titles = {METHOD: evaluation.title, **TITLES}
    drawn = {name: titles[name] for name in _DRAWN if name in evaluation.test.methods}
    pictures = {"curves": draw_curves(evaluation.test.methods, evaluation.metrics, drawn)}
    domains = evaluation.cohort.settings.domains
    cases = choose_cases(evaluation.patients, evaluation.slices, domains.healthy_text)
    if cases:
        pictures["cases"] = draw_cases(
            cases,
            evaluation.cohort,
            evaluation.source,
            evaluation.model,
            evaluation.protocol,
            evaluation.protocol.binarization_rule(evaluation.calibration.cuts.get(METHOD)),
            evaluation.calibration.thresholds[METHOD].lesions,
        )
    if evaluation.model and not domains.exclusive and (evaluation.slices["domains"] != "").any():
        pictures["attributes"] = draw_attribute_grid(evaluation.cohort, evaluation.model, evaluation.slices)
    return pictures


def _notes(metrics: Mapping[str, Any]) -> list[str]:
    """What a reader must know before believing the numbers."""
    notes = []
    if metrics["baselines"].get("slice_position", {}).get("slices", {}).get("auc", 0) > _TELLING_AUC:
        notes.append(
            "On this cohort the height of a slice alone tells healthy from diseased well. The slice AUC then says "
            "little; look at localization and at the AUC among slices of the same height."
        )
    for name, difference in metrics["minus_baseline"].items():
        low, high = difference.get("lesions", {}).get("froc_score" + INTERVAL, (math.nan, math.nan))
        if low <= 0:
            how = "better than" if high < 0 else "about as well as"
            notes.append(f"On this cohort, {TITLES[name].lower()} finds lesions {how} the method under test does.")
    return notes


def _cell(numbers: Mapping[str, Any], name: str) -> tuple[str, str]:
    """A number as text, and its interval as text, both empty where the method does not have it."""
    group, _, key = name.partition(".")
    value = numbers.get(group, {}).get(key, math.nan)
    if math.isnan(value):
        return "–", ""
    digits = digits_of(name)
    low, high = numbers[group][key + INTERVAL]
    interval = "" if math.isnan(low) else f"{format_number(low, digits)} to {format_number(high, digits)}"
    return format_number(value, digits), interval
