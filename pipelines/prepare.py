"""`fpgan prepare`: a path with patients in, a cohort out."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_prep.case import Failure
from data_prep.cohort_writer import CohortSummary, finish_cohort, start_cohort, write_failures, write_patient
from data_prep.errors import DataError
from data_prep.labels import NO_ATTRIBUTE, SEPARATOR
from data_prep.settings import CohortSettings
from data_prep.splits import SPLITS
from pipelines.output import Existing, claim_output
from pipelines.parallel import check_scheduler, for_each
from pipelines.plan import PrepareRequest, plan
from pipelines.screen import Screen, counted


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """What the cohort holds, None when no patient could be used, and the patients that could not."""

    summary: CohortSummary | None
    failures: list[Failure]


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
    unchanged = 0
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
                    unchanged += not outcome
                show(done, "")
    if unchanged:
        screen.say(f"  {counted(unchanged, 'patient')} unchanged since the last run, not prepared again")
    failures.sort(key=lambda failure: failure.patient)
    if not usable or not settings:
        write_failures(output / "failures.csv", failures)
        screen.warn("no patient could be used")
        return PrepareResult(summary=None, failures=failures)
    summary = finish_cohort(output, usable, failures, settings, subject_splits=planned.subject_splits)
    _say_what_was_done(summary, settings, failures, screen)
    return PrepareResult(summary=summary, failures=failures)


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
    missing = _missing_from_splits(summary, settings)
    if missing:
        screen.warn(f"{'; '.join(missing)}: add patients, or try --split-csv or another --split-seed")
    unlisted = ", or one that no attribute stands for" if settings.label_values else ""
    reasons = {
        "small or unlisted lesion": f"with at most {settings.min_lesion_area_px} px of a lesion{unlisted}: "
        "of no domain, not trained on",
        "no label": "without a label: not trained on",
        "nearly blank": f"with less than {settings.preparation.min_foreground_share:.0%} foreground: "
        "discarded as nearly blank",
        "blank": "blank: discarded",
    }
    for reason, text in reasons.items():
        if summary.unused_slices[reason]:
            screen.say(f"  {counted(summary.unused_slices[reason], 'slice')} {text}")
    if summary.unclear_background:
        screen.warn(
            f"nothing constant surrounds {counted(summary.unclear_background, 'patient')}; "
            "where the background is noise, prepare with --foreground otsu, or mask"
        )
    if summary.pixels_cut_off:
        screen.say(
            f"  {summary.pixels_cut_off} foreground pixels of {counted(summary.patients_cut_off, 'patient')} "
            "lie outside the field of view; `patients.csv` says whose"
        )
    if failures:
        screen.warn(f"{counted(len(failures), 'patient')} could not be used; failures.csv says why")


def _missing_from_splits(summary: CohortSummary, settings: CohortSettings) -> list[str]:
    """What training, choosing a model and measuring it each need, and do not have."""
    healthy_text = settings.domains.healthy_text
    missing = []
    for split in SPLITS:
        texts = {text for (of_split, text), number in summary.slices.items() if of_split == split and number}
        if not summary.patients[split]:
            missing.append(f"no patient is left for {split}")
        elif healthy_text is not None:
            missing += [f"no healthy slice is left for {split}"] if healthy_text not in texts else []
            missing += [f"no diseased slice is left for {split}"] if not texts - {healthy_text} else []
    return missing
