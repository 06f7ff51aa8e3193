"""What a training will take, measured by trial steps on noise before it begins, and which batch size fits."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from anomaly_fpgan.device import free_memory
from anomaly_fpgan.errors import MemoryLimitError
from anomaly_fpgan.training.batches import Batch
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.steps import Adversaries, critic_step, generator_step, warmup_step
from anomaly_fpgan.training.trainer import FixedPointTrainer

_TRIAL_IMAGES = 4
_TRIAL_SECONDS = 0.3
_ADAM_COPIES = 4
"""Weights, gradients and two moments."""


Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What each process needs beside the images it holds, and what the training takes."""

    memory_bytes: int
    """Of the device's memory, at the peak."""
    free_bytes: int
    """Of the device's memory, before the first step."""
    seconds: float
    """From the first to the last iteration that is left, validations not counted; NaN where not one image fits."""
    fitting_batch_size: int
    """The largest, over all processes, that fits into the free memory; 0 where none does."""


def estimate(trainer: FixedPointTrainer, processes: Processes) -> Estimate:
    """Measure trial steps; weights and the state of the training stay as they are."""
    size = trainer.config.batch_size // processes.count
    fitting, needed, free = _fitting(trainer, processes, size)
    images = min(size, fitting // processes.count, _TRIAL_IMAGES if fitting < size * processes.count else size)
    return Estimate(
        memory_bytes=needed,
        free_bytes=free,
        seconds=_seconds_left(trainer, images, size) if images else math.nan,
        fitting_batch_size=fitting,
    )


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, on a GPU or not."""
    on_cpu = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or on_cpu


def memory_limit_error(batch_size: int, fitting: int) -> MemoryLimitError:
    """What to tell a user whose batch size does not fit, while `fitting` would; 0 if none does."""
    problem = f"out of memory with `batch_size` {batch_size}"
    if fitting < 1:
        return MemoryLimitError(f"{problem}, and not one image fits; use smaller `networks` or smaller images")
    return MemoryLimitError(f"{problem}; {fitting} would fit: --set training.batch_size={fitting}")


def fitting_batch_size_after(error: Exception, trainer: FixedPointTrainer, processes: Processes) -> int:
    """The largest batch size, below the one that failed with `error`, that would have fitted; 0 where none does."""
    traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
    trainer.forget_gradients()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    try:
        fitting, *_ = _fitting(trainer, processes, 1)
    except (RuntimeError, MemoryError):
        return 0
    return max(0, min(fitting, trainer.config.batch_size - processes.count))


def _fitting(trainer: FixedPointTrainer, processes: Processes, size: int) -> tuple[int, int, int]:
    """The largest batch size over all processes that fits, bytes that `size` images need in each, its free bytes."""
    free = free_memory(trainer.batches.device)
    if trainer.batches.device.type == "cpu":
        free //= processes.on_this_machine
    fixed, an_image = _memory(trainer)
    return max(0, int((free - fixed) // an_image)) * processes.count, int(fixed + size * an_image), free


def _memory(trainer: FixedPointTrainer) -> tuple[float, float]:
    """Bytes needed in any case, and for each image of a process's part of the batch."""
    one, two = (_peak_bytes(trainer, images) for images in (1, 2))
    states = sum(
        parameter.numel() * parameter.element_size() * _ADAM_COPIES
        for network in (trainer.translator, trainer.critic)
        for parameter in network.parameters()
    )
    an_image = max(two - one, 1)
    return max(one - an_image, 0) + states, an_image


def _peak_bytes(trainer: FixedPointTrainer, images: int) -> int:
    """Bytes that a generator update, the largest of all steps, holds at once beside weights and moments."""
    adversaries = replace(trainer.adversaries, translate=trainer.translator)  # compiled code would be made anew
    batch = _noise(trainer, images)
    device = trainer.batches.device
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        _iteration(adversaries, batch, moves_generator=True)
        trainer.forget_gradients()
        return torch.cuda.max_memory_allocated(device) - before
    fakes, fakes_bytes = _bytes_held_by(lambda: adversaries.translate_both(batch, for_generator=True))
    _, critic_bytes = _bytes_held_by(lambda: critic_step(adversaries, batch, fakes))
    _, generator_bytes = _bytes_held_by(lambda: generator_step(adversaries, batch, fakes))
    trainer.forget_gradients()
    return fakes_bytes + max(critic_bytes, generator_bytes)


def _bytes_held_by(compute: Callable[[], Result]) -> tuple[Result, int]:
    """The result of a computation, and the bytes it keeps for its gradients: of a CPU nobody counts allocations."""
    held: dict[int, int] = {}

    def hold(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        held[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(hold, lambda tensor: tensor):
        result = compute()
    return result, sum(held.values())


def _seconds_left(trainer: FixedPointTrainer, images: int, size: int) -> float:
    """Duration of the iterations that are left, with `size` images each, from trials with `images`."""
    config, adversaries, batch = trainer.config, trainer.adversaries, _noise(trainer, images)
    done = trainer.state.iteration
    warmup = max(0, config.warmup_iterations - done)
    both = config.generator_updates(config.iterations) - config.generator_updates(done)
    counts: list[tuple[int, Callable[[], object]]] = [
        (warmup, partial(warmup_step, adversaries, batch)),
        (config.iterations - done - warmup - both, partial(_iteration, adversaries, batch, moves_generator=False)),
        (both, partial(_iteration, adversaries, batch, moves_generator=True)),
    ]
    seconds = sum(count * _duration(step, trainer.batches.device) for count, step in counts if count)
    trainer.forget_gradients()
    return seconds * size / images


def _duration(compute: Callable[[], object], device: torch.device) -> float:
    """Mean seconds of a computation that was run before, over at least `_TRIAL_SECONDS`."""
    compute()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    started, runs = time.perf_counter(), 0
    while runs == 0 or time.perf_counter() - started < _TRIAL_SECONDS:
        compute()
        runs += 1
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return (time.perf_counter() - started) / runs


def _iteration(adversaries: Adversaries, batch: Batch, *, moves_generator: bool) -> None:
    fakes = adversaries.translate_both(batch, for_generator=moves_generator)
    critic_step(adversaries, batch, fakes)
    if moves_generator:
        generator_step(adversaries, batch, fakes)


def _noise(trainer: FixedPointTrainer, images: int) -> Batch:
    random = torch.Generator().manual_seed(0)
    device, domains = trainer.batches.device, len(trainer.config.domains)
    x = torch.rand(images, *trainer.batches.image_shape, generator=random).to(device)
    label = torch.eye(domains)[torch.arange(images) % domains].to(device)
    share = torch.full((images,), 0.5, device=device)
    return Batch(x=2 * x - 1, c_x=label, c_y=label.roll(1, 1), share=share, pick_same=share > 0)
