"""Domains of slices and patients, from the area of lesion a slice shows."""

from __future__ import annotations

import numpy as np

HEALTHY = "healthy"
DISEASED = "diseased"
DOMAINS = (HEALTHY, DISEASED)


def slice_domains(lesion_areas_px: np.ndarray, *, min_area_px: int) -> list[str]:
    """Domain of each slice from its lesion area (S,) in pixels of the prepared image.

    A slice is healthy without any lesion and diseased with more than `min_area_px` pixels of it. In between it is
    neither, said by an empty name, and is not used for training: such a slice would teach the wrong lesson either way.
    """
    return [HEALTHY if area == 0 else DISEASED if area > min_area_px else "" for area in lesion_areas_px]


def patient_domain(domains: list[str]) -> str:
    """Diseased when any slice is, healthy when all are, otherwise neither (an empty name)."""
    if DISEASED in domains:
        return DISEASED
    return HEALTHY if domains and all(domain == HEALTHY for domain in domains) else ""
