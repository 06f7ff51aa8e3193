"""`fpgan evaluate`: a run, or maps of another method, and a cohort in; metrics.json, tables and one page out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anomaly_fpgan.atomic import write_text_atomically
from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort, file_stem, open_cohort
from data_prep.errors import DataError
from evaluation.numbers import measure_numbers, warn_of_undefined
from evaluation.protocol import Protocol
from pipelines.errors import UsageError
from pipelines.foreign_maps import find_map
from pipelines.inference import model_preparation
from pipelines.measurements_file import MEASUREMENTS_FILE, StoredMeasurements, save_measurements
from pipelines.measuring import Calibration, SplitMeasurements, calibrate, measure_test
from pipelines.methods import METHOD, FolderMaps, MapSource, ModelMaps
from pipelines.metrics import all_metrics, lesion_table, patient_table, report_metrics, slice_table
from pipelines.output import Existing, claim_output
from pipelines.plain_json import to_json
from pipelines.reporting.evaluation_page import Evaluation, write_evaluation_page
from pipelines.screen import Screen

METRICS_FILE = "metrics.json"


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

    Returns:
        What `metrics.json` holds.

    Raises:
        ModelError: when the run has no usable model.
        DataError: when the cohort cannot be used, was prepared differently, or lacks validation or test patients.
        UsageError: when `output` exists and `existing` does not allow it.
    """
    model = FixedPointGAN.load(run)
    cohort = open_cohort(cohort_path)
    if model_preparation(model, run) != cohort.settings.preparation:
        raise DataError("was prepared differently from the images the model was trained on", path=cohort_path)
    if model.metadata.get("cohort_digest") != cohort.digest():
        problem = "is not the cohort the model was trained on; its test patients may have been used for training"
        raise DataError(problem, path=cohort_path)
    protocol = protocol or Protocol()
    _check_reduction(protocol, cohort)
    iteration = model.metadata.get("training", {}).get("iteration", "?")
    evaluated = _Evaluated(
        title="This model",
        origin=f"model of iteration {iteration}",
        source=ModelMaps(model=model, domains=cohort.settings.domains, protocol=protocol),
        model=model,
    )
    return _evaluate(evaluated, cohort, output, screen, existing, protocol, inputs=[run, cohort_path])


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
    source = FolderMaps(folder=maps, cohort=cohort, protocol=protocol)
    evaluated = _Evaluated(title="These maps", origin=f"maps of {maps.resolve().name}", source=source, model=None)
    return _evaluate(evaluated, cohort, output, screen, existing, protocol, inputs=[maps, cohort_path])


@dataclass(frozen=True, kw_only=True)
class _Evaluated:
    """What is evaluated; `model` is None for maps that another method wrote."""

    title: str
    origin: str
    source: MapSource
    model: FixedPointGAN | None


def _evaluate(
    evaluated: _Evaluated,
    cohort: Cohort,
    output: Path,
    screen: Screen,
    existing: Existing,
    protocol: Protocol,
    *,
    inputs: list[Path],
) -> dict[str, Any]:
    for name in ("validation", "test"):
        if cohort.split(name).empty:
            raise DataError(f"has no {name} patient; prepare three patients or more", path=cohort.path)
    claim_output(output, existing, command="evaluate", inputs=inputs)
    calibration = calibrate(cohort, evaluated.source, protocol, screen)
    test = measure_test(cohort, evaluated.source, protocol, calibration, screen)
    for failure in test.excluded:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    if not test.patients:
        raise UsageError("no test patient has a map that can be used; nothing was evaluated")
    thresholds = calibration.thresholds
    with screen.progress("Resampling patients", len(test.methods)) as show:
        numbers = {}
        for done, (name, measured) in enumerate(test.methods.items(), start=1):
            numbers[name] = measure_numbers(measured, thresholds[name], protocol)
            show(done, "")
    # Maps of another method come without translations.
    warn_of_undefined(numbers[METHOD], unless=() if evaluated.model else ("fixed_point.same_domain_l1",))
    metrics = all_metrics(test, numbers, thresholds, protocol)
    if evaluated.model is not None:
        metrics["reports"] = report_metrics(test.methods[METHOD], evaluated.model.metadata.get("training", {}))
    metrics["excluded"] = excluded(cohort, calibration, test)
    metrics["protocol"] = protocol.model_dump(mode="json")
    chosen = thresholds[METHOD]
    slices = slice_table(test, cohort, chosen.lesions)
    patients = patient_table(test, cohort, chosen)
    for name, table in (
        ("slices", slices),
        ("patients", patients),
        ("lesions", lesion_table(test, cohort, chosen.lesions)),
    ):
        table.to_csv(output / f"{name}.csv", index=False)
    save_measurements(
        output / MEASUREMENTS_FILE,
        StoredMeasurements(
            patients=tuple(test.patients), measurements=test.methods[METHOD], thresholds=chosen, protocol=protocol
        ),
    )
    write_evaluation_page(
        output,
        Evaluation(
            title=evaluated.title,
            origin=evaluated.origin,
            metrics=metrics,
            test=test,
            calibration=calibration,
            protocol=protocol,
            cohort=cohort,
            source=evaluated.source,
            model=evaluated.model,
            slices=slices,
            patients=patients,
        ),
    )
    # Last, so that its presence says the evaluation is complete.
    write_text_atomically(output / METRICS_FILE, to_json(metrics))
    return metrics


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


def _check_reduction(protocol: Protocol, cohort: Cohort) -> None:
    channels = cohort.settings.preparation.channels
    if isinstance(protocol.reduction, int) and not 0 <= protocol.reduction < len(channels):
        known = ", ".join(f"{number} ({name})" for number, name in enumerate(channels))
        raise UsageError(f"setting `reduction`: must be max, mean or a channel, {known}, got {protocol.reduction}")
