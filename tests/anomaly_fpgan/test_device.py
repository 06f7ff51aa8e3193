"""Which device and precision a process gets."""

from __future__ import annotations

import psutil
import pytest
import torch

from anomaly_fpgan.device import autocast, choose_device, free_memory, gains_from_bfloat16
from anomaly_fpgan.errors import DeviceError

CPU = torch.device("cpu")


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch counts four GPUs; nothing is computed on them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("LOCAL_RANK", raising=False)


@pytest.mark.usefixtures("four_gpus")
@pytest.mark.parametrize("name", ["auto", "cuda"])
def test_each_process_of_torchrun_has_its_own_gpu(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_device(name) == torch.device("cuda")
    for rank in range(4):
        monkeypatch.setenv("LOCAL_RANK", str(rank))
        assert choose_device(name) == torch.device("cuda", rank)


@pytest.mark.usefixtures("four_gpus")
def test_torchrun_does_not_change_a_device_that_was_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert choose_device("cuda:1") == torch.device("cuda", 1)
    assert choose_device("cpu") == CPU


@pytest.mark.usefixtures("four_gpus")
def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "4")
    with pytest.raises(DeviceError, match=r"'cuda:4', but PyTorch sees 4 CUDA devices; let `torchrun` start one"):
        choose_device()


def test_processes_of_torchrun_without_gpus_share_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert choose_device() == CPU


def test_auto_precision_is_bfloat16_only_where_that_is_faster() -> None:
    assert autocast(CPU, "auto")._enabled == gains_from_bfloat16(CPU)
    assert autocast(CPU, "bfloat16")._enabled
    assert not autocast(CPU, "float32")._enabled


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "cpu_name": "AMD EPYC"}, True),
        ({"avx512_bf16": True, "cpu_name": "Intel Xeon"}, False),
        ({"avx512_bf16": True, "amx_bf16": True, "cpu_name": "Intel Xeon"}, True),
        ({"bf16": True}, True),
        ({"avx2": True}, False),
    ],
)
def test_a_cpu_is_asked_for_its_instructions(
    capabilities: dict[str, bool], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    assert gains_from_bfloat16(CPU) is expected


def test_free_memory_is_part_of_what_there_is() -> None:
    assert 0 < free_memory(CPU) < psutil.virtual_memory().total


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_tells_its_free_memory_and_precision() -> None:
    device = torch.device("cuda")
    before = free_memory(device)
    held = torch.empty(2**28, dtype=torch.uint8, device=device)
    assert before - free_memory(device) >= held.numel()
    assert gains_from_bfloat16(device) == (torch.cuda.get_device_capability(device) >= (8, 0))
