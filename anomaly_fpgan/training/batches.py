"""Batches of a training: which images a step sees follows from the seed and the step's number alone.

Nothing is remembered between steps, so a resumed run draws what the uninterrupted one would have drawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from anomaly_fpgan.errors import TrainingError


class ImageDataset(Protocol):
    """A map-style dataset: item `n` is an image (C, H, W) in [0, 1] and its label (K,), arrays or tensors.

    A dataset may also have an attribute `domains`, the labels of all items (N, K); without it every item is read once.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


class BalancedBatches:
    """Endless batches in which each kind of label is as frequent as any other, from `first` on."""

    def __init__(
        self, dataset: ImageDataset, *, batch_size: int, seed: int, horizontal_flip: bool, first: int = 0
    ) -> None:
        self.dataset = dataset
        self.batch_size = batch_size
        self.seed = seed
        self.horizontal_flip = horizontal_flip
        self.first = first
        labels = dataset_labels(dataset)
        _, kinds = np.unique(labels, axis=0, return_inverse=True)
        self._members = [np.flatnonzero(kinds.ravel() == kind) for kind in range(kinds.max() + 1)]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        step = self.first
        while True:
            yield self.batch(step)
            step += 1

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (B, C, H, W) in [0, 1] and labels (B, K) of one step."""
        random = np.random.default_rng([self.seed, step])
        # Kinds take turns, so that a batch is balanced and not only balanced on average.
        start = random.integers(len(self._members))
        kinds = (start + np.arange(self.batch_size)) % len(self._members)
        items = [self.dataset[int(random.choice(self._members[kind]))] for kind in kinds]
        images = torch.stack([torch.as_tensor(np.asarray(image)) for image, _ in items]).float()
        labels = torch.stack([torch.as_tensor(np.asarray(label)) for _, label in items]).float()
        if self.horizontal_flip:
            flip = torch.from_numpy(random.random(self.batch_size) < 0.5)
            images[flip] = images[flip].flip(-1)
        return images, labels


def dataset_labels(dataset: ImageDataset) -> np.ndarray:
    """Labels (N, K) of all items.

    Raises:
        TrainingError: when the dataset is empty.
    """
    if len(dataset) == 0:
        raise TrainingError("there is no labeled training image")
    labels = getattr(dataset, "domains", None)
    if labels is None:
        labels = [np.asarray(dataset[index][1]) for index in range(len(dataset))]
    return np.asarray(labels)


def step_generator(seed: int, step: int) -> torch.Generator:
    """Source of a step's random numbers on the CPU: targets and places on the line of the gradient penalty."""
    (state,) = np.random.SeedSequence([seed, step, 1]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state))
