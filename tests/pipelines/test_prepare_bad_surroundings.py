"""Odd names, links, permissions, full disks and occupied outputs, through `fpgan prepare`."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.pipelines.spoiled import (
    OPTIONS,
    SOUND,
    Sound,
    arrays,
    change,
    check_left_out,
    check_nothing_half_written,
    check_refused,
    file_of,
    rename_patient,
    rows,
    run_apart,
    tree,
)

ODD_NAMES = dict(zip(SOUND, ("Pat ient", "Pätient", "Pat\nient"), strict=True))


@pytest.fixture
def oddly_named(brats: Path) -> Path:
    """The same patients with a blank, an umlaut and a line break in the names of their folders and files."""
    for name, odd in ODD_NAMES.items():
        rename_patient(brats / name, odd)
    return brats


def test_names_with_blanks_umlauts_and_line_breaks_are_prepared(
    fpgan: Callable[..., Any], oddly_named: Path, sound: Sound, tmp_path: Path
) -> None:
    shutil.rmtree(oddly_named / "B")
    result = fpgan("prepare", oddly_named, "--output", tmp_path / "cohort", *OPTIONS)
    assert result.exit_code == 0, result.output
    expected = {
        f"{place}/{odd}.npy": sound.arrays[f"{place}/{name}.npy"]
        for place in ("images", "masks")
        for name, odd in ODD_NAMES.items()
    }
    assert arrays(tmp_path / "cohort") == expected
    assert [row["patient"] for row in rows(tmp_path / "cohort" / "patients.csv")] == sorted(ODD_NAMES.values())


def test_a_failure_of_a_name_with_a_line_break_is_still_one_line(
    fpgan: Callable[..., Any], oddly_named: Path, tmp_path: Path
) -> None:
    folder = oddly_named / "Pat\nient"
    change(file_of(folder), np.zeros_like)
    result = fpgan("prepare", oddly_named, "--output", tmp_path / "cohort", *OPTIONS)
    shutil.rmtree(folder)
    assert fpgan("prepare", oddly_named, "--output", tmp_path / "good", *OPTIONS).exit_code == 0
    failure = ("Pat\\nient", str(folder / "Pat\\nient_flair.nii.gz").replace("\n", "\\n"), "every voxel is 0")
    check_left_out(result, tmp_path / "cohort", arrays(tmp_path / "good"), failure)


def test_signs_that_mean_something_to_the_terminal_are_shown_as_they_are(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    (brats / ":brain:[red]").mkdir()
    folder = (brats / "B").rename(brats / ":brain:[red]" / "B")
    change(file_of(folder), np.zeros_like)
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("B", file_of(folder), "every voxel is 0"))


def test_a_name_that_is_no_utf8_is_a_failure(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    try:
        os.rename(brats / "B", os.fsencode(brats) + b"/B\xff")  # noqa: PTH104 - a path has no bytes
    except OSError:
        pytest.skip("this file system takes no names that are not UTF-8")
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    failure = ("B\\udcff", f"{brats}/B\\udcff", "has a name that is no valid UTF-8 text; rename it")
    check_left_out(result, tmp_path / "cohort", sound.arrays, failure)


def test_links_that_lead_in_circles(fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path) -> None:
    (brats / "A" / "all").symlink_to(brats)
    (brats / "C" / "itself").symlink_to("itself")
    path = file_of(brats / "B")
    path.unlink()
    path.symlink_to(path.name)
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    words = "cannot be read (Too many levels of symbolic links); check path and permissions"
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("B", path, words))


def test_of_two_patients_with_one_name_the_second_is_left_out(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    (brats / "HGG").mkdir()
    (brats / "LGG").mkdir()
    (brats / "A").rename(brats / "HGG" / "A")
    second = rename_patient(brats / "B", "A").rename(brats / "LGG" / "A")
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    words = f"has the same name as “{brats / 'HGG' / 'A'}”; rename one"
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("A", second, words))


def test_of_two_patients_with_one_name_the_whole_one_is_used(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    (brats / "LGG").mkdir()
    (brats / "A").rename(brats / "LGG" / "A")
    first = rename_patient(brats / "B", "A").rename(brats / "A")
    file_of(first).unlink()
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("A", first, "no flair file; modalities found: t1ce"))


def test_folders_that_are_empty_or_hold_files_of_other_names_are_said(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    (brats / "Empty").mkdir()
    misnamed = rename_patient(brats / "B", "Misnamed")
    for path in misnamed.iterdir():
        path.rename(path.with_name(path.name.replace("_", "")))
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    check_left_out(
        result,
        tmp_path / "cohort",
        sound.arrays,
        ("Empty", brats / "Empty", "no flair and no t1ce file; there is nothing"),
        ("Misnamed", misnamed, "no flair and no t1ce file; there is 'Misnamedflair.nii.gz'"),
    )


@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_what_may_not_be_read_is_named(is_folder: bool, brats: Path, sound: Sound, tmp_path: Path) -> None:
    place = brats / "B" if is_folder else file_of(brats / "B")
    place.chmod(0)
    try:
        result = run_apart("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS, is_unprivileged=True)
    finally:
        place.chmod(0o700)
    words = "cannot be read (Permission denied); check path and permissions"
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("B", place, words))


@pytest.fixture
def with_a_large_one(brats: Path) -> Path:
    """B has twice as many slices as the others: images of about 98 kB instead of 49 kB."""
    for modality in ("flair", "t1ce", "seg"):
        change(file_of(brats / "B", modality), lambda array: np.repeat(array, 2, axis=2))
    return brats


def check_full_disk(result: Any, cohort: Path, kept: dict[str, bytes], reason: str) -> None:
    """The command ended at patient B in one line, and A is kept."""
    assert result.exit_code == 1
    assert "Traceback" not in result.output
    last = result.output.splitlines()[-1]
    assert last.startswith(f"fpgan: {cohort / 'images' / 'B.npy'}: cannot be written (")
    assert reason in last
    assert last.endswith("check free space and permissions")
    assert arrays(cohort) == {name: raw for name, raw in kept.items() if name.endswith("/A.npy")}
    check_nothing_half_written(cohort)


def check_resumed(fpgan: Callable[..., Any], source: Path, cohort: Path) -> None:
    """Going on gives what an undisturbed run gives, to the byte."""
    undisturbed = cohort.with_name("undisturbed")
    assert fpgan("prepare", source, "--output", undisturbed, *OPTIONS).exit_code == 0
    resumed = fpgan("prepare", source, "--output", cohort, *OPTIONS, "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert tree(cohort) == tree(undisturbed)


def test_a_file_that_could_only_be_written_in_part(
    fpgan: Callable[..., Any], with_a_large_one: Path, sound: Sound, tmp_path: Path
) -> None:
    cohort = tmp_path / "cohort"
    result = run_apart("prepare", with_a_large_one, "--output", cohort, *OPTIONS, file_size=70_000)
    check_full_disk(result, cohort, sound.arrays, "written)")
    check_resumed(fpgan, with_a_large_one, cohort)


def test_a_full_disk(
    fpgan: Callable[..., Any],
    brats: Path,
    sound: Sound,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    save = np.save

    def save_until_full(path: Path, arr: np.ndarray) -> None:
        if path.name.endswith("B.npy"):
            path.write_bytes(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(path, arr)

    with monkeypatch.context() as patched:
        patched.setattr(np, "save", save_until_full)
        result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    check_full_disk(result, tmp_path / "cohort", sound.arrays, "No space left on device")
    check_resumed(fpgan, brats, tmp_path / "cohort")


@pytest.mark.parametrize(
    ("make", "flags", "words"),
    [
        (lambda path: path.mkdir() or (path / "thesis.docx").touch(), [], "already exists; give `--overwrite`"),
        (lambda path: path.mkdir() or (path / "records").touch(), ["--resume"], "was not written by `fpgan prepare`"),
        (lambda path: path.mkdir() or (path / "records").touch(), ["--overwrite"], "was not written by `fpgan prep"),
        (lambda path: path.touch(), ["--overwrite"], "is a file; give a folder"),
    ],
)
def test_an_output_that_holds_something_else_is_left_alone(
    make: Callable[[Path], object],
    flags: list[str],
    words: str,
    fpgan: Callable[..., Any],
    sound: Sound,
    tmp_path: Path,
) -> None:
    make(tmp_path / "out")
    before = sorted(tmp_path.rglob("*"))
    result = fpgan("prepare", sound.folder, "--output", tmp_path / "out", *OPTIONS, *flags, "--quiet")
    assert check_refused(result, words).startswith(f"{tmp_path / 'out'}: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_an_output_that_cannot_be_made(fpgan: Callable[..., Any], sound: Sound, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = fpgan("prepare", sound.folder, "--output", tmp_path / "file" / "out", *OPTIONS, "--quiet")
    line = check_refused(result, "cannot be written to (Not a directory); give another folder")
    assert line.startswith(f"{tmp_path / 'file' / 'out'}: ")


def test_a_source_that_is_not_there_or_holds_nothing(fpgan: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "picture.png").touch()
    for name, words in (
        ("nowhere", "does not exist; check the path"),
        ("loop", "does not exist; check the path"),
        ("empty", "holds no images in a layout this program knows"),
        ("picture.png", "is a file of no layout this program knows; single pictures are not taken: give their folder"),
        ("empty\nplace", "does not exist; check the path"),
    ):
        line = check_refused(fpgan("prepare", tmp_path / name, "--output", tmp_path / "out"), words)
        assert line.startswith(f"{tmp_path / name}: ".replace("\n", "\\n"))
        assert not (tmp_path / "out").exists()


def test_overwrite_replaces_what_prepare_wrote(fpgan: Callable[..., Any], sound: Sound, tmp_path: Path) -> None:
    command = ["prepare", sound.folder, "--output", tmp_path / "cohort"]
    assert fpgan(*command, "--size", 32).exit_code == 0
    assert fpgan(*command, "--size", 40, "--overwrite").exit_code == 0
    assert np.load(tmp_path / "cohort" / "images" / "A.npy").shape[1:] == (1, 40, 40)
