"""Output rules: the one place where a delta meets an image, and where [0, 1] meets [-1, 1].

The generator network proposes a delta δ for the image x. How the two become the translated image decides whether
"change nothing" is a thing the network can say. The patent's rule is `tanh(x + δ)`: for the background, x = -1, a
delta of 0 gives -0.76, so an untouched image needs a correction in every pixel. With `additive`, x + δ, a delta of 0
is the identity. `foreground` is the same, but for the background, which no delta reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn

OutputRule = Literal["additive", "foreground", "tanh"]


def additive(image: Tensor, delta: Tensor, *, training: bool) -> Tensor:
    """x + δ. Clamped to [-1, 1] at inference only: a clamp in training would stop gradients at its ends."""
    moved = image + delta
    return moved if training else moved.clamp(-1, 1)


def foreground(image: Tensor, delta: Tensor, *, training: bool) -> Tensor:
    """x + δ where any channel of x lies above -1, the background; there x stays."""
    return additive(image, delta * (image > -1).any(1, keepdim=True), training=training)


def tanh(image: Tensor, delta: Tensor, *, training: bool) -> Tensor:
    """tanh(x + δ), the rule of US patent 11,164,021 B2."""
    return torch.tanh(image + delta)


_RULES: dict[str, Callable[..., Tensor]] = {"additive": additive, "foreground": foreground, "tanh": tanh}


class Translator(nn.Module):
    """G(x, c) of the formulas: a generator network under an output rule.

    Args:
        generator: maps an image (B, C, H, W) in [-1, 1] and a label (B, K) to a delta (B, C, H, W).
        rule: name of the output rule.
        slices: that make up an image, their channels one after the other; the rule holds for each by itself.
    """

    def __init__(self, generator: nn.Module, rule: OutputRule, *, slices: int = 1) -> None:
        super().__init__()
        self.generator = generator
        self.rule = rule
        self.slices = slices

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Translate `image` (B, C, H, W) in [-1, 1] to the domains `label` (B, K)."""
        # The sum is taken in the image's own precision: in bfloat16 an unchanged pixel would be off by up to 0.4 %.
        delta = self.generator(image, label).to(image.dtype)
        apart = (self.slices * len(image), -1, *image.shape[2:])
        result = _RULES[self.rule](image.reshape(apart), delta.reshape(apart), training=self.training)
        return result.reshape(image.shape)


class MeanTranslator(nn.Module):
    """The mean of what several translators give: what one alone has made up is divided by their number."""

    def __init__(self, members: Iterable[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Translate `image` (B, C, H, W) in [-1, 1] to the domains `label` (B, K)."""
        first, *others = self.members
        total: Tensor = first(image, label)
        for member in others:  # one after the other, so that memory does not grow with their number
            total = total + member(image, label)
        return total / len(self.members)


def to_network_range(image: Tensor) -> Tensor:
    """[0, 1] as stored to [-1, 1] as networks see it."""
    return image * 2 - 1


def to_stored_range(image: Tensor) -> Tensor:
    """[-1, 1] to [0, 1]."""
    return (image + 1) / 2
