"""All files of one patient, written to a temporary folder that gets its name when all of them are there."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from data_prep.errors import DataError, without_private_text
from data_prep.readers.nifti import write_nifti
from data_prep.volume import Volume
from pipelines.clock import Clock
from pipelines.localize import Localization
from pipelines.plain_json import to_json
from pipelines.reporting.bids import write_sidecars
from pipelines.reporting.patient_page import render_patient_page
from pipelines.reporting.preview import draw_preview
from pipelines.reporting.record import Lesion, PatientReport
from pipelines.reporting.report_files import ReportFiles
from pipelines.reporting.settings import ReportSettings
from pipelines.reporting.shown import ShownVolumes
from pipelines.reporting.viewer import render_viewer

if TYPE_CHECKING:
    from data_prep.readers.dicom_headers import SeriesHeaders

_POINTS = {
    "center_mm": ("center_r_mm", "center_a_mm", "center_s_mm"),
    "center_voxel": ("center_i_voxel", "center_j_voxel", "center_k_voxel"),
}
"""Columns of `lesions.csv` for what has three numbers."""


@dataclass(frozen=True, kw_only=True)
class PatientResult:
    """What was computed of one patient. `headers` are those of each channel's series; none for other inputs."""

    report: PatientReport
    volume: Volume
    found: Localization
    shown: ShownVolumes
    headers: tuple[SeriesHeaders, ...]


def write_patient(
    output: Path, files: ReportFiles, result: PatientResult, clock: Clock, settings: ReportSettings
) -> PatientReport:
    """Write all files of a patient below `output` and return what its `report.json` holds.

    A folder with an earlier report is replaced. Without DICOM objects that cannot be made of the input's headers the
    others are written, and a warning says why.

    Raises:
        OSError: when a file cannot be written; nothing half-written is left then.
    """
    folder = output / files.folder
    part, old = (folder.with_name(f".{folder.name}.{mark}") for mark in ("part", "old"))
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with clock("volumes"):
            _write_volumes(part, files, result)
            if settings.bids:
                write_sidecars(part, files, result.report, skull_stripped=_is_skull_stripped(result))
        with clock("dicom"):
            warnings = _write_dicom(part, files, result, keep_dates=settings.keep_dates)
        report = result.report.model_copy(update={"warnings": (*result.report.warnings, *warnings)})
        with clock("page"):
            report = _write_pages(part, files, report, result.shown, pdf=settings.pdf)
        report = report.model_copy(update={"seconds": dict(clock.seconds)})
        _write_lesions(part / files.lesion_table, report.lesions)
        (part / files.record).write_text(to_json(report.model_dump(mode="json")), encoding="utf-8")
        if folder.is_dir():  # an outdated or spoiled report: the output holds nothing but this command's
            shutil.rmtree(old, ignore_errors=True)
            folder.replace(old)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return report


def _write_volumes(folder: Path, files: ReportFiles, result: PatientResult) -> None:
    source, found = result.volume.source, result.found
    arrays = dict(zip(files.healthy, found.healthy, strict=True))
    arrays |= {files.difference: found.difference, files.lesions: found.labels}
    for name, array in arrays.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, source.from_ras(array), source.affine, source=source)


def _is_skull_stripped(result: PatientResult) -> bool:
    """Whether that is known: the foreground is a mask of the brain, and all else in the files is 0."""
    outside = ~result.found.foreground
    rule = result.report.preparation["foreground"]
    return rule == "mask" and not any(channel[outside].any() for channel in result.volume.channels)


def _write_dicom(folder: Path, files: ReportFiles, result: PatientResult, *, keep_dates: bool) -> list[str]:
    """Write the DICOM objects of a DICOM input; returns what to warn of."""
    if not result.headers:
        return []
    from pipelines.reporting.segmentation import write_segmentation  # late: highdicom takes a while to import
    from pipelines.reporting.structured_report import write_structured_report

    (headers, *others), report, segmentation = result.headers, result.report, None
    try:
        if report.lesions:
            labels = result.volume.source.from_ras(result.found.labels)
            path = folder / files.segmentation
            segmentation = write_segmentation(path, headers, labels, report, keep_dates=keep_dates)
        path = folder / files.structured_report
        write_structured_report(path, headers, report, segmentation, keep_dates=keep_dates, others=others)
    except DataError as error:
        return [f"DICOM objects could not be made of this series: {without_private_text(error.problem)}."]
    return []


def _write_pages(
    folder: Path, files: ReportFiles, report: PatientReport, shown: ShownVolumes, *, pdf: bool
) -> PatientReport:
    """Write preview and page, and the latter as PDF; returns the report with all files that there are then."""
    (folder / files.preview).write_bytes(draw_preview(report, shown))
    dicom = (files.segmentation, files.structured_report)
    absent = {path for path in dicom if not (folder / path).is_file()} | (set() if pdf else {files.pdf})
    written = {name: path for name, path in files.by_name.items() if path not in absent}
    report = report.model_copy(update={"files": written})
    page = render_patient_page(report, shown, render_viewer(shown))
    (folder / files.page).write_text(page, encoding="utf-8")
    if pdf:
        from pipelines.reporting.pdf import to_pdf  # late: an extra

        (folder / files.pdf).write_bytes(to_pdf(render_patient_page(report, shown, Markup(), for_print=True)))
    return report


def _write_lesions(path: Path, lesions: Sequence[Lesion]) -> None:
    names = [name for name in Lesion.model_fields if name not in ("number", *_POINTS)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lesion", *(column for columns in _POINTS.values() for column in columns), *names])
        for lesion in lesions:
            points = [number for name in _POINTS for number in getattr(lesion, name)]
            writer.writerow([lesion.number, *points, *(getattr(lesion, name) for name in names)])
