"""`fpgan prepare` and `fpgan inspect`: a path with patients in, a cohort out, or a look at what would go in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
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
from data_prep.layouts.domain_folders import HEALTHY_WORDS
from data_prep.layouts.finding import Finding
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings
from data_prep.skull_strip import parse_command
from data_prep.splits import SPLITS
from data_prep.tables import apply_labels, apply_splits, read_label_table, read_split_table
from pipelines.output import Existing, claim_output
from pipelines.parallel import check_scheduler, for_each
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

    `notes` are remarks on the tables; `settings` is None where no case can be used; `unlabeled` are cases whose only
    fault is that nothing says what they show, among the failures of `finding`; `subject_splits` the splits that
    subjects come with.
    """

    finding: Finding
    unlabeled: list[Case]
    subject_splits: dict[str, str]
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
        notes += _strangers_note(table.path, strangers)
    elif request.attributes or any(case.mask for case in finding.cases):
        finding, remark = _labeled_by_masks(finding, request.attributes)
        notes += remark
    finding, unlabeled = _without_unlabeled(finding)
    if splits and request.splits:
        cases, strangers = apply_splits(finding.cases, splits, request.splits)
        failed = {failure.patient for failure in finding.failures}
        finding = replace(finding, cases=cases)
        notes += _strangers_note(request.splits, [name for name in strangers if name not in failed])
    subject_splits = _subject_splits(finding.cases, folds=request.cohort.get("folds") or 0)
    if not finding.cases:
        return Plan(finding=finding, unlabeled=unlabeled, subject_splits={}, settings=None, notes=notes)
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
    return Plan(finding=finding, unlabeled=unlabeled, subject_splits=subject_splits, settings=settings, notes=notes)


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
    planned = plan(source.absolute() if scheduler else source, request)  # its workers run in other folders
    finding, settings = planned.finding, planned.settings
    screen.say(f"  layout {finding.layout}: {finding.why}")
    for note in planned.notes:
        screen.warn(note)
    failures = list(finding.failures)
    for failure in failures:
        screen.warn(f"left out {failure.patient}: {failure.reason}")
    inputs = [path for path in (source, request.labels, request.splits) if path]
    if scheduler:
        check_scheduler(scheduler)
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
    summary = finish_cohort(output, usable, failures, settings, subject_splits=planned.subject_splits)
    _say_what_was_done(summary, settings, failures, screen)
    return PrepareResult(summary=summary, failures=failures)


def _labeled_by_masks(finding: Finding, attributes: Mapping[str, tuple[int, ...]]) -> tuple[Finding, list[str]]:
    """Masks know slices, folders and tables of participants know patients: where there are masks, they label.

    A patient without a mask is labeled as a whole by a word that means healthy or, beside healthy ones, any other; with
    attributes only healthy ones are.
    """
    names = DomainNames()
    if attributes:
        names = DomainNames(names=tuple(attributes), exclusive=False, healthy=None)
    healthy = finding.domains.healthy if finding.domains else None
    cases, unknown, whole = [], set(), 0
    for case in finding.cases:
        domains = None
        if not case.mask and case.domains is not None:
            if case.domains == (healthy,):
                domains = () if attributes else (HEALTHY,)
            elif healthy is not None and not attributes:
                domains, whole = (DISEASED,), whole + 1
            else:
                unknown |= set(case.domains)
        cases.append(replace(case, domains=domains))
    notes = []
    if whole:
        patients = counted(whole, "diseased patient")
        notes.append(f"{patients} without a mask: all their slices count as diseased, those of others by their masks")
    if unknown and not attributes:
        words = ", ".join(HEALTHY_WORDS)
        notes.append(f"none of the domains {', '.join(sorted(unknown))} is known to mean healthy (known: {words})")
    return replace(finding, domains=names if attributes else None, cases=cases), notes


def _without_unlabeled(finding: Finding) -> tuple[Finding, list[Case]]:
    """Cases that neither a mask nor a folder nor a table labels become failures, and those of an unclear mask."""
    failures = list(finding.failures)
    cases: list[Case] = []
    unlabeled: list[Case] = []
    for case in finding.cases:
        if case.mask_problem:
            failures.append(Failure(patient=case.patient, reason=case.mask_problem))
        elif case.mask or case.domains is not None or case.slice_domains is not None:
            cases.append(case)
        else:
            place = next(iter(case.images.values())).name
            error = DataError("has neither a lesion mask nor a label; add one, or give --labels TABLE", path=place)
            failures.append(Failure(patient=case.patient, reason=str(error)))
            unlabeled.append(case)
    return replace(finding, cases=cases, failures=failures), unlabeled


def _subject_splits(cases: list[Case], *, folds: int) -> dict[str, str]:
    splits: dict[str, str] = {}
    for case in cases:
        if case.split and splits.setdefault(case.subject, case.split) != case.split:
            both = f"{splits[case.subject]} and {case.split}"
            raise DataError(f"scans of {case.subject} are given two splits, {both}; give one")
    if folds and splits:
        raise DataError("the data come divided into splits already; leave out --folds")
    subjects = len({case.subject for case in cases})
    if cases and subjects < folds:
        raise DataError(f"--folds {folds} needs as many persons, there are {subjects}; give fewer folds")
    return splits


def _strangers_note(path: Path, names: list[str]) -> list[str]:
    if not names:
        return []
    shown = ", ".join(names[:5]) + (" …" if len(names) > 5 else "")
    return [f"{path}: names {counted(len(names), 'patient')} not among the images: {shown}"]


def _say_what_was_done(
    summary: CohortSummary, settings: CohortSettings, failures: list[Failure], screen: Screen
) -> None:
    domains = settings.domains
    if summary.removed:
        screen.warn(f"{counted(summary.removed, 'patient')} of an earlier run not found any more and removed")
    for split in SPLITS:
        counts: Counter[str] = Counter()
        for (of_split, text), number in summary.slices.items():
            if of_split == split:
                counts.update(dict.fromkeys(text.split(SEPARATOR), number))
        names = domains.names if domains.exclusive else (*domains.names, NO_ATTRIBUTE)
        shown = ", ".join(f"{counts[name]} {name}" for name in names[:8]) + (" …" if len(names) > 8 else "")
        screen.say(f"  {split:<11}{counted(summary.patients[split], 'patient'):>13}, slices: {shown}")
        if not summary.patients[split]:
            screen.warn(f"no patient is left for {split}")
    reasons = {
        "small or unlisted lesion": f"with at most {settings.min_lesion_area_px} px of a lesion, or one that no "
        "attribute stands for: of no domain, not trained on",
        "no label": "without a label: not trained on",
        "nearly blank": f"with less than {settings.preparation.min_foreground_share:.0%} foreground: "
        "discarded as nearly blank",
        "blank": "blank: discarded",
    }
    for reason, text in reasons.items():
        if summary.unused_slices[reason]:
            screen.say(f"  {counted(summary.unused_slices[reason], 'slice')} {text}")
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
