"""`fpgan train`: a prepared cohort in, a run out. Masks are never opened here."""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.device import choose_device
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.milestones import CHECKPOINT_FILE, Validate
from anomaly_fpgan.training.run import check_labels
from anomaly_fpgan.training.run import train as train_model
from data_prep.cohort import Cohort, CohortDataset, open_cohort
from data_prep.errors import DataError
from evaluation.difference import difference_map
from evaluation.roc import auc_score, operating_threshold, position_matched_auc
from evaluation.scores import patient_score, slice_scores
from evaluation.translation import same_domain_l1
from pipelines.config import RunConfig, dump_config, load_config
from pipelines.errors import UsageError
from pipelines.output import Existing, claim_output
from pipelines.screen import Screen

CONFIG_FILE = "config.yaml"


def train(
    cohort_path: Path, output: Path, config: RunConfig, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> FixedPointGAN:
    """Train on a cohort's training patients, choosing the model on its validation patients.

    Args:
        cohort_path: what `prepare` wrote.
        output: folder of the run.
        config: the settings; a resumed run keeps its own instead.
        screen: where progress is shown.
        existing: what to do when `output` holds something.

    Raises:
        DataError: when the cohort cannot be used.
        UsageError: when `output` exists and `existing` does not allow it, or the domains of the settings differ from
            the cohort's.
        TrainingError: when a domain has no training slice, or losses became non-finite.
    """
    cohort = open_cohort(cohort_path)
    dataset = CohortDataset(cohort, "train")
    config = _with_domains_of(cohort, config)
    check_labels(dataset, config.training.domains)
    device = choose_device(config.training.device)
    claim_output(output, existing, command="train", inputs=[cohort_path], can_resume=True)
    if existing is Existing.RESUME and (output / CONFIG_FILE).is_file():
        config = load_config(file=output / CONFIG_FILE)
        if config.cohort_digest != cohort.digest():
            raise UsageError(f"{cohort_path}: is not the cohort that this run began with")
    else:
        config = config.model_copy(update={"cohort": str(cohort_path), "cohort_digest": cohort.digest()})
        _write(output / CONFIG_FILE, dump_config(config))
        _write(output / "environment.json", json.dumps(_environment(device), indent=2))
    resume = existing is Existing.RESUME and (output / CHECKPOINT_FILE).is_file()
    settings = config.training
    screen.say(
        f"  {len(dataset)} training slices, {settings.iterations} iterations of {settings.batch_size} images, {device}"
    )
    state = ""

    def validated(iteration: int, numbers: Mapping[str, float]) -> None:
        nonlocal state
        state = f"validation AUC {numbers['auc']:.3f}"
        screen.say(f"  iteration {iteration}: {state}, same-domain L1 {numbers['same_domain_l1']:.4f}")

    with screen.progress("Training", settings.iterations) as show:
        model = train_model(
            dataset,
            settings,
            output=output,
            validate=validation_on(cohort, screen),
            choose_by="auc",
            metadata={
                "preparation": cohort.settings.preparation.model_dump(mode="json"),
                "cohort_digest": config.cohort_digest,
            },
            resume=resume,
            on_iteration=lambda iteration, terms: show(iteration, state),
            on_validation=validated,
        )
    screen.say(f"  kept the model of iteration {model.metadata['training']['iteration']}")
    return model


def validation_on(cohort: Cohort, screen: Screen) -> Validate | None:
    """A function that scores a model on the labeled validation slices, from their domains alone."""
    dataset = CohortDataset(cohort, "validation")
    domains = cohort.settings.domains
    if domains.healthy_text is None:
        screen.warn("none of the domains is the healthy one, so models cannot be scored; the last will be kept")
        return None
    diseased = domains.is_diseased(dataset.rows["domains"])
    if diseased.all() or not diseased.any():  # true of no slice at all, too
        screen.warn("the validation slices do not show both domains; the last model will be kept")
        return None
    images = np.stack([dataset[index][0] for index in range(len(dataset))])
    heights, patients = dataset.rows["height"].to_numpy(), dataset.rows["patient"].to_numpy()
    domain_of = dict(zip(cohort.patients["patient"], cohort.patients["domain"], strict=True))
    known = [name for name in np.unique(patients) if domain_of[name]]
    patient_diseased = domains.is_diseased(domain_of[name] for name in known)

    def validate(model: FixedPointGAN) -> Mapping[str, float]:
        scores = slice_scores(difference_map(images, model.translate(images, "healthy")))
        same = model.translate_labels(images, dataset.domains)
        threshold = patient_threshold = operating_threshold(diseased, scores)
        if patient_diseased.any() and not patient_diseased.all():
            patient_scores = np.array([patient_score(scores[patients == name]) for name in known])
            patient_threshold = operating_threshold(patient_diseased, patient_scores)
        return {
            "auc": auc_score(diseased, scores),
            "auc_position_matched": position_matched_auc(diseased, scores, heights).auc,
            "same_domain_l1": float(same_domain_l1(images, same).mean()),
            "threshold": threshold,
            "patient_threshold": patient_threshold,
        }

    return validate


def _write(path: Path, text: str) -> None:
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


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


def _environment(device: torch.device) -> dict[str, object]:
    names = ("fpgan", "torch", "monai", "pytorch-ignite", "numpy")
    return {
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        **{name: version(name) for name in names},
    }
