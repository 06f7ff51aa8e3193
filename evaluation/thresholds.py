"""The thresholds that validation patients give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from evaluation.froc import froc_curve, threshold_at_false_positives
from evaluation.measurements import ABNORMAL, UNKNOWN, Measurements
from evaluation.pixels import best_dice
from evaluation.protocol import Protocol
from evaluation.roc import half_way_down, threshold_at_false_positive_rate, threshold_at_sensitivity, youden_threshold


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Chosen on validation patients; NaN where these could not say. Cases and pixels ≥ a threshold are abnormal.

    Of slice scores, patient scores, candidate peaks in slices and in 3D, and map pixels.
    """

    slices: float
    patients: float
    lesions: float
    lesions_3d: float
    pixels: float


def choose_thresholds(validation: Measurements, protocol: Protocol) -> Thresholds:
    """The thresholds that `protocol` asks for, on the measurements of validation patients.

    All but that of pixels, which is a level, lie half-way between a score and the next lower one (`half_way_down`).
    """
    m = validation
    drawn = int((m.patient_images > 0).sum())
    return Thresholds(
        slices=_of_cases(m.slice_label, m.slice_score, protocol),
        patients=_of_cases(m.patient_label, m.patient_score, protocol),
        lesions=_of_candidates(
            m.lesion_score, m.false_score, int(m.patient_images.sum()), protocol.false_positives_per_image
        ),
        lesions_3d=_of_candidates(m.lesion3d_score, m.false3d_score, drawn, protocol.false_positives_per_patient),
        pixels=best_dice(m.pooled_pixels()).threshold,
    )


def _of_cases(labels: np.ndarray, scores: np.ndarray, protocol: Protocol) -> float:
    known = labels != UNKNOWN
    abnormal, scores = labels[known] == ABNORMAL, scores[known]
    if protocol.operating_point == "youden":
        threshold = youden_threshold(abnormal, scores)
    elif protocol.operating_point == "sensitivity":
        threshold = threshold_at_sensitivity(abnormal, scores, protocol.operating_sensitivity)
    else:
        threshold = threshold_at_false_positive_rate(abnormal, scores, protocol.operating_false_positive_rate)
    return half_way_down(threshold, scores)


def _of_candidates(detections: np.ndarray, false: np.ndarray, images: int, most_false: float) -> float:
    threshold = threshold_at_false_positives(froc_curve(detections, false, images), most_false)
    return half_way_down(threshold, np.concatenate([detections, false]))
