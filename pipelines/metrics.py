"""`metrics.json` of an evaluation, and its tables, from measurements."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd

from data_prep.cohort import Cohort
from evaluation.froc import FROC_LIMITS, froc_curve, sensitivity_at
from evaluation.matched import position_matched_auc
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements
from evaluation.numbers import Numbers, dice_sums, sensitivity_by_size
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
from evaluation.undefined import UndefinedMetricWarning
from pipelines.measuring import SplitMeasurements
from pipelines.methods import EVALUATED

_SIZE_EDGES_PX = (25, 50, 100, 200, 400, 800)
"""Where ranges of lesion sizes begin, in pixels, after the first."""
INTERVAL = "_ci95"
"""What the name of a number's interval ends in."""


def all_metrics(
    test: SplitMeasurements,
    numbers: Mapping[str, Numbers],
    thresholds: Mapping[str, Thresholds],
    protocol: Protocol,
) -> dict[str, Any]:
    """What `metrics.json` holds of the evaluated method and of the baselines.

    `numbers` and `thresholds` are by method.
    """
    measured, chosen = test.methods[EVALUATED], thresholds[EVALUATED]
    metrics = nested(numbers[EVALUATED])
    for group, threshold in (
        ("slices", chosen.slices),
        ("patients", chosen.patients),
        ("lesions", chosen.lesions),
        ("lesions_3d", chosen.lesions_3d),
    ):
        metrics[group] |= {"threshold": threshold, "threshold_source": "validation"}
    metrics["pixels"]["dice_threshold"] = chosen.pixels
    metrics["slices"] |= {"position_matched_pairs": _matched_pairs(measured, protocol), **_counts(measured.slice_label)}
    metrics["patients"] |= {
        "n": measured.patients,
        "n_persons": numbers[EVALUATED].persons,
        **_counts(measured.patient_label),
    }
    curve = froc_curve(measured.lesion_score, measured.false_score, int(measured.patient_images.sum()))
    defined = len(measured.lesion_score) > 0
    metrics["lesions"] |= {
        "n_lesions": len(measured.lesion_score),
        "sensitivity_at_false_positives": {
            f"{limit:g}": sensitivity_at(curve, limit) if defined else math.nan for limit in FROC_LIMITS
        },
        "by_size": sensitivity_by_size(measured, chosen.lesions, _size_edges(protocol)),
    }
    metrics["lesions_3d"]["n_lesions"] = len(measured.lesion3d_score)
    metrics["pixels"]["n_hausdorff95"] = int((~np.isnan(measured.patient_hausdorff95_mm)).sum())
    baselines = {name: own for name, own in numbers.items() if name != EVALUATED}
    metrics["baselines"] = {
        name: _of_baseline(own) | {"thresholds": asdict(thresholds[name])} for name, own in baselines.items()
    }
    metrics["minus_baseline"] = {name: _of_baseline(numbers[EVALUATED].minus(own)) for name, own in baselines.items()}
    return metrics


def report_metrics(measured: Measurements, chosen: Mapping[str, Any]) -> dict[str, Any]:
    """How often reports are right at the two thresholds that travel with the model, `chosen` at its validation."""
    candidate, patient = (float(chosen.get(name, math.nan)) for name in ("threshold", "patient_threshold"))
    if math.isnan(candidate):
        return {"candidate_threshold": math.nan, "patient_threshold": math.nan}
    called = measured.patient_score >= patient
    return {
        "candidate_threshold": candidate,
        "lesion_sensitivity": _share(measured.lesion_score >= candidate),
        "false_positives_per_image": _ratio((measured.false_score >= candidate).sum(), measured.patient_images.sum()),
        "patient_threshold": patient,
        "patient_sensitivity": _share(called[measured.patient_label == ABNORMAL]),
        "patient_specificity": _share(~called[measured.patient_label == NORMAL]),
    }


def slice_table(test: SplitMeasurements, cohort: Cohort, threshold: float) -> pd.DataFrame:
    """One row a slice: what the cohort says of it, scores, candidates with a peak ≥ `threshold` that hit nothing."""
    measured = test.methods[EVALUATED]
    rows = cohort.split("test").set_index(["patient", "row"])
    keys = [(test.patients[p], r) for p, r in zip(measured.slice_patient, measured.slice_row, strict=True)]
    table = rows.loc[keys].reset_index()
    known = (measured.patient_images[measured.slice_patient] > 0) & ~np.isnan(threshold)
    called = measured.false_score >= threshold
    false = pd.Series(1, index=pd.MultiIndex.from_arrays([measured.false_patient[called], measured.false_row[called]]))
    counted = false.groupby(level=[0, 1]).sum() if len(false) else false
    places = pd.MultiIndex.from_arrays([measured.slice_patient, measured.slice_row])
    return table.assign(
        score=measured.slice_score,
        peak_in_lesion=pd.Series(measured.slice_peak_hit).astype("boolean"),
        brightest_pixel=test.methods["intensity"].slice_score,
        false_candidates=pd.Series(counted.reindex(places, fill_value=0).to_numpy(), dtype="Int64").where(known),
        same_domain_l1=measured.slice_same_l1,
    )


def patient_table(test: SplitMeasurements, cohort: Cohort, thresholds: Thresholds) -> pd.DataFrame:
    """One row a patient, most abnormal first; counts of lesions and candidates are those of slices."""
    measured = test.methods[EVALUATED]
    total = measured.patients
    found, called = measured.lesion_score >= thresholds.lesions, measured.false_score >= thresholds.lesions
    drawn = measured.patient_images > 0
    twice_hits, both = dice_sums(measured, thresholds.pixels)
    domains = cohort.patients.set_index("patient")["domain"]
    table = pd.DataFrame(
        {
            "patient": test.patients,
            "domain": domains.loc[test.patients].to_numpy(),
            "score": measured.patient_score,
            "slices": np.bincount(measured.slice_patient, minlength=total),
            "diseased_slices": np.bincount(measured.slice_patient[measured.slice_label == ABNORMAL], minlength=total),
            "lesions": np.bincount(measured.lesion_patient, minlength=total),
            "lesions_found": np.bincount(measured.lesion_patient[found], minlength=total),
            "false_candidates": np.bincount(measured.false_patient[called], minlength=total),
            "dice": np.divide(twice_hits, both, out=np.full(total, np.nan), where=both > 0),
            "hausdorff95_mm": measured.patient_hausdorff95_mm,
        }
    )
    known = drawn & ~np.isnan(thresholds.lesions)
    for name, is_known in (("lesions", drawn), ("lesions_found", known), ("false_candidates", known)):
        table[name] = table[name].astype("Int64").where(is_known)
    return table.sort_values(["score", "patient"], ascending=[False, True], ignore_index=True)


def lesion_table(test: SplitMeasurements, cohort: Cohort, threshold: float) -> pd.DataFrame:
    """One row a lesion of a slice."""
    measured = test.methods[EVALUATED]
    index = cohort.split("test").set_index(["patient", "row"])["slice_index"]
    names = [test.patients[number] for number in measured.lesion_patient]
    known = np.full(len(names), not np.isnan(threshold))
    return pd.DataFrame(
        {
            "patient": names,
            "slice_index": index.loc[list(zip(names, measured.lesion_row, strict=True))].to_numpy(),
            "size_px": measured.lesion_size.astype(int),
            "best_score": np.where(np.isfinite(measured.lesion_score), measured.lesion_score, np.nan),
            "detected": pd.Series(measured.lesion_score >= threshold, dtype="boolean").where(known),
        }
    )


def nested(numbers: Numbers) -> dict[str, dict[str, Any]]:
    """Numbers by group, each beside its interval."""
    groups: dict[str, dict[str, Any]] = {}
    for name, value, interval in numbers:
        group, _, key = name.partition(".")
        groups.setdefault(group, {})[key] = value
        groups[group][key + INTERVAL] = [interval.low, interval.high]
    return groups


def person_numbers(subjects: Sequence[str]) -> np.ndarray:
    """(P,) a number from 0 for each patient, the same for those of one subject."""
    return np.unique(np.array(subjects, str), return_inverse=True)[1]


def _of_baseline(numbers: Numbers) -> dict[str, dict[str, Any]]:
    """Without what a baseline cannot have: those of lesions where it has no maps, and those of translation."""
    groups = nested(numbers)
    del groups["fixed_point"]
    kept = {
        group: {key: value for key, value in numbers.items() if not math.isnan(numbers[key.removesuffix(INTERVAL)])}
        for group, numbers in groups.items()
    }
    return {group: numbers for group, numbers in kept.items() if numbers}


def _counts(labels: np.ndarray) -> dict[str, int]:
    return {"n_healthy": int((labels == NORMAL).sum()), "n_diseased": int((labels == ABNORMAL).sum())}


def _matched_pairs(measured: Measurements, protocol: Protocol) -> int:
    known = measured.slice_label != UNKNOWN
    labels, scores, heights = (a[known] for a in (measured.slice_label, measured.slice_score, measured.slice_height))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # no pair is what the count says
        return position_matched_auc(labels == ABNORMAL, scores, heights, tolerance=protocol.height_tolerance).pairs


def _size_edges(protocol: Protocol) -> tuple[int, ...]:
    smallest = protocol.min_size_px + 1
    return (smallest, *(edge for edge in _SIZE_EDGES_PX if edge > smallest))


def _share(cases: np.ndarray) -> float:
    return float(cases.mean()) if len(cases) else math.nan


def _ratio(numerator: float, denominator: float) -> float:
    return float(numerator / denominator) if denominator else math.nan
