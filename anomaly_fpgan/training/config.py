"""Settings of losses and training: frozen, and wrong values are refused with the field's name."""

from __future__ import annotations

from typing import Literal, Self

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
    mismatch: float = Field(default=0.0, ge=0)
    """Weight of real images under another domain's label counting as unreal; outside the patent. 0 leaves it out; more
    needs the source head `by_domain`."""
    domain: float = Field(default=1.0, ge=0)
    """λ_domain"""
    domain_origin: float = Field(default=0.0, ge=0)
    """Weight of the critic telling what domain a cross-domain translation was made of; outside the patent. 0 leaves it
    out."""
    cycle: float = Field(default=10.0, ge=0)
    """λ_cyc"""
    identity: float = Field(default=0.1, ge=0)
    """λ_id: 0.1 for brain MRI, 10 for faces in the patent."""
    second_fixed_point: float = Field(default=0.0, ge=0)
    """Weight of the patent's optional process 160; 0 leaves it out."""


class Augmentation(_Settings):
    """Random changes of each image, drawn anew every time it is seen; what moves in from outside is background."""

    horizontal_flip: bool = True
    """Flip left to right with probability 1/2."""
    rotation_degrees: float = Field(default=0.0, ge=0, le=180)
    """Turn by an angle of up to this to either side."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Move by up to this share of height and width, either way."""
    scale: float = Field(default=0.0, ge=0, le=0.5)
    """Enlarge or shrink by up to this share."""
    log_gamma: float = Field(default=0.0, ge=0, le=1)
    """Raise each channel's intensities to a power e^β, β of up to this to either side, as other scanners might."""


class TrainingConfig(_Settings):
    """A whole training. One iteration is one update of the critic."""

    domains: DomainScheme = DomainScheme(names=("healthy", "diseased"))
    """What an image can be."""
    networks: NetworkConfig = NetworkConfig()
    """Size of the networks."""
    losses: LossWeights = LossWeights()
    """Weights of the loss terms."""
    augmentation: Augmentation = Augmentation()
    """How images are varied."""
    iterations: int = Field(default=200_000, ge=1)
    """Critic updates in all."""
    batch_size: int = Field(default=16, ge=1)
    """Images a step over all processes; half of them of each domain where domains are two and exclusive."""
    height_tolerance: float | None = Field(default=None, gt=0, le=1)
    """Images of a step come in groups, one of each domain, that lie at about the same height: as far apart as this
    share of the body part's extent, or the nearest there are. Without it they come from anywhere."""
    critic_steps: int = Field(default=5, ge=1)
    """n_critic: the generator is updated at every such critic update."""
    critic_warmup: int = Field(default=0, ge=0)
    """So many iterations, the first ones, in which the critic alone learns, and that from real images alone: their
    domains. Until it tells these, a generator has nothing to learn from it. At most nine tenths of all iterations, so
    that a run cut short trains both networks."""
    learning_rate: float = Field(default=1e-4, gt=0)
    """Adam's learning rate, for both networks."""
    betas: tuple[float, float] = (0.5, 0.999)
    """Adam's decay rates, but for the warm-up, which has Adam's usual ones."""
    decay_start: float = Field(default=0.5, ge=0, le=1)
    """Share of the iterations after which the learning rate falls linearly towards 0."""
    averaging: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the generator's averaged weights; reached gradually, so that early weights are forgotten."""
    max_gradient_norm: float = Field(default=10_000.0, gt=0)
    """A longer gradient of a network is shortened to this; up to some thousands are usual."""
    max_skipped_steps: int = Field(default=20, ge=0)
    """Updates left out for a non-finite loss or gradient; more of them between two milestones stop the run."""
    validate_every: int = Field(default=1000, ge=1)
    """Iterations between milestones: a validation, a sample picture, a checkpoint. There are none in the warm-up, which
    leaves the generator as it is."""
    checkpoint_minutes: float = Field(default=10.0, gt=0)
    """A checkpoint is also written when the last one is this old."""
    log_every: int = Field(default=50, ge=1)
    """Iterations averaged into one row of `history.csv`."""
    seed: int = Field(default=0, ge=0)
    """Every random draw follows from it."""
    precision: Precision = "auto"
    """`auto` takes bfloat16 where that is faster."""
    device: str = "auto"
    """`auto`, `cpu`, `cuda`, `cuda:1`, …"""
    compile: bool = False
    """Compile the generator with `torch.compile`: minutes at the start, faster steps after."""
    images_on_device: Literal["auto", "always", "never"] = "auto"
    """Hold all training images in the memory of the device; `auto` does where they fit."""
    loader_workers: int = Field(default=0, ge=0)
    """Processes that read images where they are not held on the device; 0 reads them in this one."""
    tensorboard: bool = True
    """Also log to `tensorboard/`, where TensorBoard is installed."""
    mlflow: str | None = None
    """Also log to the MLflow server or database of this address."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"`betas` must lie in [0, 1), got {self.betas}")
        if self.losses.mismatch and self.networks.source_head != "by_domain":
            raise ValueError("`losses.mismatch` needs `networks.source_head` by_domain")
        return self

    @property
    def warmup_iterations(self) -> int:
        """How many iterations only the critic learns in."""
        return min(self.critic_warmup, 9 * self.iterations // 10)

    def generator_updates(self, iteration: int) -> int:
        """How many updates of the generator there have been when an iteration, counted from 1, is over."""
        return max(0, iteration - self.warmup_iterations) // self.critic_steps

    def moves_generator(self, iteration: int) -> bool:
        """Whether an iteration, counted from 1, updates the generator."""
        return self.generator_updates(iteration) > self.generator_updates(iteration - 1)

    def is_milestone(self, iteration: int) -> bool:
        """Whether a validation, a sample picture and a checkpoint follow an iteration, counted from 1."""
        due = iteration % self.validate_every == 0 and iteration > self.warmup_iterations
        return due or iteration == self.iterations

    def ends_row(self, iteration: int) -> bool:
        """Whether a row of the history ends with an iteration, counted from 1."""
        return iteration % self.log_every == 0 or self.is_milestone(iteration)

    def learning_rate_at(self, iteration: int) -> float:
        """Learning rate of an iteration, counted from 0: constant, then linear to 0 just behind the last."""
        start = self.decay_start * self.iterations
        if iteration < start:
            return self.learning_rate
        return self.learning_rate * (self.iterations - iteration) / (self.iterations - start)
