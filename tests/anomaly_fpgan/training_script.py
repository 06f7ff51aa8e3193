"""Run by tests in processes of their own: `training_script.py train|resume|gradients FOLDER`.

`train` and `resume` print each iteration as it ends. `gradients` saves those of both networks after one batch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from anomaly_fpgan.networks.config import NetworkConfig
from anomaly_fpgan.training.batches import Batches
from anomaly_fpgan.training.config import Augmentation, LossWeights
from anomaly_fpgan.training.processes import joined
from anomaly_fpgan.training.run import train
from anomaly_fpgan.training.steps import critic_step, generator_step
from anomaly_fpgan.training.trainer import FixedPointTrainer
from tests.anomaly_fpgan.conftest import TINY_CONFIG, Blobs

CONFIG = TINY_CONFIG.model_copy(
    update={
        "networks": NetworkConfig(generator_width=8, residual_blocks=1, discriminator_width=8, discriminator_depth=3),
        "losses": LossWeights(second_fixed_point=1),
        "augmentation": Augmentation(rotation_degrees=5, shift=0.05, scale=0.05),
        "iterations": 60,
        "batch_size": 8,
        "validate_every": 10,
        "log_every": 4,
    }
)


def gradients() -> dict[str, torch.Tensor]:
    """Gradients of the critic and of the generator for the first batch, averaged over all processes."""
    device = torch.device("cpu")
    with joined(device) as processes:
        trainer = FixedPointTrainer(
            batches=Batches(Blobs(), CONFIG, device, processes=processes), config=CONFIG, processes=processes
        )
        batch = next(iter(trainer.batches))
        fakes = trainer.adversaries.translate_both(batch, for_generator=True)
        terms = critic_step(trainer.adversaries, batch, fakes) | generator_step(trainer.adversaries, batch, fakes)
        networks = {"critic": trainer.critic, "generator": trainer.translator}
        found = {
            f"{name}.{place}": parameter.grad
            for name, network in networks.items()
            for place, parameter in network.named_parameters()
            if parameter.grad is not None
        }
        processes.average_([*found.values(), *terms.values()])
        return {**found, **terms}


if __name__ == "__main__":
    action, folder = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)  # on one machine, sums are then taken in one order
    if action == "gradients":
        values = gradients()
        torch.save(values, folder / f"gradients-{torch.initial_seed()}-{id(values)}.pt")
    else:
        train(
            Blobs(),
            CONFIG,
            output=folder,
            resume=action == "resume",
            validate=lambda model: {"auc": float(next(model.translator.parameters()).abs().sum())},
            on_iteration=lambda iteration: print(iteration, flush=True),
        )
