"""Choices of an evaluation: the patent's by default, and none that cannot be."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from evaluation.binarize import BinarizationRule, Fixed, Otsu, Percentile, Quantization
from evaluation.protocol import Protocol


def test_defaults_are_the_patents() -> None:
    protocol = Protocol()
    # The map as it is.
    assert (protocol.reduction, protocol.rim_px, protocol.median_px, protocol.gaussian_px) == ("max", 0, 1, 0)
    assert (protocol.score, protocol.patient_top) == ("max", 1)
    assert protocol.binarization_rule() == Quantization(levels=2)
    assert (protocol.connectivity, protocol.min_size_px, protocol.hit) == (None, 10, "centroid")


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"quantization_levels": 5}, Quantization(levels=5)),
        ({"binarization": "otsu"}, Otsu()),
        ({"binarization": "percentile", "binarization_percentile": 90}, Percentile(percentile=90)),
        ({"binarization": "fixed", "binarization_threshold": 0.25}, Fixed(threshold=0.25)),
        ({"binarization": "validation"}, Fixed(threshold=0.75)),
    ],
)
def test_rule_is_the_one_that_binarization_names(settings: dict[str, Any], rule: BinarizationRule) -> None:
    assert Protocol(**settings).binarization_rule(0.75) == rule


def test_rule_of_validation_needs_its_threshold() -> None:
    with pytest.raises(ValueError, match="binarization `validation` needs the threshold"):
        Protocol(binarization="validation").binarization_rule()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"median_px": 4}, "`median_px` must be odd, got 4"),
        ({"binarization": "fixed"}, "need each other"),
        ({"binarization_threshold": 0.5}, "need each other"),
        ({"binarization": "otsu", "binarization_threshold": 0.5}, "need each other"),
        ({"treshold": 0.5}, "treshold"),
    ],
)
def test_choices_that_do_not_fit_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Protocol(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"reduction": "median"},
        {"rim_px": -1},
        {"median_px": 0},
        {"gaussian_px": -1},
        {"gaussian_px": float("inf")},
        {"score": "sum"},
        {"score_percentile": 101},
        {"patient_top": 0},
        {"binarization": "kmeans"},
        {"quantization_levels": 1},
        {"binarization_percentile": -1},
        {"false_positive_rate": 1},
        {"connectivity": 3},
        {"min_size_px": -1},
        {"hit": "dice"},
        {"min_iou": 0},
        {"operating_point": "best"},
        {"operating_sensitivity": 90},
        {"operating_false_positive_rate": -0.1},
        {"false_positives_per_image": -1},
        {"false_positives_per_patient": -1},
        {"height_tolerance": 2},
        {"resamples": 0},
        {"seed": -1},
    ],
)
def test_choice_out_of_range_is_named(settings: dict[str, Any]) -> None:
    (name,) = settings
    with pytest.raises(ValidationError, match=name):
        Protocol(**settings)


def test_choices_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Protocol().score = "mean"
