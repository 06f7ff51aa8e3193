"""One training, and what its models could have been chosen by."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Events
from safetensors.torch import load_file, save_file

from anomaly_fpgan.atomic import write_atomically, write_text_atomically
from anomaly_fpgan.device import choose_device
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.batches import Batches
from anomaly_fpgan.training.images import ImageDataset
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.together import Together
from anomaly_fpgan.training.trainer import FixedPointTrainer, Start
from benchmarks.quality.data import evenly
from benchmarks.quality.plan import Store, Training
from data_prep.cohort import Cohort
from data_prep.dataset import CohortDataset
from data_prep.neighbors import neighbors_in
from evaluation.difference import difference_map
from evaluation.label_free import auc_healthy_against_mixed
from evaluation.matched import position_matched_auc
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN
from evaluation.pixels import PixelCounts, average_precision, count_pixels, join_pixel_counts
from evaluation.roc import auc_score
from evaluation.scores import slice_scores
from pipelines.measuring import PatientSlices, patients_of
from pipelines.plain_json import to_json

_HEALTHY_SLICES = 256
"""Of training patients, for the label-free score; more would only take longer."""
_ALL = slice(None)


def train(training: Training, store: Store, *, is_start: bool) -> None:
    """Train and leave `auc.safetensors`, `last.safetensors` and, at last, `record.json` in the training's folder.

    `auc` is the model that `fpgan train` would keep. `is_start`: the critic's weights, too.
    """
    folder = store.training(training)
    folder.mkdir(parents=True, exist_ok=True)
    config = training.config
    folds = [training.fold, *([training.also] if training.also else [])]
    datasets = [CohortDataset(own.cohort, "train", neighbor_mm=config.networks.neighbor_mm) for own in folds]
    dataset: ImageDataset = Together(datasets, config.domains) if training.also else datasets[0]
    processes = Processes()
    batches = Batches(dataset, config, choose_device(config.device), processes=processes)
    trainer = FixedPointTrainer(batches=batches, config=config, processes=processes)
    if training.start:
        trainer.begin_with(_start(store.training(training.start)))
    milestones = _Milestones(training.fold.cohort, folder)
    started = time.perf_counter()
    trainer.add_event_handler(Events.ITERATION_COMPLETED, milestones)
    trainer.run()
    seconds = time.perf_counter() - started
    if is_start:
        weights = {name: tensor.contiguous() for name, tensor in trainer.critic.state_dict().items()}
        write_atomically(folder / "critic.safetensors", lambda path: save_file(weights, path))
    record = {
        "seconds": seconds - milestones.seconds,
        "milestone_seconds": milestones.seconds,
        "checkpoints": milestones.rows,
    }
    write_text_atomically(folder / "record.json", to_json(record))


def _start(folder: Path) -> Start:
    model = FixedPointGAN.load(folder / "auc.safetensors", device="cpu")
    return Start(
        generator=model.translator.state_dict(),
        critic=load_file(folder / "critic.safetensors"),
        origin={"training": folder.name},
    )


class _Milestones:
    """Scores the averaged weights at each milestone and keeps the models that may be reported."""

    def __init__(self, cohort: Cohort, folder: Path) -> None:
        self.cohort = cohort
        self.folder = folder
        self.rows: list[dict[str, Any]] = []
        self.seconds = 0.0
        self._best = -math.inf
        self._validation, self._test = (list(patients_of(cohort, split)) for split in ("validation", "test"))
        self._healthy = _healthy_slices(cohort)

    def __call__(self, trainer: FixedPointTrainer) -> None:
        iteration = trainer.state.iteration
        if not trainer.config.is_milestone(iteration):
            return
        started = time.perf_counter()
        model = trainer.averaged_model({"iteration": iteration})
        scores = np.concatenate([slice_scores(_maps(model, self.cohort, own)) for own in self._validation])
        numbers = validation_numbers(scores, self._validation)
        # None of these ever chooses what is reported; the last two are hindsight.
        numbers["label_free"] = auc_healthy_against_mixed(
            np.concatenate([slice_scores(_maps(model, self.cohort, own, rows)) for own, rows in self._healthy]), scores
        )
        numbers |= _score_test(model, self.cohort, self._test)
        self.rows.append({"iteration": iteration, **numbers})
        score = numbers["validation_auc"]
        if (-math.inf if math.isnan(score) else score) >= self._best:
            self._best = -math.inf if math.isnan(score) else score
            model.save(self.folder / "auc.safetensors")
        if iteration == trainer.config.iterations:
            model.save(self.folder / "last.safetensors")
        self.seconds += time.perf_counter() - started


def validation_numbers(scores: np.ndarray, patients: list[PatientSlices]) -> dict[str, float]:
    """`validation_auc` and `validation_auc_matched` of all slices' scores (N,), as `fpgan train` measures them."""
    labels = np.concatenate([own.truth.labels for own in patients])
    heights = np.concatenate([own.truth.heights for own in patients])
    known = labels != UNKNOWN
    abnormal = labels[known] == ABNORMAL
    return {
        "validation_auc": auc_score(abnormal, scores[known]),
        "validation_auc_matched": position_matched_auc(abnormal, scores[known], heights[known]).auc,
    }


def _score_test(model: FixedPointGAN, cohort: Cohort, patients: list[PatientSlices]) -> dict[str, float]:
    labels, scores, counts = [], [], list[PixelCounts]()
    for own in patients:
        maps = _maps(model, cohort, own)
        labels.append(own.truth.labels)
        scores.append(slice_scores(maps))
        if own.truth.lesions is not None:
            counts.append(count_pixels(maps, own.truth.lesions, own.truth.foreground))
    known = np.concatenate(labels) != UNKNOWN
    abnormal = np.concatenate(labels)[known] == ABNORMAL
    return {
        "test_auc": auc_score(abnormal, np.concatenate(scores)[known]),
        "test_average_precision": average_precision(join_pixel_counts(counts)),
    }


def _maps(model: FixedPointGAN, cohort: Cohort, own: PatientSlices, rows: slice | np.ndarray = _ALL) -> np.ndarray:
    """Maps (N, H, W) of some of a patient's slices."""
    neighbors = neighbors_in(cohort, own.name, model.networks.neighbor_mm)[rows]
    return difference_map(own.images[rows], model.translate(own.images, "healthy", neighbors=neighbors))


def _healthy_slices(cohort: Cohort) -> list[tuple[PatientSlices, np.ndarray]]:
    """Training patients and which of their slices, (S,) bool, are among some healthy ones."""
    patients = list(patients_of(cohort, "train"))
    healthy = np.concatenate([own.truth.labels == NORMAL for own in patients])
    kept = np.zeros(len(healthy), bool)
    kept[np.flatnonzero(healthy)[evenly(int(healthy.sum()), _HEALTHY_SLICES)]] = True
    parts = np.split(kept, np.cumsum([len(own.images) for own in patients])[:-1])
    return [(own, rows) for own, rows in zip(patients, parts, strict=True) if rows.any()]
