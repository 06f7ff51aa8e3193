"""The choices of an evaluation. Defaults are the patent's and the paper's where they say something."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from evaluation.binarize import BinarizationRule, Fixed, Otsu, Percentile, Quantization
from evaluation.lesions import HitRule
from evaluation.maps import MapSettings
from evaluation.scores import ScoreRule


class Protocol(MapSettings):
    """How maps are made, scored, binarized and held against lesions."""

    score: Literal[ScoreRule, "candidates"] = "max"
    """Of a slice: its `max`imum pixel (the patent's), a `percentile` or the `mean` over its foreground, or the sum of
    the map over its `candidates`."""
    score_percentile: float = Field(default=99.0, ge=0, le=100)
    """For the score `percentile`."""
    patient_top: int = Field(default=1, ge=1)
    """A patient's score is the mean of so many highest slice scores."""
    binarization: Literal["quantization", "otsu", "percentile", "fixed", "validation"] = "quantization"
    """What makes candidates of a map: color quantization (the patent's), Otsu's threshold or a percentile of each
    slice, a fixed threshold, or one that leaves at most `false_positive_rate` of the foreground pixels of healthy
    validation slices above it."""
    binarization_percentile: float = Field(default=99.0, ge=0, le=100)
    """For `percentile`."""
    binarization_threshold: float | None = Field(default=None, allow_inf_nan=False)
    """For `fixed`: pixels above it make candidates."""
    false_positive_rate: float = Field(default=0.001, ge=0, lt=1)
    """For `validation`."""
    connectivity: int | None = Field(default=None, ge=1, le=2)
    """Neighbors in a slice share an edge (1) or a corner too (2, the same as none given); for components in 3D, 1 means
    a face, and all else any touch."""
    min_size_px: int = Field(default=10, ge=0)
    """Candidates and lesions are components of more pixels than this."""
    hit: HitRule = "centroid"
    """When a candidate hits a lesion; see `match_lesions`."""
    min_iou: float = Field(default=0.1, gt=0, le=1)
    """For the rule `iou`."""
    operating_point: Literal["youden", "sensitivity", "false_positive_rate"] = "youden"
    """How the thresholds of slices and of patients are chosen on validation patients."""
    operating_sensitivity: float = Field(default=0.9, ge=0, le=1)
    """What the operating point `sensitivity` reaches at least."""
    operating_false_positive_rate: float = Field(default=0.05, ge=0, le=1)
    """What the operating point `false_positive_rate` keeps at most."""
    false_positives_per_image: float = Field(default=0.5, ge=0)
    """The lesion threshold has the highest sensitivity on validation patients with at most so many.

    The paper reports sensitivity at 1. Validation patients are few: a threshold that just keeps 1 on them would pass it
    on about every second set of new patients, so half of it is asked for.
    """
    false_positives_per_patient: float = Field(default=1.0, ge=0)
    """The same for lesions in 3D."""
    height_tolerance: float = Field(default=0.025, ge=0, le=1)
    """Slices whose relative heights differ by at most this count as being at the same height."""
    resamples: int = Field(default=1000, ge=1)
    """Bootstrap resamples of patients behind each interval."""
    seed: int = Field(default=0, ge=0)
    """Decides the resamples."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.binarization == "fixed") != (self.binarization_threshold is not None):
            raise ValueError("binarization `fixed` and `binarization_threshold` need each other")
        return self

    def binarization_rule(self, validation_threshold: float | None = None) -> BinarizationRule:
        """The rule that `binarization` names.

        Raises:
            ValueError: when it is `validation` and no threshold is given.
        """
        if self.binarization == "quantization":
            return Quantization(levels=self.quantization_levels)
        if self.binarization == "otsu":
            return Otsu()
        if self.binarization == "percentile":
            return Percentile(percentile=self.binarization_percentile)
        threshold = self.binarization_threshold if self.binarization == "fixed" else validation_threshold
        if threshold is None:
            raise ValueError("binarization `validation` needs the threshold that validation patients give")
        return Fixed(threshold=threshold)
