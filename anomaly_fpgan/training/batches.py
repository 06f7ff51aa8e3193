"""The batches of a training: drawn, read, brought to the device, varied."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, tee

import numpy as np
import torch
from torch import Tensor

from anomaly_fpgan.errors import TrainingError
from anomaly_fpgan.training.augmentation import augment, moves_pixels
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.draws import Draw, Draws
from anomaly_fpgan.training.images import ImageDataset, checked_labels, open_images, read_image, to_device
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.translate import to_network_range


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What a step computes with, on the device.

    x (B, C, H, W) in [-1, 1], its own domains c_x and the drawn targets c_y (B, K); `share` (B,) and `pick_same` (B,)
    bool are the draws of `losses.gradient_penalty`.
    """

    x: Tensor
    c_x: Tensor
    c_y: Tensor
    share: Tensor
    pick_same: Tensor


class Batches:
    """Endless batches of one process, from step `first` on, counted from 0."""

    def __init__(
        self,
        dataset: ImageDataset,
        config: TrainingConfig,
        device: torch.device,
        *,
        processes: Processes,
        first: int = 0,
    ) -> None:
        labels = checked_labels(dataset, config.domains)
        channels, height, width = read_image(dataset, 0).shape
        self.dataset = dataset
        self.image_shape = (channels, height, width)
        self._slices = config.networks.slices_seen
        if channels % self._slices:
            raise TrainingError(
                f"training images must hold the channels of {self._slices} slices, as `networks.neighbor_mm` asks for, "
                f"got {channels} channels"
            )
        heights = getattr(dataset, "heights", None)
        if config.height_tolerance is not None and heights is None:
            raise TrainingError("`height_tolerance` needs to know where slices lie: training images have no `heights`")
        self.device = device
        self.first = first
        self.draws = Draws(
            labels,
            getattr(dataset, "patients", None),
            getattr(dataset, "sources", None),
            heights=heights,
            height_tolerance=config.height_tolerance,
            domains=config.domains,
            batch_size=config.batch_size,
            augmentation=config.augmentation,
            image_shape=(channels // self._slices, height, width),
            seed=config.seed,
        )
        self._processes = processes
        self._moves_pixels = moves_pixels(config.augmentation)
        self._changes_values = config.augmentation.log_gamma > 0
        self._images = open_images(
            dataset,
            device,
            on_device=config.images_on_device,
            workers=config.loader_workers,
            processes_here=processes.on_this_machine,
        )

    def __iter__(self) -> Iterator[Batch]:
        own = (self.draws(step).part(self._processes.rank, self._processes.count) for step in count(self.first))
        draws, same_draws = tee(own)  # a loader with workers reads some steps ahead
        for draw, images in zip(draws, self._images.batches(draw.items for draw in same_draws), strict=False):
            yield self._finish(draw, images)

    def examples(self, most: int) -> tuple[Tensor, Tensor, Tensor]:
        """A few images (n, C, H, W) in [0, 1] as they are, their domains and targets (n, K): the same at every call."""
        draw = self.draws(0)
        images = torch.stack([read_image(self.dataset, int(index)) for index in draw.items[:most]])
        return images.float(), draw.c_x[:most], draw.c_y[:most]

    def _finish(self, draw: Draw, images: Tensor) -> Batch:
        values = self._to_device(draw)
        affine = values["affine"].view(-1, 2, 3) if self._moves_pixels else None
        # A scanner's contrast is that of all its slices.
        gamma = values["gamma"].repeat(1, self._slices) if self._changes_values else None
        return Batch(
            x=to_network_range(augment(images.float(), values["flip"][:, 0], affine, gamma)),
            c_x=values["c_x"],
            c_y=values["c_y"],
            share=values["share"][:, 0],
            pick_same=values["pick_same"][:, 0].bool(),
        )

    def _to_device(self, draw: Draw) -> dict[str, Tensor]:
        """All numbers of a draw in one copy: each copy to a GPU has a price of its own, however small it is."""
        parts = {name: value.flatten(1) if value.ndim > 1 else value[:, None] for name, value in _tensors(draw).items()}
        joined = to_device(torch.cat(list(parts.values()), 1), self.device)
        widths = [part.shape[1] for part in parts.values()]
        return dict(zip(parts, joined.split(widths, 1), strict=True))


def _tensors(draw: Draw) -> dict[str, Tensor]:
    return {name: value for name, value in vars(draw).items() if not isinstance(value, np.ndarray)}
