"""Pictures of an evaluation: the best, the median and the worst case, false alarms, attributes changed one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort
from data_prep.labels import DomainNames
from data_prep.neighbors import neighbors_in
from evaluation.binarize import BinarizationRule
from evaluation.difference import signed_difference_map
from evaluation.maps import signed_anomaly_map
from evaluation.measure import find_candidates
from evaluation.translation import labels_with_one_attribute_changed
from pipelines.measuring import read_patient
from pipelines.methods import Evaluated
from pipelines.reporting import figures

_FALSE_ALARMS = 2
_GRID_IMAGES = 3


@dataclass(frozen=True, kw_only=True)
class Case:
    """A slice to show: its patient, its row among the patient's, and a few words."""

    patient: str
    row: int
    words: str


def choose_cases(patients: pd.DataFrame, slices: pd.DataFrame, healthy_text: str | None) -> list[Case]:
    """The slice with the largest lesion of the best, the median and the worst patient, and two false alarms.

    Args:
        patients, slices: the tables of an evaluation. Patients with a lesion are ranked by Dice, where there is none by
            score; healthy slices by score.
        healthy_text: how a table writes a healthy slice.
    """
    by, named = ("dice", "Dice") if patients["dice"].notna().any() else ("score", "score")
    sick = patients[(patients["diseased_slices"] > 0) & patients[by].notna()].sort_values(
        [by, "patient"], ascending=[False, True]
    )
    # Of few patients one may be two of these: the later word stays.
    places = {(len(sick) - 1) // 2: "median", len(sick) - 1: "worst", 0: "best"} if len(sick) else {}
    cases = []
    for place, rank in sorted(places.items()):
        patient = sick.iloc[place]
        own = slices[(slices["patient"] == patient["patient"]) & ~slices["domains"].isin(["", healthy_text])]
        largest = own.sort_values(["lesion_area_px", "score"], ascending=False, kind="stable").iloc[0]
        rank = rank if len(sick) > 1 else "only"
        cases.append(Case(patient=patient["patient"], row=largest["row"], words=f"{rank}, {named} {patient[by]:.3g}"))
    healthy = slices[slices["domains"] == healthy_text].sort_values("score", ascending=False, kind="stable")
    for _, alarm in healthy.head(_FALSE_ALARMS).iterrows():
        cases.append(Case(patient=alarm["patient"], row=alarm["row"], words=f"healthy, score {alarm['score']:.3g}"))
    return cases


def draw_cases(cases: Sequence[Case], evaluated: Evaluated, rule: BinarizationRule, threshold: float) -> bytes:
    """A PNG with a row for each case: input, healthy translation and difference or the map, outlines.

    Candidates are those with a peak ≥ `threshold`; without one, NaN, all.
    """
    model, protocol = evaluated.model, evaluated.protocol
    columns = 4 if model else 3
    with figures.figure(len(cases), columns, width=2.1 * columns, height=2.25 * len(cases)) as (canvas, axes):
        for row, case in zip(axes, cases, strict=True):
            patient = read_patient(evaluated.cohort, case.patient)
            here = slice(case.row, case.row + 1)
            foreground, image = patient.truth.foreground[here], patient.images[case.row, 0]
            figures.show_slice(row[0], image, title=case.words)
            if model:
                neighbors = neighbors_in(evaluated.cohort, case.patient, model.networks.neighbor_mm)[here]
                healthy = model.translate(patient.images, "healthy", neighbors=neighbors)
                signed = signed_anomaly_map(patient.images[here], healthy, protocol)
                anomaly = np.abs(signed)
                figures.show_slice(row[1], healthy[0, 0] * foreground[0], title="healthy translation")
                limit = max(0.1, float(anomaly.max()))
                shown = figures.show_difference(row[2], signed[0], limit, title="difference")
            else:
                whole = evaluated.source.maps_of(case.patient, patient.images, patient.rows["domains"]).anomaly
                anomaly = np.where(foreground, whole[here], 0)
                shown = figures.show_map(row[1], anomaly[0], title="map")
            canvas.colorbar(shown, ax=row[-2], shrink=0.8)
            title = f"{case.patient[-24:]}, slice {patient.truth.places[case.row]}"
            figures.show_slice(row[-1], image, title=title)
            if patient.truth.lesions is not None:
                figures.outline(row[-1], patient.truth.lesions[case.row] > 0, figures.TRUTH_COLOR)
            found = find_candidates(anomaly, foreground, protocol, rule)
            strong = found.pixels_of(~(found.peaks < threshold))  # all of them where the threshold is NaN
            figures.outline(row[-1], strong[0], figures.CANDIDATE_COLOR, dashed=True)
        return figures.to_png(canvas)


def draw_attribute_grid(cohort: Cohort, model: FixedPointGAN, slices: pd.DataFrame) -> bytes:
    """A PNG with, for some test images, its own attributes and each attribute changed alone, and what that changes."""
    domains = cohort.settings.domains
    chosen = _varied(slices)
    columns = 2 + len(domains.names)
    with figures.figure(2 * len(chosen), columns, width=1.7 * columns, height=3.6 * len(chosen)) as (canvas, axes):
        for upper, lower, (_, record) in zip(axes[::2], axes[1::2], chosen.iterrows(), strict=True):
            name, row = record["patient"], record["row"]
            images = np.asarray(cohort.images(name), np.float32)
            neighbors = neighbors_in(cohort, name, model.networks.neighbor_mm)[row]
            label = domains.encode([record["domains"]])
            targets = np.concatenate([label, labels_with_one_attribute_changed(label)[0]])
            translated = model.translate_labels(images, targets, neighbors=np.tile(neighbors, (len(targets), 1)))
            changes = -signed_difference_map(np.repeat(images[[row]], len(targets), 0), translated)
            figures.show_slice(upper[0], images[row, 0], title=record["domains"])
            figures.bare(lower[0])
            limit = max(0.1, float(np.abs(changes).max()))
            names = ["unchanged", *(_change(domains, number, label[0]) for number in range(len(domains.names)))]
            for top, bottom, own, change, name in zip(upper[1:], lower[1:], translated, changes, names, strict=True):
                figures.show_slice(top, own[0], title=name)
                shown = figures.show_difference(bottom, change, limit)
            canvas.colorbar(shown, ax=lower.tolist(), shrink=0.8)
        return figures.to_png(canvas)


def _varied(slices: pd.DataFrame) -> pd.DataFrame:
    """The first slice of each of the commonest combinations of attributes."""
    known = slices[slices["domains"] != ""]
    common = known["domains"].value_counts().sort_index().sort_values(ascending=False, kind="stable").index
    return pd.concat([known[known["domains"] == text].head(1) for text in common[:_GRID_IMAGES]])


def _change(domains: DomainNames, number: int, label: np.ndarray) -> str:
    return f"{'without' if label[number] else 'with'} {domains.names[number]}"
