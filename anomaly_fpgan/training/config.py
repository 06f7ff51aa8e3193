"""Settings of losses and training: frozen, and wrong values are refused with the field's name."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from anomaly_fpgan.device import Precision
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.networks.config import NetworkConfig


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LossWeights(_Settings):
    """Weights of the loss terms; the symbols are the patent's."""

    gradient_penalty: float = Field(default=10.0, ge=0)
    """λ_gp"""
    domain: float = Field(default=1.0, ge=0)
    """λ_domain"""
    cycle: float = Field(default=10.0, ge=0)
    """λ_cyc"""
    identity: float = Field(default=0.1, ge=0)
    """λ_id: 0.1 for brain MRI, 10 for faces in the patent."""
    second_fixed_point: float = Field(default=0.0, ge=0)
    """Weight of the patent's optional process 160; 0 leaves it out."""


class TrainingConfig(_Settings):
    """A whole training. One iteration is one update of the critic."""

    domains: DomainScheme = DomainScheme(names=("healthy", "diseased"))
    """What an image can be."""
    networks: NetworkConfig = NetworkConfig()
    """Size of the networks."""
    losses: LossWeights = LossWeights()
    """Weights of the loss terms."""
    iterations: int = Field(default=200_000, ge=1)
    """Critic updates in all."""
    batch_size: int = Field(default=16, ge=1)
    """Images a step; half of them of each domain where domains are two and exclusive."""
    critic_steps: int = Field(default=5, ge=1)
    """n_critic: the generator is updated at every such critic update."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's learning rate, for both networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates."""
    decay_start: float = Field(default=0.5, ge=0, le=1)
    """Share of the iterations after which the learning rate falls linearly towards 0."""
    averaging: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the generator's averaged weights; reached gradually, so that early weights are forgotten."""
    horizontal_flip: bool = True
    """Flip each image left to right with probability 1/2."""
    validate_every: int = Field(default=1000, ge=1)
    """Iterations between validations, sample pictures and checkpoints."""
    log_every: int = Field(default=50, ge=1)
    """Iterations averaged into one row of `history.csv`."""
    seed: int = Field(default=0, ge=0)
    """Every random draw follows from it."""
    precision: Precision = "auto"
    """`auto` takes bfloat16 where the hardware computes in it."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, …"""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` must lie in [0, 1), got {self.betas}")
        return self

    def learning_rate_at(self, iteration: int) -> float:
        """Learning rate of an iteration, counted from 0: constant, then linear to 0 just behind the last."""
        start = self.decay_start * self.iterations
        if iteration < start:
            return self.learning_rate
        return self.learning_rate * (self.iterations - iteration) / (self.iterations - start)
