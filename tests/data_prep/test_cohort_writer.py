"""Writing a cohort: what is done again, and what an interruption leaves behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from data_prep import patient as patient_module
from data_prep.case import Case, Source
from data_prep.cohort import open_cohort
from data_prep.cohort_writer import finish_cohort, start_cohort, write_patient
from data_prep.dataset import CohortDataset
from data_prep.errors import DataError
from data_prep.settings import CohortSettings


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are read, in order."""
    paths: list[Path] = []
    original = patient_module.read_source

    def counted(source: Source) -> Any:
        paths.extend(source.files)
        return original(source)

    monkeypatch.setattr(patient_module, "read_source", counted)
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


def files_of(case: Case) -> list[Path]:
    return [path for source in case.sources for path in source.files]


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
    assert sorted(reads) == sorted(path for case in cases[4:] for path in files_of(case))

    whole = write_cohort(tmp_path / "whole", cases, settings)
    for name in files_below(whole):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes()


def test_a_changed_source_is_prepared_again(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, reads: list[Path]
) -> None:
    before = np.load(cohort_folder / "images" / "000.npy")
    make_brighter(cases[0].images["t1"].files[0])
    for case in cases:
        write_patient(case, settings, cohort_folder)
    assert reads == files_of(cases[0])
    after = np.load(cohort_folder / "images" / "000.npy")
    np.testing.assert_array_equal(after[:, 0], before[:, 0])
    assert (after[:, 1] != before[:, 1]).any()


def test_a_changed_setting_prepares_every_patient_again(
    cohort_folder: Path, cases: list[Case], make_settings: Callable[..., CohortSettings], reads: list[Path]
) -> None:
    for case in cases:
        write_patient(case, make_settings(size=(64, 64)), cohort_folder)
    assert reads == [path for case in cases for path in files_of(case)]
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
    make_brighter(cases[0].images["t1"].files[0])
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


def test_what_a_killed_run_left_half_written_is_removed(cohort_folder: Path, settings: CohortSettings) -> None:
    before = files_below(cohort_folder)
    for name in ("images/.7.part.000.npy", "records/.7.part.000.json", ".7.part.slices.csv"):
        (cohort_folder / name).write_bytes(b"half")
    start_cohort(cohort_folder, settings)
    assert files_below(cohort_folder) == before


def test_a_patient_that_is_gone_from_the_source_leaves_the_cohort(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, tmp_path: Path, write_cohort: Callable[..., Path]
) -> None:
    write_cohort(cohort_folder, cases[1:], settings)
    fresh = write_cohort(tmp_path / "fresh", cases[1:], settings)
    assert files_below(cohort_folder) == files_below(fresh)


def finish(output: Path, cases: list[Case], settings: CohortSettings) -> None:
    start_cohort(output, settings)
    for case in cases:
        write_patient(case, settings, output)
    given = {case.subject: case.split for case in cases if case.split}
    finish_cohort(output, [case.patient for case in cases], [], settings, subject_splits=given)


def test_scans_of_one_subject_are_in_one_split(tmp_path: Path, cases: list[Case], settings: CohortSettings) -> None:
    twins = [replace(case, subject=f"S{number // 2}") for number, case in enumerate(cases)]
    finish(tmp_path / "cohort", twins, settings)
    patients = open_cohort(tmp_path / "cohort").patients
    splits = patients.groupby("subject")["split"].nunique()
    assert splits.tolist() == [1, 1, 1]
    assert patients["split"].nunique() == 3


def test_given_splits_are_kept_and_the_others_drawn(
    tmp_path: Path, cases: list[Case], settings: CohortSettings
) -> None:
    given = [replace(case, split="test") for case in cases[:2]] + cases[2:]
    finish(tmp_path / "cohort", given, settings)
    patients = open_cohort(tmp_path / "cohort").patients.set_index("patient")["split"]
    assert patients.loc[["000", "001"]].tolist() == ["test", "test"]
    assert set(patients) == {"train", "validation", "test"}


def test_folds_are_tables_columns(tmp_path: Path, cases: list[Case], make_settings: Callable[..., Any]) -> None:
    seen: dict[str, list[str]] = {}
    for fold in range(3):
        finish(tmp_path / "cohort", cases, make_settings(folds=3, fold=fold))
        for row in open_cohort(tmp_path / "cohort").patients.itertuples():
            seen.setdefault(row.patient, []).append(row.split)
            assert row.split == {0: "test", 1: "validation", 2: "train"}[(row.fold - fold) % 3]
    assert all(sorted(splits) == ["test", "train", "validation"] for splits in seen.values())


def test_the_same_image_in_two_splits_names_both(tmp_path: Path, cases: list[Case], settings: CohortSettings) -> None:
    copies = {name: tmp_path / f"{name}.nii" for name in ("flair", "t1")}  # other bytes, the same voxels
    for name, path in copies.items():
        nib.save(nib.load(cases[0].images[name].files[0]), path)
    images = {name: Source(format="nifti", files=(path,)) for name, path in copies.items()}
    twin = replace(cases[1], images=images)
    pair = [replace(cases[0], split="train"), replace(twin, split="test")]
    with pytest.raises(DataError, match=r"000 \(train\) and 001 \(test\) hold the same image"):
        finish(tmp_path / "cohort", pair, settings)
    finish(tmp_path / "cohort", [replace(case, split="train") for case in pair], settings)


def test_a_missing_source_is_refused_by_its_path(tmp_path: Path, cases: list[Case], settings: CohortSettings) -> None:
    start_cohort(tmp_path / "cohort", settings)
    path = cases[0].images["t1"].files[0]
    path.unlink()
    with pytest.raises(DataError) as caught:
        write_patient(cases[0], settings, tmp_path / "cohort")
    assert str(caught.value).startswith(f"{path}: cannot be read (No such file or directory)")


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_nothing_is_left_of_a_patient_whose_files_went_bad(
    cohort_folder: Path, cases: list[Case], settings: CohortSettings, damage: str
) -> None:
    path = cases[0].images["t1"].files[0]
    path.unlink() if damage == "missing" else path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(DataError) as caught:
        write_patient(cases[0], settings, cohort_folder)
    assert str(caught.value).startswith(f"{path}: ")
    assert [name for name in files_below(cohort_folder) if "000" in name] == []
