"""BraTS folders to cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.errors import DataError
from data_prep.layouts.brats import MODALITIES, brats_case, find_brats_cases

CHANNELS = ("flair", "t1")


def make_patient(folder: Path, name: str, *modalities: str, suffix: str = ".nii.gz") -> Path:
    """An empty file for each modality; finding cases opens none."""
    patient = folder / name
    patient.mkdir(parents=True)
    for modality in modalities or (*MODALITIES, "seg"):
        (patient / f"{name}_{modality}{suffix}").touch()
    return patient


def test_a_patient_is_named_for_its_folder_and_its_channels_keep_their_order(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    cases, failures = find_brats_cases(tmp_path, ("t2", "flair"))
    assert failures == []
    assert [case.patient for case in cases] == ["BraTS20_001"]
    assert list(cases[0].images.items()) == [
        ("t2", patient / "BraTS20_001_t2.nii.gz"),
        ("flair", patient / "BraTS20_001_flair.nii.gz"),
    ]
    assert cases[0].mask == patient / "BraTS20_001_seg.nii.gz"


def test_t1_and_t1ce_are_told_apart(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    case = brats_case(patient, ("t1", "t1ce"))
    assert [file.name for file in case.images.values()] == ["BraTS20_001_t1.nii.gz", "BraTS20_001_t1ce.nii.gz"]


def test_files_without_compression_are_found(tmp_path: Path) -> None:
    make_patient(tmp_path, "BraTS20_001", suffix=".nii")
    assert len(find_brats_cases(tmp_path, CHANNELS)[0]) == 1


def test_grade_folders_are_searched_and_patients_sorted_by_name(tmp_path: Path) -> None:
    make_patient(tmp_path / "HGG", "Brats18_B")
    make_patient(tmp_path / "HGG", "Brats18_D")
    make_patient(tmp_path / "LGG", "Brats18_A")
    make_patient(tmp_path / "LGG" / "more", "Brats18_C")
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in cases] == ["Brats18_A", "Brats18_B", "Brats18_C", "Brats18_D"]
    assert failures == []


def test_a_missing_modality_is_named_and_the_others_go_on(tmp_path: Path) -> None:
    lacking = make_patient(tmp_path, "BraTS20_001", "t1", "t2", "seg")
    make_patient(tmp_path, "BraTS20_002")
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in cases] == ["BraTS20_002"]
    assert [failure.patient for failure in failures] == ["BraTS20_001"]
    assert failures[0].reason == f"{lacking}: no flair file; modalities found: t1, t2"


def test_all_missing_modalities_are_named(tmp_path: Path) -> None:
    lacking = make_patient(tmp_path, "BraTS20_001", "seg")
    with pytest.raises(DataError) as caught:
        brats_case(lacking, CHANNELS)
    assert str(caught.value) == f"{lacking}: no flair and no t1 file; modalities found: none"


def test_a_missing_mask_fails_a_cohort_but_not_a_single_patient(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001", *CHANNELS)
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert cases == []
    assert failures[0].reason.startswith(f"{patient}: no seg file")
    assert brats_case(patient, CHANNELS).mask is None


def test_two_patients_of_one_name_are_a_failure_that_names_both(tmp_path: Path) -> None:
    first = make_patient(tmp_path / "HGG", "Brats18_A")
    second = make_patient(tmp_path / "LGG", "Brats18_A")
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert [case.images["flair"].parent for case in cases] == [first]
    assert len(failures) == 1
    assert failures[0].patient == "Brats18_A"
    assert failures[0].reason.startswith(f"{second}: ")
    assert str(first) in failures[0].reason


def test_one_modality_in_two_files_is_a_failure_that_names_both(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    (patient / "BraTS20_001_flair.nii").touch()
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert cases == []
    assert failures[0].reason.startswith(f"{patient}: ")
    for name in ("BraTS20_001_flair.nii and", "BraTS20_001_flair.nii.gz"):
        assert name in failures[0].reason


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    (patient / "._BraTS20_001_flair.nii.gz").touch()
    make_patient(tmp_path / ".trash", "BraTS20_002")
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in cases] == ["BraTS20_001"]
    assert failures == []


def test_files_of_other_kinds_are_ignored(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    for name in ("BraTS20_001_flair.json", "BraTS20_001_adc.nii.gz", "flair.nii.gz", "notes.txt"):
        (patient / name).touch()
    (tmp_path / "name_mapping.csv").touch()
    cases, failures = find_brats_cases(tmp_path, CHANNELS)
    assert len(cases) == 1
    assert failures == []


def test_the_folder_of_one_patient_is_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    assert find_brats_cases(patient, CHANNELS)[0][0].patient == "BraTS20_001"
    monkeypatch.chdir(patient)
    assert find_brats_cases(Path(), CHANNELS)[0][0].patient == "BraTS20_001"


def test_a_failure_in_the_current_folder_names_its_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_patient(tmp_path, "BraTS20_001", "t1"))
    assert find_brats_cases(Path(), CHANNELS)[1][0].patient == "BraTS20_001"


def test_an_unknown_channel_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    for find in (brats_case, find_brats_cases):
        with pytest.raises(DataError, match="'adc' is no BraTS modality; known are flair, t1, t1ce, t2"):
            find(patient, ("flair", "adc"))


def test_a_folder_without_patients_is_an_error_that_says_what_to_expect(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(DataError) as caught:
        find_brats_cases(tmp_path, CHANNELS)
    assert str(caught.value).startswith(f"{tmp_path}: no patient folder found")
    assert "<id>/<id>_flair.nii.gz" in str(caught.value)


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, problem in (("missing", "does not exist; check the path"), ("file", "is a file, not a folder")):
        with pytest.raises(DataError) as caught:
            find_brats_cases(tmp_path / name, CHANNELS)
        assert str(caught.value) == f"{tmp_path / name}: {problem}"
