"""Images varied at random, on the device: flipped, turned, moved, scaled, their intensities changed."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from anomaly_fpgan.training.config import Augmentation


def draw_affine(
    augmentation: Augmentation, count: int, image_size: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """Draw `count` transforms (count, 2, 3) of images of size (H, W).

    They map normalized places (x, y) of the augmented image, which run from -1 to 1 along its width and height, to
    those of the source. Angles, shifts and scales are uniform in the range of their setting.
    """
    uniform = torch.rand(4, count, generator=generator) * 2 - 1
    angle = uniform[0] * math.radians(augmentation.rotation_degrees)
    shift = 2 * augmentation.shift * uniform[1:3]  # the whole extent is 2
    scale = 1 + augmentation.scale * uniform[3]
    height, width = image_size
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    # A turn is one in pixels: normalized coordinates of a rectangle are stretched.
    rows = (cos, -sin * (height / width), shift[0], sin * (width / height), cos, shift[1])
    return torch.stack(rows, 1).view(count, 2, 3)


def augment(images: Tensor, flip: Tensor, affine: Tensor | None, gamma: Tensor | None = None) -> Tensor:
    """Vary images (B, C, H, W) in [0, 1].

    Args:
        images: background 0, which is also what moves in from outside.
        flip: (B,) 1 where the last axis is reversed first, 0 elsewhere.
        affine: (B, 2, 3) from `draw_affine`; None leaves pixels where they are.
        gamma: (B, C) powers of the intensities; None leaves these as they are.
    """
    images = torch.where(flip.bool().view(-1, 1, 1, 1), images.flip(-1), images)
    if gamma is not None:
        images = images ** gamma[:, :, None, None]
    if affine is None:
        return images
    places = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, places, mode="bilinear", padding_mode="zeros", align_corners=False)


def moves_pixels(augmentation: Augmentation) -> bool:
    """Whether images are turned, moved or scaled at all; if not, interpolation is left out."""
    return bool(augmentation.rotation_degrees or augmentation.shift or augmentation.scale)
