"""The fast engine against training written straight from the formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anomaly_fpgan.training.config import Augmentation, LossWeights, TrainingConfig
from benchmarks.training_step import disagreement, make_trainer

SETTINGS: dict[str, Any] = {
    "networks": {"generator_width": 16, "residual_blocks": 2, "discriminator_width": 16, "discriminator_depth": 4},
    "batch_size": 6,
    "critic_steps": 3,
    "iterations": 30,
    "precision": "float32",
    "device": "cpu",
}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"losses": LossWeights(second_fixed_point=2, identity=10), "seed": 3},
        {"augmentation": Augmentation(rotation_degrees=10, shift=0.1, scale=0.1, log_gamma=0.3)},
        {"critic_warmup": 9},
        {
            "networks": SETTINGS["networks"]
            | {"domain_head": "patch", "source_head": "by_domain", "output_rule": "foreground"},
            "losses": LossWeights(identity=10, mismatch=1, domain_origin=1),
        },
    ],
)
@pytest.mark.parametrize(
    ("precision", "of_losses", "of_weights"),
    # Adam turns rounding of small gradients into whole steps, so float32 drifts apart; in float64 nothing else is left.
    [(torch.float32, 1e-3, 0.2), (torch.float64, 1e-6, 1e-4)],
)
def test_engine_and_plain_training_agree(
    precision: torch.dtype, of_losses: float, of_weights: float, changes: dict[str, Any]
) -> None:
    losses, weights = disagreement(make_trainer(TrainingConfig(**SETTINGS | changes), 32), precision)
    assert losses < of_losses
    assert weights < of_weights


def test_a_difference_would_be_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make_trainer(TrainingConfig(**SETTINGS), 32)
    object.__setattr__(trainer.adversaries, "weights", LossWeights(identity=0.2))  # 0.1 in plain training
    losses, weights = disagreement(trainer, torch.float64)
    assert losses > 1e-4
    assert weights > 1e-3
