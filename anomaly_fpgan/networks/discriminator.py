"""The discriminator (critic): is an image real, patch by patch, and which domain does it show."""

from __future__ import annotations

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn

from anomaly_fpgan.networks.config import DomainHead, SourceHead

_LARGEST_WIDTH = 512
_SHARPNESS = 4.0
"""Of the soft maximum over patches: with none, all patches would count alike; at infinity, one alone."""


class Discriminator(nn.Module):
    """A PatchGAN critic with a domain classifier on the same features.

    Args:
        in_channels: image channels C.
        domains: number of domains K.
        image_size: (H, W); fixed, because the domain head `image` has a weight for every place of it.
        domain_head: `image` reads domains off all places at once; `patch` takes the soft maximum of each domain's logit
            over places, log Σ exp(r·logit) / r (Pinheiro and Collobert, CVPR 2015), which teaches more than one place.
        source_head: `shared` gives one patch score; `by_domain` one for each domain, of which the label picks. Domains
            that may co-occur have two each, for present and absent, and the score is the mean over domains.
        exclusive: whether an image is in one domain alone.
        base_width: features of the first layer; 64 in the paper. Each further layer doubles it, up to 512.
        depth: halvings of the resolution; fewer where the image would become smaller than 2 pixels.
    """

    def __init__(
        self,
        in_channels: int,
        domains: int,
        image_size: tuple[int, int],
        *,
        base_width: int = 64,
        depth: int = 6,
        domain_head: DomainHead = "image",
        source_head: SourceHead = "shared",
        exclusive: bool = True,
    ) -> None:
        super().__init__()
        self.image_size = tuple(image_size)
        height, width = image_size
        channels, features = in_channels, base_width
        layers: list[nn.Module] = []
        for _ in range(depth):
            if min(height, width) < 4:
                break
            layers.append(
                Convolution(
                    2,
                    channels,
                    features,
                    strides=2,
                    kernel_size=4,
                    padding=1,
                    adn_ordering="A",
                    act=("leakyrelu", {"negative_slope": 0.01}),
                )
            )
            channels, features = features, min(2 * features, max(_LARGEST_WIDTH, base_width))
            height, width = height // 2, width // 2
        self.features = nn.Sequential(*layers)
        self.by_domain = source_head == "by_domain"
        self.exclusive = exclusive
        scores = (domains if exclusive else 2 * domains) if self.by_domain else 1
        # No bias: the adversarial loss compares scores with each other, so a constant added to all would mean nothing.
        self.source_head = nn.Conv2d(channels, scores, kernel_size=3, padding=1, bias=False)
        # The patch head needs a bias: without one it could not prefer a domain where no patch shows anything.
        by_patch = domain_head == "patch"
        self.domain_head = nn.Conv2d(channels, domains, 1 if by_patch else (height, width), bias=by_patch)

    def forward(self, image: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """Judge `image` (B, C, H, W) in [-1, 1].

        Args:
            image: what is judged.
            label: (B, K) the domains it is in or is meant to be in; matters to the source head `by_domain` alone.

        Returns:
            Patch scores (B, 1, h, w), higher for real, and domain logits (B, K).

        Raises:
            ValueError: for an image of another size.
        """
        scores, logits = self.judge(image)
        return self.score_as(scores, label), logits

    def judge(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """What `forward` computes of an image without its label: scores for `score_as` to pick from, and logits."""
        if tuple(image.shape[-2:]) != self.image_size:
            raise ValueError(f"`image` must be {self.image_size}, got {tuple(image.shape[-2:])}")
        features = self.features(image)
        return self.source_head(features), _soft_maximum(self.domain_head(features))

    def score_as(self, scores: Tensor, label: Tensor) -> Tensor:
        """Patch scores (B, 1, h, w) of images as ones of the domains `label` (B, K), picked from those of `judge`."""
        if not self.by_domain:
            return scores
        picked = label if self.exclusive else torch.cat([label, 1 - label], 1) / label.shape[1]
        return (scores * picked[:, :, None, None].to(scores.dtype)).sum(1, keepdim=True)


def _soft_maximum(logits: Tensor) -> Tensor:
    """Of logits (B, K, h, w) over places: (B, K); of a single place, its logit."""
    return torch.logsumexp(_SHARPNESS * logits.float().flatten(2), 2) / _SHARPNESS
