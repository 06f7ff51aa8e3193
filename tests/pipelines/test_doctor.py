"""`fpgan doctor`: what it finds, what it advises, how it reads."""

from __future__ import annotations

import copy
import importlib.util
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from pipelines import doctor

CPU = torch.device("cpu")
COMPILES = {"works": True, "seconds": 4.2, "reason": None}


@pytest.fixture
def without_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the trial of `torch.compile`, which takes seconds and has tests of its own."""
    monkeypatch.setattr(doctor, "try_compile", lambda device: COMPILES)


@pytest.fixture
def findings(without_trial: None) -> dict[str, Any]:
    return doctor.examine()


@pytest.fixture
def program(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a shell script that can be run by its name."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return path

    return write


def test_it_finds_what_is_here(findings: dict[str, Any]) -> None:
    assert findings["packages"]["torch"] == torch.__version__
    for module, package in findings["optional_packages"].items():
        assert (package["version"] is not None) == (importlib.util.find_spec(module) is not None)
    assert 0 < findings["memory"]["free_bytes"] < findings["memory"]["total_bytes"] == psutil.virtual_memory().total
    assert findings["disk"]["free_bytes"] == pytest.approx(shutil.disk_usage(".").free, rel=0.1)
    assert findings["cpu"]["torch_threads"] == torch.get_num_threads()
    assert len(findings["cuda"]["devices"]) == torch.cuda.device_count()
    assert findings["training"]["device"] == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.skipif(torch.version.cuda is not None, reason="PyTorch was built with CUDA")
def test_a_build_without_cuda_beside_a_driver_is_pointed_out(
    without_trial: None, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = program("nvidia-smi", "exit 0").parent
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)
    (problem,) = doctor.examine()["problems"]
    assert problem.startswith("PyTorch was built without CUDA although an NVIDIA driver is installed; ")


@pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler")
def test_compiling_is_really_tried() -> None:
    assert doctor.try_compile(CPU)["works"] is not False


def test_a_compiler_that_fails_is_quoted(program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = program(
        "compiler",
        'case "$*" in *--version*) echo "g++ (GCC) 13.2.0"; exit 0;; esac\n'
        'echo "In file included from x.cpp:2:" >&2\n'
        'echo "x.h:1:10: fatal error: Python.h: No such file or directory" >&2\nexit 1',
    )
    monkeypatch.setenv("CXX", str(compiler))
    outcome = doctor.try_compile(CPU)
    assert outcome["works"] is False
    assert outcome["reason"] == "x.h:1:10: fatal error: Python.h: No such file or directory"


def test_compiling_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_TRIAL_SECONDS", 0.05)
    assert doctor.try_compile(CPU) == {"works": None, "seconds": None, "reason": "not finished after 0.05 s"}


def test_failed_compiling_leads_to_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = {"works": False, "seconds": None, "reason": "No working C++ compiler found"}
    monkeypatch.setattr(doctor, "try_compile", lambda device: outcome)
    findings = doctor.examine()
    assert findings["problems"][-1] == (
        "torch.compile does not work: No working C++ compiler found; install one, such as g++; trainings run without it"
    )
    assert findings["training"]["compile"] == "`training.compile` must stay off"


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(
    columns: int, findings: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    doctor.show(with_a_gpu(findings))
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= columns
    lines = " ".join(text.split())
    assert "pip install 'fpgan[mlflow]' brings it" in lines
    assert "cuda:0 NVIDIA H100 80GB HBM3, 78.5 GiB free of 79.0 GiB, compute capability 9.0" in lines
    assert "cuda:1 NVIDIA GeForce GTX 1080, 8.0 GiB, compute capability 6.1" in lines
    assert "problem: cuda:1 cannot compute: out of memory" in lines
    assert lines.endswith(
        "`fpgan train` uses cuda in bfloat16; `--set training.compile=true` works: a slow start, faster steps after"
    )


def test_the_command_prints_the_table(fpgan: Callable[..., Any], without_trial: None) -> None:
    result = fpgan("doctor")
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("fpgan ")
    assert result.stderr == ""


def test_json_is_all_that_is_on_standard_output(fpgan: Callable[..., Any], without_trial: None) -> None:
    result = fpgan("doctor", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["torch_compile"] == COMPILES


def with_a_gpu(findings: dict[str, Any]) -> dict[str, Any]:
    """The same on a computer with two GPUs, of which one is in use, and without MLflow."""
    findings = copy.deepcopy(findings)
    findings["optional_packages"]["mlflow"]["version"] = None
    sound = {
        "device": "cuda:0",
        "name": "NVIDIA H100 80GB HBM3",
        "compute_capability": "9.0",
        "free_bytes": int(78.5 * 2**30),
        "total_bytes": 79 * 2**30,
        "problem": None,
    }
    broken = {
        "device": "cuda:1",
        "name": "NVIDIA GeForce GTX 1080",
        "compute_capability": "6.1",
        "free_bytes": None,
        "total_bytes": 8 * 2**30,
        "problem": "out of memory",
    }
    findings["cuda"] = {"torch_built_for": "12.8", "devices": [sound, broken]}
    findings["training"] |= {"device": "cuda", "gains_from_bfloat16": True, "precision": "bfloat16"}
    findings["problems"] = ["cuda:1 cannot compute: out of memory"]
    return findings
