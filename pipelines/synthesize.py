"""`fpgan synthesize`: patients of the embedded cohort, in files as BraTS has them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from data_prep.layouts.walk import OUTPUT_MARKER
from data_prep.synthetic import Variant, write_synthetic_patient
from pipelines.output import Existing, claim_output
from pipelines.parallel import for_each
from pipelines.screen import Screen

_MARKER_ASIDE = f"{OUTPUT_MARKER}-synthesize"


def synthesize(
    output: Path,
    *,
    patients: int,
    screen: Screen,
    existing: Existing = Existing.REFUSE,
    variant: Variant = "default",
    seed: int = 0,
    workers: int = 1,
) -> None:
    """Write patients 0 to `patients` − 1 of the cohort `seed` below `output`.

    Raises:
        UsageError: when `output` exists and `existing` does not allow it.
    """
    # `prepare` passes over marked folders. That is right for patients half written, and wrong once all are there.
    marker, aside = output / OUTPUT_MARKER, output / _MARKER_ASIDE
    if existing is Existing.OVERWRITE and aside.is_file():
        aside.replace(marker)
    claim_output(output, existing, command="synthesize")
    write = partial(write_synthetic_patient, output=output, seed=seed, variant=variant)
    with screen.progress("Building", patients) as show:
        for done, (_, outcome) in enumerate(for_each(write, range(patients), workers=workers), start=1):
            if isinstance(outcome, Exception):
                raise outcome
            show(done, "")
    marker.replace(aside)
