"""`fpgan doctor`: what this computer has to train with, for a bug report or before a training."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import psutil
import torch
from rich.console import Console
from rich.table import Table

from anomaly_fpgan.device import choose_device, free_memory, gains_from_bfloat16
from data_prep.errors import one_line

_PACKAGES = ("fpgan", "torch", "monai", "pytorch-ignite", "numpy")
_OPTIONAL = {
    "tensorboard": ("tensorboard", ("tensorboard",)),
    "mlflow": ("mlflow", ("mlflow-skinny", "mlflow")),
    "distributed": ("cluster", ("distributed",)),
    "av": ("video", ("av",)),
    "weasyprint": ("pdf", ("weasyprint",)),
}
"""Of each module, the extra that brings it and the packages that may hold it."""
_TRIAL_SECONDS = 20
_TRIAL = """
import sys, torch
try:
    torch.compile(lambda x: x + 1)(torch.zeros(2, device=sys.argv[1]))
except Exception as error:
    print(error)
    sys.exit(1)
"""


def examine() -> dict[str, Any]:
    """Look at software, hardware and what `fpgan train` would make of them.

    Takes some seconds, most of them to try `torch.compile`, which is given up after 20 s.

    Returns:
        Plain values, ready for JSON; None is unknown or absent. `problems` are sentences that say what to do.
    """
    with warnings.catch_warnings(record=True) as caught:  # so PyTorch says what is wrong with a GPU
        warnings.simplefilter("always")
        device = choose_device()
        gpus = [_gpu(index) for index in range(torch.cuda.device_count())]
    compiling = try_compile(device)
    bfloat16 = gains_from_bfloat16(device)
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "optional_packages": {
            module: {"version": _first_version(packages), "extra": extra}
            for module, (extra, packages) in _OPTIONAL.items()
        },
        "cpu": {
            "name": torch.cpu.get_capabilities().get("cpu_name") or platform.processor() or platform.machine(),
            "cores": psutil.cpu_count(logical=False) or os.cpu_count(),
            "torch_threads": torch.get_num_threads(),
        },
        "memory": {"free_bytes": free_memory(torch.device("cpu")), "total_bytes": psutil.virtual_memory().total},
        "disk": {"free_bytes": shutil.disk_usage(".").free},
        "cuda": {"torch_built_for": torch.version.cuda, "devices": gpus},
        "distributed_backends": _distributed_backends(),
        "torch_compile": compiling,
        "training": {
            "device": str(device),
            "gains_from_bfloat16": bfloat16,
            "precision": "bfloat16" if bfloat16 else "float32",
            "compile": _COMPILE_ADVICE[compiling["works"]],
        },
        "problems": [*(str(warning.message) for warning in caught), *_problems(gpus, compiling)],
    }


def try_compile(device: torch.device) -> dict[str, Any]:
    """Try `torch.compile` on a tiny function.

    Returns:
        `works`, None where it is not known; the `seconds` it took, start of Python included; the `reason` where it did
        not work.
    """
    started = time.monotonic()
    # Nothing compiled before may help, and a process of its own may hang or crash.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as cache:
        environment = {
            **os.environ,
            "TORCHINDUCTOR_CACHE_DIR": cache,
            "TORCHINDUCTOR_COMPILE_THREADS": "1",
            "TORCHINDUCTOR_VEC_ISA_OK": "0",  # trying each vector extension of the CPU would take most of the time
        }
        try:
            trial = subprocess.run(
                [sys.executable, "-c", _TRIAL, str(device)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TRIAL_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return {"works": None, "seconds": None, "reason": f"not finished after {_TRIAL_SECONDS} s"}
    if trial.returncode == 0:
        return {"works": True, "seconds": round(time.monotonic() - started, 1), "reason": None}
    cause = _cause(trial.stdout) or f"the process ended with exit code {trial.returncode}"
    return {"works": False, "seconds": None, "reason": cause}


def show(findings: dict[str, Any]) -> None:
    """Print what `examine` found on standard output."""
    console = Console(highlight=False, markup=False, emoji=False)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in _rows(findings):
        table.add_row(name, value)
    console.print(table)
    console.print()
    for problem in findings["problems"]:
        console.print(one_line(f"problem: {problem}"), style="yellow")
    use = findings["training"]
    console.print(f"`fpgan train` uses {use['device']} in {use['precision']}; {use['compile']}")


_COMPILE_ADVICE = {
    True: "`--set training.compile=true` works: a slow start, faster steps after",
    False: "`training.compile` must stay off",
    None: "`training.compile` may work, but compiling is slow here",
}


def _rows(findings: dict[str, Any]) -> Iterator[tuple[str, str]]:
    built_for = findings["cuda"]["torch_built_for"]
    packages = dict(findings["packages"])
    packages["torch"] += f", built for CUDA {built_for}" if built_for else ", built without CUDA"
    yield "fpgan", packages.pop("fpgan")
    yield "Python", findings["python"]
    yield "platform", findings["platform"]
    yield from packages.items()
    yield "", ""
    for module, package in findings["optional_packages"].items():
        yield module, package["version"] or f"not installed; pip install 'fpgan[{package['extra']}]' brings it"
    yield "", ""
    cpu, memory, compiling = findings["cpu"], findings["memory"], findings["torch_compile"]
    yield "CPU", f"{cpu['name']}, {cpu['cores']} cores; PyTorch uses {cpu['torch_threads']} threads"
    yield "memory", f"{_gib(memory['free_bytes'])} free of {_gib(memory['total_bytes'])}"
    yield "disk", f"{_gib(findings['disk']['free_bytes'])} free in this folder"
    for gpu in findings["cuda"]["devices"]:
        free = f"{_gib(gpu['free_bytes'])} free of " if gpu["free_bytes"] is not None else ""
        yield (
            gpu["device"],
            f"{gpu['name']}, {free}{_gib(gpu['total_bytes'])}, compute capability {gpu['compute_capability']}",
        )
    if not findings["cuda"]["devices"]:
        yield "GPU", "none that PyTorch can use"
    use = findings["training"]
    yield "bfloat16", f"{'' if use['gains_from_bfloat16'] else 'not '}faster than float32 on {use['device']}"
    failed = f"{'does not work: ' if compiling['works'] is False else ''}{compiling['reason']}"
    yield "torch.compile", f"works, {compiling['seconds']} s for a tiny function" if compiling["works"] else failed
    yield "distributed", ", ".join(findings["distributed_backends"]) or "no backend"


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"


def _first_version(packages: tuple[str, ...]) -> str | None:
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None


def _gpu(index: int) -> dict[str, Any]:
    device = torch.device("cuda", index)
    properties = torch.cuda.get_device_properties(device)
    gpu = {
        "device": str(device),
        "name": properties.name,
        "compute_capability": f"{properties.major}.{properties.minor}",
        "free_bytes": None,
        "total_bytes": properties.total_memory,
        "problem": None,
    }
    try:
        gpu["free_bytes"] = free_memory(device)
        torch.zeros(2, device=device).add(1).tolist()
    except RuntimeError as error:
        gpu["problem"] = _cause(str(error))
    return gpu


def _cause(message: str) -> str:
    """The line of an error that says most: the compiler's own, or else the first."""
    lines = message.strip().splitlines()
    return next((line.strip() for line in lines if "error: " in line), lines[0] if lines else "")


def _distributed_backends() -> list[str]:
    distributed = torch.distributed
    if not distributed.is_available():
        return []
    available = {"gloo": distributed.is_gloo_available(), "nccl": distributed.is_nccl_available()}
    return [name for name, is_there in available.items() if is_there]


def _problems(gpus: list[dict[str, Any]], compiling: dict[str, Any]) -> Iterator[str]:
    if not torch.cuda.is_available() and shutil.which("nvidia-smi"):
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        if torch.version.cuda is None:
            yield (
                "PyTorch was built without CUDA although an NVIDIA driver is installed; to train on the GPU, install "
                "the build that https://pytorch.org/get-started/locally names"
            )
        elif visible is not None:
            yield (
                f"PyTorch sees no GPU, and CUDA_VISIBLE_DEVICES is {visible!r}; unset it, or name a GPU that "
                "`nvidia-smi` lists"
            )
        else:
            yield (
                f"PyTorch, built for CUDA {torch.version.cuda}, sees no GPU although an NVIDIA driver is installed; "
                "`nvidia-smi` must list a GPU and name no older CUDA version"
            )
    for gpu in gpus:
        if gpu["problem"]:
            yield f"{gpu['device']} cannot compute: {gpu['problem']}"
    if compiling["works"] is False:
        remedy = "; install one, such as g++" if "C++ compiler" in compiling["reason"] else ""
        yield f"torch.compile does not work: {compiling['reason']}{remedy}; trainings run without it"
