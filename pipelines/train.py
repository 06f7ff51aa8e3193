"""`fpgan train`: a prepared cohort in, a run out. Masks are never opened here.

Under `torchrun`, `torchrun --nproc_per_node=4 -m pipelines.train COHORT --output RUN` trains in several processes.
"""

from __future__ import annotations

import json
import platform
import shlex
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch

from anomaly_fpgan.atomic import write_text_atomically
from anomaly_fpgan.device import choose_device
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import TrainingStopped
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from anomaly_fpgan.training.checkpoint import CHECKPOINT_FILE
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.images import checked_labels
from anomaly_fpgan.training.processes import Processes, joined
from anomaly_fpgan.training.run import check_batch_size
from anomaly_fpgan.training.run import train as train_model
from anomaly_fpgan.training.together import Together
from data_prep.cohort import Cohort, open_cohort
from data_prep.dataset import CohortDataset
from data_prep.errors import DataError
from pipelines.also import open_also
from pipelines.config import CONFIG_FILE, RunConfig, dump_config, load_config
from pipelines.errors import UsageError
from pipelines.inference import MAPS, check_reduction, map_settings
from pipelines.input_range import INPUTS, describe_inputs
from pipelines.operating_point import is_near_guessing
from pipelines.output import Existing, claim_output
from pipelines.screen import Screen, counted
from pipelines.seen_scans import SEEN_SCANS, describe_scans
from pipelines.start import check_start
from pipelines.training_display import TrainingDisplay
from pipelines.validation import validation_on


def train(
    cohort_path: Path, output: Path, config: RunConfig, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> FixedPointGAN:
    """Train on a cohort's training patients, choosing the model on its validation patients.

    Training patients of further cohorts, `config.also`, train as often; their other patients are left aside.

    Args:
        cohort_path: what `prepare` wrote.
        output: folder of the run.
        config: the settings; a resumed run keeps its own instead.
        screen: where progress is shown; of several processes, only one should have one that is not mute.
        existing: what to do when `output` holds something.

    Raises:
        DataError: when the cohort cannot be used.
        UsageError: when `output` exists and `existing` does not allow it or its settings are lost, the domains of the
            settings differ from the cohort's, maps are to show a channel that it lacks, or are not those that a resumed
            run began with, a further cohort differs from it, or a further cohort or the run to start from has patients
            that are to choose or to test this one.
        ModelError: when the run to start from cannot be used, or has other channels, domains, networks or image sizes.
        TrainingError: when a domain has no training slice, or the processes cannot share a batch.
        NonFiniteLossError: when too many losses became non-finite.
        MemoryLimitError: when the device has not enough memory.
        TrainingStopped: after Ctrl-C or SIGTERM, with the command that goes on.
    """
    cohort = open_cohort(cohort_path)
    config, also = _settings(cohort, output, config, resumes=existing is Existing.RESUME)
    settings = config.training
    dataset, *others = (
        CohortDataset(own, "train", neighbor_mm=settings.networks.neighbor_mm) for own in (cohort, *also)
    )
    checked_labels(dataset, settings.domains)  # before a folder is claimed
    check_reduction(config.maps, cohort, "maps.reduction")
    resumes = existing is Existing.RESUME and (output / CHECKPOINT_FILE).is_file()
    if config.start_from is not None and not resumes:
        check_start(config.start_from, output, dataset, settings)
    inputs = describe_inputs(cohort)
    device = choose_device(settings.device)
    with joined(device) as processes:
        check_batch_size(settings, processes)
        validation = validation_on(cohort, config.validation, screen, maps=config.maps)
        _claim(cohort, output, config, existing, device, processes)
        screen.say(
            f"  {' and as often '.join(map(_size, (dataset, *others)))}, "
            f"{settings.iterations} iterations of {settings.batch_size} images, {_where(device, processes)}"
        )
        with screen.progress("Training", settings.iterations) as show:
            display = TrainingDisplay(screen)
            try:
                model = train_model(
                    Together([dataset, *others], settings.domains) if others else dataset,
                    settings,
                    output=output,
                    validate=validation.score if validation else None,
                    choose_by=validation.choose_by if validation else None,
                    metadata={
                        "preparation": cohort.settings.preparation.model_dump(mode="json"),
                        "cohort_digest": config.cohort_digest,
                        MAPS: config.maps.model_dump(mode="json"),
                        INPUTS: inputs.model_dump(mode="json"),
                        SEEN_SCANS: describe_scans(cohort, also),
                    },
                    start_from=config.start_from,
                    resume=resumes,
                    on_estimate=display.estimate,
                    on_iteration=lambda iteration: show(iteration, display.state),
                    on_row=display.row,
                )
            except TrainingStopped as stopped:
                start = ["fpgan", "train"]
                if processes.count > 1:
                    start = ["torchrun", f"--nproc_per_node={processes.on_this_machine}", "-m", "pipelines.train"]
                command = shlex.join([*start, str(cohort_path), "--output", str(output), "--resume"])
                raise TrainingStopped(f"{stopped} and saved; go on with: {command}") from stopped
        chosen = model.metadata["training"]
        screen.say(f"  kept the model of iteration {chosen['iteration']}")
        if is_near_guessing(chosen):
            screen.warn(
                f"its validation AUC is {chosen['auc']:.3f}, and guessing has 0.5: it has hardly learned to tell "
                "healthy from diseased slices; train longer, or let the critic begin alone (`training.critic_warmup`)"
            )
    return model


def _settings(cohort: Cohort, output: Path, config: RunConfig, *, resumes: bool) -> tuple[RunConfig, list[Cohort]]:
    """The settings of the run, of which a resumed one keeps its own, and the further cohorts that they name."""
    if resumes and (output / CONFIG_FILE).is_file():
        config = load_config(file=output / CONFIG_FILE)
        kept = FixedPointGAN.load(output, device="cpu") if (output / MODEL_FILE).is_file() else None
        if kept and map_settings(kept, output) != config.maps:
            problem = f"{output}: began with other maps, by which its models were chosen"
            raise UsageError(f"{problem}; give `maps` in its {CONFIG_FILE} their former values")
        also = open_also(config.also, cohort)
        began_with = (config.cohort_digest, *config.also_digests)
        for own, digest in zip((cohort, *also), began_with, strict=True):
            if own.digest() != digest:
                raise UsageError(f"{own.path}: is not the cohort that this run began with")
        return config, also
    if resumes and (output / CHECKPOINT_FILE).is_file():
        raise UsageError(f"{output}: has lost its {CONFIG_FILE}; copy it there again, or train into another folder")
    also = open_also(config.also, cohort)
    update = {
        "cohort": str(cohort.path),
        "cohort_digest": cohort.digest(),
        "also_digests": tuple(own.digest() for own in also),
    }
    return _with_domains_of(cohort, config).model_copy(update=update), also


def _claim(
    cohort: Cohort, output: Path, config: RunConfig, existing: Existing, device: torch.device, processes: Processes
) -> None:
    """The first process makes the folder of the run its own; the others wait until it has."""
    done = ""
    try:
        if processes.is_first:
            inputs = [cohort.path, *map(Path, config.also), *([config.start_from] if config.start_from else [])]
            claim_output(output, existing, command="train", inputs=inputs, can_resume=True)
            if not (output / CONFIG_FILE).is_file():
                write_text_atomically(output / CONFIG_FILE, dump_config(config))
                environment = json.dumps(_environment(device, processes), indent=2)
                write_text_atomically(output / "environment.json", environment)
            done = "done"
    finally:
        done = processes.tell(done)
    if not done:
        raise SystemExit(2)  # the first process has said why


def _size(dataset: CohortDataset) -> str:
    return f"{len(dataset)} training slices of {counted(len(set(dataset.patients)), 'patient')}"


def _where(device: torch.device, processes: Processes) -> str:
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"CPU, {counted(torch.get_num_threads(), 'thread')}"
    )
    return name if processes.count == 1 else f"{processes.count} processes, each on {name}"


def _with_domains_of(cohort: Cohort, config: RunConfig) -> RunConfig:
    """The cohort knows its domains; settings that name others, as a preset may, were meant for other data."""
    theirs = DomainScheme(**cohort.settings.domains.model_dump())
    if theirs.exclusive and len(theirs) < 2:
        problem = f"all its slices are {theirs.names[0]}; training needs slices of another domain too"
        raise DataError(problem, path=cohort.path)
    wanted = config.training.domains
    if wanted not in (TrainingConfig().domains, theirs):
        problem = (
            f"the settings ask for the domains {', '.join(wanted.names)}; the cohort has {', '.join(theirs.names)}"
        )
        raise UsageError(problem)
    return config.model_copy(update={"training": config.training.model_copy(update={"domains": theirs})})


def _environment(device: torch.device, processes: Processes) -> dict[str, object]:
    names = ("fpgan", "torch", "monai", "pytorch-ignite", "numpy")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "processes": processes.count,
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in names},
    }


if __name__ == "__main__":
    from pipelines.cli import app

    app(["train", *sys.argv[1:]])
