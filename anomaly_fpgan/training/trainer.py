"""The training loop: a MONAI trainer whose iteration is a critic update and, every n_critic-th, a generator update."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Trainer
from torch import Tensor
from torch.optim import Adam, Optimizer
from torch.optim.swa_utils import AveragedModel

from anomaly_fpgan.device import autocast, choose_device
from anomaly_fpgan.model import FixedPointGAN, build_translator
from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.training.batches import BalancedBatches, step_generator
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.steps import Adversaries, Batch, critic_step, generator_step
from anomaly_fpgan.translate import to_network_range


class FixedPointTrainer(Trainer):
    """Trains a generator and a critic against each other and averages the generator's weights.

    `state.output` of each iteration holds its loss terms, detached and still on the device.

    Args:
        batches: images (B, C, H, W) in [0, 1] and labels (B, K); its `first` says where a resumed run goes on.
        image_shape: (C, H, W) of the images.
        config: every setting of the training.
        handlers: objects with an `attach(engine)`, as MONAI knows them.
    """

    def __init__(
        self,
        *,
        batches: BalancedBatches,
        image_shape: tuple[int, int, int],
        config: TrainingConfig,
        handlers: Sequence[Any] = (),
    ) -> None:
        device = choose_device(config.device)
        # Batches are endless: the whole training is one epoch, so that the iteration alone says where a run is.
        super().__init__(
            device=device,
            max_epochs=1,
            data_loader=batches,
            epoch_length=config.iterations,
            handlers=handlers,
            decollate=False,
        )
        self.config = config
        self.image_shape = image_shape
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            translator = build_translator(image_shape, config.domains, config.networks).to(device)
            critic = Discriminator(
                image_shape[0],
                len(config.domains),
                image_shape[1:],
                base_width=config.networks.discriminator_width,
                depth=config.networks.discriminator_depth,
                domain_head=config.networks.domain_head,
            ).to(device)
        self.adversaries = Adversaries(
            translator=translator,
            critic=critic,
            weights=config.losses,
            exclusive=config.domains.exclusive,
            autocast=autocast(device, config.precision),
        )
        self.averaged = AveragedModel(translator, avg_fn=self._average)
        self.optimizers: dict[str, Optimizer] = {
            name: Adam(network.parameters(), lr=config.learning_rate, betas=config.betas, fused=True)
            for name, network in (("translator", translator), ("critic", critic))
        }

    def _iteration(self, engine: Engine, batchdata: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        step = engine.state.iteration - 1
        images, labels = batchdata
        random = step_generator(self.config.seed, step)
        device = engine.state.device
        batch = Batch(
            x=to_network_range(images.to(device, non_blocking=True)),
            c_x=labels.to(device, non_blocking=True),
            c_y=self.config.domains.draw_target(labels, random).to(device, non_blocking=True),
        )
        terms = self._update("critic", step, lambda: critic_step(self.adversaries, batch, random))
        if (step + 1) % self.config.critic_steps == 0:
            terms |= self._update("translator", step, lambda: generator_step(self.adversaries, batch))
            self.averaged.update_parameters(self.adversaries.translator)
        return terms

    def _update(self, name: str, step: int, compute_gradients: Any) -> dict[str, Tensor]:
        optimizer = self.optimizers[name]
        for group in optimizer.param_groups:
            group["lr"] = self.config.learning_rate_at(step)
        optimizer.zero_grad()
        terms = compute_gradients()
        optimizer.step()
        return terms

    def _average(self, average: Tensor, current: Tensor, count: Tensor | int) -> Tensor:
        # Early on the average follows closely, so that the random start does not linger in it.
        decay = min(self.config.averaging, (1 + int(count)) / (10 + int(count)))
        return average.lerp(current, 1 - decay)

    def averaged_model(self, metadata: dict[str, Any]) -> FixedPointGAN:
        """A model with a copy of the averaged weights."""
        model = FixedPointGAN(
            self.image_shape,
            self.config.domains,
            self.config.networks,
            precision=self.config.precision,
            metadata=metadata,
        )
        model.translator.load_state_dict(self.averaged.module.state_dict())
        model.translator.to(self.state.device)
        return model

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers follow from seed and iteration and are not part of it."""
        return {
            "iteration": self.state.iteration,
            "translator": self.adversaries.translator.state_dict(),
            "critic": self.adversaries.critic.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `training_state` was taken."""
        self.state.iteration = state["iteration"]
        self.adversaries.translator.load_state_dict(state["translator"])
        self.adversaries.critic.load_state_dict(state["critic"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
