"""What is trained and how it is evaluated, and on which data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.trainer import FixedPointTrainer
from benchmarks.quality.data import LEARNING
from benchmarks.quality.variants import FlipAveraged
from evaluation.protocol import Protocol
from pipelines.methods import MapSource

Change = Callable[[FixedPointTrainer], None]

MILESTONES = 8
"""Of a training: models that may be kept."""
ENSEMBLE_SEEDS_APART = 100

BASE: dict[str, Any] = {
    "iterations": 600,
    "batch_size": 8,
    "critic_steps": 2,
    "learning_rate": 2e-4,
    "averaging": 0.98,
    "networks": {
        "generator_width": 16,
        "residual_blocks": 4,
        "discriminator_width": 32,
        "discriminator_depth": 3,
        "domain_head": "patch",
    },
    "losses": {"identity": 1.0},
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
        change: makes of a fresh trainer one that the product does not offer.
        wrap: makes other maps of the model's.
        ensemble: so many trainings, which differ in their seeds, give the mean map.
        pretrained_on: by data set the one on which the same training, with the same seed, comes first; others are left
            out.
    """

    name: str
    words: str
    training: Mapping[str, Any] = field(default_factory=dict)
    protocol: Mapping[str, Any] = field(default_factory=dict)
    choose_by: Literal["auc", "last"] = "auc"
    change: Change | None = None
    wrap: Callable[[MapSource], MapSource] | None = None
    ensemble: int = 1
    pretrained_on: Mapping[str, str] = field(default_factory=dict)

    def training_config(self, seed: int) -> TrainingConfig:
        """Every setting of its training with a seed."""
        iterations = {**BASE, **self.training}["iterations"]
        every = {"validate_every": max(1, iterations // MILESTONES), "seed": seed}
        return TrainingConfig(**_merged(_merged(BASE, self.training), every))

    def evaluation_protocol(self) -> Protocol:
        """Every choice of its evaluation."""
        return Protocol(**self.protocol)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Configurations on data sets, both by name."""

    data: tuple[str, ...]
    configurations: tuple[str, ...]


REFERENCE = "base"
"""The configuration that others are held against."""
PRESENTED = "base"
"""The configuration of which results of single patients are shown."""

CONFIGURATIONS = (
    Configuration(name="base", words="batches of 8, n_critic 2, learning rate 2e-4, λ_id 1, domains read off patches"),
    Configuration(name="identity-0.1", words="λ_id 0.1", training={"losses": {"identity": 0.1}}),
    Configuration(name="identity-10", words="λ_id 10", training={"losses": {"identity": 10.0}}),
    Configuration(name="critic-steps-5", words="n_critic 5", training={"critic_steps": 5}),
    Configuration(name="learning-rate-1e-4", words="learning rate 1e-4", training={"learning_rate": 1e-4}),
    Configuration(name="domain-3", words="λ_domain 3", training={"losses": {"domain": 3.0}}),
    Configuration(
        name="image-head",
        words="domains read off the whole image",
        training={"networks": {"domain_head": "image", "discriminator_depth": 4}},
    ),
    Configuration(name="last", words="the last model", choose_by="last"),
    Configuration(name="median-3", words="median filter of maps, 3 px", protocol={"median_px": 3}),
    Configuration(name="rim-1", words="rim of the foreground left out, 1 px", protocol={"rim_px": 1}),
    Configuration(name="mean-of-channels", words="mean over channels", protocol={"reduction": "mean"}),
    Configuration(name="flip-averaged", words="maps of image and mirror image averaged", wrap=FlipAveraged),
    Configuration(name="ensemble-3", words="maps of three trainings averaged", ensemble=3),
    Configuration(
        name="pretrained",
        words="begun with a training on embedded patients",
        pretrained_on={
            "real-flair": "embedded-default",
            "real-t1ce": "embedded-t1ce",
            "real-both": "embedded-both",
        },
    ),
)

GROUPS = {
    "embedded": Group(
        data=("embedded-default", "embedded-hard"),
        configurations=tuple(own.name for own in CONFIGURATIONS if own.name not in ("pretrained", "mean-of-channels")),
    ),
    "real": Group(
        data=("real-flair", "real-t1ce", "real-both"),
        configurations=tuple(own.name for own in CONFIGURATIONS if own.name != "mean-of-channels"),
    ),
    "both-channels": Group(data=("real-both",), configurations=("mean-of-channels",)),
    "learning": Group(
        data=tuple(f"learning-{count}-{variant}" for variant in ("default", "hard") for count in LEARNING),
        configurations=("base",),
    ),
}
SHORT_GROUPS = {
    "embedded": Group(
        data=("embedded-default",), configurations=("base", "identity-0.1", "image-head", "flip-averaged", "last")
    ),
    "real": Group(data=("real-flair", "real-t1ce", "real-both"), configurations=("base", "flip-averaged", "last")),
}
SHORT_ITERATIONS = 200


def shortened(configuration: Configuration) -> Configuration:
    """The same with few iterations."""
    return replace(configuration, training={**configuration.training, "iterations": SHORT_ITERATIONS})


def _merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in changes.items():
        merged[name] = _merged(base.get(name, {}), value) if isinstance(value, Mapping) else value
    return merged
