"""Scores a model on the validation patients while it trains, from what is known of their slices. Opens no mask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort
from data_prep.neighbors import neighbors_in
from evaluation.label_free import auc_healthy_against_mixed
from evaluation.maps import MapSettings, anomaly_map
from evaluation.matched import position_matched_auc
from evaluation.roc import auc_score, operating_threshold
from evaluation.scores import patient_score, slice_scores
from evaluation.translation import same_domain_l1
from pipelines.config import ValidationSettings
from pipelines.errors import UsageError
from pipelines.screen import Screen
from pipelines.standing import VALIDATION_SCORES, scores_by_kind

_SLICES_AT_ONCE = 64
"""Read and translated together: all that is ever in memory, and enough to keep a GPU busy."""


@dataclass(frozen=True, kw_only=True)
class Validation:
    """How models are scored.

    `score` measures a model: numbers by name. It leaves the scores of patients and slices behind these numbers in the
    model's `metadata`, where `standing_of` finds them. `choose_by` names the number that chooses, higher is better;
    None where the last model is kept whatever they are.
    """

    score: Callable[[FixedPointGAN], dict[str, float]]
    choose_by: str | None


def validation_on(
    cohort: Cohort, settings: ValidationSettings, screen: Screen, *, maps: MapSettings
) -> Validation | None:
    """What the validation slices of a cohort can say of a model; None, with a warning, where they can say nothing.

    With healthy and diseased slices `score` gives

    - `auc` and `auc_position_matched` of slices, `patient_auc` where patients of both kinds are known;
    - `same_domain_l1`, mean |G(x, c_x) − x| in [0, 1];
    - `threshold` of slices and `patient_threshold`, which is that of slices where `patient_auc` is missing.

    Without labels of both kinds, it gives `aucp`, healthy slices against those of patients who have neither a label nor
    a mask, and `same_domain_l1` of the healthy ones. A slice whose lesion is too small for a label is in neither set.
    Scores are those of maps that `maps` describes.

    Raises:
        UsageError: when `settings` ask for a number that the slices do not give.
    """
    slices = cohort.split("validation").sort_values(["patient", "row"])
    needs = _kinds_needed(cohort, slices)
    measured = _number_to_measure(needs, settings, cohort, screen)
    if measured is None:
        return None
    kept = slices[np.any(list(needs[measured].values()), axis=0)].reset_index(drop=True)
    score = (
        partial(_from_labels, cohort, kept, maps)
        if measured == "auc"
        else partial(_against_unannotated, cohort, kept, maps, settings.mixed_healthy_share)
    )
    return Validation(score=score, choose_by=None if settings.choose_by == "last" else measured)


def _kinds_needed(cohort: Cohort, slices: pd.DataFrame) -> dict[str, dict[str, np.ndarray]]:
    """For each number that can choose, the kinds of slices it compares; each is (N,) bool, which slices are of it."""
    texts, domains, patients = slices["domains"], cohort.settings.domains, cohort.patients
    unannotated = patients["patient"][(patients["domain"] == "") & (patients["mask"] == "")]
    healthy = (texts == domains.healthy_text).to_numpy()
    return {
        "auc": {"healthy": healthy, "diseased": domains.is_diseased(texts)},
        "aucp": {
            "healthy": healthy,
            "unannotated": ((texts == "") & slices["patient"].isin(unannotated)).to_numpy(),
        },
    }


def _number_to_measure(
    needs: dict[str, dict[str, np.ndarray]], settings: ValidationSettings, cohort: Cohort, screen: Screen
) -> str | None:
    """The number that was asked for, or the first that the slices give."""
    possible = [name for name, kinds in needs.items() if all(kind.any() for kind in kinds.values())]
    asked = settings.choose_by
    if asked in possible:
        return asked
    if asked in needs:
        missing = " and no ".join(name for name, kind in needs[asked].items() if not kind.any())
        raise UsageError(
            f"setting `validation.choose_by`: {asked} cannot be measured, {cohort.path} has no {missing} validation "
            "slice; choose auto, or prepare it with such patients"
        )
    if asked == "auto" and not possible:
        screen.warn(
            "none of the domains is the healthy one, so models cannot be scored; the last will be kept"
            if cohort.settings.domains.healthy_text is None
            else "the validation slices do not show both domains; the last model will be kept"
        )
    return possible[0] if possible else None


def _from_labels(cohort: Cohort, slices: pd.DataFrame, maps: MapSettings, model: FixedPointGAN) -> dict[str, float]:
    domains = cohort.settings.domains
    scores, same_l1 = _translate(model, cohort, slices, maps)
    diseased = domains.is_diseased(slices["domains"])
    threshold = operating_threshold(diseased, scores)
    numbers = {
        "auc": auc_score(diseased, scores),
        "auc_position_matched": position_matched_auc(diseased, scores, slices["height"].to_numpy()).auc,
        "same_domain_l1": float(same_l1.mean()),
        "threshold": threshold,
        "patient_threshold": threshold,
    }
    patient_scores, patient_diseased = _patient_scores(cohort, slices, scores)
    if patient_diseased.any() and not patient_diseased.all():
        numbers["patient_auc"] = auc_score(patient_diseased, patient_scores)
        numbers["patient_threshold"] = operating_threshold(patient_diseased, patient_scores)
    model.metadata[VALIDATION_SCORES] = {
        "patients": scores_by_kind(patient_scores[~patient_diseased], patient_scores[patient_diseased]),
        "slices": scores_by_kind(scores[~diseased], scores[diseased]),
    }
    return numbers


def _against_unannotated(
    cohort: Cohort, slices: pd.DataFrame, maps: MapSettings, healthy_share: float, model: FixedPointGAN
) -> dict[str, float]:
    scores, same_l1 = _translate(model, cohort, slices, maps)
    healthy = (slices["domains"] != "").to_numpy()
    patient_scores, patient_diseased = _patient_scores(cohort, slices, scores)
    nothing = np.empty(0)
    model.metadata[VALIDATION_SCORES] = {
        # Of diseased patients no more than the healthy slices were scored.
        "patients": scores_by_kind(patient_scores[~patient_diseased], nothing),
        "slices": scores_by_kind(scores[healthy], nothing),
    }
    return {
        "aucp": auc_healthy_against_mixed(scores[healthy], scores[~healthy], healthy_share=healthy_share),
        "same_domain_l1": float(same_l1[healthy].mean()),
    }


def _patient_scores(cohort: Cohort, slices: pd.DataFrame, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the P patients of known domain who have one of N scored slices: scores, (P,), and which are diseased, (P,)."""
    by_patient = pd.Series(scores).groupby(slices["patient"]).agg(lambda own: patient_score(own.to_numpy()))
    known = cohort.patients[cohort.patients["domain"] != ""].set_index("patient")["domain"]
    known = known[known.index.isin(by_patient.index)]
    return by_patient[known.index].to_numpy(), cohort.settings.domains.is_diseased(known)


def _translate(
    model: FixedPointGAN, cohort: Cohort, slices: pd.DataFrame, maps: MapSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Anomaly scores of N slices, (N,), and |G(x, c_x) − x|, (N,), which for slices of no domain means nothing."""
    domains = cohort.settings.domains
    scores, same_l1 = np.empty(len(slices), np.float32), np.empty(len(slices), np.float32)
    for start in range(0, len(slices), _SLICES_AT_ONCE):
        part = slices[start : start + _SLICES_AT_ONCE]
        place = slice(start, start + len(part))
        seen, neighbors = _read(cohort, part, model.networks.neighbor_mm)
        images = seen[neighbors[:, model.networks.middle_slice]]
        translated = model.translate(seen, "healthy", neighbors=neighbors)
        scores[place] = slice_scores(anomaly_map(images, translated, maps))
        # For healthy slices that was their own domain already.
        diseased = domains.is_diseased(part["domains"])
        labels = domains.encode(part["domains"])[diseased]
        translated[diseased] = model.translate_labels(seen, labels, neighbors=neighbors[diseased])
        same_l1[place] = same_domain_l1(images, translated)
    return scores, same_l1


def _read(cohort: Cohort, slices: pd.DataFrame, neighbor_mm: float) -> tuple[np.ndarray, np.ndarray]:
    """Images (M, C, H, W) float32 of N slices sorted by patient and of their neighbors, and which each is seen with.

    The latter is (N, 3), or (N, 1) without neighbors; see `neighbor_rows`. Each patient's file is opened once.
    """
    images, neighbors, count = [], [], 0
    for name, own in slices.groupby("patient"):
        rows = own["row"].to_numpy()
        seen = neighbors_in(cohort, str(name), neighbor_mm)[rows] if neighbor_mm else rows[:, None]
        needed, places = np.unique(seen, return_inverse=True)
        images.append(cohort.images(str(name))[needed])
        neighbors.append(places.reshape(seen.shape) + count)
        count += len(needed)
    return np.concatenate(images).astype(np.float32), np.concatenate(neighbors)
