"""The training loop: batches, steps, milestones, resuming."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events

from anomaly_fpgan import losses
from anomaly_fpgan.errors import ModelError, NonFiniteLossError, TrainingError
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.batches import BalancedBatches, step_generator
from anomaly_fpgan.training.checkpoint import load_checkpoint
from anomaly_fpgan.training.config import LossWeights, TrainingConfig
from anomaly_fpgan.training.run import train
from anomaly_fpgan.training.steps import Batch, critic_step, generator_step
from anomaly_fpgan.training.trainer import FixedPointTrainer


def weights_of(model: FixedPointGAN) -> dict[str, torch.Tensor]:
    return model.translator.state_dict()


def make_trainer(dataset: Any, config: TrainingConfig) -> FixedPointTrainer:
    batches = BalancedBatches(dataset, batch_size=config.batch_size, seed=config.seed, horizontal_flip=False)
    return FixedPointTrainer(batches=batches, image_shape=(1, 32, 32), config=config)


def make_batch(trainer: FixedPointTrainer) -> Batch:
    images, labels = trainer.data_loader.batch(0)
    return Batch(x=images * 2 - 1, c_x=labels, c_y=1 - labels)


def test_batches_are_balanced_and_follow_from_the_step_alone(blobs: Any) -> None:
    blobs.domains[:] = [1, 0]
    blobs.domains[0] = [0, 1]
    batches = BalancedBatches(blobs, batch_size=8, seed=5, horizontal_flip=True)
    images, labels = batches.batch(3)
    assert labels.sum(0).tolist() == [4, 4]
    again, _ = BalancedBatches(blobs, batch_size=8, seed=5, horizontal_flip=True, first=3).__iter__().__next__()
    assert torch.equal(images, again)
    assert not torch.equal(images, batches.batch(4)[0])


def test_critic_step_is_the_formula_and_touches_the_critic_alone(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    adversaries, batch = trainer.adversaries, make_batch(trainer)
    terms = critic_step(adversaries, batch, step_generator(0, 0))
    # The same, one translation at a time.
    with torch.no_grad():
        x_same, x_cross = adversaries.translator(batch.x, batch.c_x), adversaries.translator(batch.x, batch.c_y)
    scores, logits = adversaries.critic(batch.x)
    adversarial = 2 * scores.mean() - sum(adversaries.critic(fake)[0].mean() for fake in (x_same, x_cross))
    penalty = losses.gradient_penalty(
        lambda image: adversaries.critic(image)[0], batch.x, x_same, x_cross, step_generator(0, 0)
    )
    domain = torch.nn.functional.cross_entropy(logits, batch.c_x.argmax(1))
    loss = -adversarial + 10 * penalty + domain
    torch.testing.assert_close(terms["critic_loss"], loss.detach())
    expected = torch.autograd.grad(loss, list(adversaries.critic.parameters()))
    for parameter, gradient in zip(adversaries.critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in adversaries.translator.parameters())


def test_generator_step_is_the_formula_and_leaves_the_critic_alone(blobs: Any, tiny_config: TrainingConfig) -> None:
    weights = LossWeights(identity=3, cycle=7, domain=2, second_fixed_point=5)
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"losses": weights}))
    adversaries, batch = trainer.adversaries, make_batch(trainer)
    terms = generator_step(adversaries, batch)
    translator, critic = adversaries.translator, adversaries.critic
    x_same, x_cross = translator(batch.x, batch.c_x), translator(batch.x, batch.c_y)
    (src_same, dom_same), (src_cross, dom_cross) = critic(x_same), critic(x_cross)
    back_same, back_cross = translator(x_same, batch.c_x), translator(x_cross, batch.c_x)
    entropy = torch.nn.functional.cross_entropy
    loss = (
        -src_same.mean()
        - src_cross.mean()
        + 2 * (entropy(dom_same, batch.c_x.argmax(1)) + entropy(dom_cross, batch.c_y.argmax(1)))
        + 7 * ((back_same - batch.x).abs().mean() + (back_cross - batch.x).abs().mean())
        + 3 * (x_same - batch.x).abs().mean()
        + 5 * (back_same - x_same).abs().mean()
    )
    torch.testing.assert_close(terms["generator_loss"], loss.detach())
    expected = torch.autograd.grad(loss, list(translator.parameters()))
    for parameter, gradient in zip(translator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in critic.parameters())


def test_the_generator_is_updated_at_every_nth_critic_update(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    updated = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED, lambda engine: updated.append("generator_loss" in engine.state.output)
    )
    trainer.run()
    assert updated == [False, True] * 4


def test_learning_rate_is_constant_then_falls_linearly_to_0() -> None:
    config = TrainingConfig(iterations=100, learning_rate=1.0, decay_start=0.5)
    # Half-way down the second half, at 75 of 100, half is left.
    assert [config.learning_rate_at(step) for step in (0, 49, 50, 75, 99)] == [1, 1, 1, 0.5, 0.02]


def test_resuming_gives_the_weights_of_an_uninterrupted_run(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    whole = train(blobs, tiny_config, output=tmp_path / "whole")

    def stop_at_6(iteration: int, terms: Mapping[str, Any]) -> None:
        if iteration == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(blobs, tiny_config, output=tmp_path / "parts", on_iteration=stop_at_6)
    assert load_checkpoint(tmp_path / "parts" / "last.ckpt")["iteration"] == 4
    resumed = train(blobs, tiny_config, output=tmp_path / "parts", resume=True)
    for name, weight in weights_of(whole).items():
        assert torch.equal(weight, weights_of(resumed)[name]), name
    first, second = (load_checkpoint(tmp_path / run / "last.ckpt") for run in ("whole", "parts"))
    for name, weight in first["critic"].items():
        assert torch.equal(weight, second["critic"][name]), name
    assert (tmp_path / "whole/history.csv").read_text() == (tmp_path / "parts/history.csv").read_text()


def test_validation_chooses_the_model_that_is_kept(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    scores = iter([0.9, 0.6])
    model = train(blobs, tiny_config, output=tmp_path, validate=lambda model: {"auc": next(scores), "other": 1.0})
    assert model.metadata["training"] == {"iteration": 4, "auc": 0.9, "other": 1.0}
    with (tmp_path / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["2", "4", "6", "8"]
    assert [row["validation_auc"] for row in rows] == ["", "0.9", "", "0.6"]
    assert all(float(row["cycle"]) > 0 for row in rows)
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["0000004.png", "0000008.png"]


def test_an_undefined_validation_score_replaces_no_model(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    scores = iter([0.9, math.nan, 0.5, 0.8])
    config = tiny_config.model_copy(update={"validate_every": 2})
    model = train(blobs, config, output=tmp_path, validate=lambda model: {"auc": next(scores)})
    assert model.metadata["training"]["iteration"] == 2


def test_without_validation_the_last_model_is_kept(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    assert train(blobs, tiny_config, output=tmp_path).metadata["training"]["iteration"] == 8


def test_one_domain_only_is_refused(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    blobs.domains[:] = [0, 1]
    with pytest.raises(TrainingError, match="no training image is healthy"):
        train(blobs, tiny_config, output=tmp_path)


def test_non_finite_losses_stop_the_run_and_keep_the_checkpoint(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    def poison(iteration: int, terms: Mapping[str, Any]) -> None:
        if iteration == 5:
            blobs.images[:] = np.nan

    with pytest.raises(NonFiniteLossError, match=r"became non-finite before iteration 6.*learning_rate"):
        train(blobs, tiny_config, output=tmp_path, on_iteration=poison)
    assert load_checkpoint(tmp_path / "last.ckpt")["iteration"] == 4


@pytest.mark.parametrize("damage", ["cut", "foreign"])
def test_a_damaged_checkpoint_is_refused_by_name(
    damage: str, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    train(blobs, tiny_config, output=tmp_path)
    path = tmp_path / "last.ckpt"
    path.write_bytes(path.read_bytes()[:500] if damage == "cut" else b"\x80\x04not a checkpoint")
    with pytest.raises(ModelError, match=r"last\.ckpt: is damaged"):
        train(blobs, tiny_config, output=tmp_path, resume=True)


def test_attributes_and_rectangles_train(tiny_config: TrainingConfig, tmp_path: Path) -> None:
    config = TrainingConfig(
        **{
            **tiny_config.model_dump(),
            "domains": {"names": ("edema", "enhancing"), "exclusive": False},
            "iterations": 2,
        }
    )
    random = np.random.default_rng(0)
    items = [(random.random((2, 34, 41), np.float32), np.float32([i % 2, i // 2 % 2])) for i in range(8)]
    model = train(items, config, output=tmp_path)
    assert model.translate(np.stack([image for image, _ in items]), "healthy").shape == (8, 2, 34, 41)
