"""`fpgan evaluate`: a run, or maps of another method, and a cohort in; metrics.json, tables and one page out."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from anomaly_fpgan.atomic import write_text_atomically
from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort, file_stem, open_cohort
from data_prep.errors import DataError
from evaluation.maps import MapSettings
from evaluation.numbers import measure_numbers, warn_of_undefined
from evaluation.protocol import Protocol
from pipelines.errors import UsageError
from pipelines.foreign_maps import find_map
from pipelines.inference import check_reduction, map_settings, model_preparation
from pipelines.measurements_file import MEASUREMENTS_FILE, StoredMeasurements, save_measurements
from pipelines.measuring import Calibration, SplitMeasurements, calibrate, measure_test
from pipelines.methods import EVALUATED, Evaluated, FolderMaps, ModelMaps
from pipelines.metrics import (
    all_metrics,
    lesion_table,
    patient_table,
    person_numbers,
    report_metrics,
    slice_table,
)
from pipelines.output import Existing, claim_output
from pipelines.plain_json import to_json
from pipelines.reporting.evaluation_page import Evaluation, write_evaluation_page
from pipelines.screen import Screen

METRICS_FILE = "metrics.json"
_REPORTED_BY = (*MapSettings.model_fields, "score", "patient_top", "binarization", "connectivity", "min_size_px")
"""Choices that `fpgan report` makes in one way; by others, how well reports do cannot be told."""


def evaluate(
    run: Path,
    cohort_path: Path,
    output: Path,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Evaluate a run on the test patients of its cohort; every threshold comes from the validation patients.

    What `protocol` does not set of `MapSettings` is as the run was trained with.

    Returns:
        What `metrics.json` holds.

    Raises:
        ModelError: when the run has no usable model.
        DataError: when the cohort cannot be used, was prepared differently, or lacks validation or test patients.
        UsageError: when `output` exists and `existing` does not allow it, or the images lack the channel to reduce to.
    """
    model = FixedPointGAN.load(run)
    cohort = open_cohort(cohort_path)
    if model_preparation(model, run) != cohort.settings.preparation:
        raise DataError("was prepared differently from the images the model was trained on", path=cohort_path)
    if model.metadata.get("cohort_digest") != cohort.digest():
        problem = "is not the cohort the model was trained on; its test patients may have been used for training"
        raise DataError(problem, path=cohort_path)
    if cohort.settings.domains.healthy_text is None:
        problem = "none of its domains is the healthy one, so there is nothing to translate to"
        raise DataError(problem, path=cohort_path)
    protocol = _of_reports(model, run).model_copy(update=protocol.model_dump(exclude_unset=True) if protocol else {})
    check_reduction(protocol, cohort, "reduction")
    iteration = model.metadata.get("training", {}).get("iteration", "?")
    evaluated = Evaluated(
        title="This model",
        origin=f"model of iteration {iteration}",
        cohort=cohort,
        protocol=protocol,
        source=ModelMaps(model=model, cohort=cohort, protocol=protocol),
        model=model,
    )
    return _evaluate(evaluated, output, screen, existing, inputs=[run, cohort_path])


def evaluate_maps(
    maps: Path,
    cohort_path: Path,
    output: Path,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    protocol: Protocol | None = None,
) -> dict[str, Any]:
    """Evaluate anomaly maps that another method wrote as NIfTI files; `foreign_maps.find_map` says how they are named.

    Validation patients need maps too, for thresholds to come from; numbers at a threshold are undefined without.

    Returns, Raises:
        As `evaluate`; UsageError also when no test patient has a map.
    """
    cohort = open_cohort(cohort_path)
    _check_some_map(maps, cohort)
    protocol = protocol or Protocol()
    evaluated = Evaluated(
        title="These maps",
        origin=f"maps of {maps.resolve().name}",
        cohort=cohort,
        protocol=protocol,
        source=FolderMaps(folder=maps, cohort=cohort, protocol=protocol),
        model=None,
    )
    return _evaluate(evaluated, output, screen, existing, inputs=[maps, cohort_path])


def _evaluate(
    evaluated: Evaluated, output: Path, screen: Screen, existing: Existing, *, inputs: list[Path]
) -> dict[str, Any]:
    cohort = evaluated.cohort
    for name in ("validation", "test"):
        if cohort.split(name).empty:
            raise DataError(f"has no {name} patient; prepare three patients or more", path=cohort.path)
    claim_output(output, existing, command="evaluate", inputs=inputs)
    calibration = calibrate(evaluated, screen)
    test = measure_test(evaluated, calibration, screen)
    for failure in test.excluded:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    if not test.patients:
        raise UsageError("no test patient has a map that can be used; nothing was evaluated")
    metrics = _metrics(evaluated, calibration, test, screen)
    chosen = calibration.thresholds[EVALUATED]
    tables = {
        "slices": slice_table(test, cohort, chosen.lesions),
        "patients": patient_table(test, cohort, chosen),
        "lesions": lesion_table(test, cohort, chosen.lesions),
    }
    for name, table in tables.items():
        table.to_csv(output / f"{name}.csv", index=False)
    save_measurements(
        output / MEASUREMENTS_FILE,
        StoredMeasurements(
            patients=tuple(test.patients),
            subjects=tuple(test.subjects),
            measurements=test.methods[EVALUATED],
            thresholds=chosen,
            protocol=evaluated.protocol,
        ),
    )
    write_evaluation_page(
        output,
        Evaluation(
            evaluated=evaluated,
            metrics=metrics,
            test=test,
            calibration=calibration,
            slices=tables["slices"],
            patients=tables["patients"],
        ),
    )
    # Last, so that its presence says the evaluation is complete.
    write_text_atomically(output / METRICS_FILE, to_json(metrics))
    return metrics


def _metrics(evaluated: Evaluated, calibration: Calibration, test: SplitMeasurements, screen: Screen) -> dict[str, Any]:
    """What `metrics.json` holds; warns of numbers that are undefined."""
    protocol, thresholds = evaluated.protocol, calibration.thresholds
    persons = person_numbers(test.subjects)
    numbers = {}
    with screen.progress("Resampling patients", len(test.methods)) as show:
        for done, (name, measured) in enumerate(test.methods.items(), start=1):
            numbers[name] = measure_numbers(measured, thresholds[name], protocol, persons=persons)
            show(done, "")
    # Maps of another method come without translations.
    warn_of_undefined(numbers[EVALUATED], unless=() if evaluated.model else ("fixed_point.same_domain_l1",))
    metrics = all_metrics(test, numbers, thresholds, protocol)
    if model := evaluated.model:
        of_reports = _of_reports(model)
        if all(getattr(protocol, name) == getattr(of_reports, name) for name in _REPORTED_BY):
            metrics["reports"] = report_metrics(test.methods[EVALUATED], model.metadata.get("training", {}))
    metrics["excluded"] = excluded(evaluated.cohort, calibration, test)
    metrics["protocol"] = protocol.model_dump(mode="json")
    return metrics


def _of_reports(model: FixedPointGAN, run: Path | None = None) -> Protocol:
    """The choices that reports by the model make."""
    return Protocol(**map_settings(model, run).model_dump())


def excluded(cohort: Cohort, calibration: Calibration, test: SplitMeasurements) -> list[dict[str, Any]]:
    """What did not enter some or all numbers: `what`, how many, and why."""
    patients = cohort.patients[cohort.patients["patient"].isin(test.patients)]
    slices = cohort.slices[cohort.slices["patient"].isin(test.patients)]
    found = [("validation patient", f.patient, 1, f"in no threshold: {f.reason}") for f in calibration.excluded]
    found += [("patient", failure.patient, 1, f"no numbers: {failure.reason}") for failure in test.excluded]
    unused = cohort.failures()
    found += [
        ("input", name, 1, f"not in the cohort: {reason}")
        for name, reason in zip(unused["patient"], unused["reason"], strict=True)
    ]
    blank = int(patients["blank_slices"].astype(int).sum())
    found.append(("slices", "", blank, "not in the cohort: blank or nearly so"))
    reasons = Counter(slices["reason"])
    found += [
        ("slices", "", count, f"neither healthy nor diseased ({reason}): in no AUC of slices")
        for reason, count in sorted(reasons.items())
        if reason
    ]
    found.append(("patients", "", int((patients["domain"] == "").sum()), "no label: in no AUC of patients"))
    found.append(("patients", "", int((patients["mask"] == "").sum()), "no lesion mask: in no number of localization"))
    return [
        {"what": what, "name": name, "count": count, "reason": reason} for what, name, count, reason in found if count
    ]


def _check_some_map(maps: Path, cohort: Cohort) -> None:
    names = cohort.split("test")["patient"].unique().tolist()
    for name in names:
        try:
            if find_map(maps, name):
                return
        except DataError:
            if maps.is_dir():  # several volumes that may be meant, which is said where they are read
                return
            raise
    if names:
        raise UsageError(f"{maps}: holds no map of a test patient; write {file_stem(names[0])}.nii.gz there")
