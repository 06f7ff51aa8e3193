"""The commands from start to end on a tiny cohort, through the command line."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml


def test_a_cohort_has_its_tables_and_arrays(tiny: Any) -> None:
    header = json.loads((tiny.cohort / "cohort.json").read_text())
    assert header["settings"]["preparation"]["size"] == [32, 32]
    assert sum(header["patients"].values()) == 8
    with (tiny.cohort / "patients.csv").open() as file:
        assert {row["split"] for row in csv.DictReader(file)} == {"train", "validation", "test"}
    assert len(list((tiny.cohort / "images").glob("*.npy"))) == len(list((tiny.cohort / "masks").glob("*.npy"))) == 8


def test_a_run_leaves_what_repeating_it_needs(tiny: Any) -> None:
    names = {path.name for path in tiny.run.iterdir()}
    assert names >= {"config.yaml", "environment.json", "history.csv", "last.ckpt", "model.safetensors", "samples"}
    config = yaml.safe_load((tiny.run / "config.yaml").read_text())
    assert config["training"]["networks"]["generator_width"] == 4
    with (tiny.run / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["iteration"] for row in rows] == ["3", "6"]
    assert all(row["validation_auc"] and row["cycle"] and row["gradient_penalty"] for row in rows)


def test_training_never_opens_a_mask(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    opened: list[str] = []
    listening = True

    def listen(event: str, details: tuple[Any, ...]) -> None:
        if listening and event == "open":
            opened.append(str(details[0]))

    cohort = tmp_path / "cohort"
    shutil.copytree(tiny.cohort, cohort)
    sys.addaudithook(listen)
    assert fpgan("train", cohort, "--output", tmp_path / "run", *tiny_training).exit_code == 0
    listening = False  # a hook cannot be removed
    mine = [name for name in opened if name.startswith(str(cohort))]
    assert any("images" in name for name in mine)  # the hook does see what is opened
    assert not [name for name in mine if "masks" in name or "seg" in name]


def test_resume_goes_on_with_the_same_weights(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny.run, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["training"]["iterations"] = 12
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    assert fpgan("train", tiny.cohort, "--output", run, "--resume").exit_code == 0
    with (run / "history.csv").open() as file:
        assert [row["iteration"] for row in csv.DictReader(file)] == ["3", "6", "9", "12"]


def test_a_run_without_its_settings_is_not_resumed_with_others(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    shutil.copytree(tiny.run, tmp_path / "run", ignore=shutil.ignore_patterns("config.yaml"))
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--resume", *tiny_training)
    assert result.exit_code == 2
    assert "has lost its config.yaml" in result.output
    assert not (tmp_path / "run" / "config.yaml").exists()


def test_quiet_says_nothing_and_a_command_says_where_its_output_is(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    arguments = ["prepare", tiny.brats, "--size", 32, "--field-of-view-mm", 110]
    loud = fpgan(*arguments, "--output", tmp_path / "loud")
    assert f"Output: {tmp_path / 'loud'}" in loud.output
    assert "Done in" in loud.output
    assert fpgan(*arguments, "--output", tmp_path / "quiet", "--quiet").output == ""


def test_two_workers_prepare_the_same_bytes(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    options = ["--size", 32, "--field-of-view-mm", 110, "--workers", 2]
    assert fpgan("prepare", tiny.brats, "--output", tmp_path, *options).exit_code == 0
    for path in sorted((tiny.cohort / "images").iterdir()):
        assert path.read_bytes() == (tmp_path / "images" / path.name).read_bytes()
    for table in ("patients.csv", "slices.csv"):
        assert (tiny.cohort / table).read_text() == (tmp_path / table).read_text()


def test_evaluating_twice_writes_the_same_bytes(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    assert fpgan("evaluate", tiny.run, tiny.cohort, "--output", tmp_path / "again").exit_code == 0
    for path in sorted(tiny.evaluation.iterdir()):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("command", ["prepare", "train", "combine", "evaluate", "compare", "report", "demo"])
def test_every_command_explains_itself(fpgan: Callable[..., Any], command: str) -> None:
    result = fpgan(command, "--help")
    assert result.exit_code == 0
    assert "--output" in result.output
