"""The losses of a Fixed-Point GAN written out one image, one patch and one pixel at a time: the oracle of test_losses.

Slow and obvious on purpose: loops over plain sums, differences, products, roots, exponentials and logarithms, which
autograd differentiates. Formulas are those of US 11,164,021 B2, with the real image counted once for each fake. Two
tiny networks in float64 are there to try whole losses with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional


class Batch(NamedTuple):
    """What one update sees: images (B, C, H, W), their domains and targets (B, K), two draws (B,) for the penalty."""

    x: Tensor
    c_x: Tensor
    c_y: Tensor
    share: Tensor
    pick_same: Tensor


class Weights(NamedTuple):
    """The λ before each term."""

    gradient_penalty: float
    domain: float
    cycle: float
    identity: float
    second_fixed_point: float


Generator = Callable[[Tensor, Tensor], Tensor]
"""Maps images (B, C, H, W) and domains (B, K) to translated images."""

Critic = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps images (B, C, H, W) to patch scores (B, 1, h, w) and domain logits (B, K)."""


def adversarial(d_src_x: Tensor, d_src_same: Tensor, d_src_cross: Tensor) -> Tensor:
    """(D(x) − D(x′)) + (D(x) − D(y′))."""
    return _mean(
        (_mean(real.flatten()) - _mean(same.flatten())) + (_mean(real.flatten()) - _mean(cross.flatten()))
        for real, same, cross in zip(d_src_x, d_src_same, d_src_cross, strict=True)
    )


def adversarial_fake(d_src_same: Tensor, d_src_cross: Tensor) -> Tensor:
    """−D(x′) − D(y′)."""
    return _mean(
        -_mean(same.flatten()) - _mean(cross.flatten()) for same, cross in zip(d_src_same, d_src_cross, strict=True)
    )


def gradient_penalty(
    critic: Callable[[Tensor], Tensor],
    x: Tensor,
    x_same: Tensor,
    x_cross: Tensor,
    share: Tensor,
    pick_same: Tensor,
) -> Tensor:
    """(‖∇D(x̂)‖₂ − 1)², x̂ = (1 − share) x + share · fake."""
    penalties = []
    for real, same, cross, part, is_same in zip(x, x_same, x_cross, share, pick_same, strict=True):
        fake = same if is_same else cross
        place = ((1 - part) * real + part * fake).detach().requires_grad_()
        score = _mean(critic(place[None]).flatten())
        (gradient,) = torch.autograd.grad(score, place, create_graph=True)
        norm = _sum(slope * slope for slope in gradient.flatten()) ** 0.5
        penalties.append((norm - 1) ** 2)
    return _mean(penalties)


def domain_real(logits_x: Tensor, c_x: Tensor, *, exclusive: bool) -> Tensor:
    """−log D(c_x | x)."""
    negative_log = _negative_log_softmax if exclusive else _negative_log_sigmoids
    return _mean(negative_log(logits, label) for logits, label in zip(logits_x, c_x, strict=True))


def domain_fake(logits_same: Tensor, c_x: Tensor, logits_cross: Tensor, c_y: Tensor, *, exclusive: bool) -> Tensor:
    """−log D(c_x | x′) − log D(c_y | y′)."""
    negative_log = _negative_log_softmax if exclusive else _negative_log_sigmoids
    return _mean(
        negative_log(same, own) + negative_log(cross, target)
        for same, own, cross, target in zip(logits_same, c_x, logits_cross, c_y, strict=True)
    )


def cycle(x: Tensor, back_from_cross: Tensor, back_from_same: Tensor) -> Tensor:
    """‖G(y′, c_x) − x‖₁ + ‖G(x′, c_x) − x‖₁."""
    return _mean(
        _l1(cross, real) + _l1(same, real) for real, cross, same in zip(x, back_from_cross, back_from_same, strict=True)
    )


def conditional_identity(x: Tensor, x_same: Tensor) -> Tensor:
    """‖x′ − x‖₁."""
    return _mean(_l1(same, real) for real, same in zip(x, x_same, strict=True))


def second_fixed_point(x_same: Tensor, x_same_again: Tensor) -> Tensor:
    """‖G(x′, c_x) − x′‖₁."""
    return _mean(_l1(again, same) for same, again in zip(x_same, x_same_again, strict=True))


def critic_loss(generator: Generator, critic: Critic, batch: Batch, weights: Weights, *, exclusive: bool) -> Tensor:
    """L_D: what the critic descends; each image passes through the networks alone, and the fakes are given."""
    values = []
    for row in _rows(batch):
        with torch.no_grad():
            x_same, x_cross = generator(row.x, row.c_x), generator(row.x, row.c_y)
        scores_x, logits_x = critic(row.x)
        scores_same, scores_cross = critic(x_same)[0], critic(x_cross)[0]
        penalty = gradient_penalty(lambda image: critic(image)[0], row.x, x_same, x_cross, row.share, row.pick_same)
        values.append(
            -adversarial(scores_x, scores_same, scores_cross)
            + weights.gradient_penalty * penalty
            + weights.domain * domain_real(logits_x, row.c_x, exclusive=exclusive)
        )
    return _mean(values)


def generator_loss(generator: Generator, critic: Critic, batch: Batch, weights: Weights, *, exclusive: bool) -> Tensor:
    """L_G: what the generator descends; each image passes through the networks alone."""
    values = []
    for row in _rows(batch):
        x_same, x_cross = generator(row.x, row.c_x), generator(row.x, row.c_y)
        back_from_same, back_from_cross = generator(x_same, row.c_x), generator(x_cross, row.c_x)
        (scores_same, logits_same), (scores_cross, logits_cross) = critic(x_same), critic(x_cross)
        values.append(
            adversarial_fake(scores_same, scores_cross)
            + weights.domain * domain_fake(logits_same, row.c_x, logits_cross, row.c_y, exclusive=exclusive)
            + weights.cycle * cycle(row.x, back_from_cross, back_from_same)
            + weights.identity * conditional_identity(row.x, x_same)
            + weights.second_fixed_point * second_fixed_point(x_same, back_from_same)
        )
    return _mean(values)


class TinyGenerator(nn.Module):
    """x + δ(x, c) with two convolutions."""

    def __init__(self, channels: int, domains: int, random: torch.Generator) -> None:
        super().__init__()
        self.inner = nn.Conv2d(channels + domains, 3, 3, padding=1, dtype=torch.float64)
        self.outer = nn.Conv2d(3, channels, 3, padding=1, dtype=torch.float64)
        _randomize(self, random)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        planes = c[:, :, None, None].expand(*c.shape, *x.shape[2:])
        return x + self.outer(torch.tanh(self.inner(torch.cat([x, planes], dim=1))))


class TinyCritic(nn.Module):
    """Patch scores and domain logits with two convolutions each; smooth, so that biases bend slopes too."""

    def __init__(self, channels: int, domains: int, random: torch.Generator) -> None:
        super().__init__()
        self.inner = nn.Conv2d(channels, 4, 3, padding=1, dtype=torch.float64)
        self.source = nn.Conv2d(4, 1, 3, padding=1, dtype=torch.float64)
        self.domain = nn.Conv2d(4, domains, 3, padding=1, dtype=torch.float64)
        _randomize(self, random)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = functional.softplus(self.inner(x))
        return self.source(features), self.domain(features).mean((2, 3))

    def scores(self, x: Tensor) -> Tensor:
        return self(x)[0]


def _negative_log_softmax(logits: Tensor, label: Tensor) -> Tensor:
    """−log softmax of the one domain that holds."""
    log_of_all = torch.log(_sum(torch.exp(logit) for logit in logits))
    return _sum(log_of_all - logit for logit, holds in zip(logits, label, strict=True) if holds)


def _negative_log_sigmoids(logits: Tensor, label: Tensor) -> Tensor:
    """−log sigmoid of each attribute that holds, −log (1 − sigmoid) of each that does not."""
    probabilities = [1 / (1 + torch.exp(-logit)) for logit in logits]
    return _sum(-torch.log(p if holds else 1 - p) for p, holds in zip(probabilities, label, strict=True))


def _l1(image: Tensor, other: Tensor) -> Tensor:
    """The mean absolute difference over channels and pixels of one image."""
    return _mean(abs(a - b) for a, b in zip(image.flatten(), other.flatten(), strict=True))


def _rows(batch: Batch) -> list[Batch]:
    """Batches of one image each."""
    return [Batch(*(values[row : row + 1] for values in batch)) for row in range(len(batch.x))]


def _mean(values: Iterable[Tensor]) -> Tensor:
    taken = list(values)
    return _sum(taken) / len(taken)


def _sum(values: Iterable[Tensor]) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for value in values:
        total = total + value
    return total


def _randomize(network: nn.Module, random: torch.Generator) -> None:
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.5, generator=random)
