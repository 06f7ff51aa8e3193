"""Further cohorts whose training slices are trained on beside those of the run's own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import TrainingError
from anomaly_fpgan.training.images import checked_labels
from data_prep.cohort import Cohort, open_cohort
from data_prep.dataset import CohortDataset
from data_prep.errors import DataError
from pipelines.errors import UsageError
from pipelines.screen import counted
from pipelines.seen_scans import SEEN_SCANS, describe_scans, held_out_but_seen, some_of

_FREE_PREPARATION = {"foreground", "spacing_mm", "bias_correction", "resample_to_first", "min_foreground_share"}
"""How scans of one kind or another become images that look alike; all else decides how they look."""


def open_also(paths: Sequence[str], cohort: Cohort) -> list[Cohort]:
    """Open the cohorts that are to be trained on beside `cohort`.

    Raises:
        DataError: when one of them cannot be used or lacks training slices of a domain.
        UsageError: when one of them is `cohort` itself, has other domains, was prepared in another way, or trains on a
            validation or test patient of `cohort`.
    """
    return [_checked(open_cohort(Path(path)), cohort) for path in paths]


def _checked(also: Cohort, cohort: Cohort) -> Cohort:
    if also.digest() == cohort.digest():
        raise UsageError(f"{also.path}: is the cohort itself; give another one as `--also`")
    theirs, ours = also.settings, cohort.settings
    if theirs.domains != ours.domains:
        other, own = (", ".join(settings.domains.names) for settings in (theirs, ours))
        raise UsageError(f"{also.path}: its domains are {other}, those of {cohort.path} {own}; label both alike")
    for name in sorted(type(ours.preparation).model_fields.keys() - _FREE_PREPARATION):
        other, own = getattr(theirs.preparation, name), getattr(ours.preparation, name)
        if other != own:
            problem = f"was prepared with `{name}` {other}, {cohort.path} with {own}"
            raise UsageError(f"{also.path}: {problem}; prepare both alike")
    try:
        checked_labels(CohortDataset(also, "train"), DomainScheme(**theirs.domains.model_dump()))
    except TrainingError as error:
        raise DataError(str(error), path=also.path) from error
    seen = held_out_but_seen(cohort, {SEEN_SCANS: {"train": describe_scans(also)["train"]}})
    if seen:
        raise UsageError(
            f"{also.path}: {counted(len(seen), 'validation or test patient')} of {cohort.path} would be trained on "
            f"({some_of(seen)}); leave them out of one of the two, or of the training split with `--split-csv`"
        )
    return also
