"""Pseudonyms, the salt that makes them, and the file that tells who is who."""

from __future__ import annotations

import hashlib
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from tests.data_prep.dicom_writing import MR, SERIES, write_series
from tests.pipelines.planted import (
    MARK,
    planted_in,
)
from tests.pipelines.planted_patients import put, slices, write_classic
from tests.pipelines.spoiled import rows, tree

Fpgan = Callable[..., Any]


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain DICOM series of the patient `ID-7`."""

    def identify(k: int, dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality, dataset.PatientID = MR, "MR", "ID-7"
        dataset.StudyInstanceUID = f"{SERIES}.100"

    folder = tmp_path_factory.mktemp("small") / "scan"
    write_series(folder, slices(), change=identify)
    return folder


def name_of(fpgan: Fpgan, run: Path, source: Path, output: Path, *options: object) -> str:
    result = fpgan("report", run, source, "--output", output, *options)
    assert result.exit_code == 0, result.output
    (row,) = rows(output / "patients.csv")
    return row["patient"]


def test_a_pseudonym_depends_on_patient_and_salt_alone(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(small, tmp_path / "elsewhere" / "moved"))
    monkeypatch.setenv("FPGAN_SALT", "pepper")
    names = [name_of(fpgan, run, source, tmp_path / f"of {source.name}") for source in (small, moved.parent)]
    monkeypatch.setenv("FPGAN_SALT", "salt")
    other = name_of(fpgan, run, small, tmp_path / "other")
    assert names[0] == names[1] != other
    plain = {function(b"ID-7").hexdigest() for function in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)}
    assert not any(name in digest for name in (names[0], other) for digest in plain)
    assert not list(home.iterdir())


def test_without_a_salt_one_is_made_for_this_user_and_kept(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, home: Path
) -> None:
    first = name_of(fpgan, run, small, tmp_path / "first")
    (salt,) = (path for path in home.rglob("*") if path.is_file())
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert salt.is_relative_to(home / "config" / "fpgan")
    content = salt.read_bytes()
    assert len(content) >= 32
    assert name_of(fpgan, run, small, tmp_path / "second") == first
    assert salt.read_bytes() == content
    salt.unlink()
    assert name_of(fpgan, run, small, tmp_path / "third") != first
    assert planted_in(tmp_path / "third", also=(salt.read_text().strip(),)) == []


def test_the_key_file_tells_who_is_who_to_its_owner(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.csv"
    name = name_of(fpgan, run, small, tmp_path / "reports", "--key-file", key)
    assert [(row["pseudonym"], row["patient"]) for row in rows(key)] == [(name, "ID-7")]
    assert str(small) in rows(key)[0]["place"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_who_was_who_before_an_interruption_is_not_forgotten(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path
) -> None:
    other = write_classic(tmp_path / "other", "ID-8", spoil=put(StudyInstanceUID=f"{SERIES}.101"))
    command = ["--output", tmp_path / "reports", "--key-file", tmp_path / "key.csv"]
    for source, options in ((small, []), (other, ["--resume"])):
        result = fpgan("report", run, source, *command, *options)
        assert result.exit_code == 0, result.output
    known = {row["pseudonym"]: row["patient"] for row in rows(tmp_path / "key.csv")}
    shown = {row["patient"] for row in rows(tmp_path / "reports" / "patients.csv")}
    assert set(known) >= shown
    assert set(known.values()) >= {"ID-8"}


def test_a_key_file_overwrites_nothing_of_somebody_else(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("years,of,work\n")
    result = fpgan("report", run, small, "--output", tmp_path / "reports", "--key-file", tmp_path / "results.csv")
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert (tmp_path / "results.csv").read_text() == "years,of,work\n"


def test_a_key_file_among_the_reports_is_refused(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    (tmp_path / "link").symlink_to(output)
    for place in (output / "key.csv", output / "deep" / "key.csv", tmp_path / "x" / ".." / "reports" / "key.csv"):
        result = fpgan("report", run, small, "--output", output, "--key-file", place)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
        assert "--key-file" in result.output
    result = fpgan("report", run, small, "--output", output, "--key-file", tmp_path / "link" / "key.csv")
    assert result.exit_code == 2
    assert not list(tmp_path.rglob("key.csv"))


def test_a_salt_that_cannot_be_used_is_one_line(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, home: Path
) -> None:
    for make in (lambda path: path.mkdir(parents=True), lambda path: path.rmdir() or path.write_bytes(b"\n")):
        make(home / "config" / "fpgan" / "salt")
        result = fpgan("report", run, small, "--output", tmp_path / "reports")
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
        assert str(home / "config" / "fpgan" / "salt") in result.output
        assert "FPGAN_SALT" in result.output
        assert tree(tmp_path / "reports") == {} if (tmp_path / "reports").exists() else True


def test_who_is_who_is_known_of_tables_of_dicom_too(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    """A table's names are its author's own; what its DICOM files say stays out."""
    write_classic(tmp_path / "scan", f"{MARK} ONE", spoil=put())
    (tmp_path / "table.csv").write_text("patient,flair\nchosen,scan\n")
    assert name_of(fpgan, run, tmp_path / "table.csv", tmp_path / "reports") == "chosen"
    assert planted_in(tmp_path / "reports") == []
