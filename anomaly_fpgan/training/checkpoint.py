"""The checkpoint of a run: written whole or not at all, read without executing anything in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.errors import ModelError

CHECKPOINT_FORMAT = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write tensors and plain values."""
    write_atomically(path, lambda temporary: torch.save({"format": CHECKPOINT_FORMAT, **state}, temporary))


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read what `save_checkpoint` wrote, on the CPU.

    Raises:
        ModelError: when the file is missing, damaged, foreign or of a newer format.
    """
    if not path.is_file():
        raise ModelError("there is no checkpoint to resume from; start without `--resume`", path=path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, OSError) as error:
        raise ModelError(
            "is damaged or not a checkpoint of this program; delete it and train anew", path=path
        ) from error
    if not isinstance(state, dict) or "format" not in state:
        raise ModelError("is not a checkpoint of this program", path=path)
    if state["format"] != CHECKPOINT_FORMAT:
        raise ModelError(f"has format {state['format']}, this version reads {CHECKPOINT_FORMAT}", path=path)
    return state
