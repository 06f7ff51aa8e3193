"""Whether a training on a cohort may start from another run."""

from __future__ import annotations

from pathlib import Path

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.images import read_image
from anomaly_fpgan.training.start import read_start
from data_prep.dataset import CohortDataset
from pipelines.errors import UsageError
from pipelines.screen import counted
from pipelines.seen_scans import SEEN_SCANS, held_out_but_seen, some_of


def check_start(run: Path, output: Path, dataset: CohortDataset, config: TrainingConfig) -> None:
    """Raise before anything is written when a training on `dataset` into `output` cannot or may not start from `run`.

    Raises:
        ModelError: when the run cannot be used, or has other channels, domains, networks or image sizes.
        UsageError: when the run is `output` itself, or has seen validation or test patients of the cohort.
    """
    if run.resolve() == output.resolve():
        raise UsageError(f"{run}: a run cannot start from itself; give another folder as `--output`")
    cohort = dataset.cohort
    channels, height, width = read_image(dataset, 0).shape
    origin = read_start(run, config, (channels, height, width)).origin["metadata"]
    if SEEN_SCANS not in origin:
        raise ModelError("does not say which scans it was trained on; start from a run of `fpgan train`", path=run)
    before, now = tuple(origin["preparation"]["channels"]), cohort.settings.preparation.channels
    if before != now:
        problem = f"was trained on the channels {', '.join(before)}; those of {cohort.path} are {', '.join(now)}"
        raise ModelError(f"{problem}; prepare it with the former, in their order (`--channels`)", path=run)
    seen = held_out_but_seen(cohort, origin)
    if seen:
        raise UsageError(
            f"{run}: has seen {counted(len(seen), 'validation or test patient')} of {cohort.path} ({some_of(seen)}); "
            "put them into its training split with `fpgan prepare --split-csv`, or start from another run"
        )
