"""Several datasets as one, of which training draws equally often, however many images each has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.training.images import ImageDataset, checked_labels


class Together:
    """The items of several datasets, one after the other.

    `domains` (N, K) and `patients` (N,) are theirs, and so are `heights` (N,) where all have them; `sources` (N,) says
    which of them an item is from. Patients of two datasets are two, whatever their names.

    Raises:
        TrainingError: when one of them is empty, its labels do not fit the domains, or it lacks a domain.
    """

    def __init__(self, datasets: Sequence[ImageDataset], domains: DomainScheme) -> None:
        self.datasets = tuple(datasets)
        lengths = [len(dataset) for dataset in datasets]
        self.domains = np.concatenate([checked_labels(dataset, domains) for dataset in datasets])
        self.patients = np.concatenate(
            [np.char.add(f"{number}/", _patients(dataset)) for number, dataset in enumerate(datasets)]
        )
        self.sources = np.repeat(np.arange(len(lengths)), lengths)
        self._ends = np.cumsum(lengths)
        heights: list[Any] = [getattr(dataset, "heights", None) for dataset in datasets]
        if all(own is not None for own in heights):
            self.heights = np.concatenate(heights)

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        source = self.sources[index]
        dataset = self.datasets[source]
        return dataset[index - int(self._ends[source]) + len(dataset)]


def _patients(dataset: ImageDataset) -> np.ndarray:
    return np.asarray(getattr(dataset, "patients", np.arange(len(dataset)))).astype(str)
