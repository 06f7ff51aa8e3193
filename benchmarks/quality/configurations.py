"""What is trained and how it is evaluated, and on which data sets."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.quality.configuration import Configuration
from benchmarks.quality.data import LEARNING
from benchmarks.quality.variants import mirror_averaged


@dataclass(frozen=True, kw_only=True)
class Group:
    """Configurations on data sets, both by name."""

    data: tuple[str, ...]
    configurations: tuple[str, ...]


REFERENCE = "base"
"""The configuration that others are held against, and of which results of single patients are shown.

Where it was not run, the first of those that were.
"""

_WARMED = {"iterations": 900, "critic_warmup": 400}  # as many iterations of both networks as in the base
_FLIPS_ONLY = {"rotation_degrees": 0, "shift": 0, "scale": 0}
_MANY = {f"real-{name}": f"many-{name}" for name in ("flair", "t1ce", "both")}
_FLAIR = {"real-flair": "embedded-default", "real-flair-median": "embedded-median"}
_IDENTITY_START = {"networks": {"generator_start": "identity"}, "losses": {"domain_origin": 0.3}}
"""From a random start, or with more of the origin term, a critic forgets at once what its warm-up taught it."""
_WARMED_FROM_IDENTITY = {**_WARMED, **_IDENTITY_START}
_LONG = {
    "iterations": 7000,
    "critic_warmup": 6300,
    "batch_size": 32,  # with 16, one seed of post-contrast T1 had not begun after 500 updates of the generator
    "decay_start": 0.9,
    "validate_every": 350,
    "augmentation": {"rotation_degrees": 180, "shift": 0.1, "scale": 0.2, "log_gamma": 0.3},
    **_IDENTITY_START,
}
_NEIGHBORS = {"networks": {"neighbor_mm": 4.0}}
_UNTOUCHED = {"iterations": 1, "critic_steps": 2}
"""An iteration of the critic alone: the generator stays as it came."""
_MIRRORED = {"networks": {"mirror_averaging": True}}
_EMBEDDED_ONLY = Configuration(
    name="embedded-only",
    words="trained as `base` on 64 embedded patients alone, mirror averaging; these real ones give thresholds",
    training={**_UNTOUCHED, **_MIRRORED},
    choose_by="last",
    pretrained_on=_FLAIR,
)
_EMBEDDED_LONG = replace(
    _EMBEDDED_ONLY,
    name="embedded-long",
    words="on 256, 7,000 iterations of 32, 6,300 of them warm-up; turned by 180°, moved by 10 %, scaled by 20 %, "
    "log_gamma 0.3; the generator begins with a delta of 0, origin 0.3; mirror averaging",
    pretrained_on=_MANY,
    first=_LONG,
)
_PRETRAINED = Configuration(
    name="pretrained",
    words="begun with a training on 64 embedded patients, then 100 iterations at a rate of 1e-4",
    training={"iterations": 100, "learning_rate": 1e-4},
    pretrained_on=_FLAIR,
)
_TOGETHER = replace(
    _PRETRAINED,
    name="pretrained-together",
    words="begun as `base` on 64 embedded patients, then 100 iterations at 1e-4 on these and those alike; mirror "
    "averaging",
    training={**_PRETRAINED.training, **_MIRRORED},
    also=_FLAIR,
)
_TOGETHER_WITH_NEIGHBORS = replace(
    _TOGETHER,
    name="pretrained-neighbors",
    words="begun as `warmup-neighbors` on 64 embedded patients, then as `pretrained-together`",
    training={**_PRETRAINED.training, "networks": {**_MIRRORED["networks"], **_NEIGHBORS["networks"]}},
    first={**_WARMED, **_NEIGHBORS},
)
_TOGETHER_FROM_IDENTITY = replace(
    _TOGETHER,
    name="pretrained-origin-0.3",
    words="the same as `pretrained-together`, begun as `warmup-identity-start`, and origin 0.3",
    training={**_TOGETHER.training, "losses": _IDENTITY_START["losses"]},
    first=_WARMED_FROM_IDENTITY,
)

CONFIGURATIONS = (
    Configuration(
        name="base",
        words="500 iterations of 8; n_critic 1; a score for each domain, mismatch and origin 1, domains off patches, "
        "`foreground`, margin 8, λ_id 10; images turned by 15°, moved by 5 %, scaled by 10 %",
    ),
    Configuration(
        name="patent",
        words="the patent's formula and settings: one score, whole image, `tanh`, λ_id 0.1, n_critic 5, rate 1e-4",
        training={
            "iterations": 1000,
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
        name="no-origin",
        words="the critic is not asked where translations came from",
        training={"losses": {"domain_origin": 0.0}},
    ),
    Configuration(name="origin-0.3", words="origin 0.3", training={"losses": {"domain_origin": 0.3}}),
    Configuration(
        name="identity-start",
        words="the generator begins with a delta of 0",
        training={"networks": {"generator_start": "identity"}},
    ),
    Configuration(
        name="identity-start-origin-0.3",
        words="the same, and origin 0.3",
        training=_IDENTITY_START,
    ),
    Configuration(name="no-mismatch", words="mismatched images are not shown", training={"losses": {"mismatch": 0.0}}),
    Configuration(
        name="image-head", words="domains read off the whole image", training={"networks": {"domain_head": "image"}}
    ),
    Configuration(
        name="image-head-mirror",
        words="the same; mirror averaging",
        training={"networks": {"domain_head": "image"}},
        wrap=mirror_averaged,
    ),
    Configuration(name="additive", words="x + δ everywhere", training={"networks": {"output_rule": "additive"}}),
    Configuration(name="identity-1", words="λ_id 1", training={"losses": {"identity": 1.0}}),
    Configuration(
        name="identity-1-mirror",
        words="the same; mirror averaging",
        training={"losses": {"identity": 1.0}},
        wrap=mirror_averaged,
    ),
    Configuration(name="neighbors", words="the slices 4 mm before and after are seen, too", training=_NEIGHBORS),
    Configuration(
        name="neighbors-mirror", words="the same; mirror averaging", training=_NEIGHBORS, wrap=mirror_averaged
    ),
    Configuration(name="no-margin", words="no margin around images", training={"networks": {"generator_margin": 0}}),
    Configuration(name="not-averaged", words="the last weights, not averaged ones", training={"averaging": 0.0}),
    Configuration(name="learning-rate-2e-4", words="learning rate 2e-4", training={"learning_rate": 2e-4}),
    Configuration(
        name="demo",
        words="400 iterations of 16, translations of image and mirror image averaged: the preset `demo`",
        training={"iterations": 400, "batch_size": 16, **_MIRRORED},
    ),
    Configuration(
        name="warmup", words="the critic alone for 400 iterations before the 500 of both networks", training=_WARMED
    ),
    Configuration(name="warmup-mirror", words="the same; mirror averaging", training=_WARMED, wrap=mirror_averaged),
    Configuration(name="warmup-last", words="the last model of these", training=_WARMED, choose_by="last"),
    Configuration(
        name="warmup-identity-start",
        words="with warm-up; the generator begins with a delta of 0, origin 0.3",
        training=_WARMED_FROM_IDENTITY,
    ),
    Configuration(
        name="warmup-neighbors",
        words="with warm-up; the slices 4 mm before and after are seen, too",
        training={**_WARMED, **_NEIGHBORS},
    ),
    Configuration(
        name="warmup-neighbors-mirror",
        words="the same; mirror averaging",
        training={**_WARMED, **_NEIGHBORS},
        wrap=mirror_averaged,
    ),
    Configuration(
        name="warmup-longer",
        words="warm-up and 1,600 iterations of both networks; mirror averaging",
        training={**_WARMED, "iterations": 2000, **_MIRRORED},
    ),
    Configuration(name="warmup-steps-3", words="with warm-up, n_critic 3", training={**_WARMED, "critic_steps": 3}),
    Configuration(
        name="warmup-flips",
        words="with warm-up; images are flipped, but not turned, moved or scaled",
        training={**_WARMED, "augmentation": _FLIPS_ONLY},
    ),
    Configuration(name="last", words="the last model", choose_by="last"),
    Configuration(
        name="levels-3",
        words="candidates are the highest of three levels of a map, not of two",
        protocol={"quantization_levels": 3},
    ),
    Configuration(
        name="levels-4", words="candidates are the highest of four levels", protocol={"quantization_levels": 4}
    ),
    Configuration(name="median-3", words="median filter of maps, 3 px", protocol={"median_px": 3}),
    Configuration(name="gaussian-1", words="Gaussian filter of maps, 1 px", protocol={"gaussian_px": 1}),
    Configuration(name="gaussian-2", words="Gaussian filter of maps, 2 px", protocol={"gaussian_px": 2}),
    Configuration(name="rim-1", words="rim of the foreground left out, 1 px", protocol={"rim_px": 1}),
    Configuration(
        name="validation-cut",
        words="candidates above a cut from healthy validation slices",
        protocol={"binarization": "validation"},
    ),
    Configuration(name="mean-of-channels", words="mean over channels", protocol={"reduction": "mean"}),
    Configuration(
        name="mirror-averaged",
        words="translations of image and mirror image averaged: the presets' choice",
        wrap=mirror_averaged,
    ),
    Configuration(
        name="ensemble-3",
        words="translations of three trainings averaged (`fpgan combine`); mirror averaging",
        ensemble=3,
        wrap=mirror_averaged,
    ),
    _EMBEDDED_ONLY,
    replace(_EMBEDDED_ONLY, name="embedded-warmup", words="the same, trained as `warmup`", first=_WARMED),
    replace(
        _EMBEDDED_ONLY,
        name="embedded-identity-start",
        words="the same, trained as `warmup-identity-start`",
        first=_WARMED_FROM_IDENTITY,
    ),
    replace(
        _EMBEDDED_ONLY,
        name="embedded-neighbors",
        words="the same as `embedded-only`, trained as `warmup-neighbors`",
        training={**_UNTOUCHED, "networks": {**_MIRRORED["networks"], **_NEIGHBORS["networks"]}},
        first={**_WARMED, **_NEIGHBORS},
    ),
    replace(_EMBEDDED_ONLY, name="embedded-many", words="on 256 embedded patients", pretrained_on=_MANY),
    _EMBEDDED_LONG,
    replace(
        _EMBEDDED_LONG,
        name="embedded-long-gaussian-3",
        words="the same; Gaussian filter of maps, 3 px",
        protocol={"gaussian_px": 3},  # of 1, 1.5, 2, 3 and 4 the best pixel AP on embedded validation patients
    ),
    Configuration(
        name="together",
        words="trained on these patients and on 64 embedded ones, as often on either, with warm-up; mirror averaging",
        training={**_WARMED, **_MIRRORED},
        also=_FLAIR,
    ),
    _PRETRAINED,
    _TOGETHER,
    replace(
        _TOGETHER,
        name="pretrained-levels-3",
        words="the same; candidates of three levels",
        protocol={"quantization_levels": 3},
    ),
    replace(
        _TOGETHER,
        name="pretrained-levels-5",
        words="the same as `pretrained-together`; candidates of five levels: the preset `few`",
        protocol={"quantization_levels": 5},
    ),
    replace(
        _TOGETHER,
        name="pretrained-gaussian-1",
        words="the same as `pretrained-together`; Gaussian filter of maps, 1 px",
        protocol={"gaussian_px": 1},
    ),
    _TOGETHER_WITH_NEIGHBORS,
    replace(
        _TOGETHER_WITH_NEIGHBORS,
        name="pretrained-neighbors-levels-5",
        words="the same; candidates of five levels",
        protocol={"quantization_levels": 5},
    ),
    _TOGETHER_FROM_IDENTITY,
    replace(
        _TOGETHER_FROM_IDENTITY,
        name="pretrained-long",
        words="begun as `embedded-long`, then as `pretrained-together`, with origin 0.3",
        pretrained_on=_MANY,
        also=_MANY,
        first=_LONG,
    ),
)

_FREE = (
    "last",
    "mirror-averaged",
    "levels-3",
    "levels-4",
    "median-3",
    "gaussian-1",
    "gaussian-2",
    "rim-1",
    "validation-cut",
)
"""Evaluations of the base's trainings, which cost none of their own."""
_TRAINED = (
    "patent",
    "patent-losses",
    "no-origin",
    "origin-0.3",
    "identity-start",
    "identity-start-origin-0.3",
    "no-mismatch",
    "image-head",
    "image-head-mirror",
    "additive",
    "identity-1",
    "identity-1-mirror",
    "neighbors",
    "neighbors-mirror",
    "no-margin",
    "not-averaged",
    "learning-rate-2e-4",
    "demo",
    "warmup",
    "warmup-mirror",
    "warmup-last",
    "warmup-identity-start",
    "warmup-neighbors",
    "warmup-neighbors-mirror",
    "warmup-longer",
    "warmup-steps-3",
    "warmup-flips",
)
_BEGUN = (
    "embedded-only",
    "embedded-warmup",
    "embedded-identity-start",
    "embedded-neighbors",
    "embedded-many",
    "embedded-long",
    "embedded-long-gaussian-3",
    "together",
    "pretrained",
    "pretrained-together",
    "pretrained-levels-3",
    "pretrained-levels-5",
    "pretrained-gaussian-1",
    "pretrained-neighbors",
    "pretrained-neighbors-levels-5",
    "pretrained-origin-0.3",
    "pretrained-long",
)
GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=("base", *_TRAINED, *_FREE, "ensemble-3")),
    "median": Group(data=("embedded-median",), configurations=("base", *_FREE)),
    "hard": Group(data=("embedded-hard",), configurations=("base", "neighbors", *_FREE)),
    "real": Group(
        data=("real-flair", "real-flair-median", "real-t1ce", "real-both"),
        configurations=("base", "patent", "last", *_BEGUN),
    ),
    "both-channels": Group(data=("real-both",), configurations=("mean-of-channels",)),
    "learning": Group(
        data=tuple(f"learning-{count}-{variant}" for variant in ("default", "hard") for count in LEARNING),
        configurations=("base",),
    ),
}
SHORT_GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=("base", "patent", "patent-losses", *_FREE)),
    "real": Group(data=("real-flair",), configurations=("base", "last")),
}
