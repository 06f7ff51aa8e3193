"""`fpgan combine`: runs that differ in their seeds in, a run with the mean of their models out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.cohort import open_cohort
from data_prep.errors import DataError
from pipelines.config import ValidationSettings
from pipelines.errors import UsageError
from pipelines.inference import MAPS, digest_of, map_settings
from pipelines.input_range import INPUTS
from pipelines.output import Existing, claim_output
from pipelines.screen import Screen
from pipelines.seen_scans import COMBINED, SEEN_SCANS
from pipelines.validation import validation_on

_SHARED = ("preparation", "cohort_digest", MAPS, INPUTS, SEEN_SCANS)
"""What models of one cohort say alike of themselves."""


def combine(
    cohort_path: Path, runs: Sequence[Path], output: Path, *, screen: Screen, existing: Existing = Existing.REFUSE
) -> FixedPointGAN:
    """Average the translations of several runs' models; thresholds are taken on the cohort's validation patients.

    The mean is evaluated, and reports, like any other run. What one run has made up is divided by their number. Masks
    are never opened here.

    Args:
        cohort_path: the cohort that the runs were trained on.
        runs: two or more that `train` wrote, with the same networks, precision and maps.
        output: folder of the new run; it holds a model alone.
        screen: where progress is shown.
        existing: what to do when `output` holds something.

    Raises:
        DataError: when the cohort cannot be used, or a run was trained on another one.
        ModelError: when a run has no usable model, differs from the first, or is a mean itself.
        UsageError: when `output` exists and `existing` does not allow it, fewer than two runs are given, or one twice.
    """
    if len({run.resolve() for run in runs}) < max(2, len(runs)):
        raise UsageError("give two runs or more, each once")
    cohort = open_cohort(cohort_path)
    digest = cohort.digest()
    models = [FixedPointGAN.load(run) for run in runs]
    for run, model in zip(runs, models, strict=True):
        if model.metadata.get("cohort_digest") != digest:
            raise DataError(f"is not the cohort that {run} was trained on", path=cohort_path)
        _check_likeness(run, model, runs[0], models[0])
    # Nothing is chosen here, so nothing need be said of how.
    measured = validation_on(cohort, ValidationSettings(choose_by="last"), screen, maps=map_settings(models[0]))
    if measured is None:
        screen.warn("the validation slices do not show both domains; the mean has no thresholds to report with")
    claim_output(output, existing, command="combine", inputs=[cohort_path, *runs])
    shared = {name: models[0].metadata[name] for name in _SHARED if name in models[0].metadata}
    origins = [{"sha256": digest_of(run), "metadata": own.metadata} for run, own in zip(runs, models, strict=True)]
    mean = FixedPointGAN.combine(models, {**shared, COMBINED: origins})
    with screen.progress("Scoring the mean on validation patients", 1) as show:
        numbers = measured.score(mean) if measured else {}
        show(1, "")
    trainings = [model.metadata["training"] for model in models]
    mean.metadata["training"] = {"iteration": " + ".join(str(own["iteration"]) for own in trainings), **numbers}
    mean.save(output / MODEL_FILE)
    if all("auc" in own for own in (numbers, *trainings)):
        alone = ", ".join(f"{own['auc']:.3f}" for own in trainings)
        screen.say(f"  validation AUC {numbers['auc']:.3f}; the runs alone had {alone}")
    return mean


def _check_likeness(run: Path, model: FixedPointGAN, first_run: Path, first: FixedPointGAN) -> None:
    if model.members > 1:
        raise ModelError("is a mean of runs itself; give those", path=run)
    for name, own, other in (
        ("networks", model.networks, first.networks),
        ("precision", model.precision, first.precision),
        ("maps", map_settings(model, run), map_settings(first, first_run)),
    ):
        if own != other:
            raise ModelError(f"has other {name} than {first_run}; give runs that were trained alike", path=run)
