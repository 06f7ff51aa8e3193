"""`fpgan prepare` and `fpgan inspect`: a path with patients in, a cohort out, or a look at what would go in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_prep.case import Case, Failure
from data_prep.cohort_writer import CohortSummary, finish_cohort, start_cohort, write_failures, write_patient
from data_prep.errors import DataError
from data_prep.labels import DISEASED, HEALTHY, NO_ATTRIBUTE, SEPARATOR, DomainNames
from data_prep.layouts import find_cases
from data_prep.layouts.channels import Channel
from data_prep.layouts.finding import Finding
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings
from data_prep.skull_strip import parse_command
from data_prep.splits import SPLITS
from data_prep.tables import apply_labels, apply_splits, read_label_table, read_split_table
from pipelines.output import Existing, claim_output
from pipelines.parallel import for_each
from pipelines.screen import Screen, counted

PICTURE_DEFAULTS = {"foreground": "all", "intensity": "none", "field_of_view_mm": "whole"}
"""Pictures and video frames have no background, a scale of their own, and no physical size."""


@dataclass(frozen=True, kw_only=True)
class PrepareRequest:
    """What a user asks of `fpgan prepare`; what is left out follows from the data.

    Attributes:
        layout: how patients are arranged; `auto` finds out.
        channels: which files or series become channels.
        preparation: settings of `Preparation` by name.
        cohort: settings of `CohortSettings` by name, but for the preparation and the domains.
        attributes: the mask labels each attribute stands for; empty: healthy and diseased.
        labels: a table of domains or attributes of patients or slices.
        splits: a table of patients and their splits.
        frames_per_second: how many frames of a video become slices; None: all.
    """

    layout: str = "auto"
    channels: tuple[Channel, ...] = ()
    preparation: dict[str, Any] = field(default_factory=dict)
    cohort: dict[str, Any] = field(default_factory=dict)
    attributes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    labels: Path | None = None
    splits: Path | None = None
    frames_per_second: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be prepared, and how, before anything is written.

    `notes` are remarks on the tables; `settings` is None where no case can be used.
    """

    finding: Finding
    settings: CohortSettings | None
    notes: list[str]


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What the cohort holds, None when no patient could be used, and the patients that could not."""

    summary: CohortSummary | None
    failures: list[Failure]


def plan(source: Path, request: PrepareRequest) -> Plan:
    """Find the cases and settle the settings; files are listed, no image is read.

    Raises:
        DataError: when `source` holds no patient at all, or a table cannot be used.
        ValidationError: pydantic's, when a setting does not allow its value.
    """
    if request.cohort.get("skull_strip"):
        parse_command(request.cohort["skull_strip"])
    table = read_label_table(request.labels) if request.labels else None
    splits = read_split_table(request.splits) if request.splits else None
    finding = find_cases(
        source, layout=request.layout, channels=request.channels, frames_per_second=request.frames_per_second
    )
    notes = []
    if table:
        finding, strangers = apply_labels(finding, table)
        if strangers:
            shown = ", ".join(strangers[:5]) + (" …" if len(strangers) > 5 else "")
            notes.append(f"{table.path}: names {counted(len(strangers), 'patient')} not among the images: {shown}")
    elif request.attributes:
        names = DomainNames(names=tuple(request.attributes), exclusive=False, healthy=None)
        finding = replace(finding, domains=names, cases=[replace(case, domains=None) for case in finding.cases])
    elif finding.domains and any(case.mask for case in finding.cases):
        finding = _labeled_by_masks(finding, finding.domains)
    finding = _without_unlabeled(finding)
    if splits and request.splits:
        finding = replace(finding, cases=apply_splits(finding.cases, splits, request.splits))
    if not finding.cases:
        return Plan(finding=finding, settings=None, notes=notes)
    first = finding.cases[0]
    pictures = next(iter(first.images.values())).format in ("picture", "video")
    preparation = Preparation(
        channels=tuple(first.images),
        **({**PICTURE_DEFAULTS, **request.preparation} if pictures else request.preparation),
    )
    settings = CohortSettings(
        preparation=preparation,
        domains=finding.domains or DomainNames(),
        label_values={} if table else request.attributes,
        **request.cohort,
    )
    return Plan(finding=finding, settings=settings, notes=notes)


def prepare(
    source: Path,
    output: Path,
    request: PrepareRequest,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    workers: int = 1,
    scheduler: str | None = None,
) -> PrepareResult:
    """Prepare every patient at `source`. One that cannot be used lands in `failures.csv`; the others go on.

    Raises:
        DataError: when `source` holds no patient at all, a table cannot be used, or two splits hold the same image.
        UsageError: when `output` exists and `existing` does not allow it, or the scheduler does not answer.
    """
    planned = plan(source, request)
    finding, settings = planned.finding, planned.settings
    screen.say(f"  layout {finding.layout}: {finding.why}")
    for note in planned.notes:
        screen.warn(note)
    failures = list(finding.failures)
    for failure in failures:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    inputs = [path for path in (source, request.labels, request.splits) if path]
    claim_output(output, existing, command="prepare", inputs=inputs, can_resume=True)
    usable: list[str] = []
    if settings:
        screen.say(f"  {counted(len(finding.cases), 'patient')}, channels {', '.join(settings.preparation.channels)}")
        start_cohort(output, settings)
        work = partial(write_patient, settings=settings, output=output.absolute())
        with screen.progress("Preparing", len(finding.cases)) as show:
            outcomes = for_each(work, finding.cases, workers=workers, scheduler=scheduler)
            for done, (case, outcome) in enumerate(outcomes, start=1):
                if isinstance(outcome, DataError):
                    failures.append(Failure(patient=case.patient, reason=str(outcome)))
                    screen.warn(f"left out {case.patient}: {outcome}")
                elif isinstance(outcome, Exception):
                    raise outcome
                else:
                    usable.append(case.patient)
                show(done, "")
    failures.sort(key=lambda failure: failure.patient)
    if not usable or not settings:
        write_failures(output / "failures.csv", failures)
        screen.warn("no patient could be used")
        return PrepareResult(summary=None, failures=failures)
    given = {case.patient: case.split for case in finding.cases if case.split}
    summary = finish_cohort(output, usable, failures, settings, given_splits=given)
    _say_what_was_done(summary, settings, failures, screen)
    return PrepareResult(summary=summary, failures=failures)


def _labeled_by_masks(finding: Finding, domains: DomainNames) -> Finding:
    """Masks know slices, folders and tables of participants know patients: where there are masks, they label."""

    def labeled(case: Case) -> Case:
        if case.mask or case.domains is None:
            return replace(case, domains=None)
        return replace(case, domains=(HEALTHY if case.domains == (domains.healthy,) else DISEASED,))

    return replace(finding, domains=None, cases=[labeled(case) for case in finding.cases])


def _without_unlabeled(finding: Finding) -> Finding:
    """Cases that neither a mask nor a folder nor a table labels become failures, and those of an unclear mask."""
    failures = list(finding.failures)
    cases: list[Case] = []
    for case in finding.cases:
        if case.mask_problem:
            failures.append(Failure(patient=case.patient, reason=case.mask_problem))
        elif case.mask or case.domains is not None or case.slice_domains is not None:
            cases.append(case)
        else:
            place = next(iter(case.images.values())).name
            error = DataError("has neither a lesion mask nor a label; add one, or give --labels TABLE", path=place)
            failures.append(Failure(patient=case.patient, reason=str(error)))
    return replace(finding, cases=cases, failures=failures)


def _say_what_was_done(
    summary: CohortSummary, settings: CohortSettings, failures: list[Failure], screen: Screen
) -> None:
    domains = settings.domains
    for split in SPLITS:
        counts: Counter[str] = Counter()
        for (of_split, text), number in summary.slices.items():
            if of_split == split:
                counts.update(dict.fromkeys(text.split(SEPARATOR), number))
        names = domains.names if domains.exclusive else (*domains.names, NO_ATTRIBUTE)
        shown = ", ".join(f"{counts[name]} {name}" for name in names[:8]) + (" …" if len(names) > 8 else "")
        screen.say(f"  {split:<11}{summary.patients[split]:>5} patients, slices: {shown}")
    reasons = {
        "small or unlisted lesion": f"slices with at most {settings.min_lesion_area_px} px of a lesion, or one that no "
        "attribute stands for, belong to no domain and are not trained on",
        "no label": "slices without a label are not trained on",
        "nearly blank": f"slices with less than {settings.preparation.min_foreground_share:.0%} foreground "
        "were discarded as nearly blank",
        "blank": "blank slices were discarded",
    }
    for reason, text in reasons.items():
        if summary.unused_slices[reason]:
            screen.say(f"  {summary.unused_slices[reason]} {text}")
    if summary.pixels_cut_off:
        screen.say(
            f"  {summary.pixels_cut_off} foreground pixels of {counted(summary.patients_cut_off, 'patient')} "
            "lie outside the field of view; `patients.csv` says whose"
        )
    if summary.unclear_background:
        screen.warn(
            f"nothing constant surrounds {counted(summary.unclear_background, 'patient')}; "
            "where the background is noise, prepare with --foreground otsu, or mask"
        )
    if failures:
        screen.warn(f"{counted(len(failures), 'patient')} could not be used; failures.csv says why")
