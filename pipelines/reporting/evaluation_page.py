"""The page of results that `fpgan evaluate` writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.measuring import Calibration, SplitMeasurements
from pipelines.methods import EVALUATED, THRESHOLDED, TITLES, Evaluated
from pipelines.metrics import INTERVAL
from pipelines.reporting import figures
from pipelines.reporting.evaluation_cases import choose_cases, draw_attribute_grid, draw_cases
from pipelines.reporting.evaluation_figures import draw_curves
from pipelines.reporting.page import format_number, render
from pipelines.reporting.titles import COMPARED, NUMBER_TITLES, digits_of
from pipelines.screen import counted

_TELLING_AUC = 0.8
_IN_TEXT = {"slices.auc": "slice AUC", "lesions.froc_score": "FROC score"}
_DRAWN = (EVALUATED, "intensity", THRESHOLDED, "local_contrast")
"""Methods with curves of their own; more lines than these nobody can tell apart."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """What a page shows: `metrics` is what `metrics.json` holds, `slices` and `patients` are the tables."""

    evaluated: Evaluated
    metrics: Mapping[str, Any]
    test: SplitMeasurements
    calibration: Calibration
    slices: pd.DataFrame
    patients: pd.DataFrame


def write_evaluation_page(output: Path, evaluation: Evaluation) -> None:
    """Write `index.html` and its pictures `curves.png`, `cases.png` and, for attributes, `attributes.png`."""
    evaluated, metrics = evaluation.evaluated, evaluation.metrics
    preparation = evaluated.cohort.settings.preparation
    pictures = _draw(evaluation)
    for name, picture in pictures.items():
        (output / f"{name}.png").write_bytes(picture)
    methods = {evaluated.title: metrics} | {TITLES[name]: own for name, own in metrics["baselines"].items()}
    page = render(
        "evaluation.html",
        title="Evaluation",
        heading=f"Evaluation on {counted(metrics['patients']['n'], 'test patient')}",
        origin=evaluated.origin,
        metrics=metrics,
        channels=", ".join(preparation.channels),
        choices=[f"{name} {value}" for name, value in evaluated.protocol.model_dump(exclude_defaults=True).items()],
        is_radiological=preparation.axis != "sagittal" and preparation.field_of_view_mm != "whole",
        columns=[NUMBER_TITLES[name] for name in COMPARED],
        methods=[(title, [_cell(own, name) for name in COMPARED]) for title, own in methods.items()],
        notes=_notes(metrics),
        numbers=[(title, _cell(metrics, name)) for name, title in NUMBER_TITLES.items()],
        resamples=evaluated.protocol.resamples,
        pictures={name: figures.data_uri(picture) for name, picture in pictures.items()},
    )
    (output / "index.html").write_text(page, encoding="utf-8", errors="xmlcharrefreplace")


def _draw(evaluation: Evaluation) -> dict[str, bytes]:
    evaluated = evaluation.evaluated
    titles = {EVALUATED: evaluated.title, **TITLES}
    drawn = {name: titles[name] for name in _DRAWN if name in evaluation.test.methods}
    pictures = {"curves": draw_curves(evaluation.test.methods, evaluation.metrics, drawn)}
    domains = evaluated.cohort.settings.domains
    cases = choose_cases(evaluation.patients, evaluation.slices, domains.healthy_text)
    if cases:
        pictures["cases"] = draw_cases(
            cases,
            evaluated,
            evaluated.protocol.binarization_rule(evaluation.calibration.cuts.get(EVALUATED)),
            evaluation.calibration.thresholds[EVALUATED].lesions,
        )
    if evaluated.model and not domains.exclusive and (evaluation.slices["domains"] != "").any():
        pictures["attributes"] = draw_attribute_grid(evaluated.cohort, evaluated.model, evaluation.slices)
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
        said = []
        for number in ("slices.auc", "lesions.froc_score"):
            group, _, key = number.partition(".")
            low, high = difference.get(group, {}).get(key + INTERVAL, (math.nan, math.nan))
            if low <= 0:
                verdict = "is better" if high < 0 else "is not clearly worse"
                own, other = (format_number(each[group][key]) for each in (metrics, metrics["baselines"][name]))
                said.append(f"{verdict} by its {_IN_TEXT[number]}, {other} against {own}")
        if said:
            notes.append(f"{TITLES[name]}, which needs no network, {' and '.join(said)}.")
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
