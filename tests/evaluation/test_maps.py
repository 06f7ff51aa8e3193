"""Maps with a model's choices: the clean-up of what the difference is, and a sign that fits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from evaluation.difference import clean_map, difference_map, foreground_of, signed_difference_map
from evaluation.maps import MapSettings, anomaly_map, signed_anomaly_map
from evaluation.protocol import Protocol

CHOICES: list[dict[str, Any]] = [
    {"rim_px": 1},
    {"median_px": 3},
    {"gaussian_px": 1.5},
    {"reduction": "mean", "gaussian_px": 1.0},
    {"reduction": 1, "rim_px": 1, "median_px": 3, "gaussian_px": 0.5},
]


def pair() -> tuple[np.ndarray, np.ndarray]:
    """Images (3, 2, 12, 10) with background around them, and translations that change all of them."""
    rng = np.random.default_rng(0)
    images = rng.uniform(0.1, 1, (3, 2, 12, 10)).astype(np.float32)
    images[:, :, :2] = images[:, :, :, :2] = 0
    return images, rng.random(images.shape, dtype=np.float32)


def test_maps_of_the_patent_are_the_difference_as_it_is() -> None:
    images, healthy = pair()
    np.testing.assert_array_equal(anomaly_map(images, healthy, MapSettings()), difference_map(images, healthy))
    signed = signed_anomaly_map(images, healthy, MapSettings())
    np.testing.assert_array_equal(signed, signed_difference_map(images, healthy))


@pytest.mark.parametrize("choices", CHOICES)
def test_maps_are_reduced_and_then_cleaned(choices: dict[str, Any]) -> None:
    images, healthy = pair()
    cleaning = {name: value for name, value in choices.items() if name != "reduction"}
    difference = difference_map(images, healthy, reduction=choices.get("reduction", "max"))
    expected = clean_map(difference, foreground_of(images), **cleaning)
    np.testing.assert_array_equal(anomaly_map(images, healthy, MapSettings(**choices)), expected)
    assert not np.array_equal(expected, difference_map(images, healthy))


@pytest.mark.parametrize("choices", CHOICES)
def test_a_sign_changes_no_magnitude(choices: dict[str, Any]) -> None:
    images, healthy = pair()
    settings = MapSettings(**choices)
    signed = signed_anomaly_map(images, healthy, settings)
    np.testing.assert_array_equal(np.abs(signed), anomaly_map(images, healthy, settings))
    assert (signed < 0).any()
    assert (signed > 0).any()


def test_the_sign_is_that_of_most_around() -> None:
    images = np.full((1, 1, 9, 9), 0.5, np.float32)
    healthy = images - 0.2
    healthy[0, 0, 4, 4] = 0.7  # a single pixel became brighter, all others darker
    assert signed_anomaly_map(images, healthy, MapSettings())[0, 4, 4] < 0
    smoothed = signed_anomaly_map(images, healthy, MapSettings(gaussian_px=2))
    assert (smoothed > 0).all()
    assert smoothed == pytest.approx(0.2)  # what changed by as much everywhere, whatever the direction


@pytest.mark.parametrize("kind", [MapSettings, Protocol])
@pytest.mark.parametrize(
    "choices", [{"median_px": 2}, {"quantization_levels": 1}, {"gaussian_px": -1}, {"rim": 1}, {"reduction": "median"}]
)
def test_choices_that_cannot_be_are_refused(kind: type[MapSettings], choices: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        kind(**choices)
