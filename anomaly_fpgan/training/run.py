"""`train`: a dataset and a configuration in, a run folder and a model out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events

from anomaly_fpgan.device import choose_device
from anomaly_fpgan.errors import MemoryLimitError, ModelError, TrainingError
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.batches import Batches
from anomaly_fpgan.training.checkpoint import CHECKPOINT_FILE, load_checkpoint
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.estimate import (
    Estimate,
    estimate,
    fitting_batch_size_after,
    is_out_of_memory,
    memory_limit_error,
)
from anomaly_fpgan.training.images import ImageDataset
from anomaly_fpgan.training.interrupt import StopRequest
from anomaly_fpgan.training.milestones import Milestones, OnRow, Validate
from anomaly_fpgan.training.processes import Processes, joined
from anomaly_fpgan.training.start import read_start
from anomaly_fpgan.training.tracking import tracking
from anomaly_fpgan.training.trainer import FixedPointTrainer


def train(
    dataset: ImageDataset,
    config: TrainingConfig,
    *,
    output: Path | str,
    validate: Validate | None = None,
    choose_by: str | None = "auc",
    metadata: Mapping[str, Any] | None = None,
    start_from: Path | str | None = None,
    resume: bool = False,
    on_estimate: Callable[[Estimate], None] | None = None,
    on_iteration: Callable[[int], None] | None = None,
    on_row: OnRow | None = None,
) -> FixedPointGAN:
    """Train on a map-style dataset of (image (C, H, W) in [0, 1], label (K,)).

    Under `torchrun`, each process trains on a part of every batch; the first one validates, writes and calls back.

    Args:
        dataset: the training images.
        config: every setting.
        output: folder of the run: `model.safetensors`, `last.ckpt`, `history.csv`, `samples/`, `tensorboard/`.
        validate: scores a model on held-out images at every milestone; without it the last model is kept.
        choose_by: the number of `validate` that chooses the model to keep, higher is better; None keeps the last one.
        metadata: plain values to travel with the model.
        start_from: folder of another run, to begin with the generator that it kept and the critic that it ended with.
            Where they come from travels with the model as `metadata["started_from"]`. A resumed run does not read it
            again.
        resume: go on from `last.ckpt`.
        on_estimate: told before the first iteration what the training will take; measured by a trial step.
        on_iteration: called after every iteration, which a GPU may still be busy with.
        on_row: called with every row of the history.

    Returns:
        The model that was kept.

    Raises:
        TrainingError: when a domain has no image, images differ in shape, or `output` holds another training.
        NonFiniteLossError: when too many losses became NaN or infinite.
        MemoryLimitError: when the device has not enough memory; it says which batch size fits.
        ModelError: when there is nothing to resume, the checkpoint belongs to other settings, or the run to start from
            cannot be used or has other domains, networks or images.
        TrainingStopped: after Ctrl-C or SIGTERM; the run can be resumed.
    """
    output = Path(output)
    device = choose_device(config.device)
    if not resume and (output / CHECKPOINT_FILE).exists():
        raise TrainingError(f"{output}: holds a training; give `resume=True` to go on with it, or another folder")
    with joined(device) as processes, StopRequest(heeds_second=processes.count == 1) as stop:
        check_batch_size(config, processes)
        state = load_checkpoint(output / CHECKPOINT_FILE, config) if resume else None
        first = state["trainer"]["iteration"] if state else 0
        with _out_of_memory_as(lambda _: _too_many_images(device)):
            batches = Batches(dataset, config, device, processes=processes, first=first)
        start = None if resume or start_from is None else read_start(start_from, config, batches.image_shape)
        output.mkdir(parents=True, exist_ok=True)
        trainer = FixedPointTrainer(batches=batches, config=config, processes=processes)
        milestones = Milestones(
            output,
            metadata=metadata or {},
            validate=validate,
            choose_by=choose_by,
            on_row=on_row if processes.is_first else None,
            stop=stop,
            processes=processes,
        )
        if state:
            try:
                trainer.restore(state["trainer"])
                milestones.load_state_dict(state["milestones"], device)
            except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
                raise ModelError("does not fit these images", path=output / CHECKPOINT_FILE) from error
        elif start:
            trainer.begin_with(start)
        # Ignite logs a line and a traceback of its own for every exception; ours says what to do.
        trainer.logger.setLevel(logging.CRITICAL)
        if first < config.iterations:
            with _out_of_memory_as(lambda error: _too_large_a_batch(error, trainer, processes)):
                if on_estimate is not None:
                    _estimate(trainer, processes, on_estimate)
                milestones.attach(trainer)
                with tracking(config, output, trainer, first_iteration=first) if processes.is_first else nullcontext():
                    if on_iteration is not None and processes.is_first:
                        _call_after_iterations(trainer, on_iteration)
                    milestones.attach_stop(trainer)
                    trainer.run()
        processes.wait()
    return FixedPointGAN.load(output, device=config.device)


def _estimate(trainer: FixedPointTrainer, processes: Processes, on_estimate: Callable[[Estimate], None]) -> None:
    needs = estimate(trainer, processes)
    if processes.is_first:
        on_estimate(needs)
    if trainer.batches.device.type == "cpu" and needs.fitting_batch_size < trainer.config.batch_size:
        # No allocation would fail: the operating system would end the process, or another one.
        raise memory_limit_error(trainer.config.batch_size, needs.fitting_batch_size)


@contextmanager
def _out_of_memory_as(explain: Callable[[Exception], MemoryLimitError]) -> Iterator[None]:
    """Say what to do instead when memory runs out."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise explain(error) from error


def _too_many_images(device: torch.device) -> MemoryLimitError:
    remedy = "--set training.images_on_device=never"
    return MemoryLimitError(f"the training images do not fit into the memory of {device}; {remedy}")


def _too_large_a_batch(error: Exception, trainer: FixedPointTrainer, processes: Processes) -> MemoryLimitError:
    return memory_limit_error(trainer.config.batch_size, fitting_batch_size_after(error, trainer, processes))


def _call_after_iterations(trainer: FixedPointTrainer, on_iteration: Callable[[int], None]) -> None:
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: on_iteration(engine.state.iteration))


def check_batch_size(config: TrainingConfig, processes: Processes) -> None:
    """Raise `TrainingError` unless every process can take an equal part of a batch."""
    if config.batch_size % processes.count:
        raise TrainingError(
            f"`batch_size` is {config.batch_size} images over all processes; it must be a multiple of their number, "
            f"{processes.count}"
        )
