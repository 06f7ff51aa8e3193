"""Data-parallel training: the processes that `torchrun` starts, and what they tell each other.

Each process computes an equal part of every batch; gradients and loss terms are averaged before a step is taken, so
all processes hold the same weights throughout. One process alone needs none of this, and nothing here costs it time.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor

_PATIENCE = timedelta(hours=12)
"""How long processes wait for one that validates or writes."""


@dataclass(frozen=True)
class Processes:
    """How many processes train together, and which of them this is."""

    rank: int = 0
    count: int = 1
    on_this_machine: int = 1

    @property
    def is_first(self) -> bool:
        """The first process is the only one that writes files and speaks to the user."""
        return self.rank == 0

    def average_(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor, in place, by its mean over all processes. They must be float32 of one device."""
        if self.count == 1:
            return
        values = torch.cat([tensor.reshape(-1) for tensor in tensors])
        dist.all_reduce(values)
        values /= self.count
        for tensor, mean in zip(tensors, values.split([tensor.numel() for tensor in tensors]), strict=True):
            tensor.copy_(mean.view_as(tensor))

    def any(self, happened: bool) -> bool:
        """Whether it happened in any process; each must ask."""
        if self.count == 1:
            return happened
        counted = torch.tensor(int(happened), device=_device_of_messages())
        dist.all_reduce(counted)
        return bool(counted)

    def tell(self, text: str) -> str:
        """What the first process says, in all of them."""
        if self.count == 1:
            return text
        said = [text]
        dist.broadcast_object_list(said, src=0, device=_device_of_messages())
        return said[0]

    def wait(self) -> None:
        """Go on when all processes are here."""
        if self.count > 1:
            dist.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[Processes]:
    """Meet the other processes that `torchrun` started, if it did, and part from them at the end.

    Inside another such block this is the same meeting.
    """
    already = dist.is_available() and dist.is_initialized()
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not already:
        yield Processes()
        return
    if not already:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo", timeout=_PATIENCE)
    try:
        yield Processes(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
    finally:
        if not already:
            dist.destroy_process_group()


def _device_of_messages() -> torch.device:
    """Where the backend takes tensors from: NCCL knows GPUs alone, gloo the CPU."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")
