"""Tests that a model near guessing is pointed out, to who trains it and to who reads its reports."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import pipelines.validation
from anomaly_fpgan import FixedPointGAN
from pipelines.operating_point import read_operating_point


@pytest.mark.parametrize(("auc", "warned"), [(0.53, True), (0.699, True), (0.7, False), (0.99, False)])
def test_a_training_that_hardly_learned_says_so(
    auc: float,
    warned: bool,
    fpgan: Callable[..., Any],
    tiny: Any,
    tiny_training: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipelines.validation, "auc_score", lambda *_: auc)
    result = fpgan("train", tiny.cohort, "--output", tmp_path / "run", *tiny_training)
    assert result.exit_code == 0, result.output
    assert (f"warning: its validation AUC is {auc:.3f}" in result.output) == warned

    report = fpgan("report", tmp_path / "run", tiny.brats / "P1", "--output", tmp_path / "reports")
    assert report.exit_code == 0, report.output
    warnings = json.loads((tmp_path / "reports" / "P1" / "report.json").read_text())["warnings"]
    assert any(f"AUC {auc:.2f}, where guessing has 0.50" in warning for warning in warnings) == warned


def test_both_warnings_of_an_operating_point_are_kept(tiny: Any) -> None:
    model = FixedPointGAN.load(tiny.run)
    model.metadata["training"] |= {"auc": 0.5, "patient_threshold": float("inf")}
    point = read_operating_point(model, tiny.run)
    assert [text for text in point.warnings if "guessing" in text]
    assert [text for text in point.warnings if "no score parted" in text]
    assert point.patient == point.candidate
