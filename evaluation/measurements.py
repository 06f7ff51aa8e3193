"""What is left of one method's maps once a patient is measured: enough for every number, and small.

Maps are seen one patient at a time; numbers, intervals and comparisons are computed from measurements (`numbers.py`).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

from evaluation.binarize import BinarizationRule, binarize
from evaluation.checks import check_cases, check_same_shape, check_stack
from evaluation.components import Components, SpatialDims, find_components
from evaluation.lesions import LesionMatches, match_lesions
from evaluation.pixels import count_pixels
from evaluation.protocol import Protocol
from evaluation.scores import candidate_sums, patient_score, peak_hits, slice_scores
from evaluation.surface import hausdorff95
from evaluation.translation import collateral_sums
from evaluation.undefined import UndefinedMetricWarning

ABNORMAL, NORMAL, UNKNOWN = 1, 0, -1
"""Labels of slices and patients."""


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


@dataclass(frozen=True, kw_only=True)
class Measurements:
    """One method on P patients. A field's first word says what it has one entry for.

    Of slices (N,), lesions (L,) and false candidates (F,) of slices, the same of volumes in 3D (`lesion3d`, `false3d`),
    levels of pixels (M,) and patients (P,). `*_patient` is the number of the patient, from 0; `*_row` the slice's row
    in its patient. Numbers that a method or a patient does not have are NaN; counts are 0.

    Attributes:
        slice_label: `ABNORMAL`, `NORMAL` or `UNKNOWN`.
        slice_height: in [0, 1].
        slice_score: higher is more abnormal.
        slice_peak_hit: of abnormal slices with drawn lesions, whether the highest pixel lies in one (1 or 0).
        slice_same_l1: mean |G(x, c_x) − x|.
        lesion_size: in pixels; of `lesion3d` in voxels.
        lesion_score: highest score of a candidate that hits it, -inf without.
        false_score: of candidates that hit nothing.
        pixel_level, pixel_lesion, pixel_normal: see `PixelCounts`.
        patient_label, patient_score: as of slices.
        patient_images: slices of patients whose lesions were drawn, for false positives per image.
        patient_missed: lesion pixels outside the foreground.
        patient_collateral_sum, patient_collateral_pixels: map over foreground outside lesions, in abnormal slices.
        patient_hausdorff95_mm: at the pixel threshold.
    """

    slice_patient: np.ndarray
    slice_row: np.ndarray
    slice_label: np.ndarray
    slice_height: np.ndarray
    slice_score: np.ndarray
    slice_peak_hit: np.ndarray
    slice_same_l1: np.ndarray
    lesion_patient: np.ndarray
    lesion_row: np.ndarray
    lesion_size: np.ndarray
    lesion_score: np.ndarray
    false_patient: np.ndarray
    false_row: np.ndarray
    false_score: np.ndarray
    lesion3d_patient: np.ndarray
    lesion3d_size: np.ndarray
    lesion3d_score: np.ndarray
    false3d_patient: np.ndarray
    false3d_score: np.ndarray
    pixel_patient: np.ndarray
    pixel_level: np.ndarray
    pixel_lesion: np.ndarray
    pixel_normal: np.ndarray
    patient_label: np.ndarray
    patient_score: np.ndarray
    patient_images: np.ndarray
    patient_missed: np.ndarray
    patient_collateral_sum: np.ndarray
    patient_collateral_pixels: np.ndarray
    patient_hausdorff95_mm: np.ndarray

    @property
    def patients(self) -> int:
        """P."""
        return len(self.patient_label)


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
    maps, truth = _cropped(maps, truth)
    maps = _inside(maps, truth.foreground)
    chosen = binarize(maps, truth.foreground, rule or protocol.binarization_rule())
    candidates = find_components(chosen, maps, connectivity=protocol.connectivity, min_size=protocol.min_size_px)
    if scores is None:
        scores = _slice_scores(maps, truth, candidates, protocol)
    arrays = _of_scores(scores, truth, protocol, same_l1)
    if truth.lesions is not None:
        arrays |= _of_lesions(maps, chosen, candidates, truth, truth.lesions, protocol, pixel_threshold)
    return _completed(arrays)


def measure_scores(scores: np.ndarray, truth: PatientTruth, *, protocol: Protocol) -> Measurements:
    """Measure a method that has no maps, only a score for each of a patient's slices (S,)."""
    return _completed(_of_scores(scores, truth, protocol, None))


def join_measurements(parts: Sequence[Measurements]) -> Measurements:
    """The measurements of several patients as one, in this order."""
    if not parts:
        return _completed({})
    first = np.cumsum([0, *(part.patients for part in parts)])
    joined = {}
    for field in fields(Measurements):
        arrays = [getattr(part, field.name) for part in parts]
        if field.name.endswith("_patient"):
            arrays = [array + np.int32(start) for array, start in zip(arrays, first, strict=False)]
        joined[field.name] = np.concatenate(arrays)
    return Measurements(**joined)


def select_patients(measurements: Measurements, numbers: Sequence[int]) -> Measurements:
    """The measurements of some patients, in the order of their `numbers`, which become 0, 1, …

    Raises:
        ValueError: when a number is no patient's, or stands there twice.
    """
    wanted = np.asarray(numbers, int)
    if len(set(wanted.tolist())) < len(wanted) or not set(wanted.tolist()) <= set(range(measurements.patients)):
        raise ValueError(f"`numbers` must be different ones of 0 to {measurements.patients - 1}, got {wanted.tolist()}")
    new = np.full(measurements.patients, -1)
    new[wanted] = np.arange(len(wanted))
    selected = {}
    for field in fields(Measurements):
        table, _, what = field.name.partition("_")
        array = getattr(measurements, field.name)
        if table == "patient":
            selected[field.name] = array[wanted]
            continue
        owners = new[getattr(measurements, f"{table}_patient")]
        order = np.argsort(owners, kind="stable")
        order = order[np.count_nonzero(owners < 0) :]
        selected[field.name] = (owners[order] if what == "patient" else array[order]).astype(array.dtype)
    return Measurements(**selected)


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
    """Maps (S, H, W) with the lowest value of a slice's foreground outside it, so never its peak; 0 without any."""
    inside = np.zeros_like(maps)
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
    chosen: np.ndarray,
    candidates: Components,
    truth: PatientTruth,
    lesions: np.ndarray,
    protocol: Protocol,
    pixel_threshold: float | None,
) -> dict[str, np.ndarray]:
    abnormal = truth.labels == ABNORMAL
    matches = _match(candidates, lesions, protocol, 2)
    volumes = _in_3d(maps, chosen, lesions, truth.places, protocol)
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
    maps: np.ndarray, chosen: np.ndarray, lesions: np.ndarray, places: np.ndarray, protocol: Protocol
) -> LesionMatches:
    """Candidates and lesions of the same pixels, joined through neighboring slices; left out slices part them."""
    maps, chosen, lesions = (_apart(array, places) for array in (maps, chosen, lesions))
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


_SMALL = {"row": np.int32, "label": np.int8, "patient": np.int32, "lesion": np.uint32, "normal": np.uint32}
"""Types by the last word of a field's name; what is measured of maps is float32, all else as it is."""


def _completed(arrays: dict[str, np.ndarray]) -> Measurements:
    """Arrays of one patient with those that are missing, in the smallest types that hold them."""
    known = dict(arrays)
    patients = len(known.get("patient_label", ()))
    for field in fields(Measurements):
        table, _, what = field.name.partition("_")
        if what == "patient":
            like = next((a for name, a in arrays.items() if name.startswith(f"{table}_")), np.empty(0))
            known[field.name] = np.zeros(len(like), np.int32)
        elif field.name not in known:
            missing = np.nan if what == "hausdorff95_mm" else 0
            known[field.name] = np.full(patients if table == "patient" else 0, missing)
        known[field.name] = known[field.name].astype(_SMALL.get(what, known[field.name].dtype))
    return Measurements(**known)
