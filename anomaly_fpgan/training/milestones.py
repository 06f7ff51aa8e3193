"""What a training leaves behind as it runs: history, validation, sample pictures, the best model and the last state."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ignite.engine import Engine, Events
from PIL import Image
from torch import Tensor

from anomaly_fpgan.errors import NonFiniteLossError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from anomaly_fpgan.training.batches import BalancedBatches
from anomaly_fpgan.training.checkpoint import save_checkpoint, write_atomically
from anomaly_fpgan.training.trainer import FixedPointTrainer

CHECKPOINT_FILE = "last.ckpt"
HISTORY_FILE = "history.csv"

Validate = Callable[[FixedPointGAN], Mapping[str, float]]
"""Scores a model on held-out images: numbers by name."""
OnValidation = Callable[[int, Mapping[str, float]], None]
"""Told the iteration and the numbers of each validation."""


class Milestones:
    """A handler that averages loss terms into rows and, at every milestone, validates and writes the run's files.

    A resumed run forgets rows that are newer than its checkpoint, so both say the same.
    """

    def __init__(
        self,
        output: Path,
        *,
        metadata: dict[str, Any],
        validate: Validate | None,
        choose_by: str,
        on_validation: OnValidation | None,
    ) -> None:
        self.output = output
        self.validate = validate
        self.choose_by = choose_by
        self.on_validation = on_validation
        self.metadata = metadata
        self.best_score = -math.inf
        self.rows: list[dict[str, float]] = []
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}

    def attach(self, trainer: FixedPointTrainer) -> None:
        """Listen to the end of every iteration."""
        trainer.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the best score and the history as they were at the checkpoint."""
        self.best_score = state["best_score"]
        path = self.output / HISTORY_FILE
        if path.is_file():
            with path.open(newline="") as file:
                table = list(csv.DictReader(file))
            rows = [
                {"iteration": int(row.pop("iteration")), **{name: float(value) for name, value in row.items() if value}}
                for row in table
            ]
            self.rows = [row for row in rows if row["iteration"] <= state["iteration"]]

    def _iteration_completed(self, trainer: Engine) -> None:
        assert isinstance(trainer, FixedPointTrainer)
        for name, value in trainer.state.output.items():
            self._sums[name] = self._sums.get(name, torch.zeros_like(value)) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        iteration, config = trainer.state.iteration, trainer.config
        milestone = iteration % config.validate_every == 0 or iteration == config.iterations
        if milestone or iteration % config.log_every == 0:
            self._add_row(iteration, config.learning_rate_at(iteration - 1))
        if milestone:
            self._reach_milestone(trainer)

    def _add_row(self, iteration: int, learning_rate: float) -> None:
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        broken = [name for name, value in means.items() if not math.isfinite(value)]
        if broken:
            raise NonFiniteLossError(
                f"the loss term {broken[0]} became non-finite before iteration {iteration}; "
                "train again with a lower `learning_rate`"
            )
        self.rows.append({"iteration": iteration, "learning_rate": learning_rate, **means})
        self._sums.clear()
        self._counts.clear()
        write_atomically(self.output / HISTORY_FILE, self._write_history)

    def _reach_milestone(self, trainer: FixedPointTrainer) -> None:
        model = trainer.averaged_model(self.metadata)
        iteration = trainer.state.iteration
        numbers = dict(self.validate(model)) if self.validate else {}
        self.rows[-1] |= {f"validation_{name}": value for name, value in numbers.items()}
        if numbers and self.on_validation:
            self.on_validation(iteration, numbers)
        # Without validation the latest model is the best guess; with it, a tie goes to the longer training.
        score = numbers[self.choose_by] if numbers else math.inf
        score = -math.inf if math.isnan(score) else score
        if score >= self.best_score:
            self.best_score = score
            model.metadata = {**self.metadata, "training": {"iteration": iteration, **numbers}}
            model.save(self.output / MODEL_FILE)
        self._write_samples(trainer, model)
        write_atomically(self.output / HISTORY_FILE, self._write_history)
        save_checkpoint(self.output / CHECKPOINT_FILE, {**trainer.training_state(), "best_score": self.best_score})

    def _write_history(self, path: Path) -> None:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns)
            writer.writeheader()
            writer.writerows(self.rows)

    def _write_samples(self, trainer: FixedPointTrainer, model: FixedPointGAN) -> None:
        """Four columns: input, same-domain, cross-domain, difference to the latter; first channel."""
        batches = trainer.data_loader
        assert isinstance(batches, BalancedBatches)
        images, labels = batches.batch(0)
        images, labels = images[:6], labels[:6]
        targets = trainer.config.domains.draw_target(labels, torch.Generator().manual_seed(0))
        same, cross = model.translate_labels(images, labels), model.translate_labels(images, targets)
        columns = torch.cat([images, same, cross, (cross - images).abs()], -1)[:, 0]
        picture = (columns.flatten(0, 1).clamp(0, 1) * 255).byte().numpy().astype(np.uint8)
        folder = self.output / "samples"
        folder.mkdir(exist_ok=True)
        path = folder / f"{trainer.state.iteration:07d}.png"
        write_atomically(path, lambda temporary: Image.fromarray(picture).save(temporary, format="PNG"))
