"""The random choices of a step: all of them follow from the seed and the step's number alone.

Nothing is remembered between steps, so a resumed run draws what the uninterrupted one would have drawn. A step is drawn
for the whole batch, whoever computes it: several processes take parts of the same draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.training.augmentation import draw_affine
from anomaly_fpgan.training.config import Augmentation


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What was drawn for B images, on the CPU."""

    items: np.ndarray
    """(B,) indices of dataset items."""
    c_x: Tensor
    """(B, K) their domains."""
    c_y: Tensor
    """(B, K) target domains that differ from them."""
    share: Tensor
    """(B,) places on the lines of the gradient penalty, uniform in [0, 1)."""
    pick_same: Tensor
    """(B,) 1 where that line leads to the same-domain fake, 0 where it leads to the other."""
    flip: Tensor
    """(B,) 1 where the image is flipped left to right."""
    affine: Tensor
    """(B, 2, 3) where each pixel of the augmented image is read, in normalized coordinates."""
    gamma: Tensor
    """(B, C) the power that the intensities of each channel are raised to."""

    def part(self, rank: int, processes: int) -> Draw:
        """The share of one process, of equal size for each."""
        size = len(self.items) // processes
        own = slice(rank * size, (rank + 1) * size)
        return Draw(**{name: values[own] for name, values in vars(self).items()})


class Draws:
    """Draws steps from images, so that each kind of label, each source and each patient is as frequent as any other.

    With `height_tolerance`, a step is made of groups, an image of each kind. The first image of a group may lie at any
    height; the others' patients are as frequent as each other among those who have images within the tolerance of it.
    Where nobody has, the nearest image is drawn.

    Args:
        labels: (N, K) of all items.
        patients: (N,) whose image each item is; None where each image is a patient of its own.
        sources: (N,) the dataset that each item is from; None where all are of one.
        heights: (N,) where along the slice axis each item lies; needed with `height_tolerance`.
        height_tolerance: how far apart the heights of a group may be; None for any distance.
        domains: what targets are drawn from.
        batch_size: images a step.
        augmentation: how images are varied.
        image_shape: (C, H, W)
        seed: decides everything.
    """

    def __init__(
        self,
        labels: np.ndarray,
        patients: np.ndarray | None,
        sources: np.ndarray | None = None,
        *,
        heights: np.ndarray | None = None,
        height_tolerance: float | None = None,
        domains: DomainScheme,
        batch_size: int,
        augmentation: Augmentation,
        image_shape: tuple[int, int, int],
        seed: int,
    ) -> None:
        self.labels = torch.as_tensor(labels, dtype=torch.float32)
        self.domains = domains
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.image_shape = image_shape
        self.seed = seed
        patients = np.arange(len(labels)) if patients is None else patients
        sources = np.zeros(len(labels), np.int64) if sources is None else sources
        self._members = _members(labels, sources, patients)
        self._turns = len(self._members) * len(np.unique(sources))
        self._candidates = [[np.concatenate(own) for own in of_kind] for of_kind in self._members]
        """By kind and source, patients together."""
        self._patients = np.unique(patients, return_inverse=True)[1]  # numbers are sorted faster than names
        self._heights = heights
        # Pictures lie at one height: there is nothing to search, which among many would take long.
        searched = heights is not None and height_tolerance is not None and np.ptp(heights) > height_tolerance
        self._height_tolerance = height_tolerance if searched else None

    def __call__(self, step: int) -> Draw:
        """Draw a step, counted from 0."""
        random = np.random.default_rng([self.seed, step])
        (state,) = np.random.SeedSequence([self.seed, step, 1]).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(state))
        items = self._draw_items(random)
        c_x = self.labels[items]
        return Draw(
            items=items,
            c_x=c_x,
            c_y=self.domains.draw_target(c_x, generator),
            share=torch.rand(self.batch_size, generator=generator),
            pick_same=torch.randint(2, (self.batch_size,), generator=generator).float(),
            flip=_flip(self.augmentation, self.batch_size, generator),
            affine=draw_affine(self.augmentation, self.batch_size, self.image_shape[1:], generator),
            gamma=_gamma(self.augmentation, self.batch_size, self.image_shape[0], generator),
        )

    def _draw_items(self, random: np.random.Generator) -> np.ndarray:
        # Kinds take turns, and sources within them, so that a batch is balanced and not only balanced on average.
        start = random.integers(self._turns)
        items = np.empty(self.batch_size, np.int64)
        for position in range(self.batch_size):
            turn, kind = divmod(start + position, len(self._members))
            source = turn % len(self._members[kind])
            place = position % len(self._members)
            if self._height_tolerance is not None and place:
                near = self._near(items[position - place], self._candidates[kind][source], self._height_tolerance)
                patient_of = self._patients[near]
                own = near[patient_of == random.choice(np.unique(patient_of))]
            else:
                patients = self._members[kind][source]
                own = patients[random.integers(len(patients))]
            items[position] = own[random.integers(len(own))]
        return items

    def _near(self, item: int, candidates: np.ndarray, tolerance: float) -> np.ndarray:
        """The candidates at about the height of an item."""
        assert self._heights is not None
        distances = np.abs(self._heights[candidates] - self._heights[item])
        return candidates[distances <= max(tolerance, distances.min())]


def _members(labels: np.ndarray, sources: np.ndarray, patients: np.ndarray) -> list[list[list[np.ndarray]]]:
    """For each kind of label, each source and each patient who has images of it: the indices of these."""
    _, kinds = np.unique(labels, axis=0, return_inverse=True)
    members = []
    for of_kind in _groups(kinds.ravel(), np.arange(len(labels))):
        members.append([_groups(patients, of_source) for of_source in _groups(sources, of_kind)])
    return members


def _groups(values: np.ndarray, indices: np.ndarray) -> list[np.ndarray]:
    """The indices, divided by their values, in the order of these."""
    order = indices[np.argsort(values[indices], kind="stable")]
    starts = np.flatnonzero(values[order][1:] != values[order][:-1]) + 1
    return np.split(order, starts)


def _flip(augmentation: Augmentation, count: int, generator: torch.Generator) -> Tensor:
    # Drawn in any case, so that the other choices do not depend on this setting.
    return torch.randint(2, (count,), generator=generator).float() * augmentation.horizontal_flip


def _gamma(augmentation: Augmentation, count: int, channels: int, generator: torch.Generator) -> Tensor:
    return torch.exp(augmentation.log_gamma * (2 * torch.rand(count, channels, generator=generator) - 1))
