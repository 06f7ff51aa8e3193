"""Every number of an evaluation, from measurements: of the data, and of each bootstrap resample of patients."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.bootstrap import Interval, patient_weights, percentile_interval
from evaluation.froc import FROC_LIMITS
from evaluation.matched import matched_pairs_by_patient
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
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
class Numbers:
    """All numbers of one method by name: of the data, and of each of R resamples, (R,), of as many `persons`."""

    values: Mapping[str, float]
    resampled: Mapping[str, np.ndarray]
    persons: int

    def __iter__(self) -> Iterator[tuple[str, float, Interval]]:
        """Each number's name, value and 95 % interval."""
        for name, value in self.values.items():
            yield name, value, self.interval(name)

    def interval(self, name: str) -> Interval:
        """The 95 % interval of a number."""
        return percentile_interval(self.resampled[name], persons=self.persons)

    def minus(self, other: Numbers) -> Numbers:
        """Each number less another method's, resample by resample: its intervals are those of paired differences.

        Both must come from the same cases and the same resamples of them (`check_same_cases`). Hausdorff distances are
        undefined: each method's is a mean over other patients, those it answers on, so silence would look like gain.
        """
        unpaired = {"pixels.hausdorff95_mm": np.nan}
        return Numbers(
            values={name: value - other.values[name] for name, value in self.values.items()} | unpaired,
            resampled={
                name: values - other.resampled[name] + unpaired.get(name, 0) for name, values in self.resampled.items()
            },
            persons=self.persons,
        )


UNDEFINED_BECAUSE = {
    "slices.auc": "healthy and diseased slices are not both there",
    "slices.auc_position_matched": "no healthy and diseased slice lie at the same height, or all slices do",
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


def measure_numbers(
    measurements: Measurements, thresholds: Thresholds, protocol: Protocol, *, persons: np.ndarray | None = None
) -> Numbers:
    """Each number of the data and of the protocol's resamples.

    Args:
        measurements: of a method.
        thresholds: from validation patients.
        protocol: the choices.
        persons: (P,) the person each patient is, numbered from 0. Several visits of one person are not independent, so
            it is persons that are resampled. None: every patient is another person.
    """
    persons = np.arange(measurements.patients) if persons is None else persons
    count = len(np.unique(persons))
    drawn = patient_weights(count, resamples=protocol.resamples, seed=protocol.seed)[:, persons]
    # Its first row is the data, where everybody counts once.
    weights = np.concatenate([np.ones((1, measurements.patients)), drawn])
    numbers = compute_numbers(measurements, thresholds, protocol, weights)
    return Numbers(
        values={name: float(values[0]) for name, values in numbers.items()},
        resampled={name: values[1:] for name, values in numbers.items()},
        persons=count,
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


def _of_slices(
    m: Measurements, thresholds: Thresholds, protocol: Protocol, weights: np.ndarray
) -> dict[str, np.ndarray]:
    known = m.slice_label != UNKNOWN
    labels, scores, patients = m.slice_label[known] == ABNORMAL, m.slice_score[known], m.slice_patient[known]
    heights = m.slice_height[known]
    matched = np.full(len(weights), np.nan)
    if len(np.unique(heights)) > 1:  # single pictures have no height to match by
        wins, pairs = matched_pairs_by_patient(
            labels, scores, heights, patients, m.patients, tolerance=protocol.height_tolerance
        )
        matched = weighted_pair_share(wins, pairs, weights)
    return {
        "slices.auc": weighted_auc(labels, scores, patients, weights),
        "slices.auc_position_matched": matched,
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
    # In float64: rounded to float32, a threshold between two scores may become the lower one.
    called = np.where(np.isnan(threshold), np.nan, scores >= np.float64(threshold))
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
