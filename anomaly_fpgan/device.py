"""Which device a run uses, in which precision it computes there, and how much memory is free."""

from __future__ import annotations

import os
from typing import Literal

import psutil
import torch

from anomaly_fpgan.errors import DeviceError

Precision = Literal["auto", "float32", "bfloat16"]
"""`auto` is bfloat16 where that is faster."""


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is the GPU where there is one.

    Of the processes that `torchrun` starts on a machine, each has a GPU of its own under the names `auto` and `cuda`.

    Raises:
        DeviceError: when the device does not exist here.
    """
    wanted, own_gpu = name, os.environ.get("LOCAL_RANK")
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and own_gpu is not None:
        name = f"cuda:{own_gpu}"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"`device` must be `auto`, `cpu` or `cuda`, got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        problem = f"`device` is {name!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices"
        if name != wanted:
            problem += "; let `torchrun` start one process for each of them"
        raise DeviceError(problem)
    return device


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context for forward passes."""
    enabled = precision == "bfloat16" or (precision == "auto" and gains_from_bfloat16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def gains_from_bfloat16(device: torch.device) -> bool:
    """Whether the hardware computes in bfloat16, and faster than in float32; elsewhere PyTorch emulates it.

    Intel's AVX-512 instructions for it lose time, those of AMD halve it: see `benchmarks/RESULTS.md`.
    """
    if device.type == "cuda":
        with torch.cuda.device(device):
            return torch.cuda.is_bf16_supported(including_emulation=False)
    capabilities = torch.cpu.get_capabilities()
    by_avx = capabilities.get("avx512_bf16") and "Intel" not in capabilities.get("cpu_name", "")
    return bool(by_avx or capabilities.get("amx_bf16") or capabilities.get("bf16"))


def free_memory(device: torch.device) -> int:
    """Bytes of the device's memory that nothing uses; on a CPU, those to be had without swapping."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else int(psutil.virtual_memory().available)
