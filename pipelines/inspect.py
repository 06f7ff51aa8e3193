"""`fpgan inspect`: a plan in words, and as JSON."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from data_prep.case import Case, Source
from data_prep.errors import one_line
from pipelines.plan import Plan


def describe(plan: Plan) -> Iterator[str]:
    """Lines for a person: the layout and why, each patient and its files, what was left out and why."""
    finding = plan.finding
    yield f"layout    {finding.layout}: {finding.why}"
    if plan.settings:
        preparation, domains = plan.settings.preparation, plan.settings.domains
        kind = "one of" if domains.exclusive else "any of"
        yield f"channels  {', '.join(preparation.channels)}"
        yield f"domains   {kind} {', '.join(domains.names)}"
    subjects = len({case.subject for case in finding.cases})
    yield f"patients  {len(finding.cases)} usable" + (
        f" of {subjects} persons" if subjects < len(finding.cases) else ""
    )
    for case in finding.cases:
        yield ""
        yield one_line(case.patient + _details(case))
        for name, source in _sources(case):
            yield one_line(f"  {name:<12}{_files(source)}")
    if finding.failures:
        yield ""
        yield f"left out  {len(finding.failures)}"
        unlabeled = {case.patient: case for case in plan.unlabeled}
        for failure in sorted(finding.failures, key=lambda failure: failure.patient):
            yield one_line(f"  {failure.patient}: {failure.reason}")
            if failure.patient in unlabeled:  # `report` would take it
                for name, source in _sources(unlabeled[failure.patient]):
                    yield one_line(f"    {name:<12}{_files(source)}")
    for note in plan.notes:
        yield one_line(f"note      {note}")


def to_json(plan: Plan) -> dict[str, Any]:
    """The same for programs; see docs/data.md."""
    finding = plan.finding
    return {
        "layout": finding.layout,
        "why": finding.why,
        "channels": list(plan.settings.preparation.channels) if plan.settings else [],
        "domains": plan.settings.domains.model_dump(mode="json") if plan.settings else None,
        "patients": [
            {
                "patient": case.patient,
                "subject": case.subject,
                "domains": case.domains,
                "split": case.split,
                "sources": {
                    name: {"format": s.format, "files": [os.fspath(f) for f in s.files], "channel": s.channel}
                    for name, s in _sources(case)
                },
            }
            for case in finding.cases
        ],
        "failures": [{"patient": failure.patient, "reason": failure.reason} for failure in finding.failures],
        "notes": plan.notes,
    }


def _sources(case: Case) -> Iterator[tuple[str, Source]]:
    yield from case.images.items()
    if case.mask:
        yield "mask", case.mask
    if case.foreground:
        yield "foreground", case.foreground


def _details(case: Case) -> str:
    parts = []
    if case.subject != case.patient:
        parts.append(f"of {case.subject}")
    if case.slice_domains is not None:
        parts.append(f"{len(case.slice_domains)} labeled slices")
    if case.domains is not None:
        parts.append(" and ".join(case.domains) or "no attribute")
    elif case.mask and case.slice_domains is None:
        parts.append("labeled by its mask")
    if case.split:
        parts.append(case.split)
    return f"  ({', '.join(parts)})" if parts else ""


def _files(source: Source) -> str:
    channel = f", channel {source.channel}" if source.channel is not None else ""
    several = len(source.files) > 1 and source.format != "nifti"
    count = f", {len(source.files)} files, the first {source.files[0].name}" if several else ""
    return f"{source.name}  [{source.format}{count}{channel}]"
