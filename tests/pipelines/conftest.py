"""Folders of patients for the tests of bad input to `fpgan prepare`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.pipelines.spoiled import OPTIONS, SOUND, Sound, arrays, write_patient


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any]) -> Sound:
    """Three sound patients, A, C and D, and the arrays they become."""
    root = tmp_path_factory.mktemp("sound")
    for seed, name in enumerate(SOUND):
        write_patient(root / "brats", name, seed=seed)
    result = fpgan("prepare", root / "brats", "--output", root / "cohort", *OPTIONS)
    assert result.exit_code == 0, result.output
    return Sound(root / "brats", arrays(root / "cohort"))


@pytest.fixture
def brats(tmp_path: Path, sound: Sound) -> Path:
    """A copy of the sound patients, with another one, B, for a test to spoil."""
    shutil.copytree(sound.folder, tmp_path / "brats")
    write_patient(tmp_path / "brats", "B", seed=9)
    return tmp_path / "brats"
