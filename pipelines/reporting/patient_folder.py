"""All files of one patient, written to a temporary folder that gets its name when all of them are there."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data_prep.volume import Volume
from pipelines.localize import Localization
from pipelines.reporting.record import PatientReport
from pipelines.reporting.report_files import ReportFiles
from pipelines.reporting.shown import ShownVolumes

if TYPE_CHECKING:
    from data_prep.readers.dicom_headers import SeriesHeaders

HTML: dict[str, Any] = {"encoding": "utf-8", "errors": "xmlcharrefreplace"}
"""File names that are no UTF-8 stand in a page as character references."""


class Clock:
    """Adds up seconds by part of the work."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, part: str) -> Iterator[None]:
        """Time the block as `part`."""
        start = time.perf_counter()
        yield
        self.seconds[part] = round(self.seconds.get(part, 0) + time.perf_counter() - start, 3)


@dataclass(frozen=True, kw_only=True)
class PatientResult:
    """What was computed of one patient. `headers` is what DICOM objects refer to; None for other inputs."""

    report: PatientReport
    volume: Volume
    found: Localization
    shown: ShownVolumes
    headers: SeriesHeaders | None


def write_patient(
    output: Path, files: ReportFiles, result: PatientResult, clock: Clock, *, pdf: bool
) -> PatientReport:
    """Write all files of a patient below `output` and return what its `report.json` holds.

    A folder of an earlier report of this command is replaced; another one is left alone, and an error.

    Raises:
        DataError: when a DICOM object cannot be made of the input's headers.
        OSError: when a file cannot be written; nothing half-written is left then.
    """
    folder = output / files.folder
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        with clock("volumes"):
            _write_volumes(part, files, result)
        with clock("dicom"):
            warnings = _write_dicom(part, files, result, keep_dates=settings.keep_dates)
        report = result.report.model_copy(update={"warnings": (*result.report.warnings, *warnings)})
        with clock("page"):
            report = _write_pages(part, files, report, result.shown, pdf=settings.pdf)
        report = report.model_copy(update={"seconds": dict(clock.seconds)})
        _write_lesions(part / files.lesion_table, report.lesions)
        (part / files.record).write_text(to_json(report.model_dump(mode="json")), encoding="utf-8")
        if (folder / files.record).is_file():  # an outdated report of this command, and nothing else
            shutil.rmtree(folder)
        part.replace(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return report


def _write_volumes(folder: Path, files: ReportFiles, result: PatientResult) -> None:
    source, found = result.volume.source, result.found
    arrays = dict(zip(files.healthy, found.healthy, strict=True))
    arrays |= {files.difference: found.difference, files.lesions: found.labels}
    for name, array in arrays.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_nifti(path, source.from_ras(array), source.affine, source=source)


def _write_dicom(folder: Path, files: ReportFiles, result: PatientResult, *, keep_dates: bool) -> None:
    if result.headers is None:
        return
    from pipelines.reporting.segmentation import write_segmentation  # late: highdicom takes a while to import
    from pipelines.reporting.structured_report import write_structured_report

    headers, report, segmentation = result.headers, result.report, None
    if report.lesions:
        labels = result.volume.source.from_ras(result.found.labels)
        path = folder / files.segmentation
        segmentation = write_segmentation(path, headers, labels, report, keep_dates=keep_dates)
    path = folder / files.structured_report
    write_structured_report(path, headers, report, segmentation, keep_dates=keep_dates)


def _write_pages(folder: Path, files: ReportFiles, result: PatientResult, report: PatientReport, *, pdf: bool) -> None:
    (folder / files.preview).write_bytes(draw_preview(report, result.shown))
    page = render_patient_page(report, result.shown, render_viewer(result.shown))
    (folder / files.page).write_text(page, **HTML)
    if pdf:
        from pipelines.reporting.pdf import to_pdf

        (folder / files.pdf).write_bytes(to_pdf(render_patient_page(report, result.shown, Markup(), for_print=True)))


def _write_lesions(path: Path, lesions: Sequence[Lesion]) -> None:
    names = [name for name in Lesion.model_fields if name not in ("number", *_POINTS)]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["lesion", *(column for columns in _POINTS.values() for column in columns), *names])
        for lesion in lesions:
            points = [number for name in _POINTS for number in getattr(lesion, name)]
            writer.writerow([lesion.number, *points, *(getattr(lesion, name) for name in names)])
