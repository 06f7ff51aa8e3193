"""Training in several processes, over gloo."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from anomaly_fpgan.errors import TrainingError
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.run import check_batch_size
from tests.anomaly_fpgan.test_training import checkpoint_of, rows_of
from tests.anomaly_fpgan.training_script import gradients

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "anomaly_fpgan" / "training_script.py"


def torchrun(action: str, folder: Path, *, processes: int = 2) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "torch.distributed.run", f"--nproc_per_node={processes}"]
    command += [f"--master_port={port}", str(SCRIPT), action, str(folder)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert result.returncode == 0, result.stderr


def test_two_processes_with_half_the_batch_have_the_gradients_of_one(tmp_path: Path) -> None:
    torchrun("gradients", tmp_path)
    one, other = (torch.load(path) for path in tmp_path.glob("gradients-*.pt"))
    assert one.keys() == other.keys()
    expected = gradients()
    assert sum(name.startswith("critic.") for name in expected) > 5
    for name, value in expected.items():
        assert torch.equal(one[name], other[name]), name
        # Sums over a batch taken in two halves: float32 rounding relative to the largest gradient of the tensor.
        torch.testing.assert_close(one[name], value, rtol=1e-4, atol=1e-5 * float(value.abs().max()), msg=name)


def test_two_processes_train_as_one_does_and_the_first_one_writes(tmp_path: Path) -> None:
    torchrun("train", tmp_path / "two")
    subprocess.run([sys.executable, str(SCRIPT), "train", str(tmp_path / "one")], check=True, cwd=ROOT,
                   env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)  # fmt: skip
    one, two = rows_of(tmp_path / "one"), rows_of(tmp_path / "two")
    assert [row["iteration"] for row in one] == [row["iteration"] for row in two]
    # The first rows agree to rounding; adversaries then carry rounding apart, as any change of order does.
    for name, value in (pair for pair in one[0].items() if pair[1]):
        assert float(two[0][name]) == pytest.approx(float(value), rel=1e-3, abs=1e-5), name
    assert len(list((tmp_path / "two" / "samples").iterdir())) == 6
    assert checkpoint_of(tmp_path / "two")["trainer"]["iteration"] == 60


def test_a_batch_that_cannot_be_parted_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"`batch_size` is 16 .* must be a multiple of their number, 3"):
        check_batch_size(TrainingConfig(), Processes(0, 3, 3))
    check_batch_size(TrainingConfig(), Processes(0, 4, 4))
