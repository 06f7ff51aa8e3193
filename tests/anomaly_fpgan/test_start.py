"""A training that begins with the weights of another one."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import ModelError, TrainingError
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.run import train
from anomaly_fpgan.training.start import read_start
from tests.anomaly_fpgan.conftest import TINY_CONFIG, Blobs
from tests.anomaly_fpgan.test_steps import make_trainer
from tests.anomaly_fpgan.test_training import Hostile, assert_same_runs, assert_same_values, checkpoint_of, rows_of

SHAPE = (1, 32, 32)


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run; not to be written to."""
    run = tmp_path_factory.mktemp("first") / "run"
    train(Blobs(), TINY_CONFIG, output=run, metadata={"learned_from": ["a", "b"]})
    model = FixedPointGAN.load(run)
    with torch.no_grad():  # as if it had kept another model than its last
        next(model.translator.parameters()).add_(1)
    model.save(run / "model.safetensors")
    return run


@pytest.fixture
def changed(tiny_config: TrainingConfig) -> TrainingConfig:
    """Settings of a second training, other where they may be."""
    return tiny_config.model_copy(update={"seed": 5, "learning_rate": 5e-4, "iterations": 4, "validate_every": 2})


def with_networks(config: TrainingConfig, **networks: object) -> TrainingConfig:
    return config.model_copy(update={"networks": config.networks.model_copy(update=networks)})


def resized(size: int) -> Blobs:
    blobs = Blobs()
    blobs.images = np.resize(blobs.images, (len(blobs), 1, size, size))
    return blobs


def test_weights_are_taken_and_nothing_else(first: Path, blobs: Any, changed: TrainingConfig) -> None:
    trainer = make_trainer(blobs, changed)
    fresh = make_trainer(blobs, changed).training_state()
    trainer.begin_with(read_start(first, changed, SHAPE))
    state, theirs = trainer.training_state(), checkpoint_of(first)["trainer"]
    kept = FixedPointGAN.load(first, device="cpu").translator.state_dict()
    assert_same_values(state["translator"], kept)
    assert_same_values(state["averaged"], kept)
    assert_same_values(state["critic"], theirs["critic"])
    # The kept weights are others than the last ones, and all are others than those drawn at first.
    name = next(iter(kept))
    assert not torch.equal(kept[name], theirs["averaged"][name])
    assert not torch.equal(fresh["translator"][name], kept[name])
    for own in ("iteration", "optimizers"):
        assert_same_values(state[own], fresh[own])


def test_the_first_iteration_is_another_one(first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path) -> None:
    config = changed.model_copy(update={"iterations": 1, "validate_every": 1})
    train(blobs, config, output=tmp_path / "fresh")
    train(blobs, config, output=tmp_path / "started", start_from=first)
    (fresh,), (started,) = rows_of(tmp_path / "fresh"), rows_of(tmp_path / "started")
    assert fresh["iteration"] == started["iteration"] == "1"
    assert float(fresh["critic_loss"]) != float(started["critic_loss"])


def test_a_resumed_run_is_the_one_never_stopped_though_the_first_is_gone(
    first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path
) -> None:
    def crash(iteration: int) -> None:
        if iteration == 3:
            raise OSError("the machine is gone")

    origin = tmp_path / "first"
    shutil.copytree(first, origin)
    train(blobs, changed, output=tmp_path / "whole", start_from=origin)
    with pytest.raises(OSError, match="gone"):
        train(blobs, changed, output=tmp_path / "parts", start_from=origin, on_iteration=crash)
    assert checkpoint_of(tmp_path / "parts")["trainer"]["iteration"] == 2
    shutil.rmtree(origin)
    train(blobs, changed, output=tmp_path / "parts", start_from=origin, resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


def test_the_model_knows_all_it_descends_from(first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path) -> None:
    second = train(blobs, changed, output=tmp_path / "second", start_from=first, metadata={"learned_from": ["c"]})
    assert second.metadata["learned_from"] == ["c"]
    assert second.metadata["started_from"] == {
        "sha256": hashlib.sha256((first / "last.ckpt").read_bytes()).hexdigest(),
        "iteration": 8,
        "metadata": {"learned_from": ["a", "b"], "training": {"iteration": 8}},
    }
    third = train(blobs, changed, output=tmp_path / "third", start_from=tmp_path / "second")
    assert third.metadata["started_from"]["metadata"] == FixedPointGAN.load(tmp_path / "second").metadata
    assert "started_from" not in FixedPointGAN.load(first).metadata


@pytest.mark.parametrize(
    ("update", "message"),
    [
        ({"generator_width": 8}, "`networks.generator_width` 4, not 8; give this training the same networks"),
        ({"discriminator_depth": 2}, "`networks.discriminator_depth` 3, not 2; "),
        ({"domain_head": "patch"}, "`networks.domain_head` image, not patch; "),
        ({"output_rule": "tanh"}, "`networks.output_rule` additive, not tanh; "),
    ],
)
def test_other_networks_are_named(
    update: Mapping[str, object], message: str, first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(ModelError) as caught:
        train(blobs, with_networks(changed, **update), output=tmp_path / "run", start_from=first)
    assert str(caught.value).startswith(f"{first}: was trained with {message}")
    assert not (tmp_path / "run").exists()


def test_margin_and_mirror_averaging_are_free(first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path) -> None:
    update = {"generator_margin": 2, "mirror_averaging": True}
    model = train(blobs, with_networks(changed, **update), output=tmp_path / "run", start_from=first)
    assert model.networks.generator_margin == 2
    assert model.networks.mirror_averaging


@pytest.mark.parametrize("names", [("diseased", "healthy"), ("healthy", "tumor"), ("healthy", "tumor", "stroke")])
def test_other_domains_and_another_order_are_refused(
    names: tuple[str, ...], first: Path, changed: TrainingConfig
) -> None:
    with pytest.raises(ModelError) as caught:
        read_start(first, changed.model_copy(update={"domains": DomainScheme(names=names)}), SHAPE)
    before = f"{first}: was trained with `domains.names` ('healthy', 'diseased'), not {names}"
    assert str(caught.value) == f"{before}; label the images with the same domains, or start from another run"


@pytest.mark.parametrize(
    ("shape", "text"), [((2, 32, 32), "2 × 32 × 32"), ((1, 64, 64), "1 × 64 × 64"), ((1, 32, 64), "1 × 32 × 64")]
)
def test_images_of_another_shape_are_refused(
    shape: tuple[int, int, int], text: str, first: Path, changed: TrainingConfig
) -> None:
    with pytest.raises(ModelError) as caught:
        read_start(first, changed, shape)
    assert str(caught.value).startswith(f"{first}: was trained on images of 1 × 32 × 32 (channels, height, width), ")
    assert f"these are of {text}; prepare them with as many channels and `--size 32x32`" in str(caught.value)


def test_a_critic_of_patches_takes_any_size_that_it_halves_as_often(
    blobs: Any, changed: TrainingConfig, tmp_path: Path
) -> None:
    config = with_networks(changed, domain_head="patch")
    train(blobs, config, output=tmp_path / "first")
    model = train(resized(48), config, output=tmp_path / "second", start_from=tmp_path / "first")
    assert model.image_shape == (1, 48, 48)
    with pytest.raises(ModelError, match="these are of 1 × 8 × 8"):  # too small for a third halving
        train(resized(8), config, output=tmp_path / "third", start_from=tmp_path / "first")


def test_a_folder_without_a_checkpoint_is_named(
    first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path
) -> None:
    for folder in (tmp_path, tmp_path / "nowhere", first / "last.ckpt"):
        with pytest.raises(ModelError) as caught:
            train(blobs, changed, output=tmp_path / "run", start_from=folder)
        assert str(caught.value) == f"{folder}: holds no last.ckpt; give the folder of a run to start from"


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_a_damaged_file_is_named(name: str, first: Path, changed: TrainingConfig, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "damaged")
    path = tmp_path / "damaged" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        read_start(tmp_path / "damaged", changed, SHAPE)
    assert str(caught.value).startswith(f"{path}: is damaged")


def test_a_checkpoint_with_settings_of_another_version_is_named(
    first: Path, changed: TrainingConfig, tmp_path: Path
) -> None:
    content = checkpoint_of(first)
    for config in ('{"unheard_of": 1}', None):
        torch.save(content | {"config": config} if config else {"format": content["format"]}, tmp_path / "last.ckpt")
        with pytest.raises(ModelError, match=r"last\.ckpt: does not fit this version of the program"):
            read_start(tmp_path, changed, SHAPE)


def test_a_hostile_checkpoint_executes_nothing(first: Path, changed: TrainingConfig, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "hostile")
    torch.save({"format": 2, "trainer": Hostile(tmp_path / "executed")}, tmp_path / "hostile" / "last.ckpt")
    with pytest.raises(ModelError, match=r"last\.ckpt: is damaged or not a checkpoint"):
        read_start(tmp_path / "hostile", changed, SHAPE)
    assert not (tmp_path / "executed").exists()


def test_a_run_does_not_start_from_itself(first: Path, blobs: Any, changed: TrainingConfig, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "run")
    before = (tmp_path / "run" / "last.ckpt").read_bytes()
    with pytest.raises(TrainingError, match="holds a training"):
        train(blobs, changed, output=tmp_path / "run", start_from=tmp_path / "run")
    assert (tmp_path / "run" / "last.ckpt").read_bytes() == before
