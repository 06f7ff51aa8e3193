"""What a configuration can be that the product does not offer.

A change is called with the trainer before its first iteration; an evaluated map may be made of others. Processes are
used again, so neither may change more than what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from pipelines.methods import MapSource, MethodMaps


@dataclass(frozen=True)
class FlipAveraged:
    """The mean of the map of an image and of the map of its mirror image, mirrored back."""

    source: MapSource

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        straight = self.source.maps_of(patient, images, texts)
        mirrored = self.source.maps_of(patient, np.ascontiguousarray(images[..., ::-1]), texts)
        return MethodMaps(anomaly=(straight.anomaly + mirrored.anomaly[..., ::-1]) / 2, same_l1=straight.same_l1)


@dataclass(frozen=True)
class Averaged:
    """The mean of several maps, and of their fixed points' errors."""

    sources: Sequence[MapSource]

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        all_maps = [source.maps_of(patient, images, texts) for source in self.sources]
        errors = [maps.same_l1 for maps in all_maps if maps.same_l1 is not None]
        return MethodMaps(
            anomaly=np.mean([maps.anomaly for maps in all_maps], axis=0),
            same_l1=np.mean(errors, axis=0) if errors else None,
        )
