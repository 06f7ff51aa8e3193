"""What `fpgan prepare` would do: the cases of a path with their labels and splits, and the settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from data_prep.case import Case, Failure
from data_prep.errors import DataError
from data_prep.labels import DISEASED, HEALTHY, DomainNames
from data_prep.layouts import find_cases
from data_prep.layouts.channels import Channel
from data_prep.layouts.domain_folders import HEALTHY_WORDS
from data_prep.layouts.finding import Finding
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings
from data_prep.skull_strip import parse_command
from data_prep.tables import apply_labels, apply_splits, read_label_table, read_split_table
from pipelines.screen import counted

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
    case = finding.cases[0]
    pictures = case.first.format in ("picture", "video")
    preparation = Preparation(
        channels=tuple(case.images),
        **({**PICTURE_DEFAULTS, **request.preparation} if pictures else request.preparation),
    )
    settings = CohortSettings(
        preparation=preparation,
        domains=finding.domains or DomainNames(),
        label_values={} if table else request.attributes,
        **request.cohort,
    )
    return Plan(finding=finding, unlabeled=unlabeled, subject_splits=subject_splits, settings=settings, notes=notes)


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
            place = case.first.name
            error = DataError("has neither a lesion mask nor a label; add one, or give --labels TABLE", path=place)
            failures.append(Failure.of(case.patient, error))
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
