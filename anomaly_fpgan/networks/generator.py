"""The generator: an encoder, residual blocks and a decoder that propose a delta for an image and a target domain."""

from __future__ import annotations

import torch
from monai.networks.blocks import Convolution
from torch import Tensor, nn
from torch.nn import functional

from anomaly_fpgan.networks.config import GeneratorStart

_DOWNSAMPLINGS = 2


class ResidualBlock(nn.Module):
    """x + norm(conv(relu(norm(conv(x))))): nothing follows the sum, so a block can pass its input through."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _convolution(channels, channels, kernel_size=3),
            _convolution(channels, channels, kernel_size=3, adn_ordering="N"),
        )

    def forward(self, features: Tensor) -> Tensor:
        return features + self.body(features)


class Generator(nn.Module):
    """Maps an image and a target label to a delta; what becomes of the delta is not decided here.

    The architecture is the one of the Fixed-Point GAN paper (ICCV 2019): a 7×7 convolution, two halvings of the
    resolution, residual blocks, two doublings, a 7×7 convolution; instance normalization with learned scale, computed
    as group normalization with a group for each channel, which is the same and several times faster on CPUs.

    Args:
        in_channels: image channels C.
        domains: number of domains K; the label enters as K constant planes beside the image.
        base_width: features of the first layer; 64 in the paper.
        residual_blocks: number of residual blocks; 6 in the paper.
        margin: pixels of background around the image, which are cut off the delta again; none in the paper.
        start: `identity` lets the last convolution, and so the delta, begin with zeros; `random`, as in the paper, not.
    """

    def __init__(
        self,
        in_channels: int,
        domains: int,
        *,
        base_width: int = 64,
        residual_blocks: int = 6,
        margin: int = 0,
        start: GeneratorStart = "random",
    ) -> None:
        super().__init__()
        self.margin = margin
        width = base_width
        layers: list[nn.Module] = [_convolution(in_channels + domains, width, kernel_size=7)]
        for _ in range(_DOWNSAMPLINGS):
            layers.append(_convolution(width, 2 * width, kernel_size=4, strides=2, padding=1))
            width *= 2
        layers += [ResidualBlock(width) for _ in range(residual_blocks)]
        for _ in range(_DOWNSAMPLINGS):
            layers.append(
                _convolution(
                    width, width // 2, kernel_size=4, strides=2, padding=1, output_padding=0, is_transposed=True
                )
            )
            width //= 2
        last = Convolution(2, width, in_channels, kernel_size=7, conv_only=True, bias=False)
        if start == "identity":
            nn.init.zeros_(last.conv.weight)
        layers.append(last)
        self.layers = nn.Sequential(*layers)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """Delta (B, C, H, W) for `image` (B, C, H, W) in [-1, 1] and `label` (B, K). Any H and W."""
        if self.margin:
            image = functional.pad(image, [self.margin] * 4, value=-1.0)
        height, width = image.shape[-2:]
        planes = label[:, :, None, None].expand(-1, -1, height, width)
        features = torch.cat([image, planes.to(image.dtype)], 1)
        for axis, size in ((-2, height), (-1, width)):
            features = _extend(features, axis, -size % 2**_DOWNSAMPLINGS)
        if features.device.type == "cpu" and not torch.is_grad_enabled():
            # A fifth faster forward; backward, group normalization is far slower in this layout.
            features = features.contiguous(memory_format=torch.channels_last)
        delta = self.layers(features)
        return delta[..., self.margin : height - self.margin, self.margin : width - self.margin]


def _extend(features: Tensor, axis: int, length: int) -> Tensor:
    """Repeat the last values of an axis, so that its length can be halved and doubled again."""
    if not length:
        return features
    last = features.narrow(axis, features.shape[axis] - 1, 1)
    return torch.cat([features, *[last] * length], axis)


def _convolution(in_channels: int, out_channels: int, *, adn_ordering: str = "NA", **kwargs: object) -> Convolution:
    return Convolution(
        2,
        in_channels,
        out_channels,
        adn_ordering=adn_ordering,
        act=("relu", {"inplace": True}),
        norm=("group", {"num_groups": out_channels, "affine": True}),
        bias=False,
        **kwargs,
    )
