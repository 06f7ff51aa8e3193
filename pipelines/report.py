"""`fpgan report`: new patients in; for each a page, tables and volumes in the patient's own geometry out."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from data_prep.case import Failure
from data_prep.errors import DataError, without_private_text
from data_prep.layouts import find_cases, recognize
from data_prep.layouts.channels import Channel
from data_prep.layouts.walk import exists
from pipelines.errors import UsageError
from pipelines.inference import digest_of
from pipelines.output import Existing, claim_output
from pipelines.parallel import check_scheduler, for_each
from pipelines.pseudonym_files import read_key, write_key
from pipelines.pseudonyms import NamedCase, Pseudonyms, without_names
from pipelines.reporter import ReportTask, is_by, loaded, report_one
from pipelines.reporting.bids import write_dataset
from pipelines.reporting.index_page import PatientRow, write_index
from pipelines.reporting.pdf import check_pdf
from pipelines.reporting.record import PatientReport
from pipelines.reporting.report_files import ReportFiles
from pipelines.reporting.settings import ReportSettings
from pipelines.screen import Screen

_INDEX_EVERY_SECONDS = 30


@dataclass(frozen=True, kw_only=True)
class ReportRequest:
    """Which patients to report on, and how.

    Attributes:
        inputs: what `find_cases` takes.
        layout: how patients are arranged.
        channels: the model's channels with patterns, where names alone do not tell files or series.
        frames_per_second: how many frames of a video become slices; None: all.
        settings: what reports hold, and may tell.
        key_file: where to write who is who.
    """

    inputs: tuple[Path, ...]
    layout: str = "auto"
    channels: tuple[Channel, ...] = ()
    frames_per_second: float | None = None
    settings: ReportSettings = field(default_factory=ReportSettings)
    key_file: Path | None = None


@dataclass(frozen=True, kw_only=True)
class ReportResult:
    """The patients reported on, and the inputs that could not be used."""

    rows: list[PatientRow]
    failures: list[Failure]


def report(
    run: Path,
    output: Path,
    request: ReportRequest,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    workers: int = 1,
    scheduler: str | None = None,
) -> ReportResult:
    """Report on every patient found at or below the inputs. One that cannot be used does not stop the others.

    Args:
        run: what `train` wrote.
        output: folder of the reports.
        request: which patients, and how.
        screen: where progress is shown.
        existing: what to do when `output` holds something.
        workers: processes on this machine; each loads the model.
        scheduler: address of a Dask scheduler, whose workers are used instead.

    Raises:
        ModelError: when the run has no usable model, or one without an operating point.
        DataError: when no input holds a patient.
        UsageError: when `output` exists and `existing` does not allow it, `channels` are not the model's, the scheduler
            does not answer, or a PDF cannot be made here.
    """
    threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 and not scheduler else None
    task = ReportTask(
        run=run.absolute(),
        digest=digest_of(run),
        output=output.absolute(),
        settings=request.settings,
        threads=threads,
    )
    channels = _channels(request, loaded(task).preparation.channels)
    if request.settings.pdf:
        check_pdf()
    pseudonyms = Pseudonyms(naming=request.settings.naming)
    cases, failures = _find_patients(request, task, channels, pseudonyms, screen)
    if scheduler:
        check_scheduler(scheduler)
    if request.key_file:
        _check_key_file(request.key_file, output)
        write_key(request.key_file, pseudonyms.key)  # before anything is emptied
    elif any(named.is_hidden for named in cases.values()):
        screen.say("  patients are called by salted hashes; --key-file FILE.csv keeps who is who")
    claim_output(output, existing, command="report", inputs=request.inputs, can_resume=True)
    if request.settings.bids:
        write_dataset(output)
    rows = _earlier_rows(output, task)
    for failure in failures:
        rows.pop(_folder(failure.patient, task), None)
    reported: list[PatientRow] = []
    try:
        with screen.progress("Reporting", len(cases)) as show:
            index_written = 0.0
            outcomes = for_each(partial(report_one, task=task), cases.values(), workers=workers, scheduler=scheduler)
            for done, (named, outcome) in enumerate(outcomes, start=1):
                folder = _folder(named.name, task)
                if isinstance(outcome, PatientRow):
                    reported.append(outcome)
                    rows[folder] = outcome
                elif isinstance(outcome, DataError):
                    failures.append(_failure(named, outcome, screen))
                    rows.pop(folder, None)
                else:
                    raise outcome
                if time.monotonic() - index_written > _INDEX_EVERY_SECONDS:
                    write_index(output, list(rows.values()), failures)
                    index_written = time.monotonic()
                show(done, named.name)
    finally:
        write_index(output, list(rows.values()), failures)
    return ReportResult(rows=reported, failures=failures)


def _channels(request: ReportRequest, of_model: tuple[str, ...]) -> tuple[Channel, ...]:
    if request.channels and tuple(channel.name for channel in request.channels) != of_model:
        raise UsageError(f"--channels must be those of the model, in order: {', '.join(of_model)}")
    return request.channels or tuple(Channel(name=name) for name in of_model)


def _find_patients(
    request: ReportRequest, task: ReportTask, channels: tuple[Channel, ...], pseudonyms: Pseudonyms, screen: Screen
) -> tuple[dict[str, NamedCase], list[Failure]]:
    """All patients by their folders below the output, and the inputs that cannot be used, which the screen tells."""
    cases: dict[str, NamedCase] = {}
    failures: list[Failure] = []
    reasons: list[str] = []

    def leave_out(failure: Failure, layout: str) -> None:
        reasons.append(failure.reason)
        failures.append(pseudonyms.without_names(failure, layout))

    for root in map(Path.absolute, request.inputs):  # workers may run in other folders
        try:
            finding = find_cases(
                root, layout=request.layout, channels=channels, frames_per_second=request.frames_per_second
            )
        except DataError as error:
            layout = recognize(root) if request.layout == "auto" and exists(root) else request.layout
            leave_out(Failure.of(root.name, error), layout or "")
            continue
        for failure in finding.failures:
            leave_out(failure, finding.layout)
        for named in pseudonyms.name_all(finding.cases, root, finding.layout):
            folder = _folder(named.name, task)
            if folder in cases and cases[folder].case == named.case:
                continue  # one input, given twice
            if folder in cases:
                told, shareable = _shared(folder, cases[folder], named, finding.layout)
                reasons.append(f"{named.name} {told}")
                failures.append(Failure(patient=named.name, reason=shareable))
            else:
                cases[folder] = named
    if not cases:
        raise DataError(reasons[0] if reasons else "no patient was given; give files or folders")
    for reason in reasons:
        screen.warn(f"left out: {reason}")
    return cases, failures


def _shared(folder: str, first: NamedCase, second: NamedCase, layout: str) -> tuple[str, str]:
    """Why only one of two patients can have a folder: for the screen, and for outputs."""
    advice = "rename one"
    if layout == "dicom":
        advice = f"give --pseudonym {'folder' if second.is_hidden else 'hash'}"
    place = first.case.first.name
    told = f"would share the folder {folder} with {place}; {advice}"
    return told, f"would share the folder {folder} with another patient; {advice}" if second.is_hidden else told


def _failure(named: NamedCase, error: DataError, screen: Screen) -> Failure:
    screen.warn(f"left out {named.name}: {error}")
    reason = without_names(error.problem) if named.is_hidden else without_private_text(str(error))
    return Failure(patient=named.name, reason=reason)


def _earlier_rows(output: Path, task: ReportTask) -> dict[str, PatientRow]:
    """By folder, the reports by the same model with the same settings that an earlier run left in the output."""
    rows: dict[str, PatientRow] = {}
    for path in sorted(output.rglob("*report.json")):
        folder = path.parent.relative_to(output).as_posix()
        if any(part.startswith(".") for part in folder.split("/")):
            continue
        with suppress(OSError, ValidationError):  # of another version
            report = PatientReport.model_validate_json(path.read_bytes())
            if is_by(report, task):
                rows[folder] = PatientRow.of(report.model_copy(update={"folder": folder}))  # it may have been renamed
    return rows


def _folder(name: str, task: ReportTask) -> str:
    return ReportFiles.of(name, (), bids=task.settings.bids).folder


def _check_key_file(path: Path, output: Path) -> None:
    if path.resolve().is_relative_to(output.resolve()):
        raise UsageError(f"{path}: who is who must not lie among the reports; give another place to --key-file")
    if not path.absolute().parent.is_dir():
        raise UsageError(f"{path}: its folder does not exist; make it, or give another place to --key-file")
    read_key(path)  # refuses another file, before anything is begun
