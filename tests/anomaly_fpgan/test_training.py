"""A whole training: its files, validation, guards, stopping and resuming."""

from __future__ import annotations

import csv
import math
import os
import pickle
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ignite.engine import Events
from safetensors.torch import save_file
from torch.nn.utils import parameters_to_vector

from anomaly_fpgan import losses
from anomaly_fpgan.errors import ModelError, NonFiniteLossError, TrainingError, TrainingStopped
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.interrupt import StopRequest
from anomaly_fpgan.training.run import train
from tests.anomaly_fpgan.test_steps import make_trainer


def weights_of(model: FixedPointGAN) -> dict[str, torch.Tensor]:
    return model.translator.state_dict()


def rows_of(run: Path) -> list[dict[str, str]]:
    """The history without what a clock says."""
    with (run / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row.pop("images_per_second")) > 0 for row in rows)
    return rows


def checkpoint_of(run: Path) -> dict[str, Any]:
    return torch.load(run / "last.ckpt", weights_only=True)


def assert_same_runs(one: Path, other: Path) -> None:
    """Bit for bit: weights, moments, sums, history."""
    assert (one / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    assert_same_values(checkpoint_of(one), checkpoint_of(other))
    assert rows_of(one) == rows_of(other)
    assert sorted(path.name for path in one.rglob("*")) == sorted(path.name for path in other.rglob("*"))


def assert_same_values(one: Any, other: Any) -> None:
    if isinstance(one, Mapping):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_same_values(value, other[name])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, list):
        for left, right in zip(one, other, strict=True):
            assert_same_values(left, right)
    else:
        assert one == other


def test_the_generator_is_updated_at_every_nth_critic_update(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    updated = []
    trainer.add_event_handler(Events.ITERATION_COMPLETED, lambda engine: updated.append(len(engine.state.output) == 2))
    trainer.run()
    assert updated == [False, True] * 4


def test_in_its_warmup_the_critic_learns_alone(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"critic_warmup": 3}))
    untouched = parameters_to_vector(trainer.translator.parameters()).clone()
    updates, same = [], []

    def look(engine: Any) -> None:
        updates.append(len(engine.state.output))
        same.append(torch.equal(parameters_to_vector(trainer.translator.parameters()), untouched))

    critic = parameters_to_vector(trainer.critic.parameters()).clone()
    trainer.add_event_handler(Events.ITERATION_COMPLETED, look)
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED(once=1),
        lambda _: same.append(torch.equal(parameters_to_vector(trainer.critic.parameters()), critic)),
    )
    trainer.run()
    assert updates == [1, 1, 1, 1, 2, 1, 2, 1]
    assert same == [True, False, True, True, True, False, False, False, False]  # the second is the critic's
    averaged, last = (parameters_to_vector(own.parameters()) for own in (trainer.averaged, trainer.translator))
    assert not torch.equal(averaged, untouched)
    assert not torch.equal(averaged, last)


def test_moments_of_the_warmup_do_not_lengthen_the_steps_after_it(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"critic_warmup": 3}))
    weights = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda _: weights.append(parameters_to_vector(trainer.critic.parameters()).double()),
    )
    trainer.run()
    # Adam's very first step is as long as the learning rate.
    assert float((weights[3] - weights[2]).abs().max()) == pytest.approx(tiny_config.learning_rate, rel=1e-3)


def test_a_run_cut_short_is_not_all_warmup() -> None:
    assert TrainingConfig(critic_warmup=400, iterations=1000).warmup_iterations == 400
    assert TrainingConfig(critic_warmup=400, iterations=60).warmup_iterations == 54
    assert TrainingConfig(critic_warmup=400, iterations=1).warmup_iterations == 0


def test_averaged_weights_begin_to_follow_after_the_warmup(blobs: Any, tiny_config: TrainingConfig) -> None:
    changes = {"critic_warmup": 20, "iterations": 40, "critic_steps": 1, "averaging": 0.999}
    trainer = make_trainer(blobs, tiny_config.model_copy(update=changes))
    before = parameters_to_vector(trainer.averaged.parameters()).clone()
    expected = []

    def follow(engine: Any) -> None:
        if engine.state.iteration == 21:  # the generator's first update: a decay of 1 in 10
            expected.append(torch.lerp(before, parameters_to_vector(trainer.translator.parameters()), 0.9))
            expected.append(parameters_to_vector(trainer.averaged.parameters()).clone())

    trainer.add_event_handler(Events.ITERATION_COMPLETED, follow)
    trainer.run()
    torch.testing.assert_close(*expected)


def test_the_warmup_has_rows_but_no_milestones(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    config = tiny_config.model_copy(update={"critic_warmup": 5, "log_every": 2, "validate_every": 4})
    train(blobs, config, output=tmp_path, validate=lambda model: {"auc": 0.5})
    rows = rows_of(tmp_path)
    assert [row["validation_auc"] for row in rows] == ["", "", "", "0.5"]
    assert [row["adversarial"] != "" for row in rows] == [False, False, True, True]  # 5 iterations of warm-up
    assert all(float(row["domain_real"]) > 0 for row in rows)


def test_learning_rate_is_constant_then_falls_linearly_to_0() -> None:
    config = TrainingConfig(iterations=100, learning_rate=1.0, decay_start=0.5)
    # Half-way down the second half, at 75 of 100, half is left.
    assert [config.learning_rate_at(step) for step in (0, 49, 50, 75, 99)] == [1, 1, 1, 0.5, 0.02]


def test_the_optimizers_really_use_the_falling_rate(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    rates = []
    trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda _: rates.append([o.adam.param_groups[0]["lr"] for o in trainer.optimizers.values()]),
    )
    trainer.run()
    assert [critic for critic, _ in rates] == [1e-3] * 5 + [0.75e-3, 0.5e-3, 0.25e-3]
    assert [generator for _, generator in rates[1::2]] == [critic for critic, _ in rates[1::2]]


def test_the_history_has_every_number(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    heard: list[Mapping[str, float]] = []
    train(blobs, tiny_config, output=tmp_path, validate=lambda model: {"auc": 0.5}, on_row=heard.append)
    rows = rows_of(tmp_path)
    assert [row["iteration"] for row in rows] == ["2", "4", "6", "8"]
    assert [float(row["learning_rate"]) for row in rows] == [tiny_config.learning_rate_at(n - 1) for n in (2, 4, 6, 8)]
    assert set(rows[0]) == {
        "iteration", "learning_rate", "critic_loss", "adversarial", "gradient_penalty", "domain_real",
        "critic_gradient_norm", "generator_loss", "adversarial_fake", "domain_fake", "cycle", "identity",
        "second_fixed_point", "generator_gradient_norm", "skipped_steps", "validation_auc",
    }  # fmt: skip
    assert [row["validation_auc"] for row in rows] == ["", "0.5", "", "0.5"]
    assert [row["iteration"] for row in heard] == [2, 4, 6, 8]
    for row, text in zip(heard, rows, strict=True):
        assert float(text["cycle"]) == row["cycle"] > 0


def test_a_row_is_the_mean_of_its_iterations(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    train(blobs, tiny_config, output=tmp_path / "by_two")
    train(blobs, tiny_config.model_copy(update={"log_every": 1}), output=tmp_path / "by_one")
    single, pairs = rows_of(tmp_path / "by_one"), rows_of(tmp_path / "by_two")
    for place, pair in enumerate(pairs):
        mean = (float(single[2 * place]["critic_loss"]) + float(single[2 * place + 1]["critic_loss"])) / 2
        assert float(pair["critic_loss"]) == pytest.approx(mean, rel=1e-5)
        assert float(pair["cycle"]) == float(single[2 * place + 1]["cycle"])  # every second has a generator update


def test_validation_chooses_the_model_that_is_kept(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    scores = iter([0.9, 0.6])
    model = train(blobs, tiny_config, output=tmp_path, validate=lambda model: {"auc": next(scores), "other": 1.0})
    assert model.metadata["training"] == {"iteration": 4, "auc": 0.9, "other": 1.0}
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == ["0000004.png", "0000008.png"]


def test_an_undefined_validation_score_replaces_no_model(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    scores = iter([0.9, math.nan, 0.5, 0.8])
    config = tiny_config.model_copy(update={"validate_every": 2})
    model = train(blobs, config, output=tmp_path, validate=lambda model: {"auc": next(scores)})
    assert model.metadata["training"]["iteration"] == 2


def test_a_number_that_shall_choose_and_is_not_there_is_named(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match="`choose_by` is 'auc', but `validate` gives dice, loss"):
        train(blobs, tiny_config, output=tmp_path, validate=lambda model: {"dice": 1.0, "loss": 0.0})


@pytest.mark.parametrize("scores", [None, [0.9, 0.1]])
def test_where_nothing_chooses_the_last_model_is_kept(
    scores: list[float] | None, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    left = iter(scores or [])
    validate = (lambda model: {"auc": next(left)}) if scores else None
    model = train(blobs, tiny_config, output=tmp_path, validate=validate, choose_by=None)
    assert model.metadata["training"]["iteration"] == 8


def test_training_learns_to_remove_the_square(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    config = tiny_config.model_copy(update={"iterations": 300, "batch_size": 8, "learning_rate": 2e-3})
    config = config.model_copy(update={"validate_every": 300, "averaging": 0.9})
    model = train(blobs, config, output=tmp_path)
    change = np.abs(model.translate(blobs.images, "healthy") - blobs.images)
    square, elsewhere = change[:, :, 8:16, 8:16].mean((1, 2, 3)), change[:, :, 18:, 18:].mean((1, 2, 3))
    assert square[1::2].min() > 1.5 * elsewhere.max()
    assert square[1::2].min() > 1.5 * square[::2].max()  # healthy images have none, and stay as they are


def test_one_domain_only_is_refused(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    blobs.domains[:] = [0, 1]
    with pytest.raises(TrainingError, match="no training image is healthy"):
        train(blobs, tiny_config, output=tmp_path)


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a callback after which the losses of iterations `first` to `last` are not finite."""
    spoiled = False
    sound = losses.domain_real, losses.domain_fake
    for loss in sound:

        def sometimes_nan(*arguments: Any, loss: Any = loss, **settings: Any) -> torch.Tensor:
            return loss(*arguments, **settings) * (math.nan if spoiled else 1)

        monkeypatch.setattr(losses, loss.__name__, sometimes_nan)

    def spoil_from(first: int, last: int) -> Any:
        def after(iteration: int) -> None:
            nonlocal spoiled
            spoiled = first <= iteration + 1 <= last

        return after

    return spoil_from


def test_a_non_finite_step_is_left_out_counted_and_the_run_goes_on(
    spoil: Any, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    config = tiny_config.model_copy(update={"log_every": 4})
    model = train(blobs, config, output=tmp_path, on_iteration=spoil(6, 6))
    rows = rows_of(tmp_path)
    # Step 6 alone was spoiled: the critic's update and, since 6 is even, the generator's.
    assert [row["skipped_steps"] for row in rows] == ["0", "2"]
    assert all(math.isfinite(float(value)) for row in rows for value in row.values())
    assert all(torch.isfinite(weight).all() for weight in weights_of(model).values())


def test_too_many_non_finite_steps_stop_the_run_and_keep_the_checkpoint(
    spoil: Any, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    config = tiny_config.model_copy(update={"max_skipped_steps": 2})
    message = r"3 updates up to iteration 6 had a non-finite .* more than `max_skipped_steps` \(2\).*learning_rate"
    with pytest.raises(NonFiniteLossError, match=message):
        train(blobs, config, output=tmp_path, on_iteration=spoil(5, 8))
    assert rows_of(tmp_path)[-1]["skipped_steps"] == "3"
    state = checkpoint_of(tmp_path)["trainer"]
    assert state["iteration"] == 4
    assert all(torch.isfinite(weight).all() for weight in state["translator"].values())
    assert FixedPointGAN.load(tmp_path).metadata["training"]["iteration"] == 4


def test_resuming_gives_the_run_that_was_never_stopped(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    scores = {4: 0.9, 8: 0.6}

    def validate(model: FixedPointGAN) -> Mapping[str, float]:
        return {"auc": scores[len(rows_of(tmp_path / run)) * 2 + 2]}

    def crash(iteration: int) -> None:
        if iteration == 7:
            raise OSError("the machine is gone")

    run = "whole"
    train(blobs, tiny_config, output=tmp_path / run, validate=validate)
    run = "parts"
    with pytest.raises(OSError, match="gone"):
        train(blobs, tiny_config, output=tmp_path / run, validate=validate, on_iteration=crash)
    assert checkpoint_of(tmp_path / run)["trainer"]["iteration"] == 4
    assert len(rows_of(tmp_path / run)) == 3  # one of them newer than the checkpoint
    train(blobs, tiny_config, output=tmp_path / run, validate=validate, resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("at", [3, 4])
def test_a_signal_lets_the_step_end_and_saves_it(
    number: signal.Signals, at: int, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    def send(iteration: int) -> None:
        if iteration == at:
            os.kill(os.getpid(), number)

    before = signal.getsignal(number)
    with pytest.raises(TrainingStopped, match=f"stopped after iteration {at} of 8"):
        train(blobs, tiny_config, output=tmp_path / "parts", on_iteration=send)
    assert signal.getsignal(number) is before
    assert checkpoint_of(tmp_path / "parts")["trainer"]["iteration"] == at
    train(blobs, tiny_config, output=tmp_path / "parts", resume=True)
    train(blobs, tiny_config, output=tmp_path / "whole")
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


def test_a_second_signal_does_not_wait(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    def send_twice(iteration: int) -> None:
        # In this thread: sent to the process, two may arrive as one.
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    # A shell that runs the tests in the background has SIGINT ignored, and what was there before is what acts.
    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt) as caught:
            train(blobs, tiny_config, output=tmp_path, on_iteration=send_twice)
    finally:
        signal.signal(signal.SIGINT, former)
    assert not isinstance(caught.value, TrainingStopped)


def test_several_processes_take_a_repeated_signal_for_one() -> None:
    with StopRequest(heeds_second=False) as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert stop.requested


def test_a_training_is_not_written_over_another(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    train(blobs, tiny_config, output=tmp_path)
    before = (tmp_path / "last.ckpt").read_bytes()
    with pytest.raises(TrainingError, match="holds a training; give `resume=True` to go on with it"):
        train(blobs, tiny_config, output=tmp_path)
    assert (tmp_path / "last.ckpt").read_bytes() == before


def test_checkpoints_are_written_between_milestones_when_time_has_passed(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    seen = []

    def look(iteration: int) -> None:
        if (tmp_path / "last.ckpt").exists():
            seen.append(checkpoint_of(tmp_path)["trainer"]["iteration"])

    config = tiny_config.model_copy(update={"checkpoint_minutes": 1e-9})
    train(blobs, config, output=tmp_path, on_iteration=look)
    assert seen == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("changes", [{}, {"critic_warmup": 5}, {"critic_warmup": 7}])
def test_a_run_stopped_between_rows_resumes_to_the_same_history(
    changes: dict[str, int], blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    def crash(iteration: int) -> None:
        if iteration == 6:
            raise OSError("the machine is gone")

    config = tiny_config.model_copy(update=changes | {"checkpoint_minutes": 1e-9, "log_every": 4, "validate_every": 8})
    train(blobs, config, output=tmp_path / "whole")
    with pytest.raises(OSError, match="gone"):
        train(blobs, config, output=tmp_path / "parts", on_iteration=crash)
    train(blobs, config, output=tmp_path / "parts", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


def test_resuming_a_finished_run_changes_nothing(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    model = train(blobs, tiny_config, output=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = train(blobs, tiny_config, output=tmp_path, resume=True)
    assert_same_values(weights_of(model), weights_of(again))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("content", [b"", b"\x80\xff\x00\n1,2", b"a,b\n1,2\n", b"iteration,cycle\nx,1\n"])
def test_a_damaged_history_does_not_hinder_resuming(
    content: bytes, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    def crash(iteration: int) -> None:
        if iteration == 5:
            raise OSError("the machine is gone")

    with pytest.raises(OSError, match="gone"):
        train(blobs, tiny_config, output=tmp_path, on_iteration=crash)
    (tmp_path / "history.csv").write_bytes(content)
    train(blobs, tiny_config, output=tmp_path, resume=True)
    assert [row["iteration"] for row in rows_of(tmp_path)] == ["6", "8"]


def test_a_half_written_row_is_forgotten(blobs: Any, tiny_config: TrainingConfig, tmp_path: Path) -> None:
    def crash(iteration: int) -> None:
        if iteration == 5:
            raise OSError("the machine is gone")

    train(blobs, tiny_config, output=tmp_path / "whole")
    with pytest.raises(OSError, match="gone"):
        train(blobs, tiny_config, output=tmp_path / "parts", on_iteration=crash)
    with (tmp_path / "parts" / "history.csv").open("a") as file:
        file.write("6,0.00")
    train(blobs, tiny_config, output=tmp_path / "parts", resume=True)
    assert_same_runs(tmp_path / "whole", tmp_path / "parts")


def open_file(name: str, run: Path, dataset: Any, config: TrainingConfig) -> None:
    """Use a file of a run as a user would."""
    if name == "last.ckpt":
        train(dataset, config, output=run, resume=True)
    else:
        FixedPointGAN.load(run)


class Hostile:
    """Runs a command when it is unpickled."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.proof}'",)


@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
@pytest.mark.parametrize("by_torch", [True, False])
def test_a_hostile_file_executes_nothing(
    name: str, by_torch: bool, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    run, proof = tmp_path / "run", tmp_path / "executed"
    train(blobs, tiny_config, output=run)
    content = {"format": 2, "trainer": Hostile(proof)}
    if by_torch:
        torch.save(content, run / name)
    else:
        (run / name).write_bytes(pickle.dumps(content))
    with pytest.raises(ModelError, match=name.replace(".", r"\.") + r": is damaged or not a"):
        open_file(name, run, blobs, tiny_config)
    assert not proof.exists()
    pickle.loads(pickle.dumps(Hostile(proof)))  # as an unsafe loader would have
    assert proof.exists()


@pytest.mark.parametrize("damage", ["cut", "foreign", "empty", "flipped", "bit"])
@pytest.mark.parametrize("name", ["last.ckpt", "model.safetensors"])
def test_a_damaged_file_is_refused_by_name(
    name: str, damage: str, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    train(blobs, tiny_config, output=tmp_path)
    path = tmp_path / name
    content = path.read_bytes()
    path.write_bytes(
        {
            "cut": content[: len(content) // 2],
            "foreign": b"\x80\x04not a checkpoint",
            "empty": b"",
            "bit": content[: len(content) // 2]
            + bytes([content[len(content) // 2] ^ 1])
            + content[len(content) // 2 + 1 :],
            "flipped": bytes(255 - byte for byte in content[:200]) + content[200:],
        }[damage]
    )
    with pytest.raises(ModelError, match=name.replace(".", r"\.") + ": is damaged"):
        open_file(name, tmp_path, blobs, tiny_config)


@pytest.mark.parametrize(("version", "words"), [(99, "a newer version .* update it"), (1, "an older version")])
def test_files_of_other_formats_say_so(
    version: int, words: str, blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    train(blobs, tiny_config, output=tmp_path)
    torch.save(checkpoint_of(tmp_path) | {"format": version}, tmp_path / "last.ckpt")
    with pytest.raises(ModelError, match=rf"last\.ckpt: was written by {words}"):
        train(blobs, tiny_config, output=tmp_path, resume=True)


def test_a_model_of_a_newer_format_says_so(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(1)}, tmp_path / "model.safetensors", metadata={"fpgan": '{"format": 99}'})
    with pytest.raises(ModelError, match=r"model\.safetensors: was written by a newer version .* update it"):
        FixedPointGAN.load(tmp_path)


def test_resuming_with_other_settings_names_the_setting(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    train(blobs, tiny_config, output=tmp_path)
    other = tiny_config.model_copy(update={"learning_rate": 5e-4})
    with pytest.raises(ModelError, match=r"belongs to a run with `learning_rate` 0\.001, not 0\.0005"):
        train(blobs, other, output=tmp_path, resume=True)
    free = tiny_config.model_copy(update={"checkpoint_minutes": 3.0, "images_on_device": "never"})
    train(blobs, free, output=tmp_path, resume=True)


def test_resuming_with_images_of_another_shape_is_refused(
    blobs: Any, tiny_config: TrainingConfig, tmp_path: Path
) -> None:
    train(blobs, tiny_config, output=tmp_path)
    blobs.images = np.repeat(blobs.images, 2, axis=1)
    with pytest.raises(ModelError, match="does not fit these images"):
        train(blobs, tiny_config, output=tmp_path, resume=True)


def test_attributes_rectangles_and_many_channels_train(tiny_config: TrainingConfig, tmp_path: Path) -> None:
    domains = {"names": ("edema", "enhancing"), "exclusive": False}
    config = TrainingConfig(**{**tiny_config.model_dump(), "domains": domains, "iterations": 2})
    random = np.random.default_rng(0)
    items = [(random.random((5, 34, 41), np.float32), np.float32([i % 2, i // 2 % 2])) for i in range(8)]
    model = train(items, config, output=tmp_path)
    assert model.translate(np.stack([image for image, _ in items]), "healthy").shape == (8, 5, 34, 41)


def test_more_than_two_exclusive_domains_train(tiny_config: TrainingConfig, tmp_path: Path) -> None:
    domains = {"names": ("healthy", "tumor", "stroke")}
    config = TrainingConfig(**{**tiny_config.model_dump(), "domains": domains, "batch_size": 6})
    random = np.random.default_rng(0)
    items = [(random.random((1, 32, 32), np.float32), np.eye(3, dtype=np.float32)[i % 3]) for i in range(9)]
    model = train(items, config, output=tmp_path)
    images = np.stack([image for image, _ in items])
    results = [model.translate(images, name) for name in ("healthy", "tumor", "stroke")]
    assert not np.allclose(results[0], results[1])
    assert not np.allclose(results[1], results[2])
