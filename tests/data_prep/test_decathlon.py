"""Tasks of the Medical Segmentation Decathlon to cases."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.decathlon import find_decathlon_cases, recognize

Write = Callable[..., Path]


@pytest.fixture
def write_task(tmp_path: Path) -> Write:
    """`write_task(images, **changes)` writes `dataset.json` and the empty files of a task of one modality."""

    def write(images: list[str] | None = None, *, encoding: str = "utf-8", **changes: Any) -> Path:
        names = ["A", "B"] if images is None else images
        training = [{"image": f"./imagesTr/{n}.nii.gz", "label": f"./labelsTr/{n}.nii.gz"} for n in names]
        table = {"modality": {"0": "CT"}, "labels": {"0": "background"}, "training": training, "test": []} | changes
        for folder in ("imagesTr", "labelsTr", "imagesTs"):
            (tmp_path / folder).mkdir(exist_ok=True)
        for entry in table["training"] if isinstance(table["training"], list) else ():
            for path in entry.values() if isinstance(entry, dict) else ():
                if isinstance(path, str) and path.startswith("./"):
                    (tmp_path / path).touch()
        (tmp_path / "dataset.json").write_text(
            json.dumps({k: v for k, v in table.items() if v is not ...}), encoding=encoding
        )
        return tmp_path

    return write


def nifti(path: Path, channel: int | None = None) -> Source:
    return Source(format="nifti", files=(path,), channel=channel)


def test_one_modality_is_a_file_without_channel_axis(write_task: Write) -> None:
    root = write_task(["B", "A"])
    finding = find_decathlon_cases(root)
    assert (finding.layout, finding.failures, finding.domains) == ("decathlon", [], None)
    assert finding.why == recognize(root) == "dataset.json lists 2 training and 0 test images"
    assert [case.patient for case in finding.cases] == ["A", "B"]
    assert finding.cases[0].images == {"ct": nifti(root / "imagesTr" / "A.nii.gz")}
    assert finding.cases[0].mask == nifti(root / "labelsTr" / "A.nii.gz")


def test_several_modalities_are_channels_of_one_file(write_task: Write) -> None:
    root = write_task(["A"], modality={"1": "T1w", "0": "FLAIR", "3": " T2 - w", "2": "T1 (Gd)"})
    file = root / "imagesTr" / "A.nii.gz"
    (case,) = find_decathlon_cases(root).cases
    assert list(case.images.items()) == [
        ("flair", nifti(file, 0)),
        ("t1w", nifti(file, 1)),
        ("t1_gd", nifti(file, 2)),
        ("t2_w", nifti(file, 3)),
    ]
    assert case.mask == nifti(root / "labelsTr" / "A.nii.gz")


def test_channels_are_chosen_by_name_and_by_pattern(write_task: Write) -> None:
    root = write_task(["A"], modality={"0": "FLAIR", "1": "T1", "2": "T1 Gd"})
    (case,) = find_decathlon_cases(root, parse_channels("t1_gd,contrast=*fla*,t1")).cases
    assert {name: source.channel for name, source in case.images.items()} == {"t1_gd": 2, "contrast": 0, "t1": 1}


def test_a_channel_that_is_not_there_is_an_error_that_lists_the_modalities(write_task: Write) -> None:
    root = write_task(["A"], modality={"0": "FLAIR", "1": "T1"})
    with pytest.raises(DataError) as caught:
        find_decathlon_cases(root, parse_channels("t2"))
    assert str(caught.value) == f"{root / 'dataset.json'}: no modality fits channel t2; there is 'flair', 't1'"


def test_one_modality_is_not_two_channels(write_task: Write) -> None:
    with pytest.raises(DataError, match="the modality 'ct' would be both ct and mr; say which is which"):
        find_decathlon_cases(write_task(), parse_channels("ct,mr"))


def test_test_images_are_taken_only_where_there_are_no_others(write_task: Write) -> None:
    test = ["./imagesTs/C.nii.gz", {"image": "./imagesTs/D.nii.gz"}]
    root = write_task(test=test)
    for name in ("C", "D"):
        (root / "imagesTs" / f"{name}.nii.gz").touch()
    assert [case.patient for case in find_decathlon_cases(root).cases] == ["A", "B"]
    write_task([], test=test)
    finding = find_decathlon_cases(root)
    assert [(case.patient, case.mask) for case in finding.cases] == [("C", None), ("D", None)]
    assert finding.failures == []


@pytest.mark.parametrize("path", ["../outside.nii.gz", "imagesTr/../../outside.nii.gz", "/outside.nii.gz"])
@pytest.mark.parametrize("kind", ["image", "label"])
def test_a_path_that_leaves_the_folder_is_a_failure(write_task: Write, tmp_path: Path, path: str, kind: str) -> None:
    (tmp_path.parent / "outside.nii.gz").touch()
    entry = {"image": "./imagesTr/C.nii.gz", "label": "./labelsTr/C.nii.gz"} | {kind: path}
    good = {"image": "./imagesTr/A.nii.gz"}
    root = write_task(training=[entry, good])
    finding = find_decathlon_cases(root)
    assert [case.patient for case in finding.cases] == ["A"]
    (failure,) = finding.failures
    start = f"{root / 'dataset.json'}: entry 1: has the {kind} {path!r}, which lies outside {root}"
    assert failure.reason.startswith(start)


def test_a_path_within_the_folder_may_go_up(write_task: Write) -> None:
    root = write_task(training=[{"image": "imagesTr/../imagesTr/A.nii.gz"}])
    (root / "imagesTr" / "A.nii.gz").touch()
    assert find_decathlon_cases(root).cases[0].images["ct"].files == (root / "imagesTr" / "A.nii.gz",)


@pytest.mark.parametrize(
    ("entry", "patient", "reason"),
    [
        ({"image": "imagesTr/X.nii.gz"}, "X", "{root}/imagesTr/X.nii.gz: does not exist; {table}: entry 1 names it"),
        ({"image": "./imagesTr/X.nii.gz", "label": "labelsTr/X.nii"}, "X", "{root}/labelsTr/X.nii: does not exist"),
        ({"image": "./imagesTr/X.txt"}, "X.txt", "{root}/imagesTr/X.txt: has no ending of a volume file"),
        ({"image": "./imagesTr"}, "imagesTr", "{root}/imagesTr: has no ending of a volume file"),
        ({"image": "imagesTr/" + 300 * "X"}, 300 * "X", "{root}/imagesTr/XXX"),
        ({"image": "imagesTr/X\x00.nii.gz"}, "X\x00", "{root}/imagesTr/X\\x00.nii.gz: does not exist"),
        ({"image": "imagesTr/\ud800.nii.gz"}, "\\ud800", "{table}: entry 1: has a name that is no valid UTF-8 text"),
        ({"image": ""}, "entry 1", "{table}: entry 1: has no image"),
        ({"label": "./labelsTr/X.nii.gz"}, "entry 1", "{table}: entry 1: has no image"),
        ({"image": ["a"]}, "entry 1", "{table}: entry 1: has no image"),
        (7, "entry 1", "{table}: entry 1: has no image"),
        (None, "entry 1", "{table}: entry 1: has no image"),
    ],
)
def test_an_entry_that_cannot_be_used_is_a_failure(write_task: Write, entry: Any, patient: str, reason: str) -> None:
    root = write_task()
    root = write_task(training=[entry, {"image": "./imagesTr/A.nii.gz"}])
    if patient == "imagesTr":
        (root / "imagesTr" / "A.nii.gz").touch()
    finding = find_decathlon_cases(root)
    assert [case.patient for case in finding.cases] == ["A"]
    (failure,) = finding.failures
    assert failure.patient == patient
    assert failure.reason.startswith(reason.format(root=root, table=root / "dataset.json"))
    assert "\n" not in failure.reason


def test_two_images_of_one_name_are_a_failure_that_names_both(write_task: Write) -> None:
    root = write_task(training=[{"image": "./imagesTr/A.nii.gz"}, {"image": "./labelsTr/A.nii.gz"}])
    finding = find_decathlon_cases(root)
    assert len(finding.cases) == 1
    table = root / "dataset.json"
    assert finding.failures[0].reason == f"{table}: entry 2: has the same name as “{table}: entry 1”; rename one"


def test_hidden_files_never_matter(write_task: Write) -> None:
    root = write_task(["A", "._A"])
    finding = find_decathlon_cases(root)
    assert [case.patient for case in finding.cases] == ["A"]
    assert finding.failures == []


@pytest.mark.parametrize("name", ["Müller Anna", "two\nlines"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_any_name_is_a_name(write_task: Write, name: str, encoding: str) -> None:
    assert [case.patient for case in find_decathlon_cases(write_task([name], encoding=encoding)).cases] == [name]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"modality": ...}, 'lacks "modality", such as {"0": "FLAIR"}'),
        ({"modality": {}}, 'has "modality" {}; expected names with numbers from 0'),
        ({"modality": {"1": "CT"}}, 'has "modality" {"1": "CT"}; expected names'),
        ({"modality": {"0": 5}}, 'has "modality" {"0": 5}; expected names'),
        ({"modality": "CT"}, 'has "modality" "CT"; expected names'),
        ({"modality": {"0": "MRI", "1": "mri"}}, 'has two modalities of one name in "modality": mri, mri'),
        ({"training": ..., "test": ...}, 'lacks "training"'),
        ({"training": {"image": "a"}}, 'has a "training" or "test" that is no list'),
        ({"training": []}, "lists no image"),
    ],
)
def test_a_table_that_lacks_something_says_what(write_task: Write, changes: dict[str, Any], problem: str) -> None:
    defaults: dict[str, Any] = {"training": []}
    root = write_task(**(defaults | changes))
    with pytest.raises(DataError) as caught:
        find_decathlon_cases(root)
    assert str(caught.value).startswith(f"{root / 'dataset.json'}: {problem}")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe\x00", b"[" * 100_000, b'{"a": NaN', b"9" * 5000])
def test_broken_json_is_an_error_and_recognized(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "dataset.json").write_bytes(content)
    assert recognize(tmp_path) == "holds dataset.json, which cannot be read"
    with pytest.raises(DataError, match="is no valid JSON") as caught:
        find_decathlon_cases(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'dataset.json'}: ")
    assert "\n" not in str(caught.value)


def test_a_table_of_another_kind_is_not_recognized(tmp_path: Path) -> None:
    assert recognize(tmp_path) is None
    (tmp_path / "dataset.json").write_text('{"channel_names": {"0": "CT"}, "numTraining": 5}')
    assert recognize(tmp_path) is None


def test_json_that_is_no_object_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text("[1, 2]")
    with pytest.raises(DataError, match=r"dataset\.json: must be a JSON object"):
        find_decathlon_cases(tmp_path)


def test_a_missing_root_a_file_and_an_empty_folder_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, problem in (
        ("missing", "missing: does not exist; check the path"),
        ("file", "file: is a file, not a folder"),
        ("loop", "loop: does not exist; check the path"),
        ("empty", "empty/dataset.json: cannot be read (No such file or directory)"),
    ):
        assert recognize(tmp_path / name) is None
        with pytest.raises(DataError) as caught:
            find_decathlon_cases(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path}/{problem}")
