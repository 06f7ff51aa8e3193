"""`fpgan train --start-from`: what it takes, records and refuses; scans that the first run has seen stay known."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.run import train
from data_prep.cohort import open_cohort
from data_prep.dataset import CohortDataset
from pipelines.seen_scans import SEEN_SCANS, held_out_but_seen, seen_before

SMALL = ["--size", 32, "--field-of-view-mm", 110]


@pytest.fixture(scope="module")
def started(fpgan: Callable[..., Any], tiny: Any, prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on these patients that began with the weights of `tiny`."""
    run = tmp_path_factory.mktemp("started") / "run"
    few = "--set=training.iterations=4"
    succeed(fpgan("train", prepared, "-o", run, "--config", tiny.run / "config.yaml", few, "--start-from", tiny.run))
    return run


def succeed(result: Any) -> Any:
    assert result.exit_code == 0, result.output
    return result


def split_again(fpgan: Callable[..., Any], tiny: Any, output: Path, *, held_out: Iterable[str]) -> Path:
    """The patients of `tiny` once more, with other ones for testing, and the first of them for validation."""
    validation, *test = held_out
    splits = {validation: "validation", **dict.fromkeys(test, "test")}
    rows = [f"P{number},{splits.get(f'P{number}', 'train')}" for number in range(8)]
    output.with_suffix(".csv").write_text("\n".join(["patient,split", *rows]))
    succeed(fpgan("prepare", tiny.brats, "-o", output, *SMALL, "--split-csv", output.with_suffix(".csv")))
    return output


def patients_of(cohort: Path, split: str) -> list[str]:
    table = pd.read_csv(cohort / "patients.csv")
    return table.loc[table["split"] == split, "patient"].tolist()


def test_the_run_records_where_it_began_and_can_be_repeated_from_that(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, started: Path, tmp_path: Path
) -> None:
    assert yaml.safe_load((started / "config.yaml").read_text())["start_from"] == str(tiny.run)
    metadata = FixedPointGAN.load(started).metadata
    assert metadata["cohort_digest"] == open_cohort(prepared).digest()
    origin = metadata["started_from"]
    assert origin["sha256"] == hashlib.sha256((tiny.run / "last.ckpt").read_bytes()).hexdigest()
    assert origin["metadata"]["cohort_digest"] == open_cohort(tiny.cohort).digest()
    succeed(fpgan("train", prepared, "--output", tmp_path / "again", "--config", started / "config.yaml"))
    assert (tmp_path / "again" / "model.safetensors").read_bytes() == (started / "model.safetensors").read_bytes()
    succeed(fpgan("train", prepared, "-o", tmp_path / "fresh", "--config", tiny.run / "config.yaml"))
    assert "started_from" not in FixedPointGAN.load(tmp_path / "fresh").metadata


def test_a_started_run_is_evaluated_like_any_other(
    fpgan: Callable[..., Any], prepared: Path, started: Path, tmp_path: Path
) -> None:
    succeed(fpgan("evaluate", started, prepared, "--output", tmp_path / "evaluation"))


def test_a_resumed_run_keeps_its_start_and_needs_it_no_more(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, started: Path, tmp_path: Path
) -> None:
    shutil.copytree(started, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["training"]["iterations"] = 6
    path.write_text(yaml.safe_dump(config | {"start_from": str(tmp_path / "gone")}))
    result = fpgan("train", prepared, "--output", tmp_path / "run", "--resume", "--start-from", tiny.run)
    assert result.exit_code == 2
    options = "--preset, --config, --set, --also and --start-from"
    assert f"a resumed run keeps its own settings; leave out {options}" in result.output
    succeed(fpgan("train", prepared, "--output", tmp_path / "run", "--resume"))
    before, after = FixedPointGAN.load(started).metadata, FixedPointGAN.load(tmp_path / "run").metadata
    assert after["training"]["iteration"] == 6
    assert after["started_from"] == before["started_from"]


def test_a_run_that_never_came_to_a_checkpoint_begins_with_the_weights_again(
    fpgan: Callable[..., Any], prepared: Path, started: Path, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    for name in ("config.yaml", ".fpgan"):
        shutil.copy(started / name, tmp_path / "run" / name)
    succeed(fpgan("train", prepared, "--output", tmp_path / "run", "--resume"))
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (started / "model.safetensors").read_bytes()


def test_a_report_knows_the_scans_of_the_run_that_was_started_from(
    fpgan: Callable[..., Any], tiny: Any, prepared: Path, started: Path, tmp_path: Path
) -> None:
    patients = [tiny.brats / patients_of(tiny.cohort, split)[0] for split in ("train", "validation", "test")]
    own = prepared.parent / "brats" / patients_of(prepared, "train")[0]
    succeed(fpgan("report", started, *patients, own, "--output", tmp_path / "reports"))
    warned = {
        path.name: [
            verb
            for verb in ("trained", "chosen")
            for warning in json.loads((tmp_path / "reports" / path.name / "report.json").read_text())["warnings"]
            if f"was {verb} on this scan" in warning
        ]
        for path in (*patients, own)
    }
    assert list(warned.values()) == [["trained"], ["chosen"], [], ["trained"]]


def test_patients_held_out_here_but_trained_on_there_are_refused(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    seen = patients_of(tiny.cohort, "train")
    cohort = split_again(fpgan, tiny, tmp_path / "cohort", held_out=seen[:4])
    result = fpgan("train", cohort, "--output", tmp_path / "run", *tiny_training, "--start-from", tiny.run)
    assert result.exit_code == 2
    (line,) = [line for line in result.output.splitlines() if line.startswith("fpgan: ")]
    assert line.startswith(f"fpgan: {tiny.run}: has seen 4 validation or test patients of {cohort} ({seen[0]}, ")
    remedy = "put them into its training split with `fpgan prepare --split-csv`, or start from another run"
    assert line.endswith(f", …); {remedy}")
    assert not (tmp_path / "run").exists()


def test_the_same_split_and_the_same_patients_for_the_same_use_are_fine(tiny: Any) -> None:
    assert held_out_but_seen(open_cohort(tiny.cohort), FixedPointGAN.load(tiny.run).metadata) == []


@pytest.mark.parametrize(
    ("there", "here", "is_refused"),
    [
        ("train", "train", False),
        ("train", "validation", True),
        ("train", "test", True),
        ("validation", "train", False),
        ("validation", "validation", False),
        ("validation", "test", True),
    ],
)
@pytest.mark.parametrize("generations", [0, 1, 2])
def test_what_a_scan_was_used_for_decides(there: str, here: str, is_refused: bool, generations: int, tiny: Any) -> None:
    cohort = open_cohort(tiny.cohort)
    name = "P3"
    patients = cohort.patients[cohort.patients["patient"] == name].assign(split=here)
    (scan,) = json.loads(patients["sha256"].iloc[0])
    metadata: dict[str, Any] = {SEEN_SCANS: {there: [scan[:16]]}}
    for _ in range(generations):
        metadata = {SEEN_SCANS: {"train": ["f" * 16], "validation": []}, "started_from": {"metadata": metadata}}
    assert held_out_but_seen(replace(cohort, patients=patients), metadata) == [name] * is_refused
    assert len(seen_before([scan], metadata)) == 1


def test_other_channels_are_named(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    cohort = tmp_path / "cohort"
    succeed(fpgan("prepare", tiny.brats, "--output", cohort, *SMALL, "--channels", "t1ce"))
    result = fpgan("train", cohort, "--output", tmp_path / "run", *tiny_training, "--start-from", tiny.run)
    assert result.exit_code == 2
    assert f"{tiny.run}: was trained on the channels flair; those of {cohort} are t1ce" in result.output
    assert not (tmp_path / "run").exists()


def test_other_networks_other_domains_and_other_sizes_cost_no_run(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    larger, attributes = tmp_path / "larger", tmp_path / "attributes"
    succeed(fpgan("prepare", tiny.brats, "--output", larger, "--size", 64))
    succeed(
        fpgan(
            "prepare",
            tiny.brats,
            "--output",
            attributes,
            *SMALL,
            "--attributes",
            "edema=2,core=4",
            "--min-lesion-area",
            0,
        )
    )
    run, start = tmp_path / "run", ["--start-from", tiny.run]
    for cohort, setting, text in (
        (tiny.cohort, ["--set=training.networks.residual_blocks=2"], "`networks.residual_blocks` 1, not 2"),
        (attributes, [], "`domains.names` ('healthy', 'diseased'), not ('edema', 'core')"),
        (larger, [], "these are of 1 × 64 × 64"),
    ):
        result = fpgan("train", cohort, "--output", run, *tiny_training, *setting, *start)
        assert result.exit_code == 2
        assert f"fpgan: {tiny.run}: was trained " in result.output
        assert text in result.output
        assert not run.exists()


def test_a_run_starts_neither_from_itself_nor_from_one_it_would_delete(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny.run, run)
    shutil.copytree(tiny.run, run / "inner")
    for start, text in ((run, f"{run}: a run cannot start from itself"), (run / "inner", "which the command reads")):
        result = fpgan("train", tiny.cohort, "-o", run, "--overwrite", *tiny_training, "--start-from", start)
        assert result.exit_code == 2
        assert text in result.output
    assert (run / "inner" / "last.ckpt").is_file()


def test_a_run_that_does_not_say_what_it_has_seen_is_refused(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    settings = yaml.safe_load((tiny.run / "config.yaml").read_text())["training"]
    config = TrainingConfig(**settings | {"iterations": 1, "validate_every": 1})
    train(CohortDataset(open_cohort(tiny.cohort), "train"), config, output=tmp_path / "first")
    start = ["--start-from", tmp_path / "first"]
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", *tiny_training, *start)
    assert result.exit_code == 2
    assert f"{tmp_path / 'first'}: does not say which scans it was trained on" in result.output


def test_a_folder_that_is_no_run(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path, tiny_training: list[str]
) -> None:
    result = fpgan("train", tiny.cohort, "-o", tmp_path / "run", *tiny_training, "--start-from", tiny.brats)
    assert result.exit_code == 2
    assert f"fpgan: {tiny.brats}: holds no last.ckpt; give the folder of a run to start from" in result.output
    assert not (tmp_path / "run").exists()
