"""The checkpoint of a run: written whole or not at all, read without executing anything in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from pydantic import ValidationError

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.errors import ModelError, check_format
from anomaly_fpgan.training.config import TrainingConfig

CHECKPOINT_FILE = "last.ckpt"
CHECKPOINT_FORMAT = 2

_FREE_SETTINGS = {
    "checkpoint_minutes",
    "compile",
    "device",
    "images_on_device",
    "iterations",
    "loader_workers",
    "max_skipped_steps",
    "mlflow",
    "tensorboard",
}
"""How a run is carried out, not what it computes; and its length: a resumed run may have others."""


def save_checkpoint(path: Path, state: dict[str, Any], config: TrainingConfig) -> None:
    """Write tensors and plain values, and the settings they belong to."""
    content = {"format": CHECKPOINT_FORMAT, "config": config.model_dump_json(), **state}
    write_atomically(path, lambda temporary: torch.save(content, temporary))


def load_checkpoint(path: Path, config: TrainingConfig) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU, to go on with it.

    Raises:
        ModelError: when the file is missing, damaged, foreign, of another format or of a run with other settings.
    """
    if not path.is_file():
        raise ModelError("there is no checkpoint to resume from; start without `--resume`", path=path)
    content, then = read_checkpoint(path)
    _check_settings(path, then, config)
    return content


def read_checkpoint(path: Path) -> tuple[dict[str, Any], TrainingConfig]:
    """What `save_checkpoint` wrote, on the CPU, and the settings it belongs to.

    Raises:
        ModelError: when the file is damaged, foreign or of another format.
    """
    try:
        _check_sums(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, LookupError, OSError, BadZipFile) as error:
        raise ModelError(
            "is damaged or not a checkpoint of this program; delete it and train anew", path=path
        ) from error
    version = content.get("format") if isinstance(content, dict) else None
    check_format(version, CHECKPOINT_FORMAT, kind="checkpoint", path=path)
    try:
        return content, TrainingConfig.model_validate_json(content["config"])
    except (KeyError, ValidationError) as error:
        raise ModelError("does not fit this version of the program; train it again", path=path) from error


def _check_sums(path: Path) -> None:
    """Raise `BadZipFile` when a byte has changed: `torch.load` reads no checksum of the zip archive that it is."""
    with ZipFile(path) as archive:
        damaged = archive.testzip()
    if damaged:
        raise BadZipFile(damaged)


def _check_settings(path: Path, then: TrainingConfig, now: TrainingConfig) -> None:
    for name in TrainingConfig.model_fields:
        if name in _FREE_SETTINGS:
            continue
        before, after = getattr(then, name), getattr(now, name)
        if before != after:
            raise ModelError(f"belongs to a run with `{name}` {before}, not {after}; keep its settings", path=path)
