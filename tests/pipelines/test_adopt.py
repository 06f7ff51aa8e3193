"""The presets that go on from another run's model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from anomaly_fpgan.model import FixedPointGAN


def test_adopting_changes_no_weight_and_takes_thresholds_of_the_cohort(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    result = fpgan("train", tiny.cohort, "-o", tmp_path / "run", "--preset", "adopt", "--start-from", tiny.run)
    assert result.exit_code == 0, result.output
    adopted = FixedPointGAN.load(tmp_path / "run", device="cpu")
    start = FixedPointGAN.load(tiny.run, device="cpu").translator.state_dict()
    assert all(torch.equal(weight, start[name]) for name, weight in adopted.translator.state_dict().items())
    assert "threshold" in adopted.metadata["training"]


@pytest.mark.parametrize("preset", ["adopt", "few"])
def test_going_on_needs_a_run(preset: str, fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", "--preset", preset)
    assert result.exit_code == 2
    assert f"the preset {preset} goes on from another run; name it with --start-from RUN" in result.output
    assert not (tmp_path / "run").exists()
