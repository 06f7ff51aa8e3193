"""`fpgan combine`: several runs in, a run with the mean of their models out. Masks are never opened here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.cohort import open_cohort
from data_prep.errors import DataError
from pipelines.config import ValidationSettings
from pipelines.errors import UsageError
from pipelines.inference import MAPS, map_settings, model_preparation
from pipelines.input_range import INPUTS, describe_inputs
from pipelines.output import Existing, claim_output
from pipelines.screen import Screen
from pipelines.seen_scans import COMBINED, SEEN_SCANS, check_held_out, describe_scans
from pipelines.validation import validation_on


def combine(
    cohort_path: Path, runs: Sequence[Path], output: Path, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> FixedPointGAN:
    """Average the translations of several runs' models; thresholds are taken on the cohort's validation patients.

    The mean is evaluated, and reports, like any other run. What one run has made up is divided by their number.

    Args:
        cohort_path: what `prepare` wrote; the runs were trained on it, or on others prepared like it.
        runs: two or more that `train` wrote, with the same networks and maps.
        output: folder of the new run.
        screen: where progress is shown.
        existing: what to do when `output` holds something.

    Raises:
        DataError: when the cohort cannot be used, or was prepared or labeled differently.
        ModelError: when a run has no usable model, differs from the first in networks or maps, or is a mean itself.
        UsageError: when `output` exists and `existing` does not allow it, fewer than two runs are given or one of them
            twice, or one has seen validation or test patients of the cohort.
    """
    if len({run.resolve() for run in runs}) < max(2, len(runs)):
        raise UsageError("give two runs or more, each once")
    cohort = open_cohort(cohort_path)
    domains = DomainScheme(**cohort.settings.domains.model_dump())
    models = [FixedPointGAN.load(run) for run in runs]
    for run, model in zip(runs, models, strict=True):
        _check_likeness(run, model, runs[0], models[0])
        if model.domains != domains or model_preparation(model, run) != cohort.settings.preparation:
            raise DataError(f"was prepared or labeled differently from the images of {run}", path=cohort_path)
        check_held_out(cohort, run, model.metadata)
    maps = map_settings(models[0], runs[0])
    validation = validation_on(cohort, ValidationSettings(), screen, maps=maps)
    claim_output(output, existing, command="combine", inputs=[cohort_path, *runs])
    mean = FixedPointGAN.combine(
        models,
        {
            "preparation": cohort.settings.preparation.model_dump(mode="json"),
            "cohort_digest": cohort.digest(),
            MAPS: maps.model_dump(mode="json"),
            INPUTS: describe_inputs(cohort).model_dump(mode="json"),
            SEEN_SCANS: {**describe_scans(cohort), "train": []},  # what they were trained on, its runs know
            COMBINED: [model.metadata for model in models],
        },
    )
    with screen.console.status("Scoring the mean on validation patients"):
        numbers = validation.score(mean) if validation else {}
    iterations = " + ".join(str(model.metadata["training"]["iteration"]) for model in models)
    mean.metadata["training"] = {"iteration": iterations, **numbers}
    mean.save(output / MODEL_FILE)
    if "auc" in numbers:
        alone = ", ".join(f"{model.metadata['training'].get('auc', float('nan')):.3f}" for model in models)
        screen.say(f"  validation AUC {numbers['auc']:.3f}; when they were trained, the runs had {alone}")
    return mean


def _check_likeness(run: Path, model: FixedPointGAN, first_run: Path, first: FixedPointGAN) -> None:
    if model.members > 1:
        raise ModelError("is a mean of runs itself; give those", path=run)
    for name, own, other in (
        ("networks", model.networks, first.networks),
        ("maps", map_settings(model, run), map_settings(first, first_run)),
    ):
        if own != other:
            raise ModelError(f"has other {name} than {first_run}; give runs that were trained alike", path=run)
