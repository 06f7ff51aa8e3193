"""Domains of slices and patients, from the area of lesion a slice shows."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

HEALTHY = "healthy"
DISEASED = "diseased"
DOMAINS = (HEALTHY, DISEASED)


def slice_domains(lesion_areas_px: np.ndarray, lesion_in_source: np.ndarray, *, min_area_px: int) -> list[str]:
    """Domain of each of S slices.

    Args:
        lesion_areas_px: (S,) lesion pixels of the prepared slice.
        lesion_in_source: (S,) whether the slice shows any lesion in the source file; a small one may be lost when the
            mask is resampled, or lie outside the window.
        min_area_px: more lesion than this makes a slice diseased.

    A slice is healthy only when its source shows no lesion at all. In between it is neither, said by an empty name, and
    is not used for training: such a slice would teach the wrong lesson either way.
    """
    return [
        DISEASED if area > min_area_px else "" if present else HEALTHY
        for area, present in zip(lesion_areas_px, lesion_in_source, strict=True)
    ]


def patient_domain(domains: list[str]) -> str:
    """Diseased when any slice is, healthy when all are, otherwise neither (an empty name)."""
    if DISEASED in domains:
        return DISEASED
    return HEALTHY if domains and all(domain == HEALTHY for domain in domains) else ""


def encode_domains(domains: Iterable[str]) -> np.ndarray:
    """Labels (N, K) float32 in the order of `DOMAINS`; a slice of neither domain is all zero."""
    return np.array([[domain == name for name in DOMAINS] for domain in domains], np.float32).reshape(-1, len(DOMAINS))
