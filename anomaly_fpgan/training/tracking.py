"""Where else the rows of a training go: to TensorBoard and to MLflow, by MONAI's handlers."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ignite.engine import Engine, Events

from anomaly_fpgan.errors import TrackingWarning, TrainingError
from anomaly_fpgan.training.config import TrainingConfig

MLFLOW_EXPERIMENT = "fpgan"
MLFLOW_NAME_FILE = "mlflow_run_name"
TENSORBOARD_FOLDER = "tensorboard"


@contextmanager
def tracking(config: TrainingConfig, output: Path, trainer: Engine, *, first_iteration: int) -> Iterator[None]:
    """Log the rows of a training as the settings ask, while entered.

    Attach after the handler that sets `trainer.state.row` and, at milestones, `trainer.state.samples`, an (H, W) uint8
    picture. `tensorboard/` is left out where TensorBoard is not installed.

    Args:
        config: `tensorboard` and `mlflow` decide; MLflow gets all settings as parameters.
        output: folder of the run; its name begins the MLflow run's.
        trainer: whose rows are logged.
        first_iteration: iterations that are already done; a resumed run goes on with its logs.

    Raises:
        TrainingError: when MLflow is asked for and is not installed, or its server does not answer.
    """
    if config.mlflow:
        _mlflow_handler(config.mlflow, config, output, trainer, first_iteration).attach(trainer)
    if not (config.tensorboard and find_spec("tensorboard")):
        yield
        return
    from monai.handlers import TensorBoardStatsHandler
    from torch.utils.tensorboard import SummaryWriter

    # What a killed run wrote after its last checkpoint comes again.
    with SummaryWriter(output / TENSORBOARD_FOLDER, purge_step=first_iteration + 1) as writer:
        TensorBoardStatsHandler(
            writer, iteration_log=_row_ends(config), epoch_log=False, output_transform=_numbers_of(trainer)
        ).attach(trainer)

        def add_picture(engine: Engine) -> None:
            if config.is_milestone(engine.state.iteration):
                writer.add_image("samples", engine.state.samples, engine.state.iteration, dataformats="HW")
                writer.flush()

        trainer.add_event_handler(Events.ITERATION_COMPLETED, add_picture)
        yield


def _mlflow_handler(address: str, config: TrainingConfig, output: Path, trainer: Engine, first_iteration: int) -> Any:
    if not find_spec("mlflow"):
        raise TrainingError(f"`mlflow` is {address!r}; install MLflow with `pip install 'fpgan[mlflow]'`")
    from monai.handlers import MLFlowHandler

    class Handler(MLFlowHandler):
        def iteration_completed(self, engine: Engine) -> None:
            with _warn_of_failure(address):
                super().iteration_completed(engine)

        def close(self) -> None:
            with _warn_of_failure(address):
                super().close()

    try:
        handler = Handler(
            tracking_uri=address,
            experiment_name=MLFLOW_EXPERIMENT,
            run_name=_run_name(output, first_iteration),
            # MLflow refuses to change a parameter, which a resumed run may do.
            experiment_param=None if first_iteration else _flat(config.model_dump(mode="json")),
            iteration_log=_row_ends(config),
            epoch_log=False,
            output_transform=_numbers_of(trainer),
            close_on_complete=True,
        )
        handler.client.search_experiments(max_results=1)
    except Exception as error:  # MLflow's own, or one of what lies behind it: network, database, ...
        raise TrainingError(f"`mlflow` is {address!r}, which cannot be used: {_first_line(error)}") from error
    return handler


@contextmanager
def _warn_of_failure(address: str) -> Iterator[None]:
    """A training is worth more than its log."""
    try:
        yield
    except Exception as error:
        warnings.warn(f"`mlflow` {address!r} missed something: {_first_line(error)}", TrackingWarning, stacklevel=2)


def _run_name(output: Path, first_iteration: int) -> str:
    """A name that no other run has: MONAI's handler goes on with an unfinished run of the same name."""
    file = output / MLFLOW_NAME_FILE
    if not (first_iteration and file.is_file()):
        file.write_text(f"{output.resolve().name}-{uuid.uuid4().hex[:8]}", encoding="utf-8")
    return file.read_text(encoding="utf-8")


def _row_ends(config: TrainingConfig) -> Any:
    return lambda _, iteration: config.ends_row(iteration)


def _numbers_of(trainer: Engine) -> Any:
    """The iteration is the step, and no number of its own."""
    return lambda _: {name: float(value) for name, value in trainer.state.row.items() if name != "iteration"}


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`{"losses": {"cycle": 10}}` becomes `{"losses.cycle": 10}`, the name that `--set` knows."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return flat


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
