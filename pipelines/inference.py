"""A trained model applied to one patient: the steps that `evaluate` and `report` share."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.cohort import Cohort
from data_prep.preparation import Preparation
from evaluation.binarize import Quantization, binarize
from evaluation.components import Components, find_components
from evaluation.difference import foreground_of
from evaluation.maps import MapSettings, signed_anomaly_map
from evaluation.scores import slice_scores
from pipelines.errors import UsageError

MAPS = "maps"
"""Where a model's metadata holds its `MapSettings`."""


@dataclass(frozen=True, kw_only=True)
class PatientMaps:
    """Maps of one patient's S slices on the network's grid.

    `images` and `healthy` are (S, C, H, W) in [0, 1]; `foreground`, `anomaly` and `signed`, the same with a sign, are
    (S, H, W); `scores` (S,) are those of slices; `candidates` are components of slices.
    """

    images: np.ndarray
    healthy: np.ndarray
    foreground: np.ndarray
    anomaly: np.ndarray
    signed: np.ndarray
    scores: np.ndarray
    candidates: Components


def maps_of(images: np.ndarray, healthy: np.ndarray, settings: MapSettings) -> PatientMaps:
    """Maps, scores and candidates of slices (S, C, H, W) and their healthy translations, float32 in [0, 1]."""
    foreground = foreground_of(images)
    signed = signed_anomaly_map(images, healthy, settings)
    anomaly = np.abs(signed)
    rule = Quantization(levels=settings.quantization_levels)
    return PatientMaps(
        images=images,
        healthy=healthy,
        foreground=foreground,
        anomaly=anomaly,
        signed=signed,
        scores=slice_scores(anomaly),
        candidates=find_components(binarize(anomaly, foreground, rule), anomaly),
    )


def map_settings(model: FixedPointGAN, run: Path | None = None) -> MapSettings:
    """How maps of this model are made: as its thresholds were chosen, and by default for one that does not say.

    Raises:
        ModelError: when it says so in a way that this version does not know.
    """
    try:
        return MapSettings(**model.metadata.get(MAPS, {}))
    except (TypeError, ValidationError) as error:
        problem = "its model makes maps in a way that this version does not know; update the program"
        raise ModelError(problem, path=run) from error


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


def check_reduction(settings: MapSettings, cohort: Cohort, key: str) -> None:
    """Refuse a channel that the images lack; `key` is what the user calls the setting.

    Raises:
        UsageError: for such a channel.
    """
    channels = cohort.settings.preparation.channels
    if isinstance(settings.reduction, int) and not 0 <= settings.reduction < len(channels):
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(channels))
        raise UsageError(f"setting `{key}`: must be max, mean or a channel, {known}, got {settings.reduction}")


def digest_of(run: Path) -> str:
    """The sha256 of the model file of a run; empty where there is none, which loading it says."""
    path = run / MODEL_FILE if run.is_dir() else run
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
