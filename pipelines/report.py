"""`fpgan report`: new patients in; a page, tables and volumes in each patient's own geometry out."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.case import Case, Failure
from data_prep.cohort_writer import write_failures
from data_prep.errors import DataError
from data_prep.layouts.brats import brats_case, brats_patient_folders
from data_prep.patient import read_channels
from data_prep.preparation import Preparation, PreparedSlices, prepare_slices
from data_prep.readers.nifti import write_nifti
from data_prep.volume import Volume
from evaluation.scores import patient_score
from pipelines.inference import map_patient, model_preparation
from pipelines.localize import Lesion, Localization, localize
from pipelines.output import Existing, claim_output
from pipelines.reporting.patient_page import draw_patient, render_index, render_patient_page
from pipelines.screen import Screen

REPORT_FILE = "report.json"
INDEX_FILE = "index.html"
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
    run: Path, inputs: Sequence[Path], output: Path, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> ReportResult:
    """Report on every patient found at or below `inputs`. One that cannot be used does not stop the others.

    Raises:
        ModelError: when the run has no usable model, or one without an operating point.
        DataError: when no input holds a patient.
        UsageError: when `output` exists and `existing` does not allow it.
    """
    model = FixedPointGAN.load(run)
    preparation = model_preparation(model, run)
    operating_point = read_operating_point(model, run)
    folders, failures = _find_patients(inputs)
    claim_output(output, existing, command="report", inputs=inputs, can_resume=True)
    digest = _sha256(run / MODEL_FILE if run.is_dir() else run)
    if not (output / INDEX_FILE).is_file():
        _write_index(output, [], [])
    reports: dict[str, dict[str, Any]] = {}
    with screen.progress("Reporting", len(folders)) as show:
        for done, folder in enumerate(folders, start=1):
            name = folder.resolve().name
            try:
                if name in reports:
                    raise DataError("a patient of this name was reported already; rename the folder", path=folder)
                case = brats_case(folder, preparation.channels, with_mask=False)
                reports[name] = _finished_report(output / name, case, digest) or report_patient(
                    model, case, output, run=run, digest=digest, operating_point=operating_point
                )
            except DataError as error:
                failures.append(Failure(patient=name, reason=str(error)))
            show(done, name)
    for failure in failures:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    ordered = sorted(reports.values(), key=lambda entry: (-entry["score"], entry["patient"]))
    _write_index(output, ordered, failures)
    return ReportResult(reports=ordered, failures=failures)


def report_patient(
    model: FixedPointGAN, case: Case, output: Path, *, run: Path, digest: str, operating_point: OperatingPoint
) -> dict[str, Any]:
    """Write one patient's folder below `output`, whole or not at all, and return what its `report.json` holds.

    Raises:
        DataError: when a file of the patient cannot be used.
    """
    preparation = model_preparation(model, run)
    volume, digests = read_channels(case)
    prepared = prepare_slices(volume, preparation)
    maps = map_patient(model, prepared.images)
    found = localize(volume, prepared, maps, preparation, threshold=operating_point.candidate)
    score = patient_score(maps.scores)
    summary = {
        "patient": case.patient,
        "score": round(score, 6),
        "threshold": operating_point.patient,
        "candidate_threshold": operating_point.candidate,
        "abnormal": score >= operating_point.patient,
        "lesions": [asdict(lesion) for lesion in found.lesions],
        "lesion_volume_mm3": round(sum(lesion.volume_mm3 for lesion in found.lesions), 2),
        "channels": list(preparation.channels),
        "source": {
            "sha256": digests,
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
    folder = output / f".{case.patient}.part"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    files = [*_write_volumes(folder, volume, found, preparation), "lesions.csv", REPORT_FILE]
    _write_lesions(folder / "lesions.csv", found.lesions)
    (folder / "preview.png").write_bytes(thumbnail)
    (folder / "report.html").write_text(render_patient_page(summary, picture, files), encoding="utf-8")
    (folder / REPORT_FILE).write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    if (output / case.patient / REPORT_FILE).is_file():  # an outdated report of this command, and nothing else
        shutil.rmtree(output / case.patient)
    folder.replace(output / case.patient)
    return summary


def _write_index(output: Path, reports: Sequence[dict[str, Any]], failures: list[Failure]) -> None:
    write_failures(output / "failures.csv", failures)
    (output / INDEX_FILE).write_text(render_index(reports, failures), encoding="utf-8")


def _find_patients(inputs: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    folders, failures = [], []
    for path in inputs:
        try:
            below = list(brats_patient_folders(path))
            if not below:
                raise DataError("holds no patient; expected files such as <id>_flair.nii.gz", path=path)
            folders += below
        except DataError as error:
            failures.append(Failure(patient=path.name, reason=str(error)))
    if not folders:
        raise DataError(failures[0].reason)
    return folders, failures


def _finished_report(folder: Path, case: Case, digest: str) -> dict[str, Any] | None:
    """An earlier report on the same files by the same model; None when there is none."""
    path = folder / REPORT_FILE
    if not path.is_file():
        return None
    report = json.loads(path.read_text(encoding="utf-8"))
    files = {file.name: _sha256(file) for file in case.files}
    return report if (report["model"]["sha256"], report["source"]["sha256"]) == (digest, files) else None


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", path=path) from error


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
