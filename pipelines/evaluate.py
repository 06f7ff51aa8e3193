"""`fpgan evaluate`: a run and its cohort in; metrics.json, tables, figures and one page of results out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from anomaly_fpgan.atomic import write_text_atomically
from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort, open_cohort
from data_prep.errors import DataError
from evaluation.baselines import intensity_map
from evaluation.froc import froc_curve, threshold_at_false_positives
from evaluation.lesions import join_matches, match_slice
from evaluation.overlap import best_dice
from evaluation.scores import peak_hits, slice_scores
from evaluation.translation import same_domain_l1
from pipelines.inference import map_patient, model_preparation
from pipelines.metrics import (
    SplitMaps,
    baseline_metrics,
    fixed_point_metrics,
    lesion_metrics,
    patient_metrics,
    patient_table,
    pixel_metrics,
    report_metrics,
    slice_metrics,
)
from pipelines.output import Existing, claim_output
from pipelines.plain_json import to_json
from pipelines.reporting.evaluation_page import write_evaluation_page
from pipelines.screen import Screen

METRICS_FILE = "metrics.json"
VALIDATION_FALSE_POSITIVES_PER_IMAGE = 0.5
"""The operating point for lesions: the highest sensitivity on validation patients with at most this many.

The paper reports sensitivity at 1 a slice. Validation patients are few: a threshold that just keeps 1 on them would
pass it on about every second set of new patients, so half of it is asked for.
"""


def evaluate(
    run: Path, cohort_path: Path, output: Path, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> dict[str, Any]:
    """Evaluate a run on the test patients of its cohort; every threshold comes from the validation patients.

    Returns:
        What `metrics.json` holds.

    Raises:
        ModelError: when the run has no usable model.
        DataError: when the cohort cannot be used, was prepared differently, or lacks validation or test patients.
        UsageError: when `output` exists and `existing` does not allow it.
    """
    model = FixedPointGAN.load(run)
    cohort = open_cohort(cohort_path)
    if model_preparation(model, run) != cohort.settings.preparation:
        raise DataError("was prepared differently from the images the model was trained on", path=cohort_path)
    if model.metadata.get("cohort_digest") != cohort.digest():
        problem = "is not the cohort the model was trained on; its test patients may have been used for training"
        raise DataError(problem, path=cohort_path)
    for name in ("validation", "test"):
        if cohort.split(name).empty:
            raise DataError(f"has no {name} patient; prepare three patients or more", path=cohort_path)
        without_mask = cohort.patients.query("split == @name and mask == ''")["patient"]
        if len(without_mask):
            problem = f"{without_mask.iloc[0]} has no lesion mask, which measuring localization needs"
            raise DataError(problem, path=cohort_path)
    claim_output(output, existing, command="evaluate", inputs=[run, cohort_path])
    validation, test = (_map_split(model, cohort, name, screen) for name in ("validation", "test"))
    with screen.progress("Measuring", 3) as show:
        froc = froc_curve(join_matches(validation.matches))
        threshold = threshold_at_false_positives(froc, VALIDATION_FALSE_POSITIVES_PER_IMAGE)
        pixel_threshold = best_dice(validation.anomaly, validation.masks, validation.foreground).threshold
        patients = patient_table(test, cohort.patients)
        show(1, "")
        metrics = {
            "slices": slice_metrics(test),
            "patients": patient_metrics(patients, cohort.settings.domains),
            "lesions": lesion_metrics(test, threshold),
            "pixels": pixel_metrics(test, pixel_threshold),
            "fixed_point": fixed_point_metrics(test),
            "baselines": baseline_metrics(test, cohort.split("train")),
            "reports": report_metrics(test, patients, model.metadata["training"]),
        }
        show(2, "")
        _slice_table(test, threshold).to_csv(output / "slices.csv", index=False)
        patients.to_csv(output / "patients.csv", index=False)
        _lesion_table(test, threshold).to_csv(output / "lesions.csv", index=False)
        write_evaluation_page(output, metrics, test=test, cohort=cohort, model=model)
        text = to_json(metrics)
        # Last, so that its presence says the evaluation is complete.
        write_text_atomically(output / METRICS_FILE, text)
        show(3, "")
    return metrics


def _map_split(model: FixedPointGAN, cohort: Cohort, name: str, screen: Screen) -> SplitMaps:
    slices = cohort.split(name).reset_index(drop=True)
    parts: dict[str, list[np.ndarray]] = {key: [] for key in ("foreground", "anomaly", "masks", "intensity", "same_l1")}
    matches = []
    names = list(dict.fromkeys(slices["patient"]))
    with screen.progress(f"Translating {name}", len(names)) as show:
        for done, patient in enumerate(names, start=1):
            maps = map_patient(model, cohort.images(patient))
            truth = np.asarray(cohort.masks(patient))
            texts = slices.loc[slices["patient"] == patient, "domains"]
            labels = cohort.settings.domains.encode(texts)
            l1 = same_domain_l1(maps.images, model.translate_labels(maps.images, labels))
            parts["foreground"].append(maps.foreground)
            parts["anomaly"].append(maps.anomaly)
            parts["masks"].append(truth)
            parts["intensity"].append(intensity_map(maps.images))
            parts["same_l1"].append(np.where(texts != "", l1, np.nan))
            matches += [match_slice(c, t) for c, t in zip(maps.candidates, truth, strict=True)]
            show(done, "")
    arrays = {key: np.concatenate(part) for key, part in parts.items()}
    return SplitMaps(slices=slices, domains=cohort.settings.domains, matches=matches, **arrays)


def _slice_table(split: SplitMaps, threshold: float) -> pd.DataFrame:
    return split.slices.assign(
        score=slice_scores(split.anomaly),
        peak_in_lesion=peak_hits(split.anomaly, split.masks),
        brightest_pixel=slice_scores(split.intensity),
        false_candidates=[int((m.false_scores >= threshold).sum()) for m in split.matches],
        same_domain_l1=split.same_l1,
    )


def _lesion_table(split: SplitMaps, threshold: float) -> pd.DataFrame:
    rows = [
        {
            "patient": row.patient,
            "slice_index": row.slice_index,
            "best_score": score if math.isfinite(score) else None,
            "detected": bool(score >= threshold),
        }
        for row, matches in zip(split.slices.itertuples(), split.matches, strict=True)
        for score in matches.detection_scores
    ]
    return pd.DataFrame(rows, columns=["patient", "slice_index", "best_score", "detected"])
