"""Maps that need no training of their own: of a model with other settings.

Processes are used again, so nothing here may change what it is given.
"""

from __future__ import annotations

import copy
from dataclasses import replace

from pipelines.methods import MapSource, ModelMaps


def mirror_averaged(source: MapSource) -> MapSource:
    """Maps of the same model with `networks.mirror_averaging`, which changes no training."""
    assert isinstance(source, ModelMaps)
    model = copy.copy(source.model)
    model.networks = model.networks.model_copy(update={"mirror_averaging": True})
    return replace(source, model=model)
