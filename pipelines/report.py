"""`fpgan report`: new patients in; a page, tables and volumes in each patient's own geometry out."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.case import Case, Failure
from data_prep.cohort import file_stem
from data_prep.cohort_writer import write_failures
from data_prep.errors import DataError
from data_prep.layouts import find_cases
from data_prep.layouts.channels import Channel
from data_prep.patient import fingerprint, read_and_prepare
from data_prep.preparation import Preparation, PreparedSlices
from data_prep.readers.nifti import write_nifti
from data_prep.settings import CohortSettings
from data_prep.volume import Volume
from evaluation.scores import patient_score
from pipelines.errors import UsageError
from pipelines.inference import map_patient, model_preparation
from pipelines.localize import Lesion, Localization, localize
from pipelines.output import Existing, claim_output
from pipelines.plain_json import to_json
from pipelines.reporting.patient_page import draw_patient, render_index, render_patient_page
from pipelines.screen import Screen

REPORT_FILE = "report.json"
INDEX_FILE = "index.html"
HTML: dict[str, Any] = {"encoding": "utf-8", "errors": "xmlcharrefreplace"}
"""File names that are no UTF-8 stand in a page as character references."""
LESION_COLUMNS = tuple(Lesion.__annotations__)


@dataclass(frozen=True, kw_only=True)
class OperatingPoint:
    """Thresholds from the validation patients' slice labels, both inclusive.

    `candidate` is the peak from which a candidate is listed, `patient` the score from which a patient is abnormal.
    """

    candidate: float
    patient: float


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """What each patient's `report.json` holds, most abnormal first, and the inputs that could not be used."""

    reports: list[dict[str, Any]]
    failures: list[Failure]


def report(
    run: Path,
    inputs: Sequence[Path],
    output: Path,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    layout: str = "auto",
    channels: tuple[Channel, ...] = (),
    frames_per_second: float | None = None,
    skull_strip: str | None = None,
) -> ReportResult:
    """Report on every patient found at or below `inputs`. One that cannot be used does not stop the others.

    Args:
        run: what `train` wrote.
        inputs: what `find_cases` takes.
        output: folder of the reports.
        screen: where progress is shown.
        existing: what to do when `output` holds something.
        layout: how patients are arranged.
        channels: the model's channels with patterns, where names alone do not tell files or series.
        frames_per_second: how many frames of a video become slices; None: all.
        skull_strip: the command that makes the foreground mask, for a model trained with one.

    Raises:
        ModelError: when the run has no usable model, or one without an operating point.
        DataError: when no input holds a patient.
        UsageError: when `output` exists and `existing` does not allow it, or `channels` are not the model's.
    """
    model = FixedPointGAN.load(run)
    preparation = model_preparation(model, run)
    operating_point = read_operating_point(model, run)
    if channels and tuple(channel.name for channel in channels) != preparation.channels:
        raise UsageError(f"--channels must be those of the model, in order: {', '.join(preparation.channels)}")
    wanted = channels or tuple(Channel(name=name) for name in preparation.channels)
    cases, failures = _find_patients(inputs, layout, wanted, frames_per_second)
    claim_output(output, existing, command="report", inputs=inputs, can_resume=True)
    digest = _sha256(run / MODEL_FILE if run.is_dir() else run)
    if not (output / INDEX_FILE).is_file():
        _write_index(output, [], [])
    reports: dict[str, dict[str, Any]] = {}
    with screen.progress("Reporting", len(cases)) as show:
        for done, case in enumerate(cases, start=1):
            folder = output / file_stem(case.patient)
            try:
                if case.patient in reports:
                    problem = "a patient of this name was reported already; rename one"
                    raise DataError(problem, path=next(iter(case.images.values())).name)
                reports[case.patient] = _finished_report(folder, case, preparation, digest) or report_patient(
                    model,
                    case,
                    output,
                    run=run,
                    digest=digest,
                    operating_point=operating_point,
                    skull_strip=skull_strip,
                )
            except DataError as error:
                failures.append(Failure(patient=case.patient, reason=str(error)))
            show(done, case.patient)
    for failure in failures:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    ordered = sorted(reports.values(), key=lambda entry: (-entry["score"], entry["patient"]))
    _write_index(output, ordered, failures)
    return ReportResult(reports=ordered, failures=failures)


def report_patient(
    model: FixedPointGAN,
    case: Case,
    output: Path,
    *,
    run: Path,
    digest: str,
    operating_point: OperatingPoint,
    skull_strip: str | None = None,
) -> dict[str, Any]:
    """Write one patient's folder below `output`, whole or not at all, and return what its `report.json` holds.

    Raises:
        DataError: when a file of the patient cannot be used.
    """
    preparation = model_preparation(model, run)
    volume, prepared = read_and_prepare(case, preparation, skull_strip=skull_strip)
    maps = map_patient(model, prepared.images)
    found = localize(volume, prepared, maps, preparation, threshold=operating_point.candidate)
    score = patient_score(maps.scores)
    name = file_stem(case.patient)
    summary = {
        "patient": case.patient,
        "folder": name,
        "score": round(score, 6),
        "threshold": operating_point.patient,
        "candidate_threshold": operating_point.candidate,
        "abnormal": score >= operating_point.patient,
        "lesions": [asdict(lesion) for lesion in found.lesions],
        "lesion_volume_mm3": round(sum(lesion.volume_mm3 for lesion in found.lesions), 2),
        "channels": list(preparation.channels),
        "source": {
            "fingerprint": _fingerprint(case, preparation),
            "sha256": dict(zip(case.images, volume.sha256, strict=True)),
            "shape": list(volume.source.shape),
            "spacing_mm": [round(step, 3) for step in volume.spacing_mm],
            "affine": volume.source.affine.tolist(),
        },
        "warnings": _warnings(volume, prepared),
        "preparation": preparation.model_dump(mode="json"),
        "model": {"run": run.resolve().name, "sha256": digest, **model.metadata["training"]},
        "versions": {name: version(name) for name in ("fpgan", "torch", "monai", "nibabel")},
    }
    picture, thumbnail = draw_patient(volume, prepared, found, maps.scores, preparation)
    folder = output / f".{name}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = [*_write_volumes(folder, volume, found, preparation), "lesions.csv", REPORT_FILE]
    _write_lesions(folder / "lesions.csv", found.lesions)
    (folder / "preview.png").write_bytes(thumbnail)
    (folder / "report.html").write_text(render_patient_page(summary, picture, files), **HTML)
    (folder / REPORT_FILE).write_text(to_json(summary), encoding="utf-8")
    if (output / name / REPORT_FILE).is_file():  # an outdated report of this command, and nothing else
        shutil.rmtree(output / name)
    folder.replace(output / name)
    return summary


def _write_index(output: Path, reports: Sequence[dict[str, Any]], failures: list[Failure]) -> None:
    write_failures(output / "failures.csv", failures)
    (output / INDEX_FILE).write_text(render_index(reports, failures), **HTML)


def _find_patients(
    inputs: Sequence[Path], layout: str, channels: tuple[Channel, ...], frames_per_second: float | None
) -> tuple[list[Case], list[Failure]]:
    cases: list[Case] = []
    failures: list[Failure] = []
    for path in inputs:
        try:
            finding = find_cases(path, layout=layout, channels=channels, frames_per_second=frames_per_second)
            cases += finding.cases
            failures += finding.failures
        except DataError as error:
            failures.append(Failure(patient=path.name, reason=str(error)))
    if not cases:
        raise DataError(failures[0].reason)
    return cases, failures


def _finished_report(folder: Path, case: Case, preparation: Preparation, digest: str) -> dict[str, Any] | None:
    """An earlier report on the same files by the same model; None when there is none."""
    path = folder / REPORT_FILE
    if not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    made_of = (report["model"]["sha256"], report["source"].get("fingerprint"))
    return report if made_of == (digest, _fingerprint(case, preparation)) else None


def _fingerprint(case: Case, preparation: Preparation) -> str:
    return fingerprint(replace(case, mask=None), CohortSettings(preparation=preparation))


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_operating_point(model: FixedPointGAN, run: Path) -> OperatingPoint:
    """The thresholds that validation left in the model.

    Raises:
        ModelError: when the model was trained without a validation of both domains.
    """
    try:
        chosen = model.metadata["training"]
        return OperatingPoint(candidate=float(chosen["threshold"]), patient=float(chosen["patient_threshold"]))
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            "its model has no operating point, because there were no healthy and diseased slices to validate on; "
            "train with validation patients that have both",
            path=run,
        ) from error


def _warnings(volume: Volume, prepared: PreparedSlices) -> list[str]:
    warnings = []
    if prepared.pixels_cut_off:
        warnings.append(
            f"{prepared.pixels_cut_off} voxels of the patient lie outside the field of view the model looks at."
        )
    if max(volume.spacing_mm) > 6:
        warnings.append(f"Slices or voxels are {max(volume.spacing_mm):.1f} mm apart; small lesions may be missed.")
    return warnings


def _write_volumes(folder: Path, volume: Volume, found: Localization, preparation: Preparation) -> list[str]:
    source = volume.source
    names = ["healthy"] if len(preparation.channels) == 1 else [f"{name}_healthy" for name in preparation.channels]
    arrays = dict(zip(names, found.healthy, strict=True)) | {"difference": found.difference, "lesions": found.labels}
    for name, array in arrays.items():
        write_nifti(folder / f"{name}.nii.gz", source.from_ras(array), source.affine, source=source)
    return [f"{name}.nii.gz" for name in arrays]


def _write_lesions(path: Path, lesions: Sequence[Lesion]) -> None:
    columns = ["lesion", "center_r_mm", "center_a_mm", "center_s_mm"]
    columns += [name for name in LESION_COLUMNS if name not in ("number", "center_mm")]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(lesion.row() for lesion in lesions)
