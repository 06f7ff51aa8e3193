"""The discriminator (critic): is an image real, patch by patch, and which domain does it show."""

from __future__ import annotations

from monai.networks.blocks import Convolution
from torch import Tensor, nn

from anomaly_fpgan.networks.config import DomainHead

_LARGEST_WIDTH = 512


class Discriminator(nn.Module):
    """A PatchGAN critic with a domain classifier on the same features.

    Args:
        in_channels: image channels C.
        domains: number of domains K.
        image_size: (H, W); fixed, because the domain head `image` has a weight for every place of it.
        domain_head: `image` reads domains off all places at once; `patch` takes the highest logit over places.
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
        # No bias: the adversarial loss compares scores with each other, so a constant added to all would mean nothing.
        self.source_head = nn.Conv2d(channels, 1, kernel_size=3, padding=1, bias=False)
        # The patch head needs a bias: without one it could not prefer a domain where no patch shows anything.
        by_patch = domain_head == "patch"
        self.domain_head = nn.Conv2d(channels, domains, 1 if by_patch else (height, width), bias=by_patch)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Patch scores (B, 1, h, w), higher for real, and domain logits (B, K) of `image` (B, C, H, W) in [-1, 1]."""
        if tuple(image.shape[-2:]) != self.image_size:
            raise ValueError(f"`image` must be {self.image_size}, got {tuple(image.shape[-2:])}")
        features = self.features(image)
        return self.source_head(features), self.domain_head(features).amax((2, 3))
