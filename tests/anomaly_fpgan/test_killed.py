"""Runs that are killed at any moment."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.anomaly_fpgan.test_training import assert_same_runs, checkpoint_of

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "tests" / "anomaly_fpgan" / "training_script.py"


def start(action: str, run: Path) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), action, str(run)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_run_killed_five_times_ends_as_if_it_never_was(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert start("train", whole).wait() == 0
    action = "train"
    # Right before a milestone's iteration has ended, within it, right after; and within the first tenth.
    for victim in (3, 14, 20, 39, 40):
        process = start(action, parts)
        assert process.stdout is not None
        for line in process.stdout:
            if int(line) >= victim:
                process.kill()
                break
        assert process.wait() != 0
        process.stdout.close()
        if (parts / "last.ckpt").exists():
            # No more is lost than the steps since the last milestone, of which there is one every ten iterations.
            assert checkpoint_of(parts)["trainer"]["iteration"] >= victim - victim % 10
            action = "resume"
    assert action == "resume"
    assert start("resume", parts).wait() == 0
    for leftover in parts.glob(".*.part"):
        leftover.unlink()  # of a file that was being written
    assert_same_runs(whole, parts)
