"""The losses of one update of the critic and one of the generator: a batch in, named loss terms out, gradients left.

Both share the translations of the batch, x′ and y′, which are computed in one pass. A critic update needs no graph of
them; where a generator update follows, they are computed once, with their graph, for both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from anomaly_fpgan import losses
from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.training.batches import Batch
from anomaly_fpgan.training.config import LossWeights

Fakes = tuple[Tensor, Tensor]
"""x′ = G(x, c_x) and y′ = G(x, c_y)."""


@dataclass(frozen=True, kw_only=True)
class Adversaries:
    """The two networks that train against each other, and how their losses are weighed.

    `translate` is G(x, c), the generator under its output rule, compiled or not.
    """

    translate: Callable[[Tensor, Tensor], Tensor]
    critic: Discriminator
    weights: LossWeights
    exclusive: bool
    autocast: torch.autocast

    def translate_both(self, batch: Batch, *, for_generator: bool) -> Fakes:
        """Translate a batch to its own and to its target domains, in one pass; with a graph for a generator step."""
        with torch.set_grad_enabled(for_generator), self.autocast:
            both = self.translate(torch.cat([batch.x, batch.x]), torch.cat([batch.c_x, batch.c_y]))
        x_same, x_cross = both.tensor_split(2)
        return x_same, x_cross


def warmup_step(adversaries: Adversaries, batch: Batch) -> dict[str, Tensor]:
    """Leave the gradients in the critic by which it learns the domains of real images, and those alone.

    Returns:
        Detached loss terms, as of `critic_step`.
    """
    with adversaries.autocast:
        _, logits = adversaries.critic.judge(batch.x)
        domain = losses.domain_real(logits, batch.c_x, exclusive=adversaries.exclusive)
    loss = adversaries.weights.domain * domain
    loss.backward()
    return _detached(critic_loss=loss, domain_real=domain)


def critic_step(adversaries: Adversaries, batch: Batch, fakes: Fakes) -> dict[str, Tensor]:
    """Leave the gradients of L_D in the critic; both fakes enter its loss and its penalty.

    Returns:
        Detached loss terms, unweighted, and `critic_loss`, L_D.
    """
    critic, weights = adversaries.critic, adversaries.weights
    x_same, x_cross = (fake.detach() for fake in fakes)
    with adversaries.autocast:
        scores, logits = critic.judge(torch.cat([batch.x, x_same, x_cross]))
        scores_x, scores_same, scores_cross = scores.tensor_split(3)
        logits_x, _, logits_cross = logits.tensor_split(3)
        d_src_x = critic.score_as(scores_x, batch.c_x)
        adversarial = losses.adversarial(
            d_src_x, critic.score_as(scores_same, batch.c_x), critic.score_as(scores_cross, batch.c_y)
        )
        domain = losses.domain_real(logits_x, batch.c_x, exclusive=adversaries.exclusive)
        c_between = torch.where(batch.pick_same[:, None], batch.c_x, batch.c_y)
        penalty = losses.gradient_penalty(
            lambda images: critic(images, c_between)[0], batch.x, x_same, x_cross, batch.share, batch.pick_same
        )
        terms = {"adversarial": adversarial, "gradient_penalty": penalty, "domain_real": domain}
        loss = -adversarial + weights.gradient_penalty * penalty + weights.domain * domain
        if weights.mismatch:
            terms["mismatch"] = losses.mismatch(d_src_x, critic.score_as(scores_x, batch.c_y))
            loss = loss - weights.mismatch * terms["mismatch"]
        if weights.domain_origin:
            terms["domain_origin"] = losses.domain_origin(logits_cross, batch.c_x, exclusive=adversaries.exclusive)
            loss = loss + weights.domain_origin * terms["domain_origin"]
    loss.backward()
    return _detached(critic_loss=loss, **terms)


def generator_step(adversaries: Adversaries, batch: Batch, fakes: Fakes) -> dict[str, Tensor]:
    """Leave the gradients of L_G in the generator, whose graph `fakes` carry; the critic is frozen meanwhile.

    Returns:
        Detached loss terms, unweighted, and `generator_loss`, L_G.
    """
    weights = adversaries.weights
    x_same = fakes[0]
    with adversaries.autocast, _frozen(adversaries.critic):
        both = torch.cat(fakes)
        back = adversaries.translate(both, torch.cat([batch.c_x, batch.c_x]))
        back_from_same, back_from_cross = back.tensor_split(2)
        scores, logits = adversaries.critic(both, torch.cat([batch.c_x, batch.c_y]))
        d_src_same, d_src_cross = scores.tensor_split(2)
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
