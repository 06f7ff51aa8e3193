"""Trainings of a handful of real patients that embedded ones help: before them, beside them, or in their place."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.quality.configuration import Configuration
from benchmarks.quality.configurations import (
    IDENTITY_START,
    IN_PAIRS,
    MIRRORED,
    NEIGHBORS,
    WARMED,
    WARMED_FROM_IDENTITY,
)

_MANY = {f"real-{name}": f"many-{name}" for name in ("flair", "t1ce", "both")}
_FEW = {
    "real-flair": "embedded-default",
    "real-flair-median": "embedded-median",
    "real-both": "embedded-both",
}
_LONG = {
    "iterations": 7000,
    "critic_warmup": 6300,
    "batch_size": 32,  # with 16, one seed of post-contrast T1 had not begun after 500 updates of the generator
    "decay_start": 0.9,
    "validate_every": 350,
    "augmentation": {"rotation_degrees": 180, "shift": 0.1, "scale": 0.2, "log_gamma": 0.3},
    **IDENTITY_START,
}
_UNTOUCHED = {"iterations": 1, "critic_steps": 2}
"""An iteration of the critic alone: the generator stays as it came."""
_EMBEDDED_ONLY = Configuration(
    name="embedded-only",
    words="trained as `base` on 64 embedded patients alone, mirror averaging; these real ones give thresholds",
    training={**_UNTOUCHED, **MIRRORED},
    choose_by="last",
    pretrained_on=_FEW,
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
    pretrained_on=_FEW,
)
_TOGETHER = replace(
    _PRETRAINED,
    name="pretrained-together",
    words="begun as `base` on 64 embedded patients, then 100 iterations at 1e-4 on these and those alike; mirror "
    "averaging",
    training={**_PRETRAINED.training, **MIRRORED},
    also=_FEW,
)
_TOGETHER_WITH_NEIGHBORS = replace(
    _TOGETHER,
    name="pretrained-neighbors",
    words="begun as `warmup-neighbors` on 64 embedded patients, then as `pretrained-together`",
    training={**_PRETRAINED.training, "networks": {**MIRRORED["networks"], **NEIGHBORS["networks"]}},
    first={**WARMED, **NEIGHBORS},
)
_THEN_IN_PAIRS = replace(
    _TOGETHER,
    name="pretrained-then-pairs",
    words="the same as `pretrained-together`, but the 100 iterations in pairs at the same height",
    training={**_TOGETHER.training, **IN_PAIRS},
)
_ALL_IN_PAIRS = replace(
    _THEN_IN_PAIRS,
    name="pretrained-pairs",
    words="begun as `height-matched` on 64 embedded patients, then as `pretrained-then-pairs`",
    first=IN_PAIRS,
)
_TOGETHER_FROM_IDENTITY = replace(
    _TOGETHER,
    name="pretrained-origin-0.3",
    words="the same as `pretrained-together`, begun as `warmup-identity-start`, and origin 0.3",
    training={**_TOGETHER.training, "losses": IDENTITY_START["losses"]},
    first=WARMED_FROM_IDENTITY,
)


def _and_five_levels(
    plain: Configuration, words: str = "the same; candidates of five levels"
) -> tuple[Configuration, Configuration]:
    """A configuration, and one, in these words, that cuts candidates of its trainings at the highest of five levels."""
    return plain, replace(plain, name=f"{plain.name}-levels-5", words=words, protocol={"quantization_levels": 5})


BEGUN = (
    _EMBEDDED_ONLY,
    replace(_EMBEDDED_ONLY, name="embedded-pairs", words="the same, trained as `height-matched`", first=IN_PAIRS),
    replace(_EMBEDDED_ONLY, name="embedded-warmup", words="the same, trained as `warmup`", first=WARMED),
    replace(
        _EMBEDDED_ONLY,
        name="embedded-identity-start",
        words="the same, trained as `warmup-identity-start`",
        first=WARMED_FROM_IDENTITY,
    ),
    replace(
        _EMBEDDED_ONLY,
        name="embedded-neighbors",
        words="the same as `embedded-only`, trained as `warmup-neighbors`",
        training={**_UNTOUCHED, "networks": {**MIRRORED["networks"], **NEIGHBORS["networks"]}},
        first={**WARMED, **NEIGHBORS},
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
        training={**WARMED, **MIRRORED},
        also=_FEW,
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
        words="the same as `pretrained-together`; candidates of five levels",
        protocol={"quantization_levels": 5},
    ),
    replace(
        _TOGETHER,
        name="pretrained-gaussian-1",
        words="the same as `pretrained-together`; Gaussian filter of maps, 1 px",
        protocol={"gaussian_px": 1},
    ),
    replace(
        _TOGETHER,
        name="pretrained-warmup",
        words="the same as `pretrained-together`, begun as `warmup`",
        first=WARMED,
    ),
    *_and_five_levels(_THEN_IN_PAIRS),
    *_and_five_levels(_ALL_IN_PAIRS, "the same; candidates of five levels: the preset `few`"),
    *_and_five_levels(_TOGETHER_WITH_NEIGHBORS),
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

BEGUN_MEAN_OF_CHANNELS = replace(
    _TOGETHER,
    name="pretrained-mean",
    words="the same as `pretrained-together`; mean over channels",
    protocol={"reduction": "mean"},
)
