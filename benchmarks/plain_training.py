"""Fixed-Point GAN training written straight from the formulas, as slow and obvious as it can be.

Float32, one translation a pass, the critic's weights not frozen while the generator learns, one fake after the other,
PyTorch's instance normalization and Adam as they come. What the engine is timed against, and what its numbers must
agree with.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional

from anomaly_fpgan.training.batches import Batch
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.trainer import FixedPointTrainer


class PlainTraining:
    """Begins with copies of a trainer's networks.

    Args:
        trainer: whose networks and settings are taken.
        penalty_on_both: penalize the slope towards both fakes of an image, not towards the one that was drawn.
    """

    def __init__(self, trainer: FixedPointTrainer, *, penalty_on_both: bool = False) -> None:
        self.config: TrainingConfig = trainer.config
        self.translator = copy.deepcopy(trainer.translator)
        _use_instance_norm(self.translator)
        self.critic = copy.deepcopy(trainer.critic)
        self.penalty_on_both = penalty_on_both
        self.adam = {
            name: torch.optim.Adam(network.parameters(), lr=self.config.learning_rate, betas=self.config.betas)
            for name, network in (("translator", self.translator), ("critic", self.critic))
        }

    def iteration(self, batch: Batch, step: int) -> dict[str, float]:
        """One update of the critic and, every n_critic-th time, one of the generator."""
        for adam in self.adam.values():
            for group in adam.param_groups:
                group["lr"] = self.config.learning_rate_at(step)
                group["betas"] = (0.9, 0.999) if step < self.config.warmup_iterations else self.config.betas
        if step < self.config.warmup_iterations:
            entropy = self._entropy(self.critic(batch.x, batch.c_x)[1], batch.c_x)
            return {"critic_loss": self._update("critic", self.config.losses.domain * entropy)}
        if step == self.config.warmup_iterations:
            self.adam["critic"].state.clear()
        terms = {"critic_loss": self._update("critic", self._critic_loss(batch))}
        if self.config.moves_generator(step + 1):
            terms["generator_loss"] = self._update("translator", self._generator_loss(batch))
        return terms

    def _update(self, name: str, loss: Tensor) -> float:
        self.adam[name].zero_grad()
        loss.backward()
        self.adam[name].step()
        return loss.item()

    def _critic_loss(self, batch: Batch) -> Tensor:
        x_same = self.translator(batch.x, batch.c_x).detach()
        x_cross = self.translator(batch.x, batch.c_y).detach()
        score_x, logits_x = self.critic(batch.x, batch.c_x)
        adversarial = torch.zeros((), device=batch.x.device)
        for fake, label in ((x_same, batch.c_x), (x_cross, batch.c_y)):
            adversarial = adversarial + score_x.mean() - self.critic(fake, label)[0].mean()
        if self.penalty_on_both:
            penalty = (self._penalty(batch, x_same, batch.c_x) + self._penalty(batch, x_cross, batch.c_y)) / 2
        else:
            picked = torch.where(batch.pick_same.view(-1, 1, 1, 1), x_same, x_cross)
            penalty = self._penalty(batch, picked, torch.where(batch.pick_same[:, None], batch.c_x, batch.c_y))
        weights = self.config.losses
        loss = -adversarial + weights.gradient_penalty * penalty + weights.domain * self._entropy(logits_x, batch.c_x)
        if weights.mismatch:
            loss = loss - weights.mismatch * (score_x.mean() - self.critic(batch.x, batch.c_y)[0].mean())
        if weights.domain_origin:
            loss = loss + weights.domain_origin * self._entropy(self.critic(x_cross, batch.c_y)[1], batch.c_x)
        return loss

    def _penalty(self, batch: Batch, fake: Tensor, label: Tensor) -> Tensor:
        share = batch.share.view(-1, 1, 1, 1)
        between = (batch.x + share * (fake - batch.x)).requires_grad_(True)
        score = self.critic(between, label)[0].mean((1, 2, 3)).sum()
        (slope,) = torch.autograd.grad(score, between, create_graph=True)
        return (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def _generator_loss(self, batch: Batch) -> Tensor:
        weights = self.config.losses
        loss = torch.zeros((), device=batch.x.device)
        for target in (batch.c_x, batch.c_y):
            fake = self.translator(batch.x, target)
            score, logits = self.critic(fake, target)
            back = self.translator(fake, batch.c_x)
            loss = loss - score.mean() + weights.domain * self._entropy(logits, target)
            loss = loss + weights.cycle * (back - batch.x).abs().mean()
            if target is batch.c_x:
                loss = loss + weights.identity * (fake - batch.x).abs().mean()
                loss = loss + weights.second_fixed_point * (back - fake).abs().mean()
        return loss

    def _entropy(self, logits: Tensor, label: Tensor) -> Tensor:
        if self.config.domains.exclusive:
            return functional.cross_entropy(logits, label.argmax(1))
        return functional.binary_cross_entropy_with_logits(logits, label, reduction="none").sum(1).mean()


def _use_instance_norm(network: nn.Module) -> None:
    """Say instance normalization as such, not as group normalization with a group for each channel."""
    for name, child in network.named_children():
        if isinstance(child, nn.GroupNorm):
            assert child.num_groups == child.num_channels
            norm = nn.InstanceNorm2d(child.num_channels, eps=child.eps, affine=True)
            norm.weight, norm.bias = child.weight, child.bias
            setattr(network, name, norm)
        else:
            _use_instance_norm(child)
