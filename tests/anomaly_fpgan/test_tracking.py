"""Rows of a training in TensorBoard and MLflow, read back with their own readers."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ignite.engine import Engine, Events

from anomaly_fpgan.errors import TrackingWarning, TrainingError, TrainingStopped
from anomaly_fpgan.training.config import LossWeights, TrainingConfig
from anomaly_fpgan.training.tracking import tracking

ITERATIONS = 8
PICTURE = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20


@pytest.fixture
def config() -> TrainingConfig:
    """Rows end with iterations 2, 4, 6 and 8; 4 and 8 are milestones."""
    return TrainingConfig(iterations=ITERATIONS, log_every=2, validate_every=4)


@pytest.fixture
def mlflow_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Address of an empty MLflow store."""
    pytest.importorskip("mlflow", reason="the mlflow extra is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return f"sqlite:///{tmp_path / 'mlflow.db'}"


def test_every_number_becomes_a_scalar_at_its_iteration(config: TrainingConfig, tmp_path: Path) -> None:
    train(config, tmp_path)
    events = read_events(tmp_path)
    assert sorted(events.Tags()["scalars"]) == ["cycle", "learning_rate", "validation_auc"]
    cycle = events.Scalars("cycle")
    assert [(event.step, event.value) for event in cycle] == [
        (2, 0.5),
        (4, 0.25),
        (6, pytest.approx(1 / 6)),
        (8, 0.125),
    ]
    assert [event.step for event in events.Scalars("validation_auc")] == [4, 8]


def test_sample_pictures_of_milestones_are_shown(config: TrainingConfig, tmp_path: Path) -> None:
    train(config, tmp_path)
    pictures = read_events(tmp_path).Images("samples")
    assert [(picture.step, picture.height, picture.width) for picture in pictures] == [(4, 3, 4), (8, 3, 4)]


def test_a_row_can_be_read_while_training_goes_on(config: TrainingConfig, tmp_path: Path) -> None:
    seen = []

    def read(engine: Engine) -> None:
        if engine.state.iteration == 3:
            seen.extend(event.step for event in read_events(tmp_path).Scalars("cycle"))

    train(config, tmp_path, after=read)
    assert seen == [2]


def test_rows_after_the_checkpoint_of_a_killed_run_are_replaced(config: TrainingConfig, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"):
        train(config, tmp_path, after=failing_at(7, RuntimeError("out of memory")))
    train(config, tmp_path, first=4, factor=10.0)
    values = [(event.step, event.value) for event in read_events(tmp_path).Scalars("cycle")]
    assert values == [(2, 0.5), (4, 0.25), (6, pytest.approx(10 / 6)), (8, 1.25)]


@pytest.mark.parametrize("error", [RuntimeError("out of memory"), TrainingStopped("stopped")])
def test_a_training_that_ends_early_closes_its_log(
    config: TrainingConfig, tmp_path: Path, error: BaseException
) -> None:
    threads = threading.active_count()
    running = []

    def fail(engine: Engine) -> None:
        running.append(threading.active_count())
        failing_at(5, error)(engine)

    with pytest.raises(type(error), match=str(error)):
        train(config, tmp_path, after=fail)
    assert running[-1] > threads  # TensorBoard writes in a thread of its own
    assert threading.active_count() == threads


def test_without_tensorboard_there_is_no_log(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config.model_copy(update={"tensorboard": False}), tmp_path)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train(config, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_mlflow_that_is_not_installed_is_asked_for(
    config: TrainingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(TrainingError, match=r"pip install 'fpgan\[mlflow\]'"):
        train(config.model_copy(update={"mlflow": "http://host"}), tmp_path)


def test_mlflow_gets_settings_and_rows(config: TrainingConfig, tmp_path: Path, mlflow_folder: str) -> None:
    config = config.model_copy(update={"mlflow": mlflow_folder, "losses": LossWeights(identity=10)})
    train(config, tmp_path / "first")
    (run,) = mlflow_runs(mlflow_folder)
    assert run.info.run_name.startswith("first-")
    assert run.info.status == "FINISHED"
    assert run.data.params["losses.identity"] == "10.0"
    assert run.data.params["batch_size"] == "16"
    assert mlflow_values(mlflow_folder, run, "cycle") == [(2, 0.5), (4, 0.25), (6, 1 / 6), (8, 0.125)]
    assert [step for step, _ in mlflow_values(mlflow_folder, run, "validation_auc")] == [4, 8]


def test_a_resumed_training_goes_on_with_its_mlflow_run(
    config: TrainingConfig, tmp_path: Path, mlflow_folder: str
) -> None:
    config = config.model_copy(update={"mlflow": mlflow_folder})
    train(config, tmp_path / "other" / "first")
    with pytest.raises(TrainingStopped):
        train(config, tmp_path / "first", after=failing_at(4, TrainingStopped("stopped")))
    assert {run.info.status for run in mlflow_runs(mlflow_folder)} == {"FINISHED", "RUNNING"}
    # Settings that may change with a resumption must not hinder it.
    train(config.model_copy(update={"device": "cpu"}), tmp_path / "first", first=4)
    runs = mlflow_runs(mlflow_folder)
    assert [run.info.status for run in runs] == ["FINISHED", "FINISHED"]
    for run in runs:
        assert [step for step, _ in mlflow_values(mlflow_folder, run, "cycle")] == [2, 4, 6, 8]


def test_an_mlflow_address_that_cannot_be_used_is_refused(
    config: TrainingConfig, tmp_path: Path, mlflow_folder: str
) -> None:
    with pytest.raises(TrainingError, match="`mlflow` is 'nowhere://at/all', which cannot be used: "):
        train(config.model_copy(update={"mlflow": "nowhere://at/all"}), tmp_path)


def test_a_training_outlives_mlflow(config: TrainingConfig, tmp_path: Path, mlflow_folder: str) -> None:
    from mlflow import MlflowClient

    def delete_run(engine: Engine) -> None:
        if engine.state.iteration == 5:
            MlflowClient(mlflow_folder).delete_run(mlflow_runs(mlflow_folder)[0].info.run_id)

    with pytest.warns(TrackingWarning, match="missed something"):
        train(config.model_copy(update={"mlflow": mlflow_folder}), tmp_path, after=delete_run)
    assert [event.step for event in read_events(tmp_path).Scalars("cycle")] == [2, 4, 6, 8]


def train(
    config: TrainingConfig,
    output: Path,
    *,
    first: int = 0,
    factor: float = 1.0,
    after: Callable[[Engine], None] = lambda engine: None,
) -> None:
    """Run an engine whose `cycle` is `factor` / iteration; `after` follows the logging of each one."""

    def make_row(engine: Engine) -> None:
        iteration = engine.state.iteration
        if config.ends_row(iteration):
            milestone = config.is_milestone(iteration)
            row = {"iteration": iteration, "learning_rate": 1e-4, "cycle": factor / iteration}
            engine.state.row = row | ({"validation_auc": 0.5} if milestone else {})
            engine.state.samples = PICTURE if milestone else None

    engine = Engine(lambda engine, batch: None)
    engine.add_event_handler(Events.ITERATION_COMPLETED, make_row)
    output.mkdir(parents=True, exist_ok=True)
    with tracking(config, output, engine, first_iteration=first):
        engine.add_event_handler(Events.ITERATION_COMPLETED, after)
        engine.load_state_dict({"iteration": first, "max_epochs": 1, "epoch_length": ITERATIONS})
        engine.run([None] * ITERATIONS)


def failing_at(iteration: int, error: BaseException) -> Callable[[Engine], None]:
    def fail(engine: Engine) -> None:
        if engine.state.iteration == iteration:
            raise error

    return fail


def read_events(output: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(output / "tensorboard")).Reload()


def mlflow_runs(address: str) -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(address)
    experiment = client.get_experiment_by_name("fpgan")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def mlflow_values(address: str, run: Any, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    return [(value.step, value.value) for value in MlflowClient(address).get_metric_history(run.info.run_id, name)]
