"""The page of results that `fpgan evaluate` writes, and its figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort
from evaluation.froc import froc_curve
from evaluation.lesions import join_matches
from evaluation.roc import roc_curve
from evaluation.scores import slice_scores
from pipelines.inference import map_patient
from pipelines.metrics import SplitMaps
from pipelines.reporting import figures
from pipelines.reporting.page import render

_EXAMPLES = 6


def write_evaluation_page(
    output: Path, metrics: Mapping[str, Any], *, test: SplitMaps, cohort: Cohort, model: FixedPointGAN
) -> None:
    """Write `curves.png`, `examples.png` and `index.html`, which holds both."""
    curves = _draw_curves(metrics, test)
    examples = _draw_examples(metrics, test, cohort, model)
    (output / "curves.png").write_bytes(curves)
    (output / "examples.png").write_bytes(examples)
    page = render(
        "evaluation.html",
        title="Evaluation",
        metrics=metrics,
        n_patients=test.slices["patient"].nunique(),
        channels=", ".join(cohort.settings.preparation.channels),
        iteration=model.metadata.get("training", {}).get("iteration", "?"),
        curves=figures.data_uri(curves),
        examples=figures.data_uri(examples),
    )
    (output / "index.html").write_text(page, encoding="utf-8")


def _draw_curves(metrics: Mapping[str, Any], test: SplitMaps) -> bytes:
    with figures.figure(1, 2, width=9, height=3.8) as (canvas, axes):
        left, right = axes[0]
        labels = test.diseased[test.labeled]
        if labels.any() and not labels.all():
            for scores, name, color, auc in (
                (slice_scores(test.anomaly), "model", figures.MODEL_COLOR, metrics["slices"]["auc"]),
                (
                    slice_scores(test.intensity),
                    "brightest pixel",
                    figures.BASELINE_COLOR,
                    metrics["baselines"]["intensity"]["slices"]["auc"],
                ),
            ):
                curve = roc_curve(labels, scores[test.labeled])
                left.plot(
                    curve.false_positive_rate, curve.true_positive_rate, color=color, label=f"{name}, AUC {auc:.3f}"
                )
            left.legend(loc="lower right")
        left.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8, linestyle=":")
        left.set(xlabel="false positive rate", ylabel="true positive rate", title="Slices: healthy against diseased")
        froc = froc_curve(join_matches(test.matches))
        right.step(froc.false_positives_per_image, froc.sensitivity, where="post", color=figures.MODEL_COLOR)
        lesions = metrics["lesions"]
        right.plot(
            lesions["false_positives_per_image"],
            lesions["sensitivity"],
            "o",
            color=figures.CANDIDATE_COLOR,
            label="threshold from validation",
        )
        right.set(xlabel="false positives per image", ylabel="lesion sensitivity", title="Lesions", ylim=(0, 1.02))
        right.legend(loc="lower right")
        return figures.to_png(canvas)


def _draw_examples(metrics: Mapping[str, Any], test: SplitMaps, cohort: Cohort, model: FixedPointGAN) -> bytes:
    chosen = _choose_examples(test)
    with figures.figure(max(1, len(chosen)), 4, width=8.4, height=2.15 * max(1, len(chosen))) as (canvas, axes):
        for row, place in zip(axes, chosen, strict=False):
            record = test.slices.iloc[place]
            maps = map_patient(model, cohort.images(record["patient"])[record["row"]][None])
            image, limit = maps.images[0, 0], max(0.1, float(test.anomaly[place].max()))
            figures.show_slice(row[0], image, title=f"input · {record['domains'] or 'neither'}")
            figures.show_slice(row[1], maps.healthy[0, 0] * maps.foreground[0], title="healthy translation")
            shown = figures.show_difference(row[2], maps.signed[0], limit, title="difference")
            canvas.colorbar(shown, ax=row[2], shrink=0.8)
            figures.show_slice(row[3], image, title=f"score {test.anomaly[place].max():.2f}")
            figures.outline(row[3], test.masks[place] > 0, figures.TRUTH_COLOR)
            candidates = maps.candidates[0]
            strong = 1 + np.flatnonzero(candidates.peaks >= metrics["lesions"]["threshold"])
            figures.outline(row[3], np.isin(candidates.labels, strong), figures.CANDIDATE_COLOR)
        return figures.to_png(canvas)


def _choose_examples(test: SplitMaps) -> list[int]:
    """Rows of the slice table: diseased ones from best to worst score, and the two most abnormal healthy ones."""
    scores = slice_scores(test.anomaly)
    diseased = np.flatnonzero(test.diseased)
    diseased = diseased[np.argsort(-scores[diseased], kind="stable")]
    spread = diseased[np.linspace(0, len(diseased) - 1, min(_EXAMPLES - 2, len(diseased))).astype(int)]
    healthy = np.flatnonzero(test.labeled & ~test.diseased)
    healthy = healthy[np.argsort(-scores[healthy], kind="stable")][:2]
    return [*spread.tolist(), *healthy.tolist()]
