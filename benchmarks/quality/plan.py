"""What has to be trained and measured, in an order in which whatever is needed is there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from anomaly_fpgan.training.config import TrainingConfig
from benchmarks.quality.configuration import ENSEMBLE_SEEDS_APART, Configuration
from benchmarks.quality.data import Fold
from benchmarks.quality.digest import digest_of, source_of

_WITHOUT_EFFECT = {
    "device",
    "compile",
    "images_on_device",
    "loader_workers",
    "tensorboard",
    "mlflow",
    "log_every",
    "checkpoint_minutes",
}


@dataclass(frozen=True, kw_only=True)
class Training:
    """One training; several configurations may evaluate it.

    `start` is the one with whose weights it begins; the training patients of `also` train, too.
    """

    fold: Fold
    also: Fold | None = None
    config: TrainingConfig
    start: Training | None

    @cached_property
    def digest(self) -> str:
        """Changes with all that decides the weights, but for the product's own code."""
        settings = self.config.model_dump_json(exclude=_WITHOUT_EFFECT)
        start = self.start.digest if self.start else ""
        also = [self.also.cohort.digest()] if self.also else []
        return digest_of(self.fold.cohort.digest(), settings, start, *also)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One configuration with a seed on a fold: what a result file is written of."""

    configuration: Configuration
    seed: int
    trainings: tuple[Training, ...]

    @property
    def fold(self) -> Fold:
        """Of all its trainings."""
        return self.trainings[0].fold

    @cached_property
    def digest(self) -> str:
        """Changes with all that decides the result."""
        own = self.configuration
        protocol = json.dumps(own.evaluation_protocol().model_dump(mode="json"), sort_keys=True)
        return digest_of(*(one.digest for one in self.trainings), protocol, own.choose_by, source_of(own.wrap))

    def __str__(self) -> str:
        fold = f" fold {self.fold.number}" if self.fold.data.variant is None else ""
        return f"{self.fold.data.name}{fold} {self.configuration.name} seed {self.seed}"


@dataclass(frozen=True, kw_only=True)
class Store:
    """The folders of results and of trainings."""

    results: Path
    trainings: Path

    def result(self, run: Run) -> Path:
        """The file of a run."""
        name = f"{run.configuration.name}-fold{run.fold.number}-seed{run.seed}.json"
        return self.results / run.fold.data.name / name

    def has_result(self, run: Run) -> bool:
        """Whether the file is there, and of just this configuration on just these data."""
        path = self.result(run)
        return path.is_file() and json.loads(path.read_text(encoding="utf-8"))["digest"] == run.digest

    def training(self, training: Training) -> Path:
        """The folder of a training."""
        return self.trainings / training.digest

    def has_training(self, training: Training) -> bool:
        """Whether it came to its end."""
        return (self.training(training) / "record.json").is_file()

    def has_start(self, training: Training) -> bool:
        """Whether others can begin with its weights."""
        return self.has_training(training) and (self.training(training) / "critic.safetensors").is_file()


@dataclass(kw_only=True)
class Job:
    """What one process does: a training, unless it is there already, and the runs that need no other one.

    Without `training` all that the runs need is there. `is_start`: others begin with its weights.
    """

    training: Training | None
    runs: list[Run] = field(default_factory=list)
    is_start: bool = False

    def __str__(self) -> str:
        if self.runs:
            return ", ".join(map(str, self.runs))
        assert self.training is not None
        return f"training on {self.training.fold.data.name} with seed {self.training.config.seed}"


def make_run(
    configuration: Configuration, fold: Fold, start_fold: Fold | None, seed: int, *, also: Fold | None = None
) -> Run:
    """A run with all its trainings; `start_fold` and `also` are what `pretrained_on` and `also` name, if they do."""

    def training(own_seed: int) -> Training:
        start = None
        if start_fold:
            start = Training(fold=start_fold, config=configuration.first_config(own_seed), start=None)
        return Training(fold=fold, also=also, config=configuration.training_config(own_seed), start=start)

    seeds = [seed + ENSEMBLE_SEEDS_APART * member for member in range(configuration.ensemble)]
    return Run(
        configuration=configuration,
        seed=seed,
        trainings=tuple(training(own) for own in seeds),
    )


def stages(runs: Iterable[Run], store: Store) -> list[Sequence[Job]]:
    """What is still to be done: trainings to begin with, trainings with their runs, runs of several trainings.

    Jobs of a stage are independent of each other and need those of the stages before.
    """
    pending = [run for run in runs if not store.has_result(run)]
    starts, trainings = dict[str, Job](), dict[str, Job]()
    for run in pending:
        for training in run.trainings:
            if not store.has_training(training):
                trainings.setdefault(training.digest, Job(training=training))
                if training.start and not store.has_start(training.start):
                    starts[training.start.digest] = Job(training=training.start, is_start=True)
        if len(run.trainings) == 1:
            trainings.setdefault(run.trainings[0].digest, Job(training=run.trainings[0])).runs.append(run)
    several = [Job(training=None, runs=[run]) for run in pending if len(run.trainings) > 1]
    return [list(starts.values()), list(trainings.values()), several]
