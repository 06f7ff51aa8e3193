"""A run whose networks see neighboring slices, from training to reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import open_cohort
from data_prep.neighbors import neighbors_in
from evaluation.difference import difference_map
from evaluation.scores import slice_scores
from tests.pipelines.mapped import metrics_of

NEIGHBORS = "--set=training.networks.neighbor_mm=4"


def succeed(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def run(
    fpgan: Callable[..., Any], tiny: Any, tmp_path_factory: pytest.TempPathFactory, tiny_training: list[str]
) -> Path:
    """A run like `tiny`'s that sees neighbors."""
    run = tmp_path_factory.mktemp("neighbors") / "run"
    succeed(fpgan("train", tiny.cohort, "--output", run, *tiny_training, NEIGHBORS))
    return run


def test_validation_evaluation_and_report_see_the_same_neighbors(
    fpgan: Callable[..., Any], tiny: Any, run: Path, tmp_path: Path
) -> None:
    succeed(fpgan("evaluate", run, tiny.cohort, "-o", tmp_path / "evaluation", "--set=resamples=20"))
    model, cohort = FixedPointGAN.load(run), open_cohort(tiny.cohort)
    table = pd.read_csv(tmp_path / "evaluation" / "slices.csv")
    patient = str(table["patient"].iloc[0])
    images = np.asarray(cohort.images(patient), np.float32)
    neighbors = neighbors_in(cohort, patient, 4.0)
    assert (neighbors[1:-1, 0] < neighbors[1:-1, 1]).all()
    scores = slice_scores(difference_map(images, model.translate(images, neighbors=neighbors)))
    alone = neighbors[:, [1, 1, 1]]
    assert np.abs(scores - slice_scores(difference_map(images, model.translate(images, neighbors=alone)))).max() > 1e-4
    np.testing.assert_allclose(table[table["patient"] == patient].sort_values("row")["score"], scores, atol=1e-5)
    succeed(fpgan("report", run, tiny.brats / patient, "--output", tmp_path / "reports"))
    report = json.loads((tmp_path / "reports" / patient / "report.json").read_text())
    assert report["score"] == pytest.approx(scores.max(), abs=1e-5)
    training, metrics = model.metadata["training"], metrics_of(tmp_path / "evaluation")
    assert metrics["slices"]["threshold"] == pytest.approx(training["threshold"], abs=1e-5)  # both from validation


def test_sample_pictures_show_the_middle_slice(run: Path, tiny: Any) -> None:
    with_neighbors, without = (np.asarray(Image.open(min((own / "samples").iterdir()))) for own in (run, tiny.run))
    assert with_neighbors.shape == without.shape
    inputs = without.shape[1] // 4
    assert without[:, :inputs].std() > 10
    assert (with_neighbors[:, :inputs] == without[:, :inputs]).all()


def test_a_run_without_neighbors_is_no_start_for_one_with(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    result = fpgan("train", tiny.cohort, "-o", tmp_path / "run", "--preset=adopt", "--start-from", tiny.run, NEIGHBORS)
    assert result.exit_code == 2, result.output
    assert "was trained with `networks.neighbor_mm` 0.0, not 4.0" in " ".join(result.output.split())
    assert not (tmp_path / "run").exists()


def test_pictures_have_no_neighbors(fpgan: Callable[..., Any], tmp_path: Path, tiny_training: list[str]) -> None:
    random = np.random.default_rng(0)
    for domain in ("healthy", "diseased"):
        for number in range(8):
            path = tmp_path / "pictures" / domain / f"{domain}{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(random.integers(1, 255, (32, 32), np.uint8)).save(path)
    whole = ("--size=32", "--field-of-view-mm=whole")
    succeed(fpgan("prepare", tmp_path / "pictures", "-o", tmp_path / "cohort", *whole))
    cohort = open_cohort(tmp_path / "cohort")
    assert all(neighbors_in(cohort, name, 4.0).tolist() == [[0, 0, 0]] for name in cohort.patients["patient"])
    succeed(fpgan("train", tmp_path / "cohort", "-o", tmp_path / "run", *tiny_training, NEIGHBORS))
    succeed(fpgan("evaluate", tmp_path / "run", tmp_path / "cohort", "-o", tmp_path / "out", "--set=resamples=20"))
