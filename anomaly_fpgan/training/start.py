"""What a training takes from another run: its weights, and what is known of where they come from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from anomaly_fpgan.errors import ModelError
from anomaly_fpgan.model import FixedPointGAN
from anomaly_fpgan.training.checkpoint import CHECKPOINT_FILE, read_checkpoint
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.trainer import Start, build_critic

_FREE_NETWORK_SETTINGS = {"generator_margin", "generator_start", "mirror_averaging"}
"""How the generator is applied, whatever its weights, and what those were before any training."""


def read_start(run: Path | str, config: TrainingConfig, image_shape: tuple[int, int, int]) -> Start:
    """Read the weights of another run, on the CPU: the generator of the model it kept, the critic it ended with.

    The run may have become worse after the model that it kept, so its last generator is not taken.

    Args:
        run: its folder, with `last.ckpt` and `model.safetensors`.
        config: of the training to start; domains and networks must be those of the run, but for the generator's margin
            and start, and mirror averaging.
        image_shape: (C, H, W) of the training to start. Another size is fine where the critic reads domains off
            patches, as long as it halves the image as often.

    Raises:
        ModelError: when the run has no checkpoint or no model, one of them cannot be used, or domains, networks or
            images differ.
    """
    run = Path(run)
    path = run / CHECKPOINT_FILE
    if not path.is_file():
        raise ModelError(f"holds no {CHECKPOINT_FILE}; give the folder of a run to start from", path=run)
    content, then = read_checkpoint(path)
    _check_settings(run, then, config)
    model, state = FixedPointGAN.load(run, device="cpu"), content["trainer"]
    with torch.device("meta"):  # shapes without weights
        critic = build_critic(image_shape, config)
    if _shapes(critic.state_dict()) != _shapes(state["critic"]):
        channels, height, width = model.image_shape
        problem = (
            f"was trained on images of {channels} × {height} × {width} (channels, height, width), these are of "
            f"{' × '.join(map(str, image_shape))}; prepare them with as many channels and `--size {height}x{width}`, "
            "or start from another run"
        )
        raise ModelError(problem, path=run)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return Start(
        generator=model.translator.state_dict(),
        critic=state["critic"],
        origin={"sha256": sha256, "iteration": state["iteration"], "metadata": model.metadata},
    )


def _shapes(weights: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    return {name: weight.shape for name, weight in weights.items()}


def _check_settings(run: Path, then: TrainingConfig, now: TrainingConfig) -> None:
    for section, remedy in (
        ("domains", "label the images with the same domains"),
        ("networks", "give this training the same networks"),
    ):
        before, after = getattr(then, section), getattr(now, section)
        for name in type(after).model_fields:
            old, new = getattr(before, name), getattr(after, name)
            if old != new and name not in _FREE_NETWORK_SETTINGS:
                problem = f"was trained with `{section}.{name}` {old}, not {new}"
                raise ModelError(f"{problem}; {remedy}, or start from another run", path=run)
