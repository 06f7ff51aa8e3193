"""From which score on a model calls something abnormal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import FixedPointGAN


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Thresholds from the validation patients' slice labels, both inclusive.

    `candidate` is the peak from which a candidate is listed, `patient` the score from which a patient is abnormal;
    `warnings` are for readers of reports.
    """

    candidate: float
    patient: float
    warnings: tuple[str, ...] = ()


def is_near_guessing(validated: Mapping[str, float]) -> bool:
    """Whether a model told validation slices apart little better than guessing; those that never learned have 0.6."""
    return "auc" in validated and validated["auc"] < 0.7


def read_operating_point(model: FixedPointGAN, run: Path) -> OperatingPoint:
    """The thresholds that validation left in the model; where no score parts patients, that of slices stands for both.

    Raises:
        ModelError: when the model was trained without a validation of both domains, or failed in it.
    """
    try:
        chosen = model.metadata["training"]
        candidate, patient = float(chosen["threshold"]), float(chosen["patient_threshold"])
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "its model has no operating point, because there were no healthy and diseased slices to validate on; "
            "train with validation patients that have both",
            path=run,
        ) from error
    if not math.isfinite(candidate):
        raise ModelError(
            "its model has no operating point: in validation it told healthy from diseased slices no better than "
            "guessing; train longer",
            path=run,
        )
    warnings = []
    if is_near_guessing(chosen):
        warnings.append(
            "In validation the model told healthy from diseased slices little better than guessing: AUC "
            f"{chosen['auc']:.2f}, where guessing has 0.50."
        )
    if not math.isfinite(patient):
        warnings.append(
            "In validation no score parted healthy from diseased patients; the operating point is that of slices."
        )
        patient = candidate
    return OperatingPoint(candidate=candidate, patient=patient, warnings=tuple(warnings))
