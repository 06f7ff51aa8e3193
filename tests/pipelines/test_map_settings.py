"""What a run says of maps holds for its thresholds, its evaluations and its reports alike."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from anomaly_fpgan.model import MODEL_FILE, FixedPointGAN
from evaluation.maps import MapSettings
from pipelines.config import load_config
from pipelines.inference import map_settings
from tests.pipelines.mapped import metrics_of

CHOICES = {"gaussian_px": 1.5, "quantization_levels": 3}
SETTINGS = tuple(f"--set=maps.{name}={value}" for name, value in CHOICES.items())


@pytest.fixture(scope="module")
def smooth(fpgan: Callable[..., Any], tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run `tiny` with other maps."""
    run = tmp_path_factory.mktemp("smooth") / "run"
    adopt(fpgan, tiny.cohort, run, tiny.run, *SETTINGS)
    return run


def adopt(fpgan: Callable[..., Any], cohort: Path, run: Path, start: Path, *options: str) -> None:
    result = fpgan("train", cohort, "--output", run, "--preset", "adopt", "--start-from", start, *options)
    assert result.exit_code == 0, result.output


@pytest.fixture(scope="module")
def evaluation(fpgan: Callable[..., Any], tiny: Any, smooth: Path) -> Path:
    """That of the run `smooth`, with no word of maps."""
    result = fpgan("evaluate", smooth, tiny.cohort, "--output", smooth.parent / "evaluation", "--set=resamples=20")
    assert result.exit_code == 0, result.output
    return smooth.parent / "evaluation"


def test_maps_travel_with_the_model_and_to_runs_that_go_on_from_it(
    fpgan: Callable[..., Any], tiny: Any, smooth: Path, tmp_path: Path
) -> None:
    assert map_settings(FixedPointGAN.load(smooth)) == MapSettings(**CHOICES)
    assert load_config(file=smooth / "config.yaml").maps == MapSettings(**CHOICES)
    adopt(fpgan, tiny.cohort, tmp_path / "on", smooth)
    assert map_settings(FixedPointGAN.load(tmp_path / "on")) == MapSettings(**CHOICES)
    adopt(fpgan, tiny.cohort, tmp_path / "plain", smooth, "--set=maps.gaussian_px=0")
    assert map_settings(FixedPointGAN.load(tmp_path / "plain")) == MapSettings(quantization_levels=3)


def test_an_evaluation_makes_maps_as_the_run_says_unless_told_otherwise(
    fpgan: Callable[..., Any], tiny: Any, smooth: Path, evaluation: Path, tmp_path: Path
) -> None:
    as_trained = metrics_of(evaluation)
    assert CHOICES.items() <= as_trained["protocol"].items()
    assert "reports" in as_trained
    result = fpgan("evaluate", smooth, tiny.cohort, "-o", tmp_path / "raw", "--set=resamples=20", "--set=gaussian_px=0")
    assert result.exit_code == 0, result.output
    raw = metrics_of(tmp_path / "raw")
    assert raw["protocol"] == as_trained["protocol"] | {"gaussian_px": 0}
    assert "reports" not in raw  # which smooth
    assert raw["pixels"]["average_precision"] != as_trained["pixels"]["average_precision"]


def test_reports_score_and_show_what_evaluations_measure(
    fpgan: Callable[..., Any], tiny: Any, smooth: Path, evaluation: Path, tmp_path: Path
) -> None:
    measured = pd.read_csv(evaluation / "patients.csv").set_index("patient")["score"]
    patients = [tiny.brats / str(patient) for patient in measured.index]
    result = fpgan("report", smooth, *patients, "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    peaks = {}
    for patient in measured.index:
        folder = tmp_path / "reports" / str(patient)
        report = json.loads((folder / "report.json").read_text())
        assert report["maps"] == MapSettings(**CHOICES).model_dump(mode="json")
        assert report["score"] == pytest.approx(measured[patient], abs=1e-5)
        page = (folder / "report.html").read_text()
        assert "Gaussian filter of 1.5 px" in page
        assert "the highest of 3 levels" in page
        peaks[patient] = np.abs(np.asarray(nib.load(folder / "difference.nii.gz").dataobj)).max()
        assert 0.5 * report["score"] < peaks[patient] <= report["score"] + 1e-4  # enlarging lowers peaks
    plain = fpgan("report", tiny.run, *patients, "--output", tmp_path / "plain")
    assert plain.exit_code == 0, plain.output
    for patient, peak in peaks.items():
        folder = tmp_path / "plain" / str(patient)
        assert np.abs(np.asarray(nib.load(folder / "difference.nii.gz").dataobj)).max() > peak
        page = (folder / "report.html").read_text()
        assert "Gaussian" not in page
        assert "the highest of" not in page


def test_a_channel_that_images_lack_is_refused_before_a_run_begins(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--set=maps.reduction=1")
    assert result.exit_code == 2
    assert "setting `maps.reduction`: must be max, mean or a channel, 0 (flair), got 1" in result.output
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_keeps_its_maps(fpgan: Callable[..., Any], tiny: Any, smooth: Path, tmp_path: Path) -> None:
    shutil.copytree(smooth, tmp_path / "run")
    settings = (smooth / "config.yaml").read_text()
    assert "gaussian_px: 1.5" in settings
    (tmp_path / "run" / "config.yaml").write_text(settings.replace("gaussian_px: 1.5", "gaussian_px: 2.0"))
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--resume")
    assert result.exit_code == 2
    assert f"{tmp_path / 'run'}: began with other maps" in result.output
    assert (tmp_path / "run" / MODEL_FILE).read_bytes() == (smooth / MODEL_FILE).read_bytes()


@pytest.mark.parametrize("maps", [{"sharpen_px": 1}, {"median_px": 2}, [1]])
def test_maps_of_a_newer_version_are_refused(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, maps: Any) -> None:
    model = FixedPointGAN.load(tiny.run, device="cpu")
    model.metadata["maps"] = maps
    run = tmp_path / "run"
    run.mkdir()
    model.save(run / MODEL_FILE)
    commands = (("evaluate", run, tiny.cohort), ("report", run, tiny.brats / "P1"))
    for number, command in enumerate(commands):
        result = fpgan(*command, "--output", tmp_path / str(number))
        assert result.exit_code == 2
        assert f"{run}: its model makes maps in a way that this version does not know" in result.output
        assert not (tmp_path / str(number)).exists()


def test_a_model_that_says_nothing_of_maps_makes_the_patents(tiny: Any) -> None:
    model = FixedPointGAN.load(tiny.run, device="cpu")
    del model.metadata["maps"]
    assert map_settings(model) == MapSettings()
