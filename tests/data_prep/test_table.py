"""Tables of patients to cases."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.labels import DomainNames
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.table import find_table_cases, recognize

WriteTable = Callable[..., Path]


@pytest.fixture
def write_table(tmp_path: Path) -> WriteTable:
    """`write_table(text)` writes a table beside empty files `a.nii.gz`, `b.nii.gz`, `b.mha` and `m.nii`."""
    for name in ("a.nii.gz", "b.nii.gz", "b.mha", "m.nii"):
        (tmp_path / name).touch()

    def write(text: str, *, name: str = "patients.csv", encoding: str = "utf-8") -> Path:
        (tmp_path / name).write_bytes(text.encode(encoding))
        return tmp_path / name

    return write


def nifti(path: Path) -> Source:
    return Source(format="nifti", files=(path,))


def only_reason(path: Path) -> str:
    """Why the one row that fails does."""
    (failure,) = find_table_cases(path).failures
    return failure.reason


def test_columns_of_images_are_channels_in_their_order(write_table: WriteTable, tmp_path: Path) -> None:
    table = write_table(
        "patient,age,T1,flair,mask,foreground\nP2,40,b.nii.gz,b.mha,,\n\nP1,41,./a.nii.gz,a.nii.gz,m.nii,m.nii\n"
    )
    finding = find_table_cases(table)
    assert (finding.layout, finding.why, finding.failures) == ("table", "a table (.csv)", [])
    assert finding.domains is None
    first, second = finding.cases
    assert (first.patient, first.subject, first.split, first.domains) == ("P1", "P1", None, None)
    assert list(first.images.items()) == [("t1", nifti(tmp_path / "a.nii.gz")), ("flair", nifti(tmp_path / "a.nii.gz"))]
    assert first.mask == first.foreground == nifti(tmp_path / "m.nii")
    assert list(second.images.items()) == [
        ("t1", nifti(tmp_path / "b.nii.gz")),
        ("flair", Source(format="itk", files=(tmp_path / "b.mha",))),
    ]
    assert (second.mask, second.foreground) == (None, None)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_tables_of_all_programs_are_read(
    write_table: WriteTable, tmp_path: Path, delimiter: str, encoding: str, line_end: str
) -> None:
    rows = [["patient", '"flair"', "note"], ['"Müller Anna"', "a.nii.gz", "x"], ["P 2", '"b.nii.gz"', ""]]
    table = write_table(line_end.join(delimiter.join(row) for row in rows), name="t.TSV", encoding=encoding)
    finding = find_table_cases(table)
    assert {case.patient: case.images for case in finding.cases} == {
        "Müller Anna": {"flair": nifti(tmp_path / "a.nii.gz")},
        "P 2": {"flair": nifti(tmp_path / "b.nii.gz")},
    }


def test_paths_may_be_absolute_and_have_commas_and_spaces(write_table: WriteTable, tmp_path: Path) -> None:
    odd = tmp_path / "below" / "a, b ü.nii"
    odd.parent.mkdir()
    odd.touch()
    table = write_table(f'patient,flair\nP1,{tmp_path}/a.nii.gz\nP2,"below/a, b ü.nii"\n')
    first, second = find_table_cases(table).cases
    assert first.images["flair"] == nifti(tmp_path / "a.nii.gz")
    assert second.images["flair"] == nifti(odd)


def test_channels_are_chosen_by_name_and_by_pattern(write_table: WriteTable) -> None:
    table = write_table("patient,T1_Gd,t1,Axial FLAIR\nP1,a.nii.gz,b.nii.gz,b.mha\n")
    (case,) = find_table_cases(table, parse_channels("t1,t1_gd,dark=ax*")).cases
    assert {name: source.files[0].name for name, source in case.images.items()} == {
        "t1": "b.nii.gz",
        "t1_gd": "a.nii.gz",
        "dark": "b.mha",
    }


def test_a_channel_without_a_column_is_an_error_that_lists_them(write_table: WriteTable) -> None:
    table = write_table("patient,flair,t1,age\nP1,a.nii.gz,b.nii.gz,40\n")
    with pytest.raises(DataError) as caught:
        find_table_cases(table, parse_channels("t2"))
    assert str(caught.value) == f"{table}: no column fits channel t2; there is 'flair', 't1'"


def test_one_wrong_path_does_not_hide_a_column(write_table: WriteTable, tmp_path: Path) -> None:
    folder = tmp_path / "series"
    folder.mkdir()
    (folder / "1").touch()
    table = write_table("patient,ct\nP1,series\nP2,seires\n")
    finding = find_table_cases(table)
    assert [case.patient for case in finding.cases] == ["P1"]
    assert [failure.reason for failure in finding.failures] == [
        f"{tmp_path}/seires: does not exist; patients.csv names it in line 3 as ct"
    ]


def test_a_column_that_is_named_is_believed(write_table: WriteTable, tmp_path: Path) -> None:
    table = write_table("patient,ct,flair\nP1,nowhere,a.nii.gz\n")
    (failure,) = find_table_cases(table, parse_channels("ct")).failures
    assert failure.reason.startswith(f"{tmp_path}/nowhere: does not exist")


def test_a_folder_is_a_dicom_series_and_so_is_a_zip_file(write_table: WriteTable, tmp_path: Path) -> None:
    for name in ("2", "10", ".hidden", "below/3"):
        (tmp_path / "series" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "series" / name).touch()
    (tmp_path / "single.dcm").touch()
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        archive.writestr("b/2.dcm", "x")
        archive.writestr("b/1.dcm", "y")
    table = write_table("patient,ct\nP1,series\nP2,s.zip\nP3,single.dcm\n")
    finding = find_table_cases(table)
    assert finding.failures == []
    assert [case.images["ct"] for case in finding.cases] == [
        Source(format="dicom", files=(tmp_path / "series" / "10", tmp_path / "series" / "2")),
        Source(format="dicom", files=(tmp_path / "s.zip" / "b" / "1.dcm", tmp_path / "s.zip" / "b" / "2.dcm")),
        Source(format="dicom", files=(tmp_path / "single.dcm",)),
    ]


def test_a_folder_without_files_and_a_broken_zip_are_failures(write_table: WriteTable, tmp_path: Path) -> None:
    (tmp_path / "series").mkdir()
    (tmp_path / "s.zip").write_bytes(b"nothing")
    table = write_table("patient,ct\nP1,series\nP2,s.zip\nP3,a.nii.gz\n")
    finding = find_table_cases(table)
    assert [case.patient for case in finding.cases] == ["P3"]
    assert finding.failures[0].reason == f"{tmp_path}/series: holds no file; patients.csv names it in line 2 as ct"
    assert finding.failures[1].reason.startswith(f"{tmp_path}/s.zip: ")


@pytest.mark.parametrize(("name", "format"), [("x.png", "picture"), ("x.mp4", "video"), ("IM0001", "dicom")])
def test_the_ending_says_the_format(write_table: WriteTable, tmp_path: Path, name: str, format: str) -> None:
    (tmp_path / name).touch()
    (case,) = find_table_cases(write_table(f"patient,view\nP1,{name}\n")).cases
    assert case.images["view"] == Source(format=format, files=(tmp_path / name,))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("val", "validation"),
        ("valid", "validation"),
        ("VALIDATION", "validation"),
        ("test", "test"),
        ("testing", "test"),
        ("", None),
    ],
)
def test_every_word_for_a_split_is_known(write_table: WriteTable, written: str, split: str | None) -> None:
    assert find_table_cases(write_table(f"patient,flair,split\nP1,a.nii.gz,{written}\n")).cases[0].split == split


def test_an_unknown_split_is_a_failure_with_its_line(write_table: WriteTable) -> None:
    table = write_table("patient,flair,split\nP1,a.nii.gz,train\nP2,b.nii.gz,dev\n")
    assert only_reason(table) == f"{table}: line 3: has the split 'dev'; expected train, validation or test"


def test_scans_of_one_person_in_two_splits_are_a_failure(write_table: WriteTable) -> None:
    table = write_table("patient,subject,flair,split\nA1,A,a.nii.gz,train\nB1,B,a.nii.gz,test\nA2,A,b.nii.gz,test\n")
    finding = find_table_cases(table)
    assert [(case.patient, case.subject, case.split) for case in finding.cases] == [
        ("A1", "A", "train"),
        ("B1", "B", "test"),
    ]
    reason = f"{table}: line 4: puts 'A' into test, line 2 into train; all scans of one person belong into one"
    assert [failure.reason for failure in finding.failures] == [reason]


def test_a_column_domain_gives_domains_with_the_healthy_one_first(write_table: WriteTable) -> None:
    table = write_table(
        "patient,flair,domain\nA,a.nii.gz,tumor\nB,a.nii.gz,Control\nC,a.nii.gz,\nD,a.nii.gz,NA\nE,a.nii.gz,MS\n"
    )
    finding = find_table_cases(table)
    assert finding.domains == DomainNames(names=("Control", "MS", "tumor"), exclusive=True, healthy="Control")
    assert [case.domains for case in finding.cases] == [("tumor",), ("Control",), None, None, ("MS",)]


def test_a_domain_that_tables_of_slices_cannot_hold_is_an_error(write_table: WriteTable) -> None:
    with pytest.raises(DataError, match=r"patients\.csv: needs domains with names that have no ';'; got \['a;b'\]"):
        find_table_cases(write_table("patient,flair,domain\nA,a.nii.gz,a;b\n"))


def test_a_patient_twice_is_a_failure_that_names_both_lines(write_table: WriteTable) -> None:
    table = write_table('patient,note,flair\nA,"two\nlines",a.nii.gz\nA,,b.nii.gz\nB,,b.nii.gz\n')
    finding = find_table_cases(table)
    assert [case.patient for case in finding.cases] == ["A", "B"]
    reason = f"{table}: line 4: has the same name as “{table}: line 2”; rename one"
    assert [failure.reason for failure in finding.failures] == [reason]


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ("P1,,b.nii.gz", "{table}: line 2: has no flair; there is 't1'"),
        ("P1", "{table}: line 2: has no flair and no t1; there is nothing"),
        (",a.nii.gz,b.nii.gz", "{table}: line 2: has no patient"),
        ("P1,a.nii.gz,b.nii.gz,x", "{table}: line 2: has 4 cells for 3 columns; a path with a comma needs quotation"),
        ("P1,x.nii,b.nii.gz", "{folder}/x.nii: does not exist; patients.csv names it in line 2 as flair"),
        ("P1," + 300 * "x" + ".nii,b.nii.gz", "{folder}/xxx"),
        ("P1,\0.nii,b.nii.gz", "{folder}/\\x00.nii: does not exist"),
        ("../P1,a.nii.gz,b.nii.gz", "{table}: line 2: has the patient '../P1'; files are named for patients"),
        ("..,a.nii.gz,b.nii.gz", "{table}: line 2: has the patient '..'; files are named for patients"),
        ('"two\nlines",a.nii.gz,b.nii.gz', "{table}: line 2: has the patient 'two\\nlines'; files are named"),
        (201 * "P" + ",a.nii.gz,b.nii.gz", "{table}: line 2: has a patient with a name of more than 200 bytes"),
    ],
)
def test_a_row_that_cannot_be_used_is_a_failure_and_the_others_go_on(
    write_table: WriteTable, tmp_path: Path, row: str, problem: str
) -> None:
    table = write_table(f"patient,flair,t1\n{row}\ngood,a.nii.gz,b.nii.gz\n")
    finding = find_table_cases(table)
    assert [case.patient for case in finding.cases] == ["good"]
    (failure,) = finding.failures
    assert failure.reason.startswith(problem.format(table=table, folder=tmp_path))
    assert "\n" not in failure.reason


@pytest.mark.parametrize("column", ["mask", "foreground"])
def test_a_mask_that_is_named_must_exist(write_table: WriteTable, tmp_path: Path, column: str) -> None:
    table = write_table(f"patient,flair,{column}\nP1,a.nii.gz,gone.nii\n")
    assert only_reason(table) == f"{tmp_path}/gone.nii: does not exist; patients.csv names it in line 2 as {column}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty; the first line must name columns"),
        ("\n , \n", "is empty; the first line must name columns"),
        ("patient,flair\n", "has no row below its first line"),
        ("name,flair\nP1,a.nii.gz\n", "has no column patient; its columns are name, flair"),
        ("patient,age\nP1,40\n", "has no column with paths of images; its columns are patient, age"),
        ("patient\nP1\n", "has no column with paths of images; its columns are patient"),
        ("patient,Flair,flair\nP1,a.nii.gz,b.nii.gz\n", "line 1 names columns twice: flair"),
        ('patient,flair\nP1,a.nii.gz\nP2,"b.nii.gz\nP3,b.nii.gz\n', "line 3 is not written as CSV"),
        ('patient,flair\nP1,"a"b\n', "line 2 is not written as CSV"),
        ("patient,flair\nP1," + 200_000 * "x", "line 2 is not written as CSV"),
    ],
)
def test_a_table_that_lacks_something_says_what(write_table: WriteTable, text: str, problem: str) -> None:
    table = write_table(text)
    with pytest.raises(DataError) as caught:
        find_table_cases(table)
    assert str(caught.value).startswith(f"{table}: {problem}")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(("encoding", "line"), [("latin-1", 3), ("utf-16", 1)])
def test_text_of_another_encoding_is_an_error_with_its_line(write_table: WriteTable, encoding: str, line: int) -> None:
    table = write_table("patient,flair\nP1,a.nii.gz\nMüller,b.nii.gz\n", encoding=encoding)
    with pytest.raises(DataError) as caught:
        find_table_cases(table)
    assert str(caught.value) == f"{table}: line {line} is no UTF-8 text; save the table as CSV in UTF-8"


def test_a_missing_table_and_a_folder_are_errors_and_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to(tmp_path / "loop.csv")
    for name, problem in (
        ("missing.csv", "does not exist; check the path"),
        ("folder.csv", "is a folder, not a table"),
        ("loop.csv", "cannot be read"),
    ):
        assert recognize(tmp_path / name) is None
        with pytest.raises(DataError) as caught:
            find_table_cases(tmp_path / name)
        assert str(caught.value).startswith(f"{tmp_path / name}: {problem}")


def test_it_is_recognized_by_its_ending(write_table: WriteTable, tmp_path: Path) -> None:
    assert recognize(write_table("", name="a.CSV")) == "a table (.csv)"
    assert recognize(write_table("", name="a.tsv")) == "a table (.tsv)"
    assert recognize(tmp_path / "a.nii.gz") is None
    assert recognize(tmp_path) is None
