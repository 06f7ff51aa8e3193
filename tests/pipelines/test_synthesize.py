"""`fpgan synthesize`: patients in files, as `fpgan prepare` takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from data_prep.synthetic import write_synthetic_patient
from pipelines.screen import Screen, Show
from pipelines.synthesize import synthesize


def test_its_patients_are_found_and_replaced_only_when_asked(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    output = tmp_path / "brats"
    result = fpgan("synthesize", "--output", output, "--patients", 2, "--variant", "hard", "--workers", 2)
    assert result.exit_code == 0, result.output
    assert result.output.rstrip().endswith(f"Output: {output}")
    inspected = fpgan("inspect", output)
    assert "2 usable" in inspected.output
    expected = write_synthetic_patient(1, tmp_path / "alone", variant="hard")
    for path in expected.iterdir():
        assert path.read_bytes() == (output / expected.name / path.name).read_bytes()

    refused = fpgan("synthesize", "--output", output, "--patients", 1)
    assert refused.exit_code == 2
    assert "already exists" in refused.output
    assert (output / expected.name).is_dir()

    replaced = fpgan("synthesize", "--output", output, "--patients", 1, "--overwrite", "--quiet")
    assert replaced.exit_code == 0, replaced.output
    assert not replaced.output
    assert [path.name for path in output.iterdir() if path.is_dir()] == ["Synthetic_0_000"]


def test_a_folder_of_other_files_is_never_replaced(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "scan.nii.gz").touch()
    result = fpgan("synthesize", "--output", tmp_path, "--patients", 1, "--overwrite")
    assert result.exit_code == 2
    assert "was not written by" in result.output
    assert (tmp_path / "scan.nii.gz").exists()


class InterruptedScreen(Screen):
    """As if Ctrl-C were pressed when the first patient is done."""

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator[Show]:
        def interrupt(done: int, state: str) -> None:
            raise KeyboardInterrupt

        yield interrupt


def test_interrupted_patients_are_passed_over_until_replaced(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, patients=3, screen=InterruptedScreen(quiet=True))
    assert (tmp_path / "Synthetic_0_000").is_dir()
    assert fpgan("inspect", tmp_path).exit_code == 2
    assert fpgan("synthesize", "--output", tmp_path, "--patients", 2, "--overwrite").exit_code == 0
    assert "2 usable" in fpgan("inspect", tmp_path).output
