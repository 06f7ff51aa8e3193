"""What is trained on one data set alone, and how it is evaluated."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.quality.configuration import Configuration
from benchmarks.quality.variants import mirror_averaged

WARMED = {"iterations": 900, "critic_warmup": 400}  # as many iterations of both networks as in the base
IDENTITY_START = {"networks": {"generator_start": "identity"}, "losses": {"domain_origin": 0.3}}
"""From a random start, or with more of the origin term, a critic forgets at once what its warm-up taught it."""
WARMED_FROM_IDENTITY = {**WARMED, **IDENTITY_START}
NEIGHBORS = {"networks": {"neighbor_mm": 4.0}}
IN_PAIRS = {"height_tolerance": 0.025}
MIRRORED = {"networks": {"mirror_averaging": True}}
_FLIPS_ONLY = {"rotation_degrees": 0, "shift": 0, "scale": 0}


def _and_mirrored(
    plain: Configuration, words: str = "the same; mirror averaging"
) -> tuple[Configuration, Configuration]:
    """A configuration, and one, in these words, that evaluates its trainings with mirror averaging."""
    return plain, replace(plain, name=f"{plain.name}-mirror", words=words, wrap=mirror_averaged)


REFERENCE = Configuration(
    name="base",
    words="500 iterations of 8; n_critic 1; a score for each domain, mismatch and origin 1, domains off patches, "
    "`foreground`, margin 8, λ_id 10; images turned by 15°, moved by 5 %, scaled by 10 %",
)
"""What others are held against, and of which results of single patients are shown.

Where it was not run, the first of those that were.
"""

TRAINED = (
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
        training=IDENTITY_START,
    ),
    Configuration(name="no-mismatch", words="mismatched images are not shown", training={"losses": {"mismatch": 0.0}}),
    *_and_mirrored(
        Configuration(
            name="image-head", words="domains read off the whole image", training={"networks": {"domain_head": "image"}}
        )
    ),
    Configuration(name="additive", words="x + δ everywhere", training={"networks": {"output_rule": "additive"}}),
    *_and_mirrored(Configuration(name="identity-1", words="λ_id 1", training={"losses": {"identity": 1.0}})),
    *_and_mirrored(
        Configuration(name="neighbors", words="the slices 4 mm before and after are seen, too", training=NEIGHBORS)
    ),
    *_and_mirrored(
        Configuration(
            name="height-matched",
            words="healthy and diseased images drawn in pairs at the same height, by 0.025",
            training=IN_PAIRS,
        ),
        "the same; mirror averaging: the presets' choice",
    ),
    *_and_mirrored(
        Configuration(
            name="height-matched-image-head",
            words="the same pairs, and domains read off the whole image",
            training={**IN_PAIRS, "networks": {"domain_head": "image"}},
        )
    ),
    *(
        Configuration(
            name=f"critic-{width}",
            words=f"a critic of width {width}, not 32",
            training={"networks": {"discriminator_width": width}},
        )
        for width in (16, 64)
    ),
    Configuration(name="no-margin", words="no margin around images", training={"networks": {"generator_margin": 0}}),
    Configuration(name="not-averaged", words="the last weights, not averaged ones", training={"averaging": 0.0}),
    Configuration(name="learning-rate-2e-4", words="learning rate 2e-4", training={"learning_rate": 2e-4}),
    Configuration(
        name="demo",
        words="400 iterations of 16, in pairs at the same height, mirror averaging: the preset `demo`",
        training={"iterations": 400, "batch_size": 16, **MIRRORED, **IN_PAIRS},
    ),
    Configuration(
        name="demo-unpaired",
        words="the same, but images drawn at any height",
        training={"iterations": 400, "batch_size": 16, **MIRRORED},
    ),
    *_and_mirrored(
        Configuration(
            name="warmup", words="the critic alone for 400 iterations before the 500 of both networks", training=WARMED
        )
    ),
    Configuration(name="warmup-last", words="the last model of these", training=WARMED, choose_by="last"),
    Configuration(
        name="warmup-identity-start",
        words="with warm-up; the generator begins with a delta of 0, origin 0.3",
        training=WARMED_FROM_IDENTITY,
    ),
    *_and_mirrored(
        Configuration(
            name="warmup-neighbors",
            words="with warm-up; the slices 4 mm before and after are seen, too",
            training={**WARMED, **NEIGHBORS},
        )
    ),
    Configuration(
        name="warmup-longer",
        words="warm-up and 1,600 iterations of both networks; mirror averaging",
        training={**WARMED, "iterations": 2000, **MIRRORED},
    ),
    Configuration(name="warmup-steps-3", words="with warm-up, n_critic 3", training={**WARMED, "critic_steps": 3}),
    Configuration(
        name="warmup-flips",
        words="with warm-up; images are flipped, but not turned, moved or scaled",
        training={**WARMED, "augmentation": _FLIPS_ONLY},
    ),
)
"""Others that have trainings of their own."""

FREE = (
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
    Configuration(
        name="mirror-averaged",
        words="translations of image and mirror image averaged",
        wrap=mirror_averaged,
    ),
)
"""Evaluations of the reference's trainings, which cost none of their own."""

ENSEMBLE = Configuration(
    name="ensemble-3",
    words="translations of three trainings averaged (`fpgan combine`); mirror averaging",
    ensemble=3,
    wrap=mirror_averaged,
)

MEAN_OF_CHANNELS = Configuration(name="mean-of-channels", words="mean over channels", protocol={"reduction": "mean"})
