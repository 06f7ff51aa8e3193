"""`fpgan train --also`: further cohorts train, too; what differs or would spoil a test is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import open_cohort

SMALL = ["--size", 32, "--field-of-view-mm", 110]


def succeed(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def run(fpgan: Callable[..., Any], tiny: Any, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on both."""
    path = tmp_path_factory.mktemp("also") / "run"
    settings = ["--config", tiny.run / "config.yaml", "--also", prepared]
    result = succeed(fpgan("train", tiny.cohort, "--output", path, *settings))
    own, further = (open_cohort(cohort).split("train")["patient"].nunique() for cohort in (tiny.cohort, prepared))
    assert f"of {own} patients and as often " in result.output
    assert f"of {further} patients, " in result.output
    return path


def test_the_run_records_the_other_cohort_and_can_be_repeated(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, run: Path, tmp_path: Path
) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["also"] == [str(prepared)]
    assert config["also_digests"] == [open_cohort(prepared).digest()]
    succeed(fpgan("train", tiny.cohort, "-o", tmp_path / "again", "--config", run / "config.yaml"))
    again = (tmp_path / "again" / "model.safetensors").read_bytes()
    assert again == (run / "model.safetensors").read_bytes()
    assert again != (tiny.run / "model.safetensors").read_bytes()


def test_slices_at_the_same_height_are_drawn_from_both(
    fpgan: Callable[..., Any], tiny: Any, run: Path, tmp_path: Path
) -> None:
    settings = ["--config", run / "config.yaml", "--set", "training.height_tolerance=0.05"]
    succeed(fpgan("train", tiny.cohort, "-o", tmp_path / "matched", *settings))
    assert yaml.safe_load((tmp_path / "matched" / "config.yaml").read_text())["training"]["height_tolerance"] == 0.05
    matched = (tmp_path / "matched" / "model.safetensors").read_bytes()
    assert matched != (run / "model.safetensors").read_bytes()


def test_a_resumed_run_trains_on_both(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, run: Path, tmp_path: Path
) -> None:
    shutil.copytree(run, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"]["iterations"] += 2
    path.write_text(yaml.safe_dump(config))
    result = succeed(fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--resume"))
    assert "and as often" in result.output
    path.write_text(yaml.safe_dump(config | {"also_digests": ["another"]}))
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--resume")
    assert result.exit_code == 2
    assert f"{prepared}: is not the cohort that this run began with" in result.output


def test_reports_know_the_training_patients_of_both_and_no_others(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, run: Path, tmp_path: Path
) -> None:
    table = pd.read_csv(prepared / "patients.csv")
    trained, chosen = (table.loc[table["split"] == split, "patient"].iloc[0] for split in ("train", "validation"))
    inputs = [prepared.parent / "brats" / trained, prepared.parent / "brats" / chosen]
    succeed(fpgan("report", run, *inputs, "--output", tmp_path / "reports"))
    warned = [
        any("was trained on this scan" in warning for warning in json.loads(path.read_text())["warnings"])
        for path in (tmp_path / "reports" / name / "report.json" for name in (trained, chosen))
    ]
    assert warned == [True, False]
    succeed(fpgan("evaluate", run, tiny.cohort, "--output", tmp_path / "evaluation"))


def test_what_is_reported_is_held_against_the_own_patients(tiny: Any, run: Path) -> None:
    metadata = FixedPointGAN.load(run).metadata
    assert metadata["cohort_digest"] == open_cohort(tiny.cohort).digest()
    assert metadata["inputs"] == FixedPointGAN.load(tiny.run).metadata["inputs"]


def test_cohorts_that_do_not_go_together_are_refused(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, tiny_training: list[str], tmp_path: Path
) -> None:
    larger, healthy, spoiled = (tmp_path / name for name in ("larger", "healthy", "spoiled"))
    succeed(fpgan("prepare", prepared.parent / "brats", "--output", larger, "--size", 48, "--field-of-view-mm", 110))
    for name in ("T0", "T3"):
        shutil.copytree(prepared.parent / "brats" / name, tmp_path / "brats" / name)
    table = pd.read_csv(tiny.cohort / "patients.csv")
    held_out = table.loc[table["split"] == "test", "patient"].tolist()
    lines = ["patient,split", *(f"{name},train" for name in held_out)]
    (tmp_path / "splits.csv").write_text("\n".join(lines))
    for name in held_out:
        shutil.copytree(tiny.brats / name, tmp_path / "held_out" / name)
    splits = ["--split-csv", tmp_path / "splits.csv"]
    succeed(fpgan("prepare", tmp_path / "held_out", "--output", spoiled, *SMALL, *splits))
    (tmp_path / "all.csv").write_text("patient,split\nT0,train\nT3,train")
    succeed(fpgan("prepare", tmp_path / "brats", "--output", healthy, *SMALL, "--split-csv", tmp_path / "all.csv"))
    for also, message in (
        (tiny.cohort, "is the cohort itself; give another one as `--also`"),
        (larger, f"was prepared with `size` (48, 48), {tiny.cohort} with (32, 32); prepare both alike"),
        (healthy, "no training image is diseased"),
        (spoiled, f"{len(held_out)} validation or test patient"),
        (tmp_path / "none", "is not a folder; give one that `fpgan prepare` wrote"),
    ):
        result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", *tiny_training, "--also", also)
        assert result.exit_code == 2, result.output
        assert f"fpgan: {also}: {message}" in " ".join(result.output.split()), result.output
        assert not (tmp_path / "run").exists()
