"""The prepared cohort, opened and read."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep.case import Case, Failure
from data_prep.cohort import file_stem, open_cohort
from data_prep.cohort_writer import finish_cohort, start_cohort, write_patient
from data_prep.dataset import CohortDataset
from data_prep.errors import DataError
from data_prep.patient import prepare_patient
from data_prep.settings import CohortSettings


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_cohort_is_read_as_it_was_prepared(cohort_folder: Path, cases: list[Case], settings: CohortSettings) -> None:
    cohort = open_cohort(cohort_folder)
    assert cohort.settings == settings
    assert cohort.patients["patient"].tolist() == [case.patient for case in cases]
    for case in cases:
        prepared = prepare_patient(case, settings)
        np.testing.assert_array_equal(cohort.images(case.patient), prepared.images)
        np.testing.assert_array_equal(cohort.masks(case.patient), prepared.mask)
        rows = cohort.slices[cohort.slices["patient"] == case.patient].drop(columns="split")
        kept = [{**row, "row": int(row["row"])} for row in prepared.slices if row["row"] != ""]
        assert rows.to_dict("records") == kept


def test_the_folder_holds_what_is_promised_and_nothing_else(cohort_folder: Path, cases: list[Case]) -> None:
    names = [case.patient for case in cases]
    assert files_below(cohort_folder) == sorted(
        ["cohort.json", "failures.csv", "patients.csv", "slices.csv"]
        + [f"images/{name}.npy" for name in names]
        + [f"masks/{name}.npy" for name in names]
        + [f"records/{name}.json" for name in names]
    )


def test_a_patient_is_in_one_split_in_every_table(cohort_folder: Path) -> None:
    cohort = open_cohort(cohort_folder)
    split_of = dict(zip(cohort.patients["patient"], cohort.patients["split"], strict=True))
    assert set(split_of.values()) == {"train", "validation", "test"}
    assert all(split_of[row.patient] == row.split for row in cohort.slices.itertuples())
    header = json.loads((cohort_folder / "cohort.json").read_text())
    assert sum(header["patients"].values()) == len(split_of)
    with (cohort_folder / "slices.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6 * 12  # every slice of every volume
    assert header["slices"] == sum(row["reason"] == "" for row in rows) == len(cohort.slices) - 1
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    assert header["unused_slices"] == dict(reasons)
    assert reasons["small or unlisted lesion"] == 1


def test_the_same_sources_give_the_same_cohort(
    tmp_path: Path, cohort_folder: Path, cases: list[Case], settings: CohortSettings, write_cohort: Callable[..., Path]
) -> None:
    again = write_cohort(tmp_path / "again", cases[::-1], settings)
    for name in files_below(cohort_folder):
        assert (again / name).read_bytes() == (cohort_folder / name).read_bytes()


def test_failures_are_listed(tmp_path: Path, cases: list[Case], settings: CohortSettings) -> None:
    start_cohort(tmp_path / "cohort", settings)
    write_patient(cases[0], settings, tmp_path / "cohort")
    failure = Failure(patient="bad", reason='/data/bad_t1.nii.gz: is "cut short", copy it again')
    finish_cohort(tmp_path / "cohort", [cases[0].patient], [failure], settings)
    with (tmp_path / "cohort" / "failures.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [{"patient": failure.patient, "reason": failure.reason}]


def test_dataset_items_are_images_and_their_domains(cohort_folder: Path) -> None:
    cohort = open_cohort(cohort_folder)
    total = 0
    for split in ("train", "validation", "test"):
        dataset = CohortDataset(cohort, split)
        total += len(dataset)
        assert dataset.domains.shape == (len(dataset), 2)
        for index, row in enumerate(dataset.rows.itertuples()):
            image, label = dataset[index]
            assert image.dtype == np.float16
            np.testing.assert_array_equal(image, cohort.images(row.patient)[row.row])
            assert dataset.patients[index] == row.patient
            assert label.dtype == np.float32
            assert label.tolist() == ([1, 0] if row.lesion_area_px == 0 else [0, 1])
            assert row.split == split
    assert total == len(cohort.slices) - 1


def test_an_item_may_be_changed_without_changing_the_cohort(cohort_folder: Path) -> None:
    dataset = CohortDataset(open_cohort(cohort_folder), "train")
    before = dataset[0][0].copy()
    dataset[0][0][:] = 0
    np.testing.assert_array_equal(dataset[0][0], before)


def test_a_slice_with_a_small_lesion_belongs_to_neither_domain(cohort_folder: Path) -> None:
    cohort = open_cohort(cohort_folder)
    small = cohort.slices[cohort.slices["lesion_area_px"].between(1, 10)]
    assert list(zip(small["patient"], small["slice_index"], strict=True)) == [("002", 7)]
    assert small["domains"].tolist() == [""]
    for split in ("train", "validation", "test"):
        rows = CohortDataset(cohort, split).rows
        assert not rows["lesion_area_px"].between(1, 10).any()


def test_the_dataset_never_opens_a_mask(cohort_folder: Path) -> None:
    shutil.rmtree(cohort_folder / "masks")
    cohort = open_cohort(cohort_folder)
    for split in ("train", "validation", "test"):
        dataset = CohortDataset(cohort, split)
        assert all(dataset[n][0].shape == (2, 48, 48) for n in range(len(dataset)))
    with pytest.raises(DataError, match="000 has no lesion mask"):
        cohort.masks("000")


def test_an_empty_split_is_an_empty_dataset(
    tmp_path: Path, cases: list[Case], settings: CohortSettings, write_cohort: Callable[..., Path]
) -> None:
    cohort = open_cohort(write_cohort(tmp_path / "cohort", cases[:1], settings))
    dataset = CohortDataset(cohort, "validation")
    assert len(dataset) == 0
    assert dataset.domains.shape == (0, 2)
    assert dataset.patients.shape == (0,)


def test_an_unfinished_cohort_says_how_to_finish_it(cohort_folder: Path, settings: CohortSettings) -> None:
    start_cohort(cohort_folder, settings)
    with pytest.raises(DataError) as caught:
        open_cohort(cohort_folder)
    assert str(caught.value).startswith(f"{cohort_folder}: is not complete")
    assert "--resume" in str(caught.value)


def test_a_folder_that_is_no_cohort_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, problem in ((".", "holds no cohort.json"), ("missing", "is not a folder"), ("file", "is not a folder")):
        with pytest.raises(DataError) as caught:
            open_cohort(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {problem}")


def test_a_cohort_of_another_format_is_refused(cohort_folder: Path) -> None:
    header = json.loads((cohort_folder / "cohort.json").read_text())
    (cohort_folder / "cohort.json").write_text(json.dumps(header | {"format": 99}))
    with pytest.raises(DataError) as caught:
        open_cohort(cohort_folder)
    assert str(caught.value).startswith(f"{cohort_folder}: has format 99, this version reads ")


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"format": 2}', '{"format": 2, "settings": {"size": 3}}'])
def test_a_damaged_header_is_refused(cohort_folder: Path, content: str) -> None:
    (cohort_folder / "cohort.json").write_text(content)
    with pytest.raises(DataError) as caught:
        open_cohort(cohort_folder)
    assert str(caught.value).startswith(f"{cohort_folder}: is damaged")


@pytest.mark.parametrize("table", ["patients.csv", "slices.csv"])
@pytest.mark.parametrize("damage", ["missing", "empty"])
def test_a_damaged_table_is_refused(cohort_folder: Path, table: str, damage: str) -> None:
    (cohort_folder / table).write_text("") if damage == "empty" else (cohort_folder / table).unlink()
    with pytest.raises(DataError) as caught:
        open_cohort(cohort_folder)
    assert str(caught.value).startswith(f"{cohort_folder}: is damaged")


def test_a_damaged_image_file_is_refused_by_its_path(cohort_folder: Path) -> None:
    path = cohort_folder / "images" / "001.npy"
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(DataError) as caught:
        open_cohort(cohort_folder).images("001")
    assert str(caught.value).startswith(f"{path}: cannot be read")


def test_images_are_mapped_and_cannot_be_written(cohort_folder: Path) -> None:
    images = open_cohort(cohort_folder).images("000")
    assert isinstance(images, np.memmap)
    assert not images.flags.writeable


def test_every_name_has_a_file_name_of_its_own() -> None:
    assert file_stem("BraTS20 Ünïcode-001.a") == "BraTS20 Ünïcode-001.a"
    odd = ["a/b", "a%2Fb", "..", ".hidden", "%2Ehidden", "a\\b", "a:b", "..%"]
    stems = [file_stem(name) for name in odd]
    assert len(set(stems)) == len(odd)
    assert not any("/" in stem or "\\" in stem or stem.startswith(".") for stem in stems)
