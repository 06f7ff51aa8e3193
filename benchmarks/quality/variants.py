"""Maps that need no training of their own: of a model with other settings, or of several models.

Processes are used again, so nothing here may change what it is given.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from pipelines.methods import MapSource, MethodMaps, ModelMaps


def mirror_averaged(source: MapSource) -> MapSource:
    """Maps of the same model with `networks.mirror_averaging`, which changes no training."""
    assert isinstance(source, ModelMaps)
    model = copy.copy(source.model)
    model.networks = model.networks.model_copy(update={"mirror_averaging": True})
    return replace(source, model=model)


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
