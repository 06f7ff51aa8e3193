"""Every number of an evaluation, from measurements: of the data, and of each bootstrap resample of patients."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import Interval, patient_weights, percentile_interval
from evaluation.froc import FROC_LIMITS, froc_curve, threshold_at_false_positives
from evaluation.matched import matched_pairs_by_patient
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements
from evaluation.pixels import PixelCounts, best_dice, join_pixel_counts
from evaluation.protocol import Protocol
from evaluation.roc import threshold_at_false_positive_rate, threshold_at_sensitivity, youden_threshold
from evaluation.undefined import undefined
from evaluation.weighted import (
    weighted_auc,
    weighted_froc,
    weighted_pair_share,
    weighted_pixel_numbers,
    weighted_ratio,
    weighted_share,
)


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


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """All numbers of one method by name: of the data, and of each of R resamples of its patients, (R,)."""

    values: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]
    patients: int

    def interval(self, name: str) -> Interval:
        """The 95 % interval of a number."""
        return percentile_interval(self.resampled[name], patients=self.patients)

    def minus(self, other: Numbers) -> Numbers:
        """Each number less another method's, resample by resample: its intervals are those of paired differences.

        Both must come from the same cases and the same resamples of them (`check_same_cases`).
        """
        return Numbers(
            values={name: value - other.values[name] for name, value in self.values.items()},
            resampled={name: values - other.resampled[name] for name, values in self.resampled.items()},
            patients=self.patients,
        )


UNDEFINED_BECAUSE = {
    "slices.auc": "healthy and diseased slices are not both there",
    "slices.auc_position_matched": "no healthy and diseased slice lie at the same height",
    "slices.peak_hit": "no diseased slice has a drawn lesion",
    "slices.sensitivity": "there is no diseased slice, or no threshold from validation",
    "slices.specificity": "there is no healthy slice, or no threshold from validation",
    "patients.auc": "healthy and diseased patients are not both there",
    "patients.sensitivity": "there is no diseased patient, or no threshold from validation",
    "patients.specificity": "there is no healthy patient, or no threshold from validation",
    "lesions.sensitivity": "there is no lesion, or no threshold from validation",
    "lesions.false_positives_per_image": "no patient's lesions were drawn, or there is no threshold from validation",
    "lesions.froc_score": "there is no lesion",
    "lesions.froc_area": "there is no lesion",
    "lesions_3d.sensitivity": "there is no lesion, or no threshold from validation",
    "lesions_3d.false_positives_per_patient": "no patient's lesions were drawn, or validation gave no threshold",
    "lesions_3d.froc_score": "there is no lesion",
    "pixels.average_precision": "there is no lesion pixel in the foreground",
    "pixels.dice": "no pixel is lesion or called so, or there is no threshold from validation",
    "pixels.dice_oracle": "there is no lesion pixel",
    "pixels.hausdorff95_mm": "no patient has both a lesion and a pixel called lesion, or slices have no spacing in mm",
    "fixed_point.same_domain_l1": "no healthy or diseased slice was translated to its own domain",
    "fixed_point.collateral_change": "no diseased slice with drawn lesions has foreground outside them",
}
"""All numbers, and why one of them is undefined where it is."""


def choose_thresholds(validation: Measurements, protocol: Protocol) -> Thresholds:
    """The thresholds that `protocol` asks for, on the measurements of validation patients."""
    m = validation
    drawn = int((m.patient_images > 0).sum())
    return Thresholds(
        slices=_operating_threshold(m.slice_label, m.slice_score, protocol),
        patients=_operating_threshold(m.patient_label, m.patient_score, protocol),
        lesions=threshold_at_false_positives(
            froc_curve(m.lesion_score, m.false_score, int(m.patient_images.sum())), protocol.false_positives_per_image
        ),
        lesions_3d=threshold_at_false_positives(
            froc_curve(m.lesion3d_score, m.false3d_score, drawn), protocol.false_positives_per_patient
        ),
        pixels=best_dice(pooled_pixels(m)).threshold,
    )


def compute_numbers(
    measurements: Measurements, thresholds: Thresholds, protocol: Protocol, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Each number of `UNDEFINED_BECAUSE`, (R,), with patients weighted by `weights` (R, P); see `weighted.py`.

    `docs/evaluation.md` defines each by formula.
    """
    m = measurements
    if weights.ndim != 2 or weights.shape[1] != m.patients:
        raise ValueError(f"`weights` must be (R, {m.patients}), got {weights.shape}")
    return (
        _of_slices(m, thresholds, protocol, weights)
        | _of_patients(m, thresholds, weights)
        | _of_lesions(m, thresholds, weights)
        | _of_volumes(m, thresholds, weights)
        | _of_pixels(m, thresholds, weights)
        | _of_translation(m, weights)
    )


def measure_numbers(measurements: Measurements, thresholds: Thresholds, protocol: Protocol) -> Numbers:
    """Each number of the data and of the protocol's resamples."""
    patients = measurements.patients
    drawn = patient_weights(patients, resamples=protocol.resamples, seed=protocol.seed)
    values = compute_numbers(measurements, thresholds, protocol, np.ones((1, patients)))
    return Numbers(
        values={name: float(value[0]) for name, value in values.items()},
        resampled=compute_numbers(measurements, thresholds, protocol, drawn),
        patients=patients,
    )


def warn_of_undefined(numbers: Numbers, *, unless: Collection[str] = ()) -> None:
    """Warn of each number that is NaN, and say why; not of those named in `unless`, which nobody expects."""
    for name, value in numbers.values.items():
        if np.isnan(value) and name not in unless:
            undefined(name, UNDEFINED_BECAUSE[name])


def check_same_cases(first: Measurements, second: Measurements) -> None:
    """Raise unless two methods were measured on the same slices and lesions of the same patients.

    A method without maps has no lesions, and its numbers of lesions are undefined.

    Raises:
        ValueError: which field differs.
    """
    names = ["slice_patient", "slice_row", "slice_label", "patient_label"]
    if first.patient_images.any() and second.patient_images.any():
        names += ["patient_images", "lesion_patient", "lesion_size"]
    for name in names:
        if not np.array_equal(getattr(first, name), getattr(second, name)):
            raise ValueError(f"the methods were not measured on the same cases: `{name}` differs")


def sensitivity_by_size(measurements: Measurements, threshold: float, edges: tuple[int, ...]) -> list[dict[str, float]]:
    """Lesions of slices by size: for each range `from_px` ≤ size < `to_px` how many there are, and the share found.

    Args:
        measurements: of a method.
        threshold: candidates with a peak ≥ it count; NaN makes all shares NaN.
        edges: rising sizes in pixels; the last range has no end.
    """
    rows = []
    for low, high in zip(edges, (*edges[1:], np.inf), strict=True):
        inside = (measurements.lesion_size >= low) & (measurements.lesion_size < high)
        found = measurements.lesion_score[inside] >= threshold
        share = float(found.mean()) if len(found) and not np.isnan(threshold) else float("nan")
        rows.append({"from_px": low, "to_px": float(high), "lesions": len(found), "sensitivity": share})
    return rows


def pooled_pixels(measurements: Measurements) -> PixelCounts:
    """The pixel counts of all patients together."""
    m = measurements
    counts = PixelCounts(
        levels=m.pixel_level, lesion=m.pixel_lesion, normal=m.pixel_normal, missed=int(m.patient_missed.sum())
    )
    return join_pixel_counts([counts])


def dice_sums(measurements: Measurements, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """2 |A ∩ B| and |A| + |B| of each patient (P,), A pixels ≥ `threshold`, B lesion pixels; all 0 where it is NaN."""
    m = measurements
    called = m.pixel_level >= threshold
    hits, wrong, lesion = (
        np.bincount(m.pixel_patient, counts, m.patients)
        for counts in (m.pixel_lesion * called, m.pixel_normal * called, m.pixel_lesion)
    )
    known = float(not np.isnan(threshold))
    return 2 * hits * known, (hits + wrong + lesion + m.patient_missed) * known


def _operating_threshold(labels: np.ndarray, scores: np.ndarray, protocol: Protocol) -> float:
    known = labels != UNKNOWN
    abnormal, scores = labels[known] == ABNORMAL, scores[known]
    if protocol.operating_point == "youden":
        return youden_threshold(abnormal, scores)
    if protocol.operating_point == "sensitivity":
        return threshold_at_sensitivity(abnormal, scores, protocol.operating_sensitivity)
    return threshold_at_false_positive_rate(abnormal, scores, protocol.operating_false_positive_rate)


def _of_slices(
    m: Measurements, thresholds: Thresholds, protocol: Protocol, weights: np.ndarray
) -> dict[str, np.ndarray]:
    known = m.slice_label != UNKNOWN
    labels, scores, patients = m.slice_label[known] == ABNORMAL, m.slice_score[known], m.slice_patient[known]
    wins, pairs = matched_pairs_by_patient(
        labels, scores, m.slice_height[known], patients, m.patients, tolerance=protocol.height_tolerance
    )
    return {
        "slices.auc": weighted_auc(labels, scores, patients, weights),
        "slices.auc_position_matched": weighted_pair_share(wins, pairs, weights),
        "slices.peak_hit": weighted_share(m.slice_peak_hit, m.slice_patient, weights),
        **_rates("slices", m.slice_label, m.slice_score, m.slice_patient, thresholds.slices, weights),
    }


def _of_patients(m: Measurements, thresholds: Thresholds, weights: np.ndarray) -> dict[str, np.ndarray]:
    known = np.flatnonzero(m.patient_label != UNKNOWN)
    everyone = np.arange(m.patients)
    return {
        "patients.auc": weighted_auc(m.patient_label[known] == ABNORMAL, m.patient_score[known], known, weights),
        **_rates("patients", m.patient_label, m.patient_score, everyone, thresholds.patients, weights),
    }


def _rates(
    what: str, labels: np.ndarray, scores: np.ndarray, patients: np.ndarray, threshold: float, weights: np.ndarray
) -> dict[str, np.ndarray]:
    called = np.where(np.isnan(threshold), np.nan, scores >= threshold)
    return {
        f"{what}.sensitivity": weighted_share(np.where(labels == ABNORMAL, called, np.nan), patients, weights),
        f"{what}.specificity": weighted_share(np.where(labels == NORMAL, 1 - called, np.nan), patients, weights),
    }


def _of_lesions(m: Measurements, thresholds: Thresholds, weights: np.ndarray) -> dict[str, np.ndarray]:
    sensitivities, area = weighted_froc(
        m.lesion_score,
        m.lesion_patient,
        m.false_score,
        m.false_patient,
        m.patient_images,
        weights,
        at=np.array(FROC_LIMITS),
        area_up_to=1.0,
    )
    false_rate = _false_rate(m.false_score, m.false_patient, thresholds.lesions, m.patient_images, weights)
    return {
        "lesions.sensitivity": _found_share(m.lesion_score, m.lesion_patient, thresholds.lesions, weights),
        "lesions.false_positives_per_image": false_rate,
        "lesions.froc_score": sensitivities.mean(axis=1),
        "lesions.froc_area": area,
    }


def _of_volumes(m: Measurements, thresholds: Thresholds, weights: np.ndarray) -> dict[str, np.ndarray]:
    drawn = (m.patient_images > 0).astype(float)
    sensitivities, _ = weighted_froc(
        m.lesion3d_score,
        m.lesion3d_patient,
        m.false3d_score,
        m.false3d_patient,
        drawn,
        weights,
        at=np.array(FROC_LIMITS),
        area_up_to=1.0,
    )
    false_rate = _false_rate(m.false3d_score, m.false3d_patient, thresholds.lesions_3d, drawn, weights)
    return {
        "lesions_3d.sensitivity": _found_share(m.lesion3d_score, m.lesion3d_patient, thresholds.lesions_3d, weights),
        "lesions_3d.false_positives_per_patient": false_rate,
        "lesions_3d.froc_score": sensitivities.mean(axis=1),
    }


def _found_share(scores: np.ndarray, patients: np.ndarray, threshold: float, weights: np.ndarray) -> np.ndarray:
    """Share of lesions with a score ≥ `threshold`.

    An infinite threshold, on validation patients the only one with few enough false positives, finds no lesion either.
    """
    found = np.isfinite(scores) & (scores >= threshold)
    return weighted_share(np.where(np.isnan(threshold), np.nan, found), patients, weights)


def _false_rate(
    scores: np.ndarray, patients: np.ndarray, threshold: float, images: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """False candidates with a score ≥ `threshold`, for each image; NaN without a threshold, also where none is."""
    called = np.bincount(patients, scores >= threshold, weights.shape[1])
    return np.full(len(weights), np.nan) if np.isnan(threshold) else weighted_ratio(called, images, weights)


def _of_pixels(m: Measurements, thresholds: Thresholds, weights: np.ndarray) -> dict[str, np.ndarray]:
    precision, oracle = weighted_pixel_numbers(
        m.pixel_level, m.pixel_lesion, m.pixel_normal, m.pixel_patient, m.patient_missed, weights
    )
    measured = ~np.isnan(m.patient_hausdorff95_mm)
    return {
        "pixels.average_precision": precision,
        "pixels.dice": weighted_ratio(*dice_sums(m, thresholds.pixels), weights),
        "pixels.dice_oracle": oracle,
        "pixels.hausdorff95_mm": weighted_ratio(
            np.where(measured, m.patient_hausdorff95_mm, 0), measured.astype(float), weights
        ),
    }


def _of_translation(m: Measurements, weights: np.ndarray) -> dict[str, np.ndarray]:
    known = np.where(m.slice_label == UNKNOWN, np.nan, m.slice_same_l1)
    return {
        "fixed_point.same_domain_l1": weighted_share(known, m.slice_patient, weights),
        "fixed_point.collateral_change": weighted_ratio(m.patient_collateral_sum, m.patient_collateral_pixels, weights),
    }
