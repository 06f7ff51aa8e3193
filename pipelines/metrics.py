"""The numbers of `metrics.json`, each group from the maps of one split."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from data_prep.labels import DomainNames
from evaluation.baselines import learn_position_table
from evaluation.bootstrap import bootstrap_interval
from evaluation.lesions import LesionMatches, join_matches
from evaluation.overlap import best_dice, dice_score, pixel_average_precision
from evaluation.roc import auc_score, position_matched_auc
from evaluation.scores import peak_hits, slice_scores
from evaluation.translation import collateral_change
from evaluation.undefined import undefined


@dataclass(frozen=True, kw_only=True)
class SplitMaps:
    """All slices of one split, in the order of `slices`, the cohort's slice table.

    Arrays are (S, H, W) over the slices of all patients; `matches` holds one entry a slice; `same_l1` (S,) is NaN for
    slices of neither domain; `intensity` is the baseline's map.
    """

    slices: pd.DataFrame
    domains: DomainNames
    foreground: np.ndarray
    anomaly: np.ndarray
    masks: np.ndarray
    intensity: np.ndarray
    matches: list[LesionMatches]
    same_l1: np.ndarray

    @property
    def labeled(self) -> np.ndarray:
        """(S,) bool: slices of one of the two domains."""
        return (self.slices["domains"] != "").to_numpy()

    @property
    def diseased(self) -> np.ndarray:
        """(S,) bool."""
        return self.domains.is_diseased(self.slices["domains"])


def slice_metrics(split: SplitMaps) -> dict[str, Any]:
    """Healthy against diseased slices by their highest map pixel."""
    kept = split.labeled
    labels, scores = split.diseased[kept], slice_scores(split.anomaly)[kept]
    patients = split.slices["patient"].to_numpy()[kept]
    matched = position_matched_auc(labels, scores, split.slices["height"].to_numpy()[kept])
    hits = peak_hits(split.anomaly, split.masks)[split.diseased]
    return {
        "auc": auc_score(labels, scores),
        "auc_ci95": _interval(lambda i: auc_score(labels[i], scores[i]), patients),
        "auc_position_matched": matched.auc,
        "position_matched_pairs": matched.pairs,
        "peak_hit": _share(hits, "peak hit"),
        "n_healthy": int((~labels).sum()),
        "n_diseased": int(labels.sum()),
    }


def patient_table(split: SplitMaps, patients: pd.DataFrame) -> pd.DataFrame:
    """One row a patient of `patients`, most abnormal first; its score is that of its most abnormal slice."""
    own = split.slices.assign(score=slice_scores(split.anomaly), diseased=split.diseased).groupby("patient")
    table = own.agg(score=("score", "max"), slices=("score", "size"), diseased_slices=("diseased", "sum")).reset_index()
    table = patients[["patient", "domain"]].merge(table, on="patient")
    return table.sort_values(["score", "patient"], ascending=[False, True], ignore_index=True)


def patient_metrics(patients: pd.DataFrame, domains: DomainNames) -> dict[str, Any]:
    """Healthy against diseased patients."""
    known = patients[patients["domain"] != ""]
    labels, scores = domains.is_diseased(known["domain"]), known["score"].to_numpy()
    return {
        "auc": auc_score(labels, scores),
        "auc_ci95": _interval(lambda i: auc_score(labels[i], scores[i]), known["patient"].to_numpy()),
        "n_healthy": int((~labels).sum()),
        "n_diseased": int(labels.sum()),
    }


def lesion_metrics(split: SplitMaps, threshold: float) -> dict[str, Any]:
    """Lesions found by candidates with a peak of `threshold` or more; undefined without a threshold."""
    matches = join_matches(split.matches)
    known = not math.isnan(threshold)
    return {
        "sensitivity": matches.sensitivity(threshold) if known else math.nan,
        "false_positives_per_image": matches.false_positives_per_image(threshold) if known else math.nan,
        "threshold": threshold,
        "threshold_source": "validation",
        "n_lesions": len(matches.detection_scores),
    }


def fixed_point_metrics(split: SplitMaps) -> dict[str, Any]:
    """What translation changes that it should not: [0, 1] intensity, smaller is better."""
    diseased = split.diseased
    return {
        "same_domain_l1": float(np.nanmean(split.same_l1))
        if split.labeled.any()
        else undefined("same-domain L1", "no slice is healthy or diseased"),
        "collateral_change": collateral_change(
            split.anomaly[diseased], split.masks[diseased], split.foreground[diseased]
        ),
    }


def pixel_metrics(split: SplitMaps, threshold: float) -> dict[str, Any]:
    """Pixels pooled over all slices; those with a map value of `threshold` or more are called lesion."""
    predicted = (split.anomaly >= threshold) & split.foreground
    return {
        "average_precision": pixel_average_precision(split.anomaly, split.masks, split.foreground),
        "dice": math.nan if math.isnan(threshold) else dice_score(predicted, split.masks),
        "dice_threshold": threshold,
        "dice_oracle": best_dice(split.anomaly, split.masks, split.foreground).dice,
    }


def baseline_metrics(test: SplitMaps, train: pd.DataFrame) -> dict[str, Any]:
    """What no training at all reaches; slice positions are learned from `train`, rows of the slice table."""
    kept = test.labeled
    labels, heights = test.diseased[kept], test.slices["height"].to_numpy()[kept]
    train = train[train["domains"] != ""]
    table = learn_position_table(test.domains.is_diseased(train["domains"]), train["height"].to_numpy())
    return {
        "intensity": {
            "slices": {
                "auc": auc_score(labels, slice_scores(test.intensity)[kept]),
                "peak_hit": _share(peak_hits(test.intensity, test.masks)[test.diseased], "peak hit"),
            },
            "pixels": {"average_precision": pixel_average_precision(test.intensity, test.masks, test.foreground)},
        },
        "slice_position": {"slices": {"auc": auc_score(labels, table.score(heights))}},
    }


def report_metrics(split: SplitMaps, patients: pd.DataFrame, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """How often reports are right at the two thresholds that travel with the model, `chosen` at its validation."""
    candidate, patient = (float(chosen.get(name, math.nan)) for name in ("threshold", "patient_threshold"))
    matches = join_matches(split.matches)
    abnormal = (patients["score"] >= patient).to_numpy()
    texts = patients["domain"]
    diseased, healthy = split.domains.is_diseased(texts), (texts == split.domains.healthy_text).to_numpy()
    if math.isnan(candidate):
        return {"candidate_threshold": math.nan, "patient_threshold": math.nan}
    return {
        "candidate_threshold": candidate,
        "lesion_sensitivity": matches.sensitivity(candidate),
        "false_positives_per_image": matches.false_positives_per_image(candidate),
        "patient_threshold": patient,
        "patient_sensitivity": _share(abnormal[diseased], "patient sensitivity"),
        "patient_specificity": _share(~abnormal[healthy], "patient specificity"),
    }


def _share(cases: np.ndarray, metric: str) -> float:
    return float(cases.mean()) if len(cases) else undefined(metric, "there is no case to count")


def _interval(statistic: Callable[[np.ndarray], float], patients: np.ndarray) -> list[float]:
    return list(bootstrap_interval(statistic, patients))
