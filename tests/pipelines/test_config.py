"""Presets, files and `--set`."""

from __future__ import annotations

from pathlib import Path

import pytest

from anomaly_fpgan.training.config import TrainingConfig
from evaluation.protocol import Protocol
from pipelines.config import dump_config, load_config, load_protocol, preset_names
from pipelines.errors import UsageError


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_loads_and_survives_its_own_dump(name: str, tmp_path: Path) -> None:
    config = load_config(preset=name, start_from=tmp_path if name in {"adopt", "few"} else None)
    (tmp_path / "config.yaml").write_text(dump_config(config))
    assert load_config(file=tmp_path / "config.yaml") == config


def test_presets_carry_the_patents_identity_weights() -> None:
    patent = load_config(preset="patent").training
    assert patent.losses.identity == 0.1
    assert patent.networks.output_rule == "tanh"
    faces = load_config(preset="faces").training
    assert faces.losses.identity == 10
    assert len(faces.domains) == 5
    assert not faces.domains.exclusive


def test_overrides_win_over_the_preset() -> None:
    config = load_config(
        preset="demo", overrides=["training.learning_rate=2e-4", "training.networks.residual_blocks=2"]
    )
    assert config.training.learning_rate == 2e-4
    assert config.training.networks.residual_blocks == 2
    assert config.training.networks.generator_width == load_config(preset="demo").training.networks.generator_width


def test_what_is_not_said_is_as_in_the_run_to_start_from(tmp_path: Path) -> None:
    run = load_config(
        preset="patent",
        overrides=["training.seed=7", "training.batch_size=4", "validation.choose_by=last", "cohort=there"],
    )
    (tmp_path / "config.yaml").write_text(dump_config(run))
    started = load_config(preset="adopt", overrides=["training.batch_size=2"], start_from=tmp_path)
    update = {"iterations": 1, "critic_steps": 2, "validate_every": 1, "log_every": 1, "batch_size": 2}
    assert started.training == run.training.model_copy(update=update)
    assert started.validation.choose_by == "last"
    assert started.start_from == tmp_path
    assert started.cohort is None


def test_domains_are_not_those_of_the_run_to_start_from(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(dump_config(load_config(preset="faces")))
    assert load_config(start_from=tmp_path).training.domains == TrainingConfig().domains


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.learning_rat=1",
            r"unknown setting `training\.learning_rat`; did you mean `training\.learning_rate`\?",
        ),
        ("trainning.seed=1", r"unknown setting `trainning`; did you mean `training`\?"),
        ("training.losses.cycl=1", r"did you mean `training\.losses\.cycle`\?"),
        ("training.batch_size=0", r"setting `training\.batch_size`: .*greater than or equal to 1, got 0"),
        ("training.batch_size", "--set needs key=value"),
        ("training.seed.x=1", r"setting `training\.seed`"),
        ("training.seed=[", "not a YAML value"),
    ],
)
def test_a_wrong_override_says_what_to_write(override: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_config(preset="demo", overrides=[override])


def test_wrong_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    with pytest.raises(UsageError, match=r"settings\.yaml: cannot be read"):
        load_config(file=path)
    path.write_text("a: [")
    with pytest.raises(UsageError, match=r"settings\.yaml: is not valid YAML"):
        load_config(file=path)
    path.write_text("- a")
    with pytest.raises(UsageError, match="holds a list"):
        load_config(file=path)
    with pytest.raises(UsageError, match="not both"):
        load_config(preset="demo", file=path)


def test_choices_of_an_evaluation_are_set_by_their_names() -> None:
    assert load_protocol([]) == Protocol()
    chosen = load_protocol(["min_size_px=5", "binarization=fixed", "binarization_threshold=1e-3", "score=candidates"])
    assert chosen == Protocol(min_size_px=5, binarization="fixed", binarization_threshold=0.001, score="candidates")
    assert load_protocol(["reduction=1"]).reduction == 1
    assert load_protocol(["connectivity=1", "connectivity="]).connectivity is None  # the last wins


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["min_size=5"], "unknown setting `min_size`; did you mean `min_size_px`?"),
        (["protocol.seed=1"], "unknown setting `protocol`; known here are reduction, rim_px, "),
        (["min_size_px=few"], "setting `min_size_px`: Input should be a valid integer"),
        (["min_size_px=-1"], "setting `min_size_px`: Input should be greater than or equal to 0, got -1"),
        (["min_iou=0"], "setting `min_iou`: Input should be greater than 0, got 0"),
        (["resamples=0"], "setting `resamples`: Input should be greater than or equal to 1, got 0"),
        (["seed"], "--set needs key=value, such as min_size_px=5, got 'seed'"),
        (["seed.x=1"], "setting `seed`: Input should be a valid integer"),
        (["median_px=2"], "`median_px` must be odd, got 2"),
        (["binarization=fixed"], "binarization `fixed` and `binarization_threshold` need each other"),
        (["binarization_threshold=0.2"], "binarization `fixed` and `binarization_threshold` need each other"),
        (["score=peak"], "setting `score`: Input should be 'max', 'percentile', 'mean' or 'candidates', got 'peak'"),
        (["reduction=first"], "setting `reduction`: Input should be 'max' or 'mean', got 'first'"),
    ],
)
def test_a_wrong_choice_says_what_to_write(overrides: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        load_protocol(overrides)
    assert str(caught.value).startswith(message)
