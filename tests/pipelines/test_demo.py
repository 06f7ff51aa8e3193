"""The whole path on a small embedded cohort: build, prepare, train, evaluate, report."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def test_the_demo_runs_from_start_to_end(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "demo"
    small = ["iterations=4", "validate_every=2", "batch_size=4", "networks.generator_width=4"]
    options = [part for setting in small for part in ("--set", f"training.{setting}")]
    result = fpgan("demo", "--output", output, "--patients", 8, "--variant", "hard", *options)
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith(f"Output: {output}")
    assert "Slice AUC" in result.output
    metrics = json.loads((output / "run" / "evaluation" / "metrics.json").read_text())
    # Position and brightness were made useless on purpose; the test split of eight patients has both domains.
    assert 0 <= metrics["slices"]["auc"] <= 1
    assert metrics["slices"]["n_healthy"] > 0
    assert metrics["slices"]["n_diseased"] > 0
    reported = [path.parent.name for path in (output / "reports").glob("*/report.html")]
    assert reported
    assert all(name.startswith("SyntheticHard_0_") for name in reported)
    index = (output / "reports" / "index.html").read_text()
    assert all(f"{name}/report.html" in index for name in reported)
