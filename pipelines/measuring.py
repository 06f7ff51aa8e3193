"""Measures methods on a split of a cohort, with one patient in memory at a time."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from data_prep.case import Failure
from data_prep.cohort import Cohort
from data_prep.errors import DataError
from data_prep.labels import DomainNames
from data_prep.regrid import slice_spacing_mm_of
from evaluation.baselines import areas_above, intensity_map
from evaluation.binarize import BinarizationRule, Fixed, Quantization
from evaluation.difference import foreground_of
from evaluation.measure import PatientTruth, measure_patient, measure_scores
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements, join_measurements
from evaluation.pixels import PixelCounts, count_pixels, join_pixel_counts, threshold_at_pixel_rate
from evaluation.protocol import Protocol
from evaluation.scores import slice_scores
from evaluation.thresholds import Thresholds, choose_thresholds
from evaluation.undefined import UndefinedMetricWarning
from pipelines.errors import UsageError
from pipelines.methods import EVALUATED, THRESHOLDED, Evaluated, baseline_maps, baseline_scores, position_table
from pipelines.screen import Screen


@dataclass(frozen=True, kw_only=True)
class PatientSlices:
    """What a cohort holds of one patient.

    `rows` are its rows of the slice table, `images` (S, C, H, W) float32 in [0, 1].
    """

    name: str
    rows: pd.DataFrame
    images: np.ndarray
    truth: PatientTruth


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """What validation patients decide for each method.

    `thresholds`, and for the binarization `validation` the `cuts` above which pixels make candidates; `excluded` are
    validation patients the evaluated maps of which are missing or unreadable.
    """

    thresholds: Mapping[str, Thresholds] = field(default_factory=dict)
    cuts: Mapping[str, float] = field(default_factory=dict)
    excluded: Sequence[Failure] = ()


@dataclass(frozen=True, kw_only=True)
class SplitMeasurements:
    """All methods, measured on the same patients of a split.

    `patients` are their names in the order of the measurements' numbers, `subjects` the persons they are; `excluded`
    are patients the evaluated maps of which are missing or unreadable.
    """

    patients: list[str]
    subjects: list[str]
    methods: dict[str, Measurements]
    excluded: list[Failure]


def calibrate(evaluated: Evaluated, screen: Screen) -> Calibration:
    """Choose every threshold on the validation patients; baselines need no maps of the evaluated method there.

    Raises:
        UsageError: when the protocol asks for a cut from healthy validation slices, and there is none with a map.
    """
    cohort, protocol = evaluated.cohort, evaluated.protocol
    cuts: dict[str, float] = {}
    if protocol.binarization == "validation":
        cuts = _choose_cuts(evaluated, screen)
    measured = _measure(evaluated, "validation", Calibration(cuts=cuts), screen)
    parts, excluded = [], []
    for name, methods, failure in measured:
        parts.append(methods)
        if failure:
            screen.warn(f"no threshold knows of the validation patient {name}: {failure.reason}")
            excluded.append(failure)
    names = dict.fromkeys((EVALUATED, *(name for part in parts for name in part)))
    thresholds = {name: _thresholds(name, parts, protocol) for name in names}
    cut = thresholds["intensity"].pixels
    if np.isfinite(cut):
        binarized = [
            {THRESHOLDED: _measure_thresholded(patient, cut, protocol, pixel_threshold=None)}
            for patient in patients_of(cohort, "validation")
        ]
        thresholds[THRESHOLDED] = _thresholds(THRESHOLDED, binarized, protocol)
    return Calibration(thresholds=thresholds, cuts=cuts, excluded=excluded)


def measure_test(evaluated: Evaluated, calibration: Calibration, screen: Screen) -> SplitMeasurements:
    """Measure the test patients; one without maps is left out of all methods, so that these stay comparable."""
    measured = list(_measure(evaluated, "test", calibration, screen))
    whole = [(name, methods) for name, methods, failure in measured if failure is None]
    subject_of = evaluated.cohort.patients.set_index("patient")["subject"]
    return SplitMeasurements(
        patients=[name for name, _ in whole],
        subjects=[subject_of[name] for name, _ in whole],
        # What is joined is let go, or all of it would be in memory twice.
        methods={
            method: join_measurements([methods.pop(method) for _, methods in whole])
            for method in (list(whole[0][1]) if whole else ())
        },
        excluded=[failure for _, _, failure in measured if failure],
    )


def patients_of(cohort: Cohort, split: str) -> Iterator[PatientSlices]:
    """The patients of a split, each read when its turn comes."""
    rows = cohort.split(split)
    for name in dict.fromkeys(rows["patient"]):
        yield read_patient(cohort, name)


def read_patient(cohort: Cohort, name: str) -> PatientSlices:
    """What `cohort` holds of a patient."""
    rows = cohort.slices[cohort.slices["patient"] == name].sort_values("row", ignore_index=True)
    (patient,) = cohort.patients[cohort.patients["patient"] == name].to_dict("records")
    domains = cohort.settings.domains
    images = np.asarray(cohort.images(name), np.float32)
    truth = PatientTruth(
        foreground=foreground_of(images),
        lesions=np.asarray(cohort.masks(name)) if patient["mask"] else None,
        labels=_labels(rows["domains"], domains),
        heights=rows["height"].to_numpy(),
        places=rows["slice_index"].to_numpy(),
        label=int(_labels([patient["domain"]], domains)[0]),
        spacing_mm=slice_spacing_mm_of(cohort, name),
    )
    return PatientSlices(name=name, rows=rows, images=images, truth=truth)


def _labels(texts: pd.Series | list[str], domains: DomainNames) -> np.ndarray:
    healthy = np.array([text == domains.healthy_text for text in texts], bool)
    return np.where(domains.is_diseased(texts), ABNORMAL, np.where(healthy, NORMAL, UNKNOWN))


def _measure(
    evaluated: Evaluated, split: str, calibration: Calibration, screen: Screen
) -> Iterator[tuple[str, dict[str, Measurements], Failure | None]]:
    """For each patient of a split its name, the measurements by method, and why the evaluated method has none."""
    cohort, protocol = evaluated.cohort, evaluated.protocol
    table, maps_by_name = position_table(cohort), baseline_maps(cohort, protocol)
    cut = _pixel_threshold(calibration, "intensity")
    with screen.progress(f"Measuring {split}", cohort.split(split)["patient"].nunique()) as show:
        for done, patient in enumerate(patients_of(cohort, split), start=1):
            truth, methods, failure = patient.truth, dict[str, Measurements](), None
            try:
                maps = evaluated.source.maps_of(patient.name, patient.images, patient.rows["domains"])
                methods[EVALUATED] = measure_patient(
                    maps.anomaly,
                    truth,
                    protocol=protocol,
                    rule=_rule(protocol, calibration, EVALUATED),
                    same_l1=maps.same_l1,
                    pixel_threshold=_pixel_threshold(calibration, EVALUATED),
                )
            except DataError as error:
                failure = Failure(patient=patient.name, reason=str(error))
            for name, make in maps_by_name.items():
                anomaly = make(patient.images, truth.foreground)
                methods[name] = measure_patient(
                    anomaly,
                    truth,
                    protocol=protocol,
                    rule=_rule(protocol, calibration, name),
                    scores=slice_scores(anomaly),
                    pixel_threshold=_pixel_threshold(calibration, name),
                )
            if cut is not None and np.isfinite(cut):
                methods[THRESHOLDED] = _measure_thresholded(patient, cut, protocol, pixel_threshold=cut)
            scores = baseline_scores(patient.images, truth.foreground, truth.heights, table)
            methods |= {name: measure_scores(own, truth, protocol=protocol) for name, own in scores.items()}
            show(done, "")
            yield patient.name, methods, failure


def _measure_thresholded(
    patient: PatientSlices, threshold: float, protocol: Protocol, *, pixel_threshold: float | None
) -> Measurements:
    """Intensity cut at a threshold, the score of a slice its area above."""
    intensity = intensity_map(patient.images)
    just_below = float(np.nextafter(np.float32(threshold), np.float32(-np.inf)))  # the cut itself belongs to candidates
    return measure_patient(
        intensity,
        patient.truth,
        protocol=protocol,
        rule=Fixed(threshold=just_below),
        scores=areas_above(intensity, threshold).astype(float),
        pixel_threshold=pixel_threshold,
    )


def _rule(protocol: Protocol, calibration: Calibration, method: str) -> BinarizationRule:
    """The protocol's; but a fixed threshold is in the units of the evaluated maps, and baselines have others."""
    if method != EVALUATED and protocol.binarization == "fixed":
        return Quantization()
    return protocol.binarization_rule(calibration.cuts.get(method))


def _pixel_threshold(calibration: Calibration, method: str) -> float | None:
    return calibration.thresholds[method].pixels if method in calibration.thresholds else None


def _thresholds(method: str, parts: list[dict[str, Measurements]], protocol: Protocol) -> Thresholds:
    with warnings.catch_warnings():
        if method != EVALUATED:  # a baseline without maps has no lesion threshold, and nobody needs to be told
            warnings.simplefilter("ignore", UndefinedMetricWarning)
        return choose_thresholds(join_measurements([part[method] for part in parts if method in part]), protocol)


def _choose_cuts(evaluated: Evaluated, screen: Screen) -> dict[str, float]:
    """For each method with maps the cut that leaves the asked-for share of pixels of healthy slices above it."""
    cohort, protocol = evaluated.cohort, evaluated.protocol
    counts: dict[str, list[PixelCounts]] = {}
    maps_by_name = baseline_maps(cohort, protocol)
    with screen.progress("Choosing cuts", cohort.split("validation")["patient"].nunique()) as show:
        for done, patient in enumerate(patients_of(cohort, "validation"), start=1):
            foreground, healthy = patient.truth.foreground, patient.truth.labels == NORMAL
            made = {name: make(patient.images, foreground) for name, make in maps_by_name.items()}
            with suppress(DataError):
                made[EVALUATED] = evaluated.source.maps_of(
                    patient.name, patient.images, patient.rows["domains"]
                ).anomaly
            nothing = np.zeros(foreground[healthy].shape, bool)
            for name, anomaly in made.items():
                counts.setdefault(name, []).append(count_pixels(anomaly[healthy], nothing, foreground[healthy]))
            show(done, "")
    joined = {name: join_pixel_counts(parts) for name, parts in counts.items()}
    if EVALUATED not in joined or not joined[EVALUATED].normal.any():
        raise UsageError(
            "binarization `validation` needs a healthy slice with a map among the validation patients; there is none"
        )
    return {name: threshold_at_pixel_rate(own, protocol.false_positive_rate) for name, own in joined.items()}
