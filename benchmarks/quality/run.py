"""Does a job: trains, evaluates on test patients with thresholds from validation patients, writes result files."""

from __future__ import annotations

import json
import logging
import platform
import time
import warnings
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from anomaly_fpgan.atomic import write_text_atomically
from anomaly_fpgan.device import choose_device
from anomaly_fpgan.model import FixedPointGAN
from benchmarks.quality.plan import Job, Run, Store
from benchmarks.quality.training import train
from evaluation.froc import froc_curve, sensitivity_at
from evaluation.matched import position_matched_auc
from evaluation.measurements import ABNORMAL, UNKNOWN, Measurements
from evaluation.numbers import compute_numbers
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
from evaluation.undefined import UndefinedMetricWarning
from pipelines.measuring import calibrate, measure_test
from pipelines.methods import EVALUATED, TITLES, Evaluated, MapSource, ModelMaps
from pipelines.plain_json import to_json
from pipelines.screen import Screen

_PACKAGES = ("torch", "monai", "numpy")


def do_job(job: Job, store: Store) -> list[dict[str, Any]]:
    """Train unless that is done, and write a file for each run; returns what they hold."""
    torch.set_num_threads(1)  # other processes have the other cores, and results must not depend on how many there are
    logging.getLogger("ignite").setLevel(logging.CRITICAL)
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # tables show them as a dash
        warnings.simplefilter("ignore", FutureWarning)
        if job.training is not None:
            there = store.has_start(job.training) if job.is_start else store.has_training(job.training)
            if not there:
                train(job.training, store, is_start=job.is_start)
        for run in job.runs:
            result = measure(run, store)
            path = store.result(run)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text_atomically(path, to_json(result))
            results.append(result)
    return results


def measure(run: Run, store: Store) -> dict[str, Any]:
    """What the result file of a run holds, its trainings being done."""
    started = time.perf_counter()
    configuration, cohort, protocol = run.configuration, run.fold.cohort, run.configuration.evaluation_protocol()
    folders = [store.training(training) for training in run.trainings]
    models = [FixedPointGAN.load(folder / f"{configuration.choose_by}.safetensors") for folder in folders]
    records = [json.loads((folder / "record.json").read_text(encoding="utf-8")) for folder in folders]
    model = FixedPointGAN.combine(models, {}) if len(models) > 1 else models[0]
    source: MapSource = ModelMaps(model=model, cohort=cohort, protocol=protocol)
    if configuration.wrap:
        source = configuration.wrap(source)
    screen = Screen(mute=True)
    evaluated = Evaluated(title="", origin="", cohort=cohort, protocol=protocol, source=source, model=model)
    calibration = calibrate(evaluated, screen)
    test = measure_test(evaluated, calibration, screen)
    numbers = {name: _numbers(own, calibration.thresholds[name], protocol) for name, own in test.methods.items()}
    return {
        "digest": run.digest,
        "data": run.fold.data.name,
        "fold": run.fold.number,
        "test_patients": test.patients,
        "configuration": configuration.name,
        "words": configuration.words,
        "seed": run.seed,
        "kept_iterations": [model.metadata["iteration"] for model in models],
        "numbers": numbers.pop(EVALUATED)
        | {
            "iterations": run.trainings[0].config.iterations,
            "seconds": sum(record["seconds"] for record in records),
        },
        "baselines": {TITLES[name]: own for name, own in numbers.items()},
        "trainings": {training.digest: record for training, record in zip(run.trainings, records, strict=True)},
        "measuring_seconds": time.perf_counter() - started,
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "hardware": _hardware(),
        "versions": {"Python": platform.python_version(), **{name: version(name) for name in _PACKAGES}},
    }


def _numbers(measured: Measurements, thresholds: Thresholds, protocol: Protocol) -> dict[str, float]:
    """Every number of an evaluation, lesion sensitivities along the curve, and how many pairs of slices matched."""
    everybody_once = np.ones((1, measured.patients))
    numbers = compute_numbers(measured, thresholds, protocol, everybody_once)
    curve = froc_curve(measured.lesion_score, measured.false_score, int(measured.patient_images.sum()))
    known = measured.slice_label != UNKNOWN
    pairs = position_matched_auc(
        measured.slice_label[known] == ABNORMAL,
        measured.slice_score[known],
        measured.slice_height[known],
        tolerance=protocol.height_tolerance,
    ).pairs
    return {
        **{name: float(values[0]) for name, values in numbers.items()},
        "slices.matched_pairs": pairs,
        "lesions.sensitivity_at_0.5": sensitivity_at(curve, 0.5),
        "lesions.sensitivity_at_1": sensitivity_at(curve, 1.0),
    }


def _hardware() -> str:
    device = choose_device()
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    models = [line for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")]
    return f"one core of {models[0].partition(':')[2].strip() if models else platform.machine()}"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
