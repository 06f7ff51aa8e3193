"""Sound patients, one more for a test to spoil, and what must hold when `fpgan prepare` has met it."""

from __future__ import annotations

import csv
import gzip
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

SHAPE = (40, 48, 12)
AFFINE = np.array([[-4.0, 0, 0, 78], [0, -4, 0, 94], [0, 0, 6, -33], [0, 0, 0, 1]])
OPTIONS = ["--channels", "flair,t1ce", "--size", 32]
SOUND = ("A", "C", "D")
INDEX = {".fpgan", "index.html", "patients.csv", "failures.csv"}
"""What lies beside folders of patients in an output of `fpgan report`."""
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Sound:
    """A folder of sound patients, and the arrays of the cohort it becomes."""

    folder: Path
    arrays: dict[str, bytes]


@dataclass(frozen=True)
class Ended:
    """What is left of a process, like the result of a command in this one."""

    exit_code: int
    output: str
    exception: None = None


def write_patient(root: Path, name: str, *, seed: int) -> Path:
    """A patient in BraTS naming: flair and t1ce with a bright lesion in slices 4 to 6, and its mask."""
    i, j, k = np.indices(SHAPE)
    head = ((i - 19.5) / 16) ** 2 + ((j - 23.5) / 20) ** 2 + ((k - 5.5) / 6) ** 2 < 1
    flair = np.where(head, np.random.default_rng(seed).integers(300, 500, SHAPE), 0).astype(np.int16)
    mask = np.zeros(SHAPE, np.int16)
    mask[14:20, 20:26, 4:7] = 1
    flair[mask > 0] = 900
    folder = root / name
    folder.mkdir(parents=True)
    for modality, array in (("flair", flair), ("t1ce", flair + 10 * head), ("seg", mask)):
        nib.save(nib.Nifti1Image(array.astype(np.int16), AFFINE), file_of(folder, modality))
    return folder


def file_of(folder: Path, modality: str = "flair") -> Path:
    return folder / f"{folder.name}_{modality}.nii.gz"


def rename_patient(folder: Path, name: str) -> Path:
    """The same files as another patient's."""
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace(folder.name, name, 1)))
    return folder.rename(folder.with_name(name))


def change(path: Path, edit: Callable[[np.ndarray], np.ndarray], affine: np.ndarray | None = None) -> Path:
    """Rewrite an image with other voxels or another affine."""
    image = nib.load(path)
    array = edit(np.asarray(image.dataobj))
    nib.save(nib.Nifti1Image(array, image.affine if affine is None else affine), path)
    return path


def put_number(path: Path, offset: int, *numbers: float, kind: str = "f") -> Path:
    """Overwrite numbers at a byte of a packed file."""
    raw = bytearray(gzip.decompress(path.read_bytes()))
    struct.pack_into(f"<{len(numbers)}{kind}", raw, offset, *numbers)
    path.write_bytes(gzip.compress(raw))
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def arrays(cohort: Path) -> dict[str, bytes]:
    """The bytes of all images and masks of a cohort."""
    return {name: raw for name, raw in tree(cohort).items() if name.startswith(("images", "masks"))}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder and its bytes."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_refused(result: Any, *words: str) -> str:
    """The command did not start: one line, which has `words`, and exit code 2. Returns the line without `fpgan: `."""
    assert result.exit_code == 2, result.output
    lines = result.output.splitlines()
    assert len(lines) == 1, result.output
    for word in words:
        assert word in lines[0]
    return str(lines[0]).removeprefix("fpgan: ")


def check_left_out(result: Any, cohort: Path, kept: dict[str, bytes], *failures: tuple[str, Path | str, str]) -> None:
    """Some patients were left out, each in one line, and the cohort is as if they had never been there.

    Args:
        result: of the command.
        cohort: what it wrote.
        kept: arrays of the cohort without them.
        failures: for each the patient, the path to blame, and words of the reason.
    """
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    found = rows(cohort / "failures.csv")
    assert [row["patient"] for row in found] == [patient for patient, _, _ in failures]
    lines = result.output.splitlines()
    for row, (patient, place, words) in zip(found, failures, strict=True):
        assert row["reason"].startswith(f"{place}: ")
        assert words in row["reason"]
        assert row["reason"].isprintable()
        assert f"warning: left out {patient}: {row['reason']}" in lines
    assert len((cohort / "failures.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(failures)
    assert arrays(cohort) == kept
    check_nothing_half_written(cohort)


def check_nothing_half_written(cohort: Path) -> None:
    assert not [path for path in cohort.rglob("*") if ".part." in path.name]
    with_record, with_image = ({path.stem for path in (cohort / name).iterdir()} for name in ("records", "images"))
    assert with_record == with_image


def run_apart(
    *arguments: object,
    address_space: int | None = None,
    file_size: int | None = None,
    is_unprivileged: bool = False,
) -> Ended:
    """Run `fpgan` in a process of its own, which may take so many bytes of memory, or write files of so many.

    `is_unprivileged`: permissions of files hold for it, even when the tests run as root.
    """
    program = "import resource\n"
    for limit, value in (("RLIMIT_AS", address_space), ("RLIMIT_FSIZE", file_size)):
        if value is not None:
            program += f"resource.setrlimit(resource.{limit}, ({value}, {value}))\n"
    command = [sys.executable, "-c", f"{program}from pipelines.cli import app\napp(prog_name='fpgan')", *arguments]
    if is_unprivileged and os.geteuid() == 0:
        powers = "-dac_override,-dac_read_search"
        command = ["setpriv", f"--bounding-set={powers}", f"--inh-caps={powers}", *command]
    # Each thread of a numerical library reserves memory that it may never use.
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    words = [os.fspath(word) if isinstance(word, Path) else str(word) for word in command]
    try:
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("the tests run as root, whom no permission stops, and there is no setpriv")
    return Ended(done.returncode, done.stdout + done.stderr)
