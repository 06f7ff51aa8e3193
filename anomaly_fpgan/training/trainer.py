"""The training loop: a MONAI trainer whose iteration is a critic update and, every n_critic-th, a generator update."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from ignite.engine import Engine
from monai.engines import Trainer
from torch import Tensor

from anomaly_fpgan.device import autocast
from anomaly_fpgan.model import FixedPointGAN, build_translator
from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.training.batches import Batch, Batches
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.optimizer import GuardedAdam, Update
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.steps import Adversaries, critic_step, generator_step, warmup_step

STARTED_FROM = "started_from"
"""Where a model's metadata holds the `Start.origin` of its training, if that began with weights of another one."""

_WARMUP_BETAS = (0.9, 0.999)
"""Adam's usual ones. With the small first one of the adversarial part, a critic of T1 images long learned nothing."""


@dataclass(frozen=True, kw_only=True)
class Start:
    """Weights of another training to begin with.

    `generator` and `critic` are state dictionaries, the former of averaged weights. `origin` is what travels with the
    new model: the `sha256` and the `iteration` of the checkpoint that the critic is from, and the `metadata` of the
    model that the generator is from, with its own origin in turn.
    """

    generator: Mapping[str, Tensor]
    critic: Mapping[str, Tensor]
    origin: Mapping[str, Any]


class FixedPointTrainer(Trainer):
    """Trains a generator and a critic against each other and averages the generator's weights.

    `state.output` of each iteration holds its updates: the critic's and, where there was one, the generator's. Nothing
    in an iteration waits for the device.

    Args:
        batches: its device is the one to train on, its `first` says where a resumed run goes on.
        config: every setting of the training.
        processes: that train together.
    """

    def __init__(self, *, batches: Batches, config: TrainingConfig, processes: Processes) -> None:
        device = batches.device
        # Batches are endless: the whole training is one epoch, so that the iteration alone says where a run is.
        super().__init__(
            device=device,
            max_epochs=1,
            data_loader=batches,
            epoch_length=config.iterations,
            decollate=False,
        )
        self.config = config
        self.batches = batches
        self.origin: Mapping[str, Any] | None = None
        with torch.random.fork_rng():
            torch.manual_seed(config.seed)
            self.translator = build_translator(batches.image_shape, config.domains, config.networks).to(device)
            self.critic = build_critic(batches.image_shape, config).to(device)
        self.adversaries = Adversaries(
            translate=torch.compile(self.translator) if config.compile else self.translator,
            critic=self.critic,
            weights=config.losses,
            exclusive=config.domains.exclusive,
            autocast=autocast(device, config.precision),
        )
        self.averaged = copy.deepcopy(self.translator).requires_grad_(False)
        self.optimizers = {
            name: GuardedAdam(
                name,
                network,
                max_gradient_norm=config.max_gradient_norm,
                processes=processes,
            )
            for name, network in (("critic", self.critic), ("generator", self.translator))
        }

    def run(self) -> None:
        """Train to the last iteration."""
        # Shapes never change, so it pays to let cuDNN try its algorithms once.
        with torch.backends.cudnn.flags(enabled=True, benchmark=True):
            super().run()

    def _iteration(self, engine: Engine, batchdata: Batch) -> Sequence[Update]:
        step = engine.state.iteration - 1
        rate = self.config.learning_rate_at(step)
        critic, generator = self.optimizers["critic"], self.optimizers["generator"]
        critic.clear()
        if step < self.config.warmup_iterations:
            return [critic.step(warmup_step(self.adversaries, batchdata), rate, _WARMUP_BETAS)]
        if step == self.config.warmup_iterations:
            # The warm-up's gradients are so much smaller that these moments would make the next steps far too long.
            critic.begin_anew()
        moves_generator = self.config.moves_generator(step + 1)
        fakes = self.adversaries.translate_both(batchdata, for_generator=moves_generator)
        betas = self.config.betas
        updates = [critic.step(critic_step(self.adversaries, batchdata, fakes), rate, betas)]
        if moves_generator:
            generator.clear()
            updates.append(generator.step(generator_step(self.adversaries, batchdata, fakes), rate, betas))
            self._average(self.config.generator_updates(step + 1))
        return updates

    @torch.no_grad()
    def _average(self, count: int) -> None:
        """Let the averaged weights follow after the `count`-th update of the generator."""
        # Early on they follow closely, so that the random start does not linger in them.
        decay = min(self.config.averaging, count / (9 + count))
        torch._foreach_lerp_(list(self.averaged.parameters()), list(self.translator.parameters()), 1 - decay)

    def forget_gradients(self) -> None:
        """Give back the memory of gradients."""
        for optimizer in self.optimizers.values():
            optimizer.clear()

    def averaged_model(self, metadata: dict[str, Any]) -> FixedPointGAN:
        """A model with a copy of the averaged weights."""
        model = FixedPointGAN(
            self.batches.image_shape,
            self.config.domains,
            self.config.networks,
            precision=self.config.precision,
            metadata=metadata if self.origin is None else {**metadata, STARTED_FROM: self.origin},
        )
        model.translator.load_state_dict(self.averaged.state_dict())
        model.translator.to(self.state.device)
        return model

    def training_state(self) -> dict[str, Any]:
        """All that a resumed run needs; random numbers follow from seed and iteration and are not part of it."""
        return {
            "iteration": self.state.iteration,
            "translator": self.translator.state_dict(),
            "critic": self.critic.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "origin": self.origin,
        }

    def begin_with(self, start: Start) -> None:
        """Take the weights of another training; its optimizers, schedule and draws are not taken."""
        self.translator.load_state_dict(start.generator)
        self.averaged.load_state_dict(start.generator)
        self.critic.load_state_dict(start.critic)
        self.origin = start.origin

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where `training_state` was taken."""
        self.state.iteration = state["iteration"]
        self.translator.load_state_dict(state["translator"])
        self.critic.load_state_dict(state["critic"])
        self.averaged.load_state_dict(state["averaged"])
        for name, optimizer in self.optimizers.items():
            optimizer.load_state_dict(state["optimizers"][name])
        self.origin = state.get("origin")  # which older checkpoints do not have


def build_critic(image_shape: tuple[int, int, int], config: TrainingConfig) -> Discriminator:
    """A critic of the given size for images (C, H, W), with fresh weights."""
    channels, height, width = image_shape
    return Discriminator(
        channels,
        len(config.domains),
        (height, width),
        base_width=config.networks.discriminator_width,
        depth=config.networks.discriminator_depth,
        domain_head=config.networks.domain_head,
        source_head=config.networks.source_head,
        exclusive=config.domains.exclusive,
    )
