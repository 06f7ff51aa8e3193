"""`fpgan combine`: the mean of runs is a run, with thresholds of its own, and knows what each of them has seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from data_prep.cohort import open_cohort
from evaluation.maps import MapSettings
from pipelines.config import ValidationSettings
from pipelines.inference import digest_of
from pipelines.screen import Screen
from pipelines.seen_scans import COMBINED, SEEN_SCANS, seen_before
from pipelines.validation import validation_on
from tests.pipelines.mapped import metrics_of


@pytest.fixture(scope="module")
def second(
    fpgan: Callable[..., Any], tiny: Any, tmp_path_factory: pytest.TempPathFactory, tiny_training: list[str]
) -> Path:
    """A run like `tiny`'s with another seed."""
    run = tmp_path_factory.mktemp("second") / "run"
    succeed(fpgan("train", tiny.cohort, "--output", run, *tiny_training, "--set=training.seed=1"))
    return run


@pytest.fixture(scope="module")
def mean(fpgan: Callable[..., Any], tiny: Any, second: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("mean") / "run"
    result = succeed(fpgan("combine", tiny.cohort, tiny.run, second, "--output", run))
    assert "validation AUC" in result.output
    return run


def succeed(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def refused(result: Any) -> str:
    """The one line that says why."""
    assert result.exit_code == 2, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("fpgan: ")]
    return line.removeprefix("fpgan: ")


def test_a_mean_translates_as_its_runs_do_on_average(tiny: Any, second: Path, mean: Path) -> None:
    cohort = open_cohort(tiny.cohort)
    images = np.asarray(cohort.images("P1"), np.float32)
    one, other = (FixedPointGAN.load(run).translate(images) for run in (tiny.run, second))
    np.testing.assert_allclose(FixedPointGAN.load(mean).translate(images), (one + other) / 2, atol=1e-6)
    assert np.abs(one - other).max() > 0.01


def test_its_thresholds_are_those_of_the_mean(tiny: Any, mean: Path) -> None:
    model = FixedPointGAN.load(mean)
    training = model.metadata["training"]
    validation = validation_on(open_cohort(tiny.cohort), ValidationSettings(), Screen(mute=True), maps=MapSettings())
    assert validation is not None
    assert {"iteration": training["iteration"], **validation.score(model)} == pytest.approx(training, nan_ok=True)
    alone = [FixedPointGAN.load(tiny.run).metadata["training"][name] for name in ("threshold", "auc")]
    assert [training[name] for name in ("threshold", "auc")] != alone


def test_a_mean_is_evaluated_and_reports_like_any_run(
    fpgan: Callable[..., Any], tiny: Any, mean: Path, tmp_path: Path
) -> None:
    succeed(fpgan("evaluate", mean, tiny.cohort, "-o", tmp_path / "evaluation", "--set=resamples=20"))
    metrics = metrics_of(tmp_path / "evaluation")
    assert metrics["slices"]["auc"] != metrics_of(tiny.evaluation)["slices"]["auc"]
    assert metrics["reports"]["patient_threshold"] is not None
    measured = pd.read_csv(tmp_path / "evaluation" / "patients.csv").set_index("patient")["score"]
    patient = str(measured.index[0])
    succeed(fpgan("report", mean, tiny.brats / patient, "--output", tmp_path / "reports"))
    report = json.loads((tmp_path / "reports" / patient / "report.json").read_text())
    assert report["score"] == pytest.approx(measured[patient], abs=1e-5)
    assert report["model"]["iteration"] == FixedPointGAN.load(mean).metadata["training"]["iteration"]


def test_what_each_run_has_seen_stays_known(tiny: Any, second: Path, mean: Path) -> None:
    metadata = FixedPointGAN.load(mean).metadata
    assert len(metadata[COMBINED]) == 2
    assert [origin["sha256"] for origin in metadata[COMBINED]] == [digest_of(run) for run in (tiny.run, second)]
    (scan, *_) = metadata[SEEN_SCANS]["train"]
    own = {SEEN_SCANS: {"train": [], "validation": []}}
    assert seen_before([scan], own) == []
    origins = [{"metadata": own}, {"metadata": {SEEN_SCANS: {"train": [scan]}}}]
    assert len(seen_before([scan], {**own, COMBINED: origins})) == 1


def test_runs_that_have_no_mean_are_named(
    fpgan: Callable[..., Any], tiny: Any, second: Path, mean: Path, tmp_path: Path
) -> None:
    def combine(*runs: Path) -> str:
        line = refused(fpgan("combine", tiny.cohort, *runs, "--output", tmp_path / "out"))
        assert not (tmp_path / "out").exists()
        return line

    for runs in ((tiny.run,), (tiny.run, tiny.run), (tiny.run, second, tiny.run / ".." / "run")):
        assert combine(*runs) == "give two runs or more, each once"
    assert combine(tiny.run, mean) == f"{mean}: is a mean of runs itself; give those"
    assert combine(tiny.run, tmp_path).startswith(f"{tmp_path}: holds no {MODEL_FILE}")
    for name, setting in (
        ("networks", "training.networks.mirror_averaging=true"),
        ("precision", "training.precision=bfloat16"),
        ("maps", "maps.median_px=3"),
    ):
        adopt = ("--preset", "adopt", "--start-from", second, f"--set={setting}")
        succeed(fpgan("train", tiny.cohort, "--output", tmp_path / name, *adopt))
        assert combine(tiny.run, tmp_path / name).startswith(f"{tmp_path / name}: has other {name} than {tiny.run}; ")


def test_a_cohort_that_runs_were_not_made_for_is_refused(
    fpgan: Callable[..., Any], tiny: Any, second: Path, tmp_path: Path
) -> None:
    def combine(cohort: Path) -> str:
        return refused(fpgan("combine", cohort, tiny.run, second, "--output", tmp_path / "out"))

    succeed(fpgan("prepare", tiny.brats, "-o", tmp_path / "other", "--size", 32, "--field-of-view-mm", 120))
    assert combine(tmp_path / "other") == f"{tmp_path / 'other'}: is not the cohort that {tiny.run} was trained on"


def test_an_existing_run_is_kept(
    fpgan: Callable[..., Any], tiny: Any, second: Path, mean: Path, tmp_path: Path
) -> None:
    shutil.copytree(mean, tmp_path / "run")
    before = (mean / MODEL_FILE).read_bytes()
    command = ("combine", tiny.cohort, second, tiny.run, "--output", tmp_path / "run")
    assert "already exists" in refused(fpgan(*command))
    assert (tmp_path / "run" / MODEL_FILE).read_bytes() == before
    succeed(fpgan(*command, "--overwrite"))
    assert (tmp_path / "run" / MODEL_FILE).read_bytes() != before
