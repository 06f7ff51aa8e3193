"""Training images by their index: held on the device where they fit, read from the dataset as needed where not."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from anomaly_fpgan.device import free_memory
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import TrainingError

_SHARE_OF_FREE_MEMORY = {"cpu": 0.25, "cuda": 0.5}
"""Of what is free before anything else is there, images may take this."""


class ImageDataset(Protocol):
    """A map-style dataset: item `n` is an image (C, H, W) in [0, 1] and its label (K,), arrays or tensors.

    A dataset may have an attribute `domains`, the labels of all items (N, K); without it every item is read once for
    its label. It may have an attribute `patients` (N,), whose image each item is, so that patients with many images are
    drawn no more often than others, `sources` (N,), the dataset each comes from, so that each is drawn as often, and
    `heights` (N,), from 0 to 1, where along its patient each lies, which `height_tolerance` needs.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, Any]: ...


def checked_labels(dataset: ImageDataset, domains: DomainScheme) -> np.ndarray:
    """Labels (N, K) of all items.

    Raises:
        TrainingError: when the dataset is empty, its labels do not fit the domains, or a domain has no image.
    """
    labels = _labels(dataset)
    if labels.shape[1:] != (len(domains),):
        raise TrainingError(f"labels must have {len(domains)} values, one a domain, got shape {labels.shape}")
    missing = [name for name, count in zip(domains.names, labels.sum(0), strict=True) if count == 0]
    if missing:
        raise TrainingError(f"no training image is {missing[0]}; both sides are needed to learn the difference")
    return labels


def _labels(dataset: ImageDataset) -> np.ndarray:
    if len(dataset) == 0:
        raise TrainingError("there is no labeled training image")
    labels = getattr(dataset, "domains", None)
    if labels is None:
        labels = [np.asarray(dataset[index][1]) for index in range(len(dataset))]
    return np.asarray(labels)


def read_image(dataset: ImageDataset, index: int) -> Tensor:
    """One image (C, H, W) of floats in [0, 1].

    Raises:
        TrainingError: when it is not that.
    """
    image = torch.as_tensor(np.asarray(dataset[index][0]))
    if image.ndim != 3 or not image.is_floating_point():
        kind = f"shape {tuple(image.shape)} of {str(image.dtype).removeprefix('torch.')}"
        raise TrainingError(f"training image {index} must be (C, H, W) of floats in [0, 1], got {kind}")
    low, high = image.aminmax()
    if not (low >= 0 and high <= 1):  # true of NaN, too
        raise TrainingError(f"training image {index} must lie in [0, 1], got values from {low:.4g} to {high:.4g}")
    return image


class ResidentImages:
    """All images of a dataset in the memory of a device, in the precision in which the dataset gives them."""

    def __init__(self, dataset: ImageDataset, device: torch.device) -> None:
        first = read_image(dataset, 0)
        self.images = torch.empty((len(dataset), *first.shape), dtype=first.dtype, device=device)
        for index in range(len(dataset)):
            image = read_image(dataset, index)
            if image.shape != first.shape:
                raise TrainingError(
                    f"training image {index} has the shape {tuple(image.shape)}, the first has {tuple(first.shape)}"
                )
            self.images[index] = image

    def batches(self, items: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Yield the images (B, C, H, W) of each array of indices (B,)."""
        for indices in items:
            yield self.images[to_device(torch.from_numpy(indices), self.images.device)]


class LoadedImages:
    """Images read from the dataset when their step comes, ahead of it where there are worker processes."""

    def __init__(self, dataset: ImageDataset, device: torch.device, *, workers: int) -> None:
        self.dataset = dataset
        self.device = device
        self.workers = workers

    def batches(self, items: Iterable[np.ndarray]) -> Iterator[Tensor]:
        """Yield the images (B, C, H, W) of each array of indices (B,)."""
        loader: DataLoader[Any] = DataLoader(
            _ImagesOf(self.dataset),
            batch_sampler=_Lists(items),
            num_workers=self.workers,
            pin_memory=self.device.type == "cuda",
            worker_init_fn=_leave_signals_to_the_parent,
        )
        for images in loader:
            yield images.to(self.device, non_blocking=True)


def open_images(
    dataset: ImageDataset,
    device: torch.device,
    *,
    on_device: Literal["auto", "always", "never"],
    workers: int,
    processes_here: int = 1,
) -> ResidentImages | LoadedImages:
    """The images of a dataset, on `device` where asked for or where they fit beside what training itself needs."""
    first = read_image(dataset, 0)
    needed = len(dataset) * first.numel() * first.element_size()
    if device.type == "cpu":  # each process has a GPU of its own, but not a computer
        needed *= processes_here
    fit = needed <= _SHARE_OF_FREE_MEMORY[device.type] * free_memory(device)
    if on_device == "always" or (on_device == "auto" and fit):
        return ResidentImages(dataset, device)
    return LoadedImages(dataset, device, workers=workers)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy from the CPU without waiting for it."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def _leave_signals_to_the_parent(worker: int) -> None:
    """Ctrl-C and schedulers reach all processes of a group, but readers must live until the last step is saved."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _ImagesOf(Dataset[Tensor]):
    """A dataset of images alone, for a `DataLoader`."""

    def __init__(self, dataset: ImageDataset) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Tensor:
        return read_image(self.dataset, index)


class _Lists:
    """A `DataLoader` wants lists, and an object it can begin to iterate over itself."""

    def __init__(self, items: Iterable[np.ndarray]) -> None:
        self.items = items

    def __iter__(self) -> Iterator[list[int]]:
        return (indices.tolist() for indices in self.items)
