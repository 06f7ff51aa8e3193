"""`fpgan prepare`: a BraTS folder in, a prepared cohort out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from data_prep.case import Failure
from data_prep.cohort import Cohort, open_cohort
from data_prep.cohort_writer import finish_cohort, start_cohort, write_failures, write_patient
from data_prep.errors import DataError
from data_prep.layouts.brats import find_brats_cases
from data_prep.patient import CohortSettings
from pipelines.output import Existing, claim_output
from pipelines.parallel import for_each
from pipelines.screen import Screen


@dataclass(frozen=True, kw_only=True)
class PrepareResult:
    """The cohort, None when no patient could be used, and the patients that could not."""

    cohort: Cohort | None
    failures: list[Failure]


def prepare(
    source: Path,
    output: Path,
    settings: CohortSettings,
    *,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    workers: int = 1,
) -> PrepareResult:
    """Prepare every patient below `source`. One that cannot be used lands in `failures.csv`; the others go on.

    Raises:
        DataError: when `source` holds no patient at all, or `output` a cohort of other settings.
        UsageError: when `output` exists and `existing` does not allow it.
    """
    cases, failures = find_brats_cases(source, settings.preparation.channels)
    claim_output(output, existing, command="prepare", inputs=[source], can_resume=True)
    start_cohort(output, settings)
    work = partial(write_patient, settings=settings, output=output)
    usable = []
    with screen.progress("Preparing", len(cases)) as show:
        for done, (case, outcome) in enumerate(for_each(work, cases, workers=workers), start=1):
            if isinstance(outcome, DataError):
                failures.append(Failure(patient=case.patient, reason=str(outcome)))
                screen.warn(f"left out {case.patient}: {outcome}")
            elif isinstance(outcome, Exception):
                raise outcome
            else:
                usable.append(case.patient)
            show(done, "")
    failures.sort(key=lambda failure: failure.patient)
    if not usable:
        write_failures(output / "failures.csv", failures)
        screen.warn("no patient could be used")
        return PrepareResult(cohort=None, failures=failures)
    finish_cohort(output, usable, failures, settings)
    cohort = open_cohort(output)
    _say_what_was_done(cohort, failures, screen)
    return PrepareResult(cohort=cohort, failures=failures)


def _say_what_was_done(cohort: Cohort, failures: list[Failure], screen: Screen) -> None:
    patients, slices = cohort.patients, cohort.slices
    for split in ("train", "validation", "test"):
        domains = cohort.split(split)["domains"]
        screen.say(
            f"  {split:<11}{(patients['split'] == split).sum():>5} patients "
            f"{(domains == 'healthy').sum():>6} healthy and {(domains == 'diseased').sum():>5} diseased slices"
        )
    neither = int((slices["domains"] == "").sum())
    limit = cohort.settings.min_lesion_area_px
    screen.say(f"  {neither} slices with 1 to {limit} px of lesion belong to neither domain and are not trained on")
    screen.say(f"  {int(patients['blank_slices'].sum())} blank slices were discarded")
    cut_off = int(patients["pixels_cut_off"].sum())
    if cut_off:
        screen.say(f"  {cut_off} foreground pixels lie outside the field of view; `patients.csv` says whose")
    if failures:
        screen.warn(f"{len(failures)} patients could not be used; failures.csv says why")
