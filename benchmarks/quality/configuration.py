"""One way to train and to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from anomaly_fpgan.training.config import TrainingConfig
from evaluation.protocol import Protocol
from pipelines.config import merged_settings
from pipelines.methods import MapSource

MILESTONES = 8
"""Of a training: models that may be kept."""
ENSEMBLE_SEEDS_APART = 100

BASE: dict[str, Any] = {
    "iterations": 500,
    "batch_size": 8,
    "critic_warmup": 0,
    "critic_steps": 1,
    "learning_rate": 5e-4,
    "averaging": 0.98,
    "networks": {
        "generator_width": 16,
        "residual_blocks": 4,
        "generator_margin": 8,
        "discriminator_width": 32,
        "discriminator_depth": 4,
        "domain_head": "patch",
        "source_head": "by_domain",
        "output_rule": "foreground",
    },
    "losses": {"identity": 10.0, "mismatch": 1.0, "domain_origin": 1.0},
    "augmentation": {"rotation_degrees": 15, "shift": 0.05, "scale": 0.1},
}


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One way to train and to evaluate.

    Attributes:
        name: of it, also of files.
        words: what it changes against the base.
        training: settings of `TrainingConfig` that differ from `BASE`.
        protocol: settings of `Protocol` that differ from its defaults.
        choose_by: which model of a training is kept, as in `ValidationSettings`.
        wrap: makes other maps of the model's.
        ensemble: so many trainings, which differ in their seeds, give the mean translation.
        pretrained_on: by data set the one on which another training, with the same seed, comes first; others are left
            out.
        first: settings of `TrainingConfig` that differ from `BASE` in that other training.
        also: by data set the one whose training patients train, too; others are left out.
    """

    name: str
    words: str
    training: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    choose_by: Literal["auc", "last"] = "auc"
    wrap: Callable[[MapSource], MapSource] | None = None
    ensemble: int = 1
    pretrained_on: Mapping[str, str] = field(default_factory=dict)
    first: Mapping[str, Any] = field(default_factory=dict)
    also: Mapping[str, str] = field(default_factory=dict)

    def training_config(self, seed: int) -> TrainingConfig:
        """Every setting of its training with a seed."""
        return _training_config(self.training, seed)

    def first_config(self, seed: int) -> TrainingConfig:
        """Every setting of the training that comes first."""
        return _training_config(self.first, seed)

    def evaluation_protocol(self) -> Protocol:
        """Every choice of its evaluation."""
        return Protocol(**self.protocol)


_SHORTER = 3


def shortened(configuration: Configuration) -> Configuration:
    """The same with a third of the iterations and of the warm-up."""
    settings = merged_settings(BASE, configuration.training)
    fewer = {name: settings[name] // _SHORTER for name in ("iterations", "critic_warmup")}
    return replace(configuration, training={**configuration.training, **fewer})


def _training_config(changes: Mapping[str, Any], seed: int) -> TrainingConfig:
    settings = merged_settings(BASE, changes)
    settings.setdefault("validate_every", max(1, settings["iterations"] // MILESTONES))
    return TrainingConfig(**settings, seed=seed)
