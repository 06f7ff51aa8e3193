"""Which device a run uses, and in which precision it computes."""

from __future__ import annotations

from typing import Literal

import torch

from anomaly_fpgan.errors import DeviceError

Precision = Literal["auto", "float32", "bfloat16"]
"""`auto` is bfloat16 where the hardware computes in it."""


def choose_device(name: str = "auto") -> torch.device:
    """The device called `name`; `auto` is the GPU where there is one.

    Raises:
        DeviceError: when the device does not exist here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise DeviceError(f"`device` must be `auto`, `cpu` or `cuda`, got {name!r}")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(f"`device` is {name!r}, but PyTorch sees {torch.cuda.device_count()} CUDA devices")
    return device


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Context for forward passes."""
    native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_computes_bfloat16()
    enabled = precision == "bfloat16" or (precision == "auto" and native)
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=enabled)


def _cpu_computes_bfloat16() -> bool:
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16"))
