"""Writing a cohort: what is done again, and what an interruption leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from data_prep import patient as patient_module
from data_prep.case import Case
from data_prep.cohort import CohortDataset, open_cohort
from data_prep.cohort_writer import finish_cohort, start_cohort, write_patient
from data_prep.errors import DataError
from data_prep.patient import CohortSettings


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths given to `read_nifti`, in order."""
    paths: list[Path] = []
    original = patient_module.read_nifti

    def counted(path: Path) -> Any:
        paths.append(path)
        return original(path)

    monkeypatch.setattr(patient_module, "read_nifti", counted)
    return paths


@pytest.fixture
def break_save(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, BaseException], None]:
    """`break_save(n, error)`: the n-th array is cut off by `error` halfway through."""

    def arm(doomed: int, error: BaseException) -> None:
        calls = 0
        original = np.save

        def save(path: Path, *arguments: Any, **options: Any) -> None:
            nonlocal calls
            calls += 1
            original(path, *arguments, **options)
            if calls == doomed:
                path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
                raise error

        monkeypatch.setattr(np, "save", save)

    return arm


def make_brighter(path: Path) -> None:
    image = nib.load(path)
    array = np.asarray(image.dataobj)
    nib.save(nib.Nifti1Image(np.where(array > 1.5, array + 1, array).astype(np.float32), image.affine), path)
    os.utime(path, (1, 1))  # a clock with coarse ticks may give both writes the same time


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_an_unchanged_patient_is_not_read_again(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, reads: list[Path]
) -> None:
    write_patient(cases[0], settings, cohort_folder)
    write_patient(cases[0], settings.model_copy(update={"split_seed": 5}), cohort_folder)
    assert reads == []


def test_only_missing_patients_are_read_when_a_run_goes_on(
    tmp_path: Path, cases: list[Case], settings: CohortSettings, reads: list[Path], write_cohort: Callable[..., Path]
) -> None:
    start_cohort(tmp_path / "cohort", settings)
    for case in cases[:4]:
        write_patient(case, settings, tmp_path / "cohort")
    reads.clear()
    resumed = write_cohort(tmp_path / "cohort", cases, settings)
    assert sorted(reads) == sorted(path for case in cases[4:] for path in case.files)

    whole = write_cohort(tmp_path / "whole", cases, settings)
    for name in files_below(whole):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_a_changed_source_is_prepared_again(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, reads: list[Path]
) -> None:
    before = np.load(cohort_folder / "images" / "000.npy")
    make_brighter(cases[0].images["t1"])
    for case in cases:
        write_patient(case, settings, cohort_folder)
    assert reads == cases[0].files
    after = np.load(cohort_folder / "images" / "000.npy")
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1] != before[:, 1]).any()


def test_a_changed_setting_prepares_every_patient_again(
    cohort_folder: Path, cases: list[Case], make_settings: Callable[..., CohortSettings], reads: list[Path]
) -> None:
    for case in cases:
        write_patient(case, make_settings(size=(64, 64)), cohort_folder)
    assert reads == [path for case in cases for path in case.files]
    assert np.load(cohort_folder / "images" / "000.npy").shape[2:] == (64, 64)


def test_a_cohort_that_was_prepared_again_is_opened_anew(
    cohort_folder: Path,
    cases: list[Case],
    make_settings: Callable[..., CohortSettings],
    write_cohort: Callable[..., Path],
) -> None:
    assert open_cohort(cohort_folder).images("000").shape[2:] == (48, 48)
    assert open_cohort(cohort_folder).masks("000").shape[1:] == (48, 48)
    (cohort_folder / "cohort.json").unlink()
    write_cohort(cohort_folder, cases, make_settings(size=(64, 64)))
    cohort = open_cohort(cohort_folder)
    assert cohort.images("000").shape[2:] == (64, 64)
    assert cohort.masks("000").shape[1:] == (64, 64)
    assert CohortDataset(cohort, "train")[0][0].shape == (2, 64, 64)


def test_an_array_in_use_stays_whole_while_its_patient_is_prepared_again(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings
) -> None:
    in_use = np.load(cohort_folder / "images" / "000.npy", mmap_mode="r")
    before = in_use.copy()
    make_brighter(cases[0].images["t1"])
    write_patient(cases[0], settings, cohort_folder)
    np.testing.assert_array_equal(in_use, before)
    assert (np.load(cohort_folder / "images" / "000.npy") != before).any()


def test_a_path_is_opened_anew_from_another_folder(
    tmp_path: Path,
    cases: list[Case],
    settings: CohortSettings,
    make_settings: Callable[..., CohortSettings],
    write_cohort: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_cohort(tmp_path / "first" / "cohort", cases[:1], settings)
    write_cohort(tmp_path / "second" / "cohort", cases[:1], make_settings(size=(64, 64)))
    monkeypatch.chdir(tmp_path / "first")
    assert open_cohort("cohort").images("000").shape[2:] == (48, 48)
    monkeypatch.chdir(tmp_path / "second")
    assert open_cohort("cohort").images("000").shape[2:] == (64, 64)


@pytest.mark.parametrize("doomed", [1, 2], ids=["images", "masks"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["disk", "key"])
def test_an_interrupted_write_leaves_no_half_patient(
    tmp_path: Path,
    cases: list[Case],
    settings: CohortSettings,
    break_save: Callable[[int, BaseException], None],
    monkeypatch: pytest.MonkeyPatch,
    write_cohort: Callable[..., Path],
    doomed: int,
    error: BaseException,
) -> None:
    output = tmp_path / "cohort"
    start_cohort(output, settings)
    write_patient(cases[0], settings, output)
    break_save(doomed, error)
    with pytest.raises(type(error)):
        write_patient(cases[1], settings, output)
    monkeypatch.undo()

    assert files_below(output / "records") == ["000.json"]
    left = [name for name in files_below(output) if name.endswith(".npy")]
    assert set(left) <= {f"{folder}/{name}.npy" for folder in ("images", "masks") for name in ("000", "001")}
    for name in left:
        np.load(output / name)
    with pytest.raises(DataError, match="--resume"):
        open_cohort(output)

    write_cohort(output, cases, settings)
    whole = write_cohort(tmp_path / "whole", cases, settings)
    assert files_below(output) == files_below(whole)
    for name in files_below(whole):
        assert (output / name).read_bytes() == (whole / name).read_bytes()


def test_a_patient_interrupted_while_prepared_again_counts_as_missing(
    cohort_folder: Path,
    cases: list[Case],
    make_settings: Callable[..., CohortSettings],
    break_save: Callable[[int, BaseException], None],
) -> None:
    # The new images are there, the old mask is too: without a record nobody takes them for a pair.
    break_save(2, OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        write_patient(cases[0], make_settings(size=(64, 64)), cohort_folder)
    assert not (cohort_folder / "records" / "000.json").exists()


def test_a_cohort_is_incomplete_from_start_to_finish(
    tmp_path: Path, cases: list[Case], settings: CohortSettings
) -> None:
    output = tmp_path / "cohort"
    start_cohort(output, settings)
    write_patient(cases[0], settings, output)
    with pytest.raises(DataError, match="is not complete"):
        open_cohort(output)
    finish_cohort(output, [cases[0].patient], [], settings)
    assert open_cohort(output).settings == settings
    start_cohort(output, settings)
    with pytest.raises(DataError, match="is not complete"):
        open_cohort(output)


def test_a_cohort_of_other_settings_is_not_gone_on_with(
    cohort_folder: Path, make_settings: Callable[..., CohortSettings]
) -> None:
    before = files_below(cohort_folder)
    with pytest.raises(DataError, match="was begun with other settings"):
        start_cohort(cohort_folder, make_settings(size=(64, 64)))
    assert files_below(cohort_folder) == before
    open_cohort(cohort_folder)


def test_a_missing_source_is_refused_by_its_path(tmp_path: Path, cases: list[Case], settings: CohortSettings) -> None:
    start_cohort(tmp_path / "cohort", settings)
    path = cases[0].images["t1"]
    path.unlink()
    with pytest.raises(DataError) as caught:
        write_patient(cases[0], settings, tmp_path / "cohort")
    assert str(caught.value).startswith(f"{path}: cannot be read (No such file or directory)")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_nothing_is_left_of_a_patient_whose_files_went_bad(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, damage: str
) -> None:
    path = cases[0].images["t1"]
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError) as caught:
        write_patient(cases[0], settings, cohort_folder)
    assert str(caught.value).startswith(f"{path}: ")
    assert [name for name in files_below(cohort_folder) if "000" in name] == []
