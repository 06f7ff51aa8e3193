"""Measures a method's maps of one patient."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import numpy as np

from evaluation.binarize import BinarizationRule, binarize
from evaluation.checks import check_cases, check_same_shape, check_stack
from evaluation.components import Components, SpatialDims, find_components
from evaluation.lesions import LesionMatches, match_lesions
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements, complete_measurements
from evaluation.pixels import count_pixels
from evaluation.protocol import Protocol
from evaluation.scores import candidate_sums, patient_score, peak_hits, slice_scores
from evaluation.surface import hausdorff95
from evaluation.translation import collateral_sums
from evaluation.undefined import UndefinedMetricWarning


@dataclass(frozen=True, kw_only=True)
class PatientTruth:
    """What is known of one patient's S slices.

    Attributes:
        foreground: (S, H, W) bool, where the patient is.
        lesions: (S, H, W), more than 0 in a lesion; None where nobody has drawn them.
        labels: (S,) `ABNORMAL`, `NORMAL` or `UNKNOWN`.
        heights: (S,) in [0, 1], from the first to the last slice of the patient.
        places: (S,) rising whole numbers; slices that are neighbors differ by 1.
        label: of the patient.
        spacing_mm: distance of slices, rows and columns; None where it is unknown.
    """

    foreground: np.ndarray
    lesions: np.ndarray | None
    labels: np.ndarray
    heights: np.ndarray
    places: np.ndarray
    label: int
    spacing_mm: tuple[float, float, float] | None = None

    def __post_init__(self) -> None:
        check_stack("foreground", self.foreground)
        check_cases(labels=self.labels, heights=self.heights, places=self.places)
        if not len(self.labels) or len(self.labels) != len(self.foreground):
            raise ValueError(f"`labels` must be one a slice, got {len(self.labels)} for {len(self.foreground)} slices")
        if not {*self.labels.tolist(), self.label} <= {ABNORMAL, NORMAL, UNKNOWN}:
            raise ValueError("labels must be ABNORMAL (1), NORMAL (0) or UNKNOWN (-1)")
        if self.places.dtype.kind not in "iu" or (np.diff(self.places.astype(np.int64)) < 1).any():
            raise ValueError("`places` must be whole numbers that rise from slice to slice")
        if self.lesions is not None:
            check_stack("lesions", self.lesions)
            check_same_shape(foreground=self.foreground, lesions=self.lesions)


def measure_patient(
    maps: np.ndarray,
    truth: PatientTruth,
    *,
    protocol: Protocol,
    rule: BinarizationRule | None = None,
    scores: np.ndarray | None = None,
    same_l1: np.ndarray | None = None,
    pixel_threshold: float | None = None,
) -> Measurements:
    """Measure a method's maps of one patient.

    Args:
        maps: (S, H, W), higher is more abnormal; only the foreground is looked at.
        truth: what is known of the patient.
        protocol: the choices.
        rule: what makes candidates of maps; by default the protocol's.
        scores: (S,) of slices, where they are not to be made from maps by the protocol.
        same_l1: (S,) mean |G(x, c_x) − x|, where there is a translation.
        pixel_threshold: map values ≥ it are called lesion, for the Hausdorff distance; None leaves that out.

    Raises:
        ValueError, TypeError: for arrays of other shapes or kinds.
    """
    check_stack("maps", maps)
    check_same_shape(maps=maps, foreground=truth.foreground)
    rule = rule or protocol.binarization_rule()
    maps, truth = _cropped(maps, truth)
    maps = _inside(maps, truth.foreground)
    candidates = find_candidates(maps, truth.foreground, protocol, rule)
    if scores is None:
        scores = _slice_scores(maps, truth, candidates, protocol)
    arrays = _of_scores(scores, truth, protocol, same_l1)
    if truth.lesions is not None:
        arrays |= _of_lesions(maps, candidates, truth, truth.lesions, protocol, rule, pixel_threshold)
    return complete_measurements(arrays)


def find_candidates(maps: np.ndarray, foreground: np.ndarray, protocol: Protocol, rule: BinarizationRule) -> Components:
    """The candidates of each slice of maps (S, H, W): components of what `rule` finds in the foreground."""
    chosen = binarize(maps, foreground, rule)
    return find_components(chosen, maps, connectivity=protocol.connectivity, min_size=protocol.min_size_px)


def measure_scores(scores: np.ndarray, truth: PatientTruth, *, protocol: Protocol) -> Measurements:
    """Measure a method that has no maps, only a score for each of a patient's slices (S,)."""
    return complete_measurements(_of_scores(scores, truth, protocol, None))


def _cropped(maps: np.ndarray, truth: PatientTruth) -> tuple[np.ndarray, PatientTruth]:
    """Without rows and columns that hold no foreground and no lesion in any slice: no number depends on them.

    A head fills about half of its image, and nearly all that is done to a map takes time for each pixel.
    """
    used = truth.foreground if truth.lesions is None else truth.foreground | (truth.lesions > 0)
    rows, columns = (np.flatnonzero(used.any(axis=(0, axis))) for axis in (2, 1))
    if not len(rows):
        return maps, truth
    box = np.s_[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    lesions = None if truth.lesions is None else truth.lesions[box]
    return maps[box], replace(truth, foreground=truth.foreground[box], lesions=lesions)


def _inside(maps: np.ndarray, foreground: np.ndarray) -> np.ndarray:
    """Maps (S, H, W) with the lowest value of a slice's foreground outside it, which so is never the slice's peak.

    A slice without foreground has the lowest value of all that there is.
    """
    inside = np.full_like(maps, maps[foreground].min() if foreground.any() else 0)
    for own, given, shown in zip(inside, maps, foreground, strict=True):
        if shown.any():
            own[:] = np.where(shown, given, given[shown].min())
    return inside


def _slice_scores(maps: np.ndarray, truth: PatientTruth, candidates: Components, protocol: Protocol) -> np.ndarray:
    if protocol.score == "candidates":
        return candidate_sums(candidates.slices, candidates.sizes, candidates.means, len(maps))
    return slice_scores(maps, truth.foreground, rule=protocol.score, percentile=protocol.score_percentile)


def _of_scores(
    scores: np.ndarray, truth: PatientTruth, protocol: Protocol, same_l1: np.ndarray | None
) -> dict[str, np.ndarray]:
    count = len(truth.labels)
    same_l1 = np.full(count, np.nan) if same_l1 is None else same_l1
    check_cases(scores=scores, same_l1=same_l1, labels=truth.labels)
    return {
        "slice_row": np.arange(count),
        "slice_label": truth.labels,
        "slice_height": truth.heights,
        "slice_score": scores,
        "slice_peak_hit": np.full(count, np.nan),
        "slice_same_l1": same_l1,
        "patient_label": np.array([truth.label]),
        "patient_score": np.array([patient_score(scores, top=protocol.patient_top)]),
    }


def _of_lesions(
    maps: np.ndarray,
    candidates: Components,
    truth: PatientTruth,
    lesions: np.ndarray,
    protocol: Protocol,
    rule: BinarizationRule,
    pixel_threshold: float | None,
) -> dict[str, np.ndarray]:
    abnormal = truth.labels == ABNORMAL
    matches = _match(candidates, lesions, protocol, 2)
    volumes = _in_3d(maps, truth, lesions, protocol, rule)
    pixels = count_pixels(maps, lesions, truth.foreground)
    outside_sum, outside_pixels = collateral_sums(maps[abnormal], lesions[abnormal], truth.foreground[abnormal])
    return {
        "slice_peak_hit": np.where(abnormal, peak_hits(maps, lesions), np.nan),
        "lesion_row": matches.lesion_slices,
        "lesion_size": matches.lesion_sizes,
        "lesion_score": matches.detection_scores,
        "false_row": matches.false_slices,
        "false_score": matches.false_scores,
        "lesion3d_size": volumes.lesion_sizes,
        "lesion3d_score": volumes.detection_scores,
        "false3d_score": volumes.false_scores,
        "pixel_level": pixels.levels,
        "pixel_lesion": pixels.lesion,
        "pixel_normal": pixels.normal,
        "patient_images": np.array([len(maps)]),
        "patient_missed": np.array([pixels.missed]),
        "patient_collateral_sum": np.array([outside_sum]),
        "patient_collateral_pixels": np.array([outside_pixels]),
        "patient_hausdorff95_mm": np.array([_hausdorff(maps, lesions, truth, pixel_threshold)]),
    }


def _match(candidates: Components, lesions: np.ndarray, protocol: Protocol, spatial_dims: SpatialDims) -> LesionMatches:
    return match_lesions(
        candidates,
        lesions,
        rule=protocol.hit,
        min_iou=protocol.min_iou,
        spatial_dims=spatial_dims,
        connectivity=_connectivity(protocol, spatial_dims),
        min_size=protocol.min_size_px,
    )


def _in_3d(
    maps: np.ndarray, truth: PatientTruth, lesions: np.ndarray, protocol: Protocol, rule: BinarizationRule
) -> LesionMatches:
    """Candidates and lesions of the whole volume; slices that were left out part what lies on both sides of them.

    One cut is made for all slices together: the cuts of single slices turn on a part of every healthy slice, and all of
    these would join to one candidate.
    """
    as_one_slice = (1, -1, maps.shape[2])
    chosen = binarize(maps.reshape(as_one_slice), truth.foreground.reshape(as_one_slice), rule).reshape(maps.shape)
    maps, chosen, lesions = (_apart(array, truth.places) for array in (maps, chosen, lesions))
    candidates = find_components(
        chosen, maps, spatial_dims=3, connectivity=_connectivity(protocol, 3), min_size=protocol.min_size_px
    )
    return _match(candidates, lesions, protocol, 3)


def _apart(slices: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Slices at their places, empty ones where there is none between."""
    whole = np.zeros((int(places[-1] - places[0]) + 1, *slices.shape[1:]), slices.dtype)
    whole[places - places[0]] = slices
    return whole


def _connectivity(protocol: Protocol, spatial_dims: SpatialDims) -> int:
    return 1 if protocol.connectivity == 1 else spatial_dims


def _hausdorff(maps: np.ndarray, lesions: np.ndarray, truth: PatientTruth, threshold: float | None) -> float:
    if threshold is None or np.isnan(threshold) or truth.spacing_mm is None:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # the mean over patients is what may be undefined
        called = _apart((maps >= threshold) & truth.foreground, truth.places)
        return hausdorff95(called, _apart(lesions, truth.places), spacing_mm=truth.spacing_mm)
