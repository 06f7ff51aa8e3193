"""`fpgan demo`: the whole path on the embedded cohort, by the same five functions the five commands call."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from data_prep.cohort import open_cohort
from data_prep.synthetic import Variant
from pipelines.config import load_config
from pipelines.evaluate import evaluate
from pipelines.output import Existing, claim_output
from pipelines.plan import PrepareRequest
from pipelines.prepare import prepare
from pipelines.report import ReportRequest, report
from pipelines.screen import Screen
from pipelines.synthesize import synthesize
from pipelines.train import train

PATIENTS = 64
REPORTED_PATIENTS = 6


def demo(
    output: Path,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    patients: int = PATIENTS,
    variant: Variant = "default",
    seed: int = 0,
    overrides: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Build a cohort, prepare it, train, evaluate and report on some of its test patients.

    Returns:
        What `metrics.json` of the evaluation holds.
    """
    claim_output(output, existing, command="demo")
    workers = min(4, os.cpu_count() or 1)
    brats, cohort, run = output / "brats", output / "cohort", output / "run"

    screen.say("1/5 Building patients with known lesions: fpgan synthesize")
    synthesize(brats, patients=patients, screen=screen, variant=variant, seed=seed, workers=workers)

    screen.say("2/5 Preparing slices: fpgan prepare")
    request = PrepareRequest(layout="brats", preparation={"size": (64, 64)})
    prepare(brats, cohort, request, screen=screen, workers=workers)

    screen.say("3/5 Training on healthy and diseased slices, no mask: fpgan train")
    config = load_config(preset="demo", overrides=[f"training.seed={seed}", *overrides])
    train(cohort, run, config, screen=screen)

    screen.say("4/5 Evaluating on patients the model has not seen: fpgan evaluate")
    metrics = evaluate(run, cohort, run / "evaluation", screen=screen)

    screen.say("5/5 Reporting patient by patient: fpgan report")
    table = open_cohort(cohort).patients
    chosen = table.loc[table["split"] == "test", "patient"].head(REPORTED_PATIENTS)
    patients_to_report = ReportRequest(inputs=tuple(brats / name for name in chosen))
    report(run, output / "reports", patients_to_report, screen=screen)
    return metrics
