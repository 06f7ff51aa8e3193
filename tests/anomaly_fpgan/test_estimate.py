"""What a training will take, measured before it begins."""

from __future__ import annotations

import time
from typing import Any

import pytest
import torch

from anomaly_fpgan.errors import MemoryLimitError
from anomaly_fpgan.training import estimate as estimate_module
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.estimate import Estimate, estimate, is_out_of_memory
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.run import train
from tests.anomaly_fpgan.test_steps import make_trainer

ALONE = Processes()


def set_free_memory(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(estimate_module, "free_memory", lambda device: free)


def test_memory_grows_with_the_batch_and_tells_which_one_fits(
    blobs: Any, tiny_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {
        size: estimate(make_trainer(blobs, tiny_config.model_copy(update={"batch_size": size})), ALONE)
        for size in (4, 8)
    }
    an_image = (needs[8].memory_bytes - needs[4].memory_bytes) / 4
    assert an_image > 4 * 32 * 32 * 4  # at least one feature map
    set_free_memory(monkeypatch, needs[8].memory_bytes)
    assert estimate(make_trainer(blobs, tiny_config), ALONE).fitting_batch_size == 8
    set_free_memory(monkeypatch, needs[8].memory_bytes - 1)
    assert estimate(make_trainer(blobs, tiny_config), ALONE).fitting_batch_size == 7
    set_free_memory(monkeypatch, 0)
    assert estimate(make_trainer(blobs, tiny_config), ALONE).fitting_batch_size == 0
    # Two processes hold half of the batch each, and have a computer each, or share one.
    set_free_memory(monkeypatch, needs[8].memory_bytes)
    two = estimate(make_trainer(blobs, tiny_config), Processes(0, 2, 1))
    assert two.fitting_batch_size == 16
    assert estimate(make_trainer(blobs, tiny_config), Processes(0, 2, 2)).fitting_batch_size < 8
    assert two.memory_bytes < needs[4].memory_bytes


def test_an_estimate_leaves_the_training_as_it_was(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    before = torch.nn.utils.parameters_to_vector(trainer.critic.parameters()).clone()
    state = torch.get_rng_state()
    estimate(trainer, ALONE)
    assert torch.equal(before, torch.nn.utils.parameters_to_vector(trainer.critic.parameters()))
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for network in (trainer.critic, trainer.translator) for p in network.parameters())
    assert trainer.optimizers["critic"].adam.state == {}


def test_the_estimated_time_is_near_the_real_one(blobs: Any, tiny_config: TrainingConfig, tmp_path: Any) -> None:
    config = tiny_config.model_copy(update={"iterations": 200, "validate_every": 200, "log_every": 200})
    told: list[Estimate] = []
    started: list[float] = []

    def on_estimate(needs: Estimate) -> None:
        told.append(needs)
        started.append(time.perf_counter())

    train(blobs, config, output=tmp_path, on_estimate=on_estimate)
    taken = time.perf_counter() - started[0]
    # Very small networks on a shared machine: the order of magnitude is what can be promised.
    assert taken / 5 < told[0].seconds < 5 * taken


def test_the_estimated_time_counts_each_kind_of_iteration(
    blobs: Any, tiny_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def seconds_of(step: Any, device: torch.device) -> float:
        return 1.0 if step.func is estimate_module.warmup_step else 100.0 if step.keywords["moves_generator"] else 10.0

    monkeypatch.setattr(estimate_module, "_duration", seconds_of)
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"critic_warmup": 4, "iterations": 10}))
    assert estimate(trainer, ALONE).seconds == 4 * 1 + 3 * 10 + 3 * 100
    trainer.state.iteration = 7  # of what is left, the eighth and the tenth move the generator
    assert estimate(trainer, ALONE).seconds == 10 + 2 * 100


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError(), RuntimeError("DefaultCPUAllocator: can't")]
)
def test_running_out_of_memory_says_which_batch_size_fits(
    error: Exception, blobs: Any, tiny_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    needs = estimate(make_trainer(blobs, tiny_config.model_copy(update={"batch_size": 3})), ALONE)
    set_free_memory(monkeypatch, needs.memory_bytes)

    def fail(iteration: int) -> None:
        raise error

    with pytest.raises(MemoryLimitError, match=r"`batch_size` 4; 3 would fit: --set training\.batch_size=3"):
        train(blobs, tiny_config, output=tmp_path, on_iteration=fail)
    set_free_memory(monkeypatch, 0)
    with pytest.raises(MemoryLimitError, match="not one image fits; use smaller `networks`"):
        train(blobs, tiny_config, output=tmp_path, on_iteration=fail)


def test_a_real_allocation_that_fails_is_recognized() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("something else"))


def test_a_batch_that_cannot_fit_into_a_computers_memory_is_not_tried(
    blobs: Any, tiny_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    needs = estimate(make_trainer(blobs, tiny_config.model_copy(update={"batch_size": 3})), ALONE)
    set_free_memory(monkeypatch, needs.memory_bytes)
    started: list[int] = []
    with pytest.raises(MemoryLimitError, match="`batch_size` 4; 3 would fit"):
        train(blobs, tiny_config, output=tmp_path, on_estimate=lambda needs: None, on_iteration=started.append)
    assert not started
