"""Labels and splits from tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.case import Case, Source
from data_prep.errors import DataError
from data_prep.layouts.finding import Finding
from data_prep.tables import apply_labels, apply_splits, read_label_table, read_split_table


def table(folder: Path, text: str) -> Path:
    path = folder / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def cases(*names: str) -> list[Case]:
    return [Case(patient=n, images={"ct": Source(format="nifti", files=(Path(f"{n}.nii"),))}) for n in names]


def finding(*names: str) -> Finding:
    return Finding(layout="folder", why="", cases=cases(*names))


def test_a_domain_a_patient(tmp_path: Path) -> None:
    labels = read_label_table(table(tmp_path, "Patient,Domain\nA,tumor\nB,Control\nC,tumor\n"))
    assert labels.domains.names == ("Control", "tumor")
    assert labels.domains.healthy == "Control"
    labeled, strangers = apply_labels(finding("A", "B", "D"), labels)
    assert {case.patient: case.domains for case in labeled.cases} == {"A": ("tumor",), "B": ("Control",)}
    (failure,) = labeled.failures
    assert failure.patient == "D"
    assert failure.reason == f"{tmp_path}/table.csv: has no label for D; give it one"
    assert strangers == ["C"]


def test_attributes_in_columns_may_hold_together(tmp_path: Path) -> None:
    labels = read_label_table(table(tmp_path, "patient;edema;enhancing\nA;1;1\nB;0;-1\nC;true;no\n"))
    assert labels.domains.names == ("edema", "enhancing")
    assert not labels.domains.exclusive
    assert labels.patients == {"A": ("edema", "enhancing"), "B": (), "C": ("edema",)}


def test_rows_of_slices_stand_beside_the_row_of_the_patient(tmp_path: Path) -> None:
    labels = read_label_table(
        table(tmp_path, "patient,slice,domain\nA,,healthy\nA,12,diseased\nA,IM7.dcm,diseased\nB,3,diseased\n")
    )
    labeled, _ = apply_labels(finding("A", "B"), labels)
    a, b = labeled.cases
    assert a.domains == ("healthy",)
    assert a.slice_domains == {"12": ("diseased",), "IM7.dcm": ("diseased",)}
    assert (b.domains, b.slice_domains) == (None, {"3": ("diseased",)})


def test_an_empty_field_of_a_slice_says_that_nothing_is_known_of_it(tmp_path: Path) -> None:
    labels = read_label_table(table(tmp_path, "patient,slice,domain\nA,,tumor\nA,2,n/a\nB,,\n"))
    labeled, _ = apply_labels(finding("A", "B"), labels)
    (case,) = labeled.cases
    assert (case.domains, case.slice_domains) == (("tumor",), {"2": None})
    assert [failure.patient for failure in labeled.failures] == ["B"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,domain\nA,x\n", "has no column patient"),
        ("patient\nA\n", "needs a column `domain`"),
        ("patient,domain\n", "has no row below its first line"),
        ("patient,domain\nA,x\n,y\n", "line 3: names no patient"),
        ("patient,domain\nA,x\nA,y\n", "line 3: A has a row already"),
        ("patient,slice,domain\nA,1,x\nA,1,x\n", "line 3: A slice 1 has a row already"),
        ("patient,edema,none\nA,1,0\n", "has a column that can be no attribute"),
        ("patient,edema\nA,2\n", "line 2: edema must be 0 or 1, got '2'"),
    ],
)
def test_a_label_table_that_cannot_be_used_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_label_table(path)
    assert str(caught.value).startswith(f"{path}: {message}")


def test_splits_by_patient_or_subject(tmp_path: Path) -> None:
    splits = read_split_table(table(tmp_path, "patient,split\nA,train\nB,val\nS,Test\n"))
    assert splits == {"A": "train", "B": "validation", "S": "test"}
    found = [*cases("A", "B"), Case(patient="C", subject="S", images=cases("C")[0].images)]
    placed, strangers = apply_splits(found, splits | {"Z": "test"}, tmp_path)
    assert [case.split for case in placed] == ["train", "validation", "test"]
    assert strangers == ["Z"]


def test_a_case_without_a_split_is_not_guessed(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no row for C and 1 more"):
        apply_splits(cases("A", "C", "D"), {"A": "train"}, tmp_path / "table.csv")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient\nA\n", "has no column split"),
        ("patient,split\nA,trian\n", "line 2: split must be train, validation or test, got 'trian'"),
        ("patient,split\nA,train\nA,test\n", "line 3: A has a row already"),
    ],
)
def test_a_split_table_that_cannot_be_used_says_where(tmp_path: Path, text: str, message: str) -> None:
    path = table(tmp_path, text)
    with pytest.raises(DataError) as caught:
        read_split_table(path)
    assert str(caught.value).startswith(f"{path}: {message}")
