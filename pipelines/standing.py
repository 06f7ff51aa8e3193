"""Where a new patient's score stands among those of the validation patients, which travel with the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipelines.input_range import evenly_spaced
from pipelines.reporting.record import Standing

VALIDATION_SCORES = "validation_scores"
"""Where a model's metadata holds scores: of `patients` and of `slices`, each as `scores_by_kind` gives them."""
_MOST_SCORES = 200
_DIGITS = 6


def scores_by_kind(healthy: np.ndarray, diseased: np.ndarray) -> dict[str, list[float]]:
    """Scores of healthy cases (N,) and of diseased ones (M,) as a model keeps them: sorted, to six digits.

    Of more than 200 of a kind, 200 evenly spaced ranks are kept, the lowest and the highest among them.
    """
    return {"healthy": _ranks(healthy), "diseased": _ranks(diseased)}


def standing_of(score: float, metadata: Mapping[str, Any]) -> Standing | None:
    """Where a patient's score stands among the validation patients of the model that `metadata` belongs to.

    None for a model that holds no patient's score: an older one, or one validated without patients of known domain.
    """
    patients = metadata.get(VALIDATION_SCORES, {}).get("patients", {})
    healthy, diseased = (tuple(patients.get(kind, ())) for kind in ("healthy", "diseased"))
    if not healthy and not diseased:
        return None
    return Standing(
        healthy=healthy,
        diseased=diseased,
        above_healthy=_share_below(score, healthy),
        above_diseased=_share_below(score, diseased),
    )


def _ranks(scores: np.ndarray) -> list[float]:
    chosen = np.sort(scores)[evenly_spaced(len(scores), at_most=_MOST_SCORES)]
    return [round(float(score), _DIGITS) for score in chosen]


def _share_below(score: float, scores: tuple[float, ...]) -> float | None:
    # Rounded like them, so that the same score is never above itself.
    return float(np.mean(np.array(scores) < round(score, _DIGITS))) if scores else None
