"""From which score on a model calls something abnormal."""

from __future__ import annotations

import math
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
    if math.isfinite(patient):
        return OperatingPoint(candidate=candidate, patient=patient)
    warning = "In validation no score parted healthy from diseased patients; the operating point is that of slices."
    return OperatingPoint(candidate=candidate, patient=candidate, warnings=(warning,))
