"""What is trained and how it is evaluated, and on which data sets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from anomaly_fpgan.training.config import TrainingConfig
from benchmarks.quality.data import LEARNING
from benchmarks.quality.variants import mirror_averaged
from evaluation.protocol import Protocol
from pipelines.config import merged_settings
from pipelines.methods import MapSource

MILESTONES = 8
"""Of a training: models that may be kept."""
ENSEMBLE_SEEDS_APART = 100

BASE: dict[str, Any] = {
    "iterations": 900,
    "batch_size": 8,
    "critic_warmup": 400,
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
        ensemble: so many trainings, which differ in their seeds, give the mean map.
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


@dataclass(frozen=True, kw_only=True)
class Group:
    """Configurations on data sets, both by name."""

    data: tuple[str, ...]
    configurations: tuple[str, ...]


REFERENCE = "base"
"""The configuration that others are held against, and of which results of single patients are shown.

Where it was not run, the first of those that were.
"""

_FLIPS_ONLY = {"rotation_degrees": 0, "shift": 0, "scale": 0}
_MANY = {f"real-{name}": f"many-{name}" for name in ("flair", "t1ce", "both")}
_VARIED = {
    "iterations": 1200,
    "critic_warmup": 500,
    "augmentation": {"rotation_degrees": 180, "shift": 0.1, "scale": 0.2, "log_gamma": 0.4},
}
_LONG = {
    **_VARIED,
    "iterations": 8400,
    "critic_warmup": 6000,
    "critic_steps": 2,
    "batch_size": 32,  # with 16, the critic of post-contrast T1 learned nothing in 5,000
    "learning_rate": 1e-3,
    "decay_start": 0.8,
}
_UNTOUCHED = {"iterations": 1, "critic_warmup": 0, "critic_steps": 2}
"""An iteration of the critic alone: the generator stays as it came."""
_PRETRAINED = Configuration(
    name="pretrained",
    words="begun with a training on embedded patients, then 100 iterations at a rate of 1e-4",
    training={"iterations": 100, "critic_warmup": 0, "learning_rate": 1e-4},
    pretrained_on={"real-flair": "embedded-default"},
)

CONFIGURATIONS = (
    Configuration(
        name="base",
        words="critic warmed up for 400 of 900 iterations of 8; n_critic 1; a score for each domain, mismatch and "
        "origin 1, domains off patches, `foreground`, margin 8, λ_id 10; images turned by 15°, moved "
        "by 5 %, scaled by 10 %",
    ),
    Configuration(
        name="patent",
        words="the patent's formula and settings: one score, whole image, `tanh`, λ_id 0.1, n_critic 5, rate 1e-4",
        training={
            "iterations": 1000,
            "critic_warmup": 0,
            "critic_steps": 5,
            "learning_rate": 1e-4,
            "augmentation": _FLIPS_ONLY,
            "networks": {
                "generator_margin": 0,
                "domain_head": "image",
                "source_head": "shared",
                "output_rule": "tanh",
            },
            "losses": {"identity": 0.1, "mismatch": 0.0, "domain_origin": 0.0},
        },
    ),
    Configuration(
        name="patent-losses",
        words="the patent's losses: one score, neither mismatch nor origin",
        training={"networks": {"source_head": "shared"}, "losses": {"mismatch": 0.0, "domain_origin": 0.0}},
    ),
    Configuration(
        name="no-warmup",
        words="500 iterations without a warm-up of the critic",
        training={"iterations": 500, "critic_warmup": 0},  # as many in which both networks learn
    ),
    Configuration(
        name="no-warmup-mirror",
        words="and translations of image and mirror image averaged",
        training={"iterations": 500, "critic_warmup": 0},
        wrap=mirror_averaged,
    ),
    Configuration(
        name="no-origin",
        words="the critic is not asked where translations came from",
        training={"losses": {"domain_origin": 0.0}},
    ),
    Configuration(name="no-mismatch", words="mismatched images are not shown", training={"losses": {"mismatch": 0.0}}),
    Configuration(
        name="image-head", words="domains read off the whole image", training={"networks": {"domain_head": "image"}}
    ),
    Configuration(name="additive", words="x + δ everywhere", training={"networks": {"output_rule": "additive"}}),
    Configuration(
        name="demo",
        words="800 iterations of 16 images: the preset `demo`",
        training={"iterations": 800, "batch_size": 16, "networks": {"mirror_averaging": True}},
    ),
    Configuration(
        name="longer",
        words="2,000 iterations; translations of image and mirror image averaged",
        training={"iterations": 2000, "networks": {"mirror_averaging": True}},
    ),
    Configuration(name="identity-1", words="λ_id 1", training={"losses": {"identity": 1.0}}),
    Configuration(name="critic-steps-3", words="n_critic 3", training={"critic_steps": 3}),
    Configuration(name="no-margin", words="no margin around images", training={"networks": {"generator_margin": 0}}),
    Configuration(name="learning-rate-2e-4", words="learning rate 2e-4", training={"learning_rate": 2e-4}),
    Configuration(name="not-averaged", words="the last weights, not averaged ones", training={"averaging": 0.0}),
    Configuration(
        name="flips-only",
        words="images are flipped, but not turned, moved or scaled",
        training={"augmentation": _FLIPS_ONLY},
    ),
    Configuration(name="last", words="the last model", choose_by="last"),
    Configuration(name="median-3", words="median filter of maps, 3 px", protocol={"median_px": 3}),
    Configuration(name="rim-1", words="rim of the foreground left out, 1 px", protocol={"rim_px": 1}),
    Configuration(
        name="validation-cut",
        words="candidates above a cut from healthy validation slices",
        protocol={"binarization": "validation"},
    ),
    Configuration(name="otsu", words="candidates by Otsu's threshold", protocol={"binarization": "otsu"}),
    Configuration(name="mean-of-channels", words="mean over channels", protocol={"reduction": "mean"}),
    Configuration(
        name="mirror-averaged", words="translations of image and mirror image averaged", wrap=mirror_averaged
    ),
    Configuration(name="ensemble-3", words="maps of three trainings averaged", ensemble=3),
    Configuration(
        name="embedded-only",
        words="trained as the base on 64 embedded patients alone; these real ones give thresholds",
        training=_UNTOUCHED,
        choose_by="last",
        pretrained_on={"real-flair": "embedded-default"},
    ),
    Configuration(
        name="embedded-only-mirror",
        words="and translations of image and mirror image averaged",
        training={**_UNTOUCHED, "networks": {"mirror_averaging": True}},
        choose_by="last",
        pretrained_on={"real-flair": "embedded-default"},
    ),
    Configuration(
        name="embedded-varied",
        words="on 256 embedded patients alone, 1,200 iterations, images turned by 180°, moved by 10 %, scaled by 20 %, "
        "log_gamma 0.4",
        training=_UNTOUCHED,
        choose_by="last",
        pretrained_on=_MANY,
        first=_VARIED,
    ),
    Configuration(
        name="embedded-long",
        words="the same, after 8,400 iterations of 32 images, 6,000 of them warm-up, at a rate of 1e-3; n_critic 2",
        training=_UNTOUCHED,
        choose_by="last",
        pretrained_on=_MANY,
        first=_LONG,
    ),
    Configuration(
        name="together",
        words="trained on these patients and on 64 embedded ones, as often on either; translations of image and mirror "
        "image averaged",
        training={"networks": {"mirror_averaging": True}},
        also={"real-flair": "embedded-default"},
    ),
    _PRETRAINED,
    replace(
        _PRETRAINED,
        name="pretrained-together",
        words="on the embedded patients as often as on these; translations of image and mirror image averaged",
        training={**_PRETRAINED.training, "networks": {"mirror_averaging": True}},
        also={"real-flair": "embedded-default"},
    ),
    replace(
        _PRETRAINED,
        name="pretrained-varied",
        words="images turned by 180°, moved by 10 %, scaled by 20 %, log_gamma 0.4; translations averaged",
        training={
            **_PRETRAINED.training,
            "networks": {"mirror_averaging": True},
            "augmentation": _VARIED["augmentation"],
        },
    ),
    replace(
        _PRETRAINED,
        name="pretrained-mirror",
        words="translations of image and mirror image averaged",
        wrap=mirror_averaged,
    ),
    replace(
        _PRETRAINED,
        name="pretrained-median",
        words="its maps with a median filter, 3 px",
        protocol={"median_px": 3},
    ),
)

_FREE = ("last", "median-3", "rim-1", "mirror-averaged", "validation-cut", "otsu")
"""Evaluations of the base's trainings, which cost none of their own."""
_TRAINED = (
    "patent",
    "patent-losses",
    "no-warmup",
    "no-warmup-mirror",
    "no-origin",
    "no-mismatch",
    "image-head",
    "additive",
    "demo",
    "longer",
    "identity-1",
    "critic-steps-3",
    "no-margin",
    "learning-rate-2e-4",
    "not-averaged",
    "flips-only",
)
_BEGUN = (
    "embedded-only",
    "embedded-only-mirror",
    "embedded-varied",
    "embedded-long",
    "together",
    "pretrained",
    "pretrained-mirror",
    "pretrained-median",
    "pretrained-together",
    "pretrained-varied",
)
_REAL = ("real-flair", "real-t1ce", "real-both")
GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=("base", *_TRAINED, *_FREE, "ensemble-3")),
    "hard": Group(data=("embedded-hard",), configurations=("base", *_FREE)),
    "real": Group(data=_REAL, configurations=("base", "patent", "last", *_BEGUN)),
    "both-channels": Group(data=("real-both",), configurations=("mean-of-channels",)),
    "learning": Group(
        data=tuple(f"learning-{count}-{variant}" for variant in ("default", "hard") for count in LEARNING),
        configurations=("base",),
    ),
}
SHORT_GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=("base", "patent", "patent-losses", *_FREE)),
    "real": Group(data=_REAL, configurations=("base", "last")),
}
_SHORTER = 3


def shortened(configuration: Configuration) -> Configuration:
    """The same with a third of the iterations and of the warm-up."""
    settings = merged_settings(BASE, configuration.training)
    fewer = {name: settings[name] // _SHORTER for name in ("iterations", "critic_warmup")}
    return replace(configuration, training={**configuration.training, **fewer})


def _training_config(changes: Mapping[str, Any], seed: int) -> TrainingConfig:
    settings = merged_settings(BASE, changes)
    return TrainingConfig(**settings, validate_every=max(1, settings["iterations"] // MILESTONES), seed=seed)
