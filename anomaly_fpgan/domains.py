"""`DomainScheme`: what an image can be, how that is encoded, and which target a training step asks for."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from pydantic import BaseModel, ConfigDict, Field, field_validator
from torch import Tensor


class DomainScheme(BaseModel):
    """The domains of a model.

    Exclusive domains (healthy | diseased): an image has exactly one. Attributes (edema, enhancing, …): an image has
    any number of them, and none of them means healthy. A label is a float tensor of shape (K,), 1 where the domain
    holds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(min_length=1)
    """Domain names in the order of the label vector."""
    exclusive: bool = True
    """True: one of them; False: attributes that may co-occur."""
    healthy: str | None = "healthy"
    """Name of the healthy domain among exclusive domains; None where there is none. Attributes ignore it."""

    @field_validator("names")
    @classmethod
    def _distinct(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names) or any(not name for name in names):
            raise ValueError(f"`names` must be distinct and not empty, got {names}")
        return names

    def __len__(self) -> int:
        return len(self.names)

    def encode(self, domains: str | Iterable[str]) -> Tensor:
        """The label (K,) of one domain or, for attributes, of several.

        Raises:
            ValueError: for an unknown name, or several names where domains are exclusive.
        """
        wanted = [domains] if isinstance(domains, str) else list(domains)
        if not self.exclusive and wanted == ["healthy"] and "healthy" not in self.names:
            wanted = []
        unknown = [name for name in wanted if name not in self.names]
        if unknown:
            raise ValueError(f"unknown domain {unknown[0]!r}; this model knows {', '.join(self.names)}")
        if self.exclusive and len(wanted) != 1:
            raise ValueError(f"domains are exclusive: one name is needed, got {len(wanted)}")
        label = torch.zeros(len(self.names))
        for name in wanted:
            label[self.names.index(name)] = 1.0
        return label

    def healthy_label(self) -> Tensor:
        """The label (K,) that translation to healthy asks for."""
        if not self.exclusive:
            return torch.zeros(len(self.names))
        if self.healthy not in self.names:
            raise ValueError(f"none of the domains {', '.join(self.names)} is marked as healthy")
        return self.encode(self.healthy)

    def draw_target(self, source: Tensor, generator: torch.Generator) -> Tensor:
        """Draw for each label of `source` (B, K) a target (B, K) that differs from it.

        Exclusive: uniform over the other domains. Attributes: the label of another image of the batch, so that targets
        co-occur as attributes do in the data; where that equals the source, one attribute is flipped.
        """
        batch, count = source.shape
        if self.exclusive:
            if count < 2:
                raise ValueError("a cross-domain target needs at least two exclusive domains")
            step = torch.randint(1, count, (batch,), generator=generator)
            target = (source.argmax(1).cpu() + step) % count
            return torch.nn.functional.one_hot(target, count).to(source)
        target = source[torch.randperm(batch, generator=generator).to(source.device)].clone()
        same = (target == source).all(1)
        flipped = torch.randint(count, (batch,), generator=generator).to(source.device)
        flip = torch.nn.functional.one_hot(flipped, count).to(source) * same[:, None]
        return (target - flip).abs()
