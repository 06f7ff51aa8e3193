"""What is left of one method's maps once patients are measured: enough for every number, and small.

Maps are seen one patient at a time (`measure.py`); numbers, intervals and comparisons are computed from measurements
(`numbers.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from evaluation.pixels import PixelCounts, join_pixel_counts

ABNORMAL, NORMAL, UNKNOWN = 1, 0, -1
"""Labels of slices and patients."""


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

    def pooled_pixels(self) -> PixelCounts:
        """The pixel counts of all patients together."""
        counts = PixelCounts(
            levels=self.pixel_level,
            lesion=self.pixel_lesion,
            normal=self.pixel_normal,
            missed=int(self.patient_missed.sum()),
        )
        return join_pixel_counts([counts])


def join_measurements(parts: Sequence[Measurements]) -> Measurements:
    """The measurements of several patients as one, in this order."""
    if not parts:
        return complete_measurements({})
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


_SMALL = {"row": np.int32, "label": np.int8, "patient": np.int32, "lesion": np.uint32, "normal": np.uint32}
"""Types by the last word of a field's name; all else keeps its own."""


def complete_measurements(arrays: dict[str, np.ndarray]) -> Measurements:
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
