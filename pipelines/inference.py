"""A trained model applied to one patient: the steps that `evaluate` and `report` share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import FixedPointGAN
from data_prep.preparation import Preparation
from evaluation.binarize import binarize
from evaluation.components import Components, find_components
from evaluation.difference import difference_map, foreground_of, signed_difference_map
from evaluation.scores import slice_scores


@dataclass(frozen=True, kw_only=True)
class PatientMaps:
    """Maps of one patient's S slices on the network's grid.

    `images` and `healthy` are (S, C, H, W) in [0, 1]; `foreground`, `anomaly` (|x − G(x, healthy)|) and `signed`
    (x − G(x, healthy)) are (S, H, W); `scores` (S,) are those of slices; `candidates` are components of slices.
    """

    images: np.ndarray
    healthy: np.ndarray
    foreground: np.ndarray
    anomaly: np.ndarray
    signed: np.ndarray
    scores: np.ndarray
    candidates: Components


def map_patient(model: FixedPointGAN, images: np.ndarray) -> PatientMaps:
    """Translate slices to healthy and derive maps, scores and candidates."""
    images = np.asarray(images, np.float32)
    return maps_of(images, model.translate(images, "healthy"))


def maps_of(images: np.ndarray, healthy: np.ndarray) -> PatientMaps:
    """Maps, scores and candidates of slices (S, C, H, W) and their healthy translations, float32 in [0, 1]."""
    foreground = foreground_of(images)
    anomaly = difference_map(images, healthy)
    return PatientMaps(
        images=images,
        healthy=healthy,
        foreground=foreground,
        anomaly=anomaly,
        signed=signed_difference_map(images, healthy),
        scores=slice_scores(anomaly),
        candidates=find_components(binarize(anomaly, foreground), anomaly),
    )


def model_preparation(model: FixedPointGAN, run: Path) -> Preparation:
    """How images were prepared for this model.

    Raises:
        ModelError: when the model was trained without this program's preparation.
    """
    try:
        return Preparation(**model.metadata["preparation"])
    except (KeyError, TypeError, ValidationError) as error:
        raise ModelError(
            "its model does not say how its images were prepared; train with `fpgan train`", path=run
        ) from error
