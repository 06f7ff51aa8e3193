"""`fpgan report` that goes on after an interruption, or runs in several processes, ends like one that did neither."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pipelines.spoiled import (
    INDEX,
    file_of,
    rows,
    tree,
)

Fpgan = Callable[..., Any]


def test_a_killed_report_goes_on_and_its_remains_go_away(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", tiny.brats / "P2", "--output", output]
    assert fpgan(*command).exit_code == 0
    whole = tree(output / "P2")
    # As a kill in the middle of P2 leaves it: no index of it, part of its files.
    (output / "P2").rename(output / ".P2.part")
    (output / ".P2.part" / "report.json").unlink()
    (output / ".P2.part" / "difference.nii.gz").write_bytes(b"half")
    before = (output / "P1" / "report.json").stat().st_mtime_ns
    result = fpgan(*command, "--resume")
    assert result.exit_code == 0, result.output
    assert {path.name for path in output.iterdir()} == {"P1", "P2", *INDEX}
    assert tree(output / "P2").keys() == whole.keys()
    assert tree(output / "P2")["difference.nii.gz"] == whole["difference.nii.gz"]
    assert (output / "P1" / "report.json").stat().st_mtime_ns == before


def test_a_report_without_its_record_is_made_again(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", "--output", output]
    assert fpgan(*command).exit_code == 0
    for damage in (lambda path: path.write_text("{"), lambda path: path.unlink()):
        damage(output / "P1" / "report.json")
        result = fpgan(*command, "--resume")
        assert result.exit_code == 0, result.output
        assert json.loads((output / "P1" / "report.json").read_text())["patient"] == "P1"


def test_another_request_is_not_answered_with_old_reports(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    command = ["report", tiny.run, tiny.brats / "P1", "--output", output]
    assert fpgan(*command).exit_code == 0
    assert fpgan(*command, "--resume", "--pdf").exit_code == 0
    assert (output / "P1" / "report.pdf").is_file()
    assert "report.pdf" in (output / "P1" / "report.html").read_text()
    assert fpgan(*command, "--resume").exit_code == 0
    assert not (output / "P1" / "report.pdf").exists()


@pytest.mark.parametrize(
    "damage",
    [lambda path: path.write_bytes(b"damaged since"), lambda path: path.unlink()],
    ids=["damaged", "missing"],
)
def test_a_patient_that_fails_now_has_no_page_of_before_in_the_index(
    damage: Callable[[Path], object], fpgan: Fpgan, tiny: Any, tmp_path: Path
) -> None:
    brats, output = Path(shutil.copytree(tiny.brats / "P1", tmp_path / "brats" / "P1")).parent, tmp_path / "reports"
    shutil.copytree(tiny.brats / "P2", brats / "P2")
    assert fpgan("report", tiny.run, brats, "--output", output).exit_code == 0
    damage(file_of(brats / "P1"))
    assert fpgan("report", tiny.run, brats, "--output", output, "--resume").exit_code == 1
    assert [row["patient"] for row in rows(output / "patients.csv")] == ["P2"]
    assert [row["patient"] for row in rows(output / "failures.csv")] == ["P1"]
    assert "P1/report.html" not in (output / "index.html").read_text()


def without_times(name: str, raw: bytes) -> bytes:
    """A file without what differs between two runs on the same patient: times, and how many threads computed."""
    if not name.endswith((".html", ".json")):
        return raw
    text = re.sub(r"\d{4}-\d\d-\d\d[T,] ?\d\d:\d\d(:\d\d[+-]\d\d:\d\d)?", "TIME", raw.decode())
    text = re.sub(r"CPU, \d+ threads?", "CPU", text)
    text = re.sub(r'("seconds": \{)[^}]*', r"\1", text)
    return re.sub(r"<dd>[\d.]+ s</dd>", "<dd>s</dd>", text).encode()


def test_two_workers_write_what_one_writes(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(tiny.brats / "P3", tmp_path / "brats" / "P3"))
    (broken / "P3_flair.nii.gz").write_bytes(b"nothing")
    for name in ("P1", "P2"):
        shutil.copytree(tiny.brats / name, tmp_path / "brats" / name)
    trees = []
    for workers in (1, 2):
        output = tmp_path / f"by {workers}"
        result = fpgan("report", tiny.run, tmp_path / "brats", "--output", output, "--workers", workers)
        assert result.exit_code == 1, result.output
        trees.append({name: without_times(name, raw) for name, raw in tree(output).items()})
    assert trees[0].keys() == trees[1].keys()
    for name, raw in trees[0].items():
        assert trees[1][name] == raw, name


def test_several_workers_leave_this_process_its_threads(fpgan: Callable[..., Any], tiny: Any, tmp_path: Path) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        command = ["report", tiny.run, tiny.brats / "P1", "--output", tmp_path / "reports", "--workers", 2]
        assert fpgan(*command).exit_code == 0
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(threads)
