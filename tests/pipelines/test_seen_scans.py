"""A report says when the model has seen the scan before."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.seen_scans import SEEN_SCANS, seen_before


def test_the_model_knows_what_it_was_trained_and_chosen_on(
    fpgan: Callable[..., Any], tiny: Any, tmp_path: Path
) -> None:
    result = fpgan("report", tiny.run, tiny.brats, "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    splits = pd.read_csv(tiny.cohort / "patients.csv").set_index("patient")["split"]
    assert set(splits) == {"train", "validation", "test"}
    for patient, split in splits.items():
        warnings = " ".join(json.loads((tmp_path / "reports" / patient / "report.json").read_text())["warnings"])
        assert ("was trained on this scan" in warnings) == (split == "train")
        assert ("was chosen on this scan" in warnings) == (split == "validation")


def test_one_of_several_files_is_enough() -> None:
    metadata = {SEEN_SCANS: {"train": ["0123456789abcdef"], "validation": []}}
    assert len(seen_before(["f" * 64, "0123456789abcdef" + "0" * 48], metadata)) == 1
    assert seen_before(["f" * 64], metadata) == []


def test_a_model_that_does_not_know_says_nothing() -> None:
    assert seen_before(["f" * 64], {}) == []
