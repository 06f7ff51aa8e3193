"""`train`: a dataset and a configuration in, a run folder and a model out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ignite.engine import Events

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import ModelError, TrainingError
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.batches import BalancedBatches, ImageDataset, dataset_labels
from anomaly_fpgan.training.checkpoint import load_checkpoint
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.milestones import CHECKPOINT_FILE, Milestones, OnValidation, Validate
from anomaly_fpgan.training.trainer import FixedPointTrainer

OnIteration = Callable[[int, Mapping[str, Any]], None]


def train(
    dataset: ImageDataset,
    config: TrainingConfig,
    *,
    output: Path | str,
    validate: Validate | None = None,
    choose_by: str = "auc",
    metadata: Mapping[str, Any] | None = None,
    resume: bool = False,
    on_iteration: OnIteration | None = None,
    on_validation: OnValidation | None = None,
) -> FixedPointGAN:
    """Train on a map-style dataset of (image (C, H, W) in [0, 1], label (K,)).

    Args:
        dataset: the training images.
        config: every setting.
        output: folder of the run: `model.safetensors`, `last.ckpt`, `history.csv`, `samples/`.
        validate: scores a model on held-out images at every milestone; without it the last model is kept.
        choose_by: the number of `validate` that chooses the model to keep; higher is better.
        metadata: plain values to travel with the model.
        resume: go on from `last.ckpt`.
        on_iteration: called after every iteration with its number and its loss terms.
        on_validation: called after every validation with the iteration and the numbers.

    Returns:
        The model that was kept.

    Raises:
        TrainingError: when a domain has no image.
        NonFiniteLossError: when the losses became NaN or infinite.
        ModelError: when there is nothing to resume, or the checkpoint belongs to another configuration.
    """
    output = Path(output)
    check_labels(dataset, config.domains)
    channels, height, width = np.asarray(dataset[0][0]).shape
    state = load_checkpoint(output / CHECKPOINT_FILE) if resume else None
    batches = BalancedBatches(
        dataset,
        batch_size=config.batch_size,
        seed=config.seed,
        horizontal_flip=config.horizontal_flip,
        first=state["iteration"] if state else 0,
    )
    output.mkdir(parents=True, exist_ok=True)
    milestones = Milestones(
        output, metadata=dict(metadata or {}), validate=validate, choose_by=choose_by, on_validation=on_validation
    )
    trainer = FixedPointTrainer(
        batches=batches, image_shape=(channels, height, width), config=config, handlers=[milestones]
    )
    if state:
        try:
            trainer.restore(state)
        except (KeyError, RuntimeError, ValueError) as error:
            raise ModelError("does not fit this configuration", path=output / CHECKPOINT_FILE) from error
        milestones.restore(state)
    if on_iteration is not None:
        report = on_iteration
        trainer.add_event_handler(
            Events.ITERATION_COMPLETED, lambda engine: report(engine.state.iteration, engine.state.output)
        )
    # Ignite logs a line and a traceback of its own for every exception; ours says what to do.
    trainer.logger.setLevel(logging.CRITICAL)
    if trainer.state.iteration < config.iterations:
        trainer.run()
    return FixedPointGAN.load(output, device=config.device)


def check_labels(dataset: ImageDataset, domains: DomainScheme) -> None:
    """Raise `TrainingError` unless the labels fit the domains and each domain has an image."""
    labels = dataset_labels(dataset)
    if labels.shape[1:] != (len(domains),):
        raise TrainingError(f"labels must have {len(domains)} values, one a domain, got shape {labels.shape}")
    missing = [name for name, count in zip(domains.names, labels.sum(0), strict=True) if count == 0]
    if missing:
        raise TrainingError(f"no training image is {missing[0]}; both sides are needed to learn the difference")
