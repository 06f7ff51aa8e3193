"""The four commands on real BRATS patients, where such are at hand. Nothing of them is part of this repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"
DATA = Path(os.environ.get("FPGAN_REAL_DATA", BESIDE_THE_CHECKOUT)) / "brats2013"

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real patients at {DATA}; set FPGAN_REAL_DATA to their folder"),
]


def test_prepare_train_evaluate_and_report(fpgan: Callable[..., Any], tmp_path: Path, tiny_training: list[str]) -> None:
    cohort, run, evaluation = tmp_path / "cohort", tmp_path / "run", tmp_path / "evaluation"
    for arguments in (
        ["prepare", DATA, "--output", cohort, "--channels", "flair", "--size", 64],
        # Long enough for an operating point.
        ["train", cohort, "--output", run, *tiny_training, "--set=training.iterations=60"],
        ["evaluate", run, cohort, "--output", evaluation],
    ):
        result = fpgan(*arguments)
        assert result.exit_code == 0, result.output
    metrics = json.loads((evaluation / "metrics.json").read_text())
    # Every patient has a lesion, so patients cannot be told apart, and that is said, not invented.
    assert metrics["patients"]["auc"] is None
    assert metrics["slices"]["n_healthy"] > 20
    assert metrics["slices"]["n_diseased"] > 20
    # Lesions are bright on FLAIR: a geometry or label that were off by some pixels would show here.
    assert metrics["baselines"]["intensity"]["slices"]["auc"] > 0.9
    assert metrics["baselines"]["intensity"]["pixels"]["average_precision"] > 0.7

    patient = DATA / "BraTS13_pat0001"
    result = fpgan("report", run, patient, "--output", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    source = nib.load(patient / f"{patient.name}_flair.nii.gz")
    for name in ("healthy", "difference", "lesions"):
        written = nib.load(tmp_path / "reports" / patient.name / f"{name}.nii.gz")
        assert written.shape == source.shape
        np.testing.assert_array_equal(written.affine, source.affine)
    # The background of these files is a negative constant; the healthy volume keeps it.
    background = source.get_fdata() == source.get_fdata()[0, 0, 0]
    healthy = nib.load(tmp_path / "reports" / patient.name / "healthy.nii.gz").get_fdata()
    np.testing.assert_allclose(healthy[background], source.get_fdata()[background])
