"""What a training leaves behind as it runs: history, validation, sample pictures, the best model and the last state."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.errors import NonFiniteLossError, TrainingError, TrainingStopped
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from anomaly_fpgan.training.checkpoint import CHECKPOINT_FILE, save_checkpoint
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.history import HISTORY_FILE, History, Row, Window
from anomaly_fpgan.training.interrupt import StopRequest
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.trainer import FixedPointTrainer

SAMPLES_FOLDER = "samples"
_EXAMPLES = 6

Validate = Callable[[FixedPointGAN], Mapping[str, float]]
"""Scores a model on held-out images: numbers by name. What it adds to the model's `metadata` is saved with it."""
OnRow = Callable[[Mapping[str, float]], None]
"""Told each row of the history when it is complete."""


class Milestones:
    """A handler that turns iterations into rows and, at every milestone, validates and writes the run's files.

    In each process it counts and decides alike; the first one alone validates and writes. It sets `state.row` to the
    latest row and `state.samples` to the latest sample picture, for handlers attached after it.
    """

    def __init__(
        self,
        output: Path,
        *,
        metadata: Mapping[str, Any],
        validate: Validate | None,
        choose_by: str | None,
        on_row: OnRow | None,
        stop: StopRequest,
        processes: Processes,
    ) -> None:
        self.output = output
        self.metadata = dict(metadata)
        self.validate = validate
        self.choose_by = choose_by
        self.on_row = on_row
        self.stop = stop
        self.processes = processes
        self.best_score = -math.inf
        self.window = Window()
        self.skipped = 0
        """Updates left out since the last milestone."""
        self._history: History | None = None
        self._saved_at = time.monotonic()

    def attach(self, trainer: FixedPointTrainer) -> None:
        """Listen to the start and to the end of every iteration."""
        trainer.add_event_handler(Events.STARTED, self._started)
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)

    def attach_stop(self, trainer: FixedPointTrainer) -> None:
        """Stop when asked to, after all handlers attached before have seen the iteration."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._stop_if_asked)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs to make of the rest of the run what it would have been."""
        return {"best_score": self.best_score, "skipped": self.skipped, "window": self.window.state_dict()}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on where `state_dict` was taken."""
        self.best_score, self.skipped = state["best_score"], state["skipped"]
        self.window.load_state_dict(state["window"], device)

    def _started(self, trainer: Engine) -> None:
        if self.processes.is_first:
            self._history = History(self.output / HISTORY_FILE, resume_at=trainer.state.iteration)
        self.window.start_clock()

    def _iteration_completed(self, trainer: Engine) -> None:
        assert isinstance(trainer, FixedPointTrainer)
        self.window.add(trainer.state.output)
        iteration, config = trainer.state.iteration, trainer.config
        if config.ends_row(iteration):
            self._end_row(trainer)
        old = time.monotonic() - self._saved_at > 60 * config.checkpoint_minutes
        if old and not config.is_milestone(iteration):
            self._save(trainer)

    def _stop_if_asked(self, trainer: Engine) -> None:
        assert isinstance(trainer, FixedPointTrainer)
        iteration, config = trainer.state.iteration, trainer.config
        if self._asked_to_stop(config, iteration, trainer.state.device) and iteration < config.iterations:
            self._save(trainer)
            raise TrainingStopped(f"stopped after iteration {iteration} of {config.iterations}")

    def _asked_to_stop(self, config: TrainingConfig, iteration: int, device: torch.device) -> bool:
        # Several processes must agree. On GPUs, where asking each other means waiting, they do so once a row.
        if device.type == "cuda" and self.processes.count > 1 and not config.ends_row(iteration):
            return False
        return self.processes.any(self.stop.requested)

    def _end_row(self, trainer: FixedPointTrainer) -> None:
        iteration, config = trainer.state.iteration, trainer.config
        means = self.window.take(batch_size=config.batch_size)
        row: Row = {"iteration": iteration, "learning_rate": config.learning_rate_at(iteration - 1), **means}
        self.skipped += int(row["skipped_steps"])
        if self.skipped > config.max_skipped_steps:
            if self._history is not None:
                self._history.add(row)
            raise NonFiniteLossError(
                f"{self.skipped} updates up to iteration {iteration} had a non-finite loss or gradient, more than "
                f"`max_skipped_steps` ({config.max_skipped_steps}); the last checkpoint is kept: train again with a "
                "lower `learning_rate` or with `precision` float32"
            )
        milestone = config.is_milestone(iteration)
        if milestone:
            self.skipped = 0
        trainer.state.samples = None
        if self.processes.is_first:
            assert self._history is not None
            if milestone:
                row |= self._keep_model(trainer)
            self._history.add(row)
            if milestone:
                self._save(trainer)
        trainer.state.row = row
        self.window.start_clock()
        if self.on_row is not None:
            self.on_row(row)

    def _keep_model(self, trainer: FixedPointTrainer) -> Row:
        """Validate the averaged weights and keep them if none were better; draw samples."""
        model = trainer.averaged_model(self.metadata)
        numbers = dict(self.validate(model)) if self.validate else {}
        score = self._score(numbers)
        if score >= self.best_score:
            self.best_score = score
            model.metadata = {**model.metadata, "training": {"iteration": trainer.state.iteration, **numbers}}
            model.save(self.output / MODEL_FILE)
        trainer.state.samples = self._draw_samples(trainer, model)
        return {f"validation_{name}": value for name, value in numbers.items()}

    def _score(self, numbers: Mapping[str, float]) -> float:
        # Where nothing chooses, the latest model is the best guess; where something does, a tie goes to the later one.
        if not (numbers and self.choose_by):
            return math.inf
        if self.choose_by not in numbers:
            raise TrainingError(f"`choose_by` is {self.choose_by!r}, but `validate` gives {', '.join(numbers)}")
        score = numbers[self.choose_by]
        return -math.inf if math.isnan(score) else score

    def _save(self, trainer: FixedPointTrainer) -> None:
        if self.processes.is_first:
            state = {"trainer": trainer.training_state(), "milestones": self.state_dict()}
            save_checkpoint(self.output / CHECKPOINT_FILE, state, trainer.config)
            self._saved_at = time.monotonic()

    def _draw_samples(self, trainer: FixedPointTrainer, model: FixedPointGAN) -> np.ndarray:
        """Four columns: input, same-domain, cross-domain, difference to the latter; a row for each channel."""
        stacks, labels, targets = trainer.batches.examples(_EXAMPLES)
        neighbors = np.arange(len(stacks) * model.networks.slices_seen).reshape(len(stacks), -1)
        slices = stacks.reshape(neighbors.size, -1, *stacks.shape[2:])
        images = slices[neighbors[:, model.networks.middle_slice]]
        same, cross = (model.translate_labels(slices, own, neighbors=neighbors) for own in (labels, targets))
        columns = torch.cat([images, same, cross, (cross - images).abs()], -1)
        picture = (columns.flatten(0, 2).clamp(0, 1) * 255).byte().numpy()
        folder = self.output / SAMPLES_FOLDER
        folder.mkdir(exist_ok=True)
        path = folder / f"{trainer.state.iteration:07d}.png"
        write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))
        return picture
