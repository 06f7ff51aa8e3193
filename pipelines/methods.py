"""What is measured on a cohort: a model, maps that another method wrote, and beside them what needs no training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol as Interface

import numpy as np
import pandas as pd

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort
from data_prep.neighbors import neighbors_in
from evaluation.baselines import (
    PositionTable,
    foreground_areas,
    intensity_map,
    learn_position_table,
    local_contrast_map,
    mirror_difference_map,
)
from evaluation.difference import foreground_of
from evaluation.maps import anomaly_map
from evaluation.protocol import Protocol
from evaluation.scores import slice_scores
from evaluation.translation import same_domain_l1
from pipelines.foreign_maps import read_map

EVALUATED = "evaluated"
"""The name of what is evaluated, among the baselines."""
THRESHOLDED = "intensity_threshold"
TITLES = {
    "intensity": "Brightest pixel",
    "intensity_percentile": "99th percentile of intensity",
    THRESHOLDED: "Intensity threshold from validation",
    "local_contrast": "Local contrast",
    "mirror_difference": "Left–right mirror difference",
    "slice_position": "Height of the slice alone",
    "foreground_area": "Foreground area alone",
}
"""Of the baselines."""


@dataclass(frozen=True, kw_only=True)
class MethodMaps:
    """Anomaly maps of one patient's S slices.

    `anomaly` is (S, H, W); `same_l1` (S,) is mean |G(x, c_x) − x|, None where nothing was translated.
    """

    anomaly: np.ndarray
    same_l1: np.ndarray | None


MakeMaps = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""From images (S, C, H, W) and their foreground (S, H, W) to maps (S, H, W)."""


class MapSource(Interface):
    """Where the maps that are evaluated come from."""

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        """Maps of a patient's images (S, C, H, W) with their domains as the slice table writes them.

        Raises:
            DataError: when there is none.
        """


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """What is evaluated, on what, and how.

    `title` and `origin` name it on pages; `model` is None for maps that another method wrote.
    """

    title: str
    origin: str
    cohort: Cohort
    protocol: Protocol
    source: MapSource
    model: FixedPointGAN | None


@dataclass(frozen=True, kw_only=True)
class ModelMaps:
    """Maps that a model makes."""

    model: FixedPointGAN
    cohort: Cohort
    protocol: Protocol

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        domains = self.cohort.settings.domains
        neighbors = neighbors_in(self.cohort, patient, self.model.networks.neighbor_mm)
        healthy = self.model.translate(images, "healthy", neighbors=neighbors)
        # Healthy slices were translated to their own domain already; slices of no domain have none.
        same = np.where((texts == domains.healthy_text).to_numpy(), same_domain_l1(images, healthy), np.nan)
        diseased = domains.is_diseased(texts)
        if diseased.any():
            labels = domains.encode(texts[diseased])
            own = self.model.translate_labels(images, labels, neighbors=neighbors[diseased])
            same[diseased] = same_domain_l1(images[diseased], own)
        return MethodMaps(anomaly=anomaly_map(images, healthy, self.protocol), same_l1=same)


@dataclass(frozen=True, kw_only=True)
class FolderMaps:
    """Maps that another method wrote."""

    folder: Path
    cohort: Cohort
    protocol: Protocol

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        anomaly = read_map(self.folder, patient, self.cohort)
        return MethodMaps(anomaly=self.protocol.clean(anomaly, foreground_of(images)), same_l1=None)


def baseline_maps(cohort: Cohort, protocol: Protocol) -> dict[str, MakeMaps]:
    """Map baselines by name, with the clean-up that `protocol` asks for."""
    makers: dict[str, MakeMaps] = {
        "intensity": lambda images, _: intensity_map(images),
        "local_contrast": local_contrast_map,
    }
    if cohort.settings.preparation.axis != "sagittal":  # whose slices do not show both sides
        makers["mirror_difference"] = mirror_difference_map

    def cleaned(make: MakeMaps, images: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        return protocol.clean(make(images, foreground), foreground)

    return {name: partial(cleaned, make) for name, make in makers.items()}


def position_table(cohort: Cohort) -> PositionTable:
    """The share of diseased slices at each height, of the training patients."""
    train = cohort.split("train")
    train = train[train["domains"] != ""]
    return learn_position_table(cohort.settings.domains.is_diseased(train["domains"]), train["height"].to_numpy())


def baseline_scores(
    images: np.ndarray, foreground: np.ndarray, heights: np.ndarray, table: PositionTable
) -> dict[str, np.ndarray]:
    """Score baselines by name: (S,) of one patient's slices."""
    scores = {
        "intensity_percentile": slice_scores(intensity_map(images), foreground, rule="percentile"),
        "foreground_area": foreground_areas(foreground),
    }
    position = table.score(heights)
    # Without a labeled training slice nothing is known of heights.
    return scores if np.isnan(position).any() else scores | {"slice_position": position}
