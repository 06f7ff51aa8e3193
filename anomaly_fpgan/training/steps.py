"""One update of the critic and one of the generator: a batch in, named loss terms out, gradients left behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomaly_fpgan import losses
from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.training.config import LossWeights
from anomaly_fpgan.translate import Translator


@dataclass(frozen=True, kw_only=True)
class Batch:
    """x (B, C, H, W) in [-1, 1], its own domains c_x and the drawn targets c_y (B, K)."""

    x: Tensor
    c_x: Tensor
    c_y: Tensor


@dataclass(frozen=True, kw_only=True)
class Adversaries:
    """The two networks that train against each other, and how their losses are weighed."""

    translator: Translator
    critic: Discriminator
    weights: LossWeights
    exclusive: bool
    autocast: torch.autocast

    def translate_both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """x′ = G(x, c_x) and y′ = G(x, c_y), in one pass."""
        both = self.translator(torch.cat([batch.x, batch.x]), torch.cat([batch.c_x, batch.c_y]))
        return both.tensor_split(2)


def critic_step(adversaries: Adversaries, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
    """Leave the gradients of L_D in the critic; both fakes enter its loss and its penalty.

    Returns:
        Detached loss terms, unweighted, and `critic_loss`, L_D.
    """
    critic, weights = adversaries.critic, adversaries.weights
    with adversaries.autocast:
        with torch.no_grad():
            x_same, x_cross = adversaries.translate_both(batch)
        scores, logits = critic(torch.cat([batch.x, x_same, x_cross]))
        d_src_x, d_src_same, d_src_cross = scores.float().tensor_split(3)
        adversarial = losses.adversarial(d_src_x, d_src_same, d_src_cross)
        domain = losses.domain_real(logits[: len(batch.x)], batch.c_x, exclusive=adversaries.exclusive)
        penalty = losses.gradient_penalty(lambda images: critic(images)[0], batch.x, x_same, x_cross, generator)
    loss = -adversarial + weights.gradient_penalty * penalty + weights.domain * domain
    loss.backward()
    return _detached(critic_loss=loss, adversarial=adversarial, gradient_penalty=penalty, domain_real=domain)


def generator_step(adversaries: Adversaries, batch: Batch) -> dict[str, Tensor]:
    """Leave the gradients of L_G in the generator; the critic is frozen meanwhile.

    Returns:
        Detached loss terms, unweighted, and `generator_loss`, L_G.
    """
    weights = adversaries.weights
    with adversaries.autocast, _frozen(adversaries.critic):
        x_same, x_cross = adversaries.translate_both(batch)
        fakes = torch.cat([x_same, x_cross])
        back = adversaries.translator(fakes, torch.cat([batch.c_x, batch.c_x]))
        back_from_same, back_from_cross = back.tensor_split(2)
        scores, logits = adversaries.critic(fakes)
        d_src_same, d_src_cross = scores.float().tensor_split(2)
        logits_same, logits_cross = logits.tensor_split(2)
        adversarial = losses.adversarial_fake(d_src_same, d_src_cross)
        domain = losses.domain_fake(logits_same, batch.c_x, logits_cross, batch.c_y, exclusive=adversaries.exclusive)
        terms = {
            "domain_fake": domain,
            "cycle": losses.cycle(batch.x, back_from_cross, back_from_same),
            "identity": losses.conditional_identity(batch.x, x_same),
            "second_fixed_point": losses.second_fixed_point(x_same, back_from_same),
        }
    loss = (
        adversarial
        + weights.domain * terms["domain_fake"]
        + weights.cycle * terms["cycle"]
        + weights.identity * terms["identity"]
    )
    if weights.second_fixed_point:
        loss = loss + weights.second_fixed_point * terms["second_fixed_point"]
    loss.backward()
    return _detached(generator_loss=loss, adversarial_fake=adversarial, **terms)


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Gradients flow through the module, but none are computed for its weights."""
    module.requires_grad_(False)
    try:
        yield
    finally:
        module.requires_grad_(True)


def _detached(**terms: Tensor) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in terms.items()}
