"""Folders and archives of DICOM files to cases."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from data_prep.case import Case, Source
from data_prep.errors import DataError, quote_private, without_private_text
from data_prep.labels import DomainNames
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.dicom_tree import find_dicom_cases, recognize
from data_prep.layouts.finding import Finding
from data_prep.readers import read_source
from tests.data_prep.dicom_writing import save, write_enhanced, write_series

STORED = np.arange(3 * 6 * 5, dtype=np.uint16).reshape(3, 6, 5)


def write(folder: Path, patient: str = "P1", number: int = 1, *, syntax: str = "explicit", **elements: object) -> None:
    """A series of three slices with these elements; its SeriesInstanceUID comes from patient and number."""

    def change(_: int, dataset: Dataset) -> None:
        dataset.PatientID = patient
        dataset.SeriesNumber = number
        dataset.SeriesInstanceUID = f"1.2.{sum(map(ord, patient))}.{sum(map(ord, str(folder)))}.{number}"
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    names = [f"{number}_{k}" for k in range(3)]
    write_series(folder, STORED, syntax=syntax, change=change, names=names)


def write_report(folder: Path, patient: str = "P1") -> Path:
    report = Dataset()
    report.SOPClassUID, report.Modality = "1.2.840.10008.5.1.4.1.1.88.11", "SR"
    report.PatientID, report.SeriesInstanceUID = patient, "1.2.3"
    folder.mkdir(parents=True, exist_ok=True)
    return save(report, folder / "report", "explicit")


def zip_folder(folder: Path, archive: Path) -> Path:
    """Packs a folder, without its own name, and deletes it."""
    shutil.make_archive(str(archive.with_suffix("")), "zip", folder)
    shutil.rmtree(folder)
    return archive


def patients(finding: Finding) -> list[str]:
    return [case.patient for case in finding.cases]


def test_patients_and_series_come_from_headers_not_from_folders(tmp_path: Path) -> None:
    write(tmp_path / "export" / "0001", "B")
    write(tmp_path / "export" / "0002", "A")
    write(tmp_path / "elsewhere" / "x" / "y", "C")
    finding = find_dicom_cases(tmp_path)
    assert (finding.layout, finding.why) == ("dicom", "DICOM headers (series: 3, patients: 3)")
    files = tuple(tmp_path / "export" / "0002" / f"1_{k}" for k in range(3))
    assert finding.cases[0] == Case(patient="A", images={"ct": Source(format="dicom", files=files)})
    assert patients(finding) == ["A", "B", "C"]
    assert (finding.failures, finding.domains) == ([], None)
    assert read_source(finding.cases[0].images["ct"]).array.shape == (1, 5, 6, 3)


def test_files_of_one_series_in_several_folders_belong_together(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1")
    (tmp_path / "b").mkdir()
    shutil.move(tmp_path / "a" / "1_0", tmp_path / "b" / "1_0")
    (case,) = find_dicom_cases(tmp_path).cases
    assert case.images["ct"].files == (tmp_path / "a" / "1_1", tmp_path / "a" / "1_2", tmp_path / "b" / "1_0")


def test_series_of_one_folder_are_told_apart(tmp_path: Path) -> None:
    write(tmp_path, number=1, SeriesDescription="FLAIR tra", Modality="MR")
    write(tmp_path, number=2, SeriesDescription="T1 tra", ProtocolName="t1 Gd", Modality="MR")
    finding = find_dicom_cases(tmp_path, parse_channels("flair,t1ce=*t1*gd*series 2"))
    (case,) = finding.cases
    assert {name: [file.name for file in source.files] for name, source in case.images.items()} == {
        "flair": ["1_0", "1_1", "1_2"],
        "t1ce": ["2_0", "2_1", "2_2"],
    }


def test_labels_leave_out_what_is_blank(tmp_path: Path) -> None:
    write(tmp_path, number=1, SeriesDescription=" FLAIR   tra ", ProtocolName="", Modality="MR")
    write(tmp_path, number=2, SeriesDescription="T1", ProtocolName="Head", Modality="MR")
    with pytest.raises(DataError) as caught:
        find_dicom_cases(tmp_path)
    expected = (
        "has several series: “FLAIR tra MR series 1”, “T1 Head MR series 2”; say which, as in --channels name=*word*"
    )
    assert str(caught.value) == f"{tmp_path}: {expected}"


def test_without_channels_the_series_of_the_first_patient_are_listed(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1")
    write(tmp_path / "c", "P3", 1)
    write(tmp_path / "c", "P3", 2)
    write(tmp_path / "b", "P2", 5)
    write(tmp_path / "b", "P2", 7)
    with pytest.raises(DataError) as caught:
        find_dicom_cases(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path / 'b'}: has several series: “CT series 5”, “CT series 7”; say which"
    )


def test_without_channels_all_patients_must_have_one_modality(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1", Modality="CT")
    write(tmp_path / "b", "P2", Modality="MR")
    with pytest.raises(DataError, match="some patients have a “ct” series, others a “mr” series"):
        find_dicom_cases(tmp_path)


def test_a_patient_without_a_fitting_series_fails_alone(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1", SeriesDescription="FLAIR")
    write(tmp_path / "b", "P2", 1, SeriesDescription="T1")
    write(tmp_path / "b", "P2", 2, SeriesDescription="T2")
    finding = find_dicom_cases(tmp_path, parse_channels("flair"))
    assert patients(finding) == ["P1"]
    (failure,) = finding.failures
    assert failure.patient == "P2"
    assert failure.reason.startswith(f"{tmp_path / 'b'}: ")
    assert failure.reason.endswith("fits channel flair; there is “T1 CT series 1”, “T2 CT series 2”")


UNUSABLE = {
    "a mosaic": ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"]}, "is a Siemens mosaic"),
    "color": ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "is in color (“RGB”)"),
    "a segmentation": ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"}, "is Segmentation Storage, not an image"),
    "a localizer": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "is a localizer"),
    "a radiograph": ({"ImagePositionPatient": None}, "has no position in space"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_can_be_no_volume_is_no_candidate_but_named_where_nothing_else_is(tmp_path: Path, name: str) -> None:
    elements, reason = UNUSABLE[name]
    write(tmp_path / "a", "P1", 9, **elements)
    with pytest.raises(DataError) as caught:
        find_dicom_cases(tmp_path)
    message = str(caught.value)
    assert message.startswith(
        f"{tmp_path}: no DICOM series that can be a volume; there is “CT series 9”, which {reason}"
    )

    write(tmp_path / "a", "P1", 1)
    (case,) = find_dicom_cases(tmp_path).cases
    assert [file.name for file in case.images["ct"].files] == ["1_0", "1_1", "1_2"]

    write(tmp_path / "b", "P2", 9, **elements)
    finding = find_dicom_cases(tmp_path)
    assert patients(finding) == ["P1"]
    assert reason in finding.failures[0].reason
    assert finding.failures[0].reason.startswith(f"{tmp_path / 'b'}: has no series that can be a volume")


def test_reports_and_indexes_are_passed_over(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1")
    write_report(tmp_path / "a")
    directory = Dataset()
    directory.SOPClassUID = "1.2.840.10008.1.3.10"
    index = dcmread(save(directory, tmp_path / "DICOMDIR", "explicit"))
    del index.SOPClassUID  # which stands in the meta group only
    index.save_as(tmp_path / "index")
    for name in ("README.txt", ".hidden", "image.png", "scan.nii.gz"):
        (tmp_path / name).write_bytes(b"\x08\0\x05\0 is how DICOM may begin" * 90)
    finding = find_dicom_cases(tmp_path)
    assert patients(finding) == ["P1"]
    assert finding.failures == []


def test_files_without_preamble_and_without_ending_are_found(tmp_path: Path) -> None:
    write(tmp_path, "P1", syntax="implicit")
    for file in tmp_path.iterdir():
        raw = file.read_bytes()
        file.write_bytes(raw[raw.index(b"\x08\x00\x16\x00") :])
    assert patients(find_dicom_cases(tmp_path)) == ["P1"]
    assert recognize(tmp_path) is None  # too many other files begin like this


@pytest.mark.parametrize("syntax", ["implicit", "explicit", "big endian", "deflated", "RLE"])
def test_headers_are_read_in_every_encoding(tmp_path: Path, syntax: str) -> None:
    write(tmp_path, "P1", syntax=syntax)
    assert patients(find_dicom_cases(tmp_path)) == ["P1"]


def test_archives_are_searched_like_folders(tmp_path: Path) -> None:
    write(tmp_path / "packed" / "series", "P1")
    write_report(tmp_path / "packed")
    (tmp_path / "packed" / "__MACOSX").mkdir()
    shutil.copy(tmp_path / "packed" / "series" / "1_0", tmp_path / "packed" / "__MACOSX" / "._1_0")
    archive = zip_folder(tmp_path / "packed", tmp_path / "data" / "P1.zip")
    write(tmp_path / "data" / "plain", "P2")
    finding = find_dicom_cases(tmp_path / "data")
    assert patients(finding) == ["P1", "P2"]
    assert finding.cases[0].images["ct"].files == tuple(archive / "series" / f"1_{k}" for k in range(3))
    assert read_source(finding.cases[0].images["ct"]).source.path == archive
    assert patients(find_dicom_cases(archive)) == ["P1"]
    assert recognize(archive) == recognize(tmp_path / "data") == "holds DICOM files"


def test_a_single_file_is_a_patient(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "scan.dcm", STORED)
    assert recognize(path) == "holds DICOM files"
    assert find_dicom_cases(path).cases == [
        Case(patient="P1", images={"mr": Source(format="dicom", files=(path,))}),
    ]


def blank(dataset: Dataset) -> None:
    dataset.PatientID = ""


def test_without_an_identity_folders_archives_and_files_name_patients(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root / "folder" / "below", "")
    write(tmp_path / "packed", "")
    (root / "sub").mkdir()
    zip_folder(tmp_path / "packed", root / "archive.v2.zip")
    write_enhanced(root / "file.dcm", STORED, change_file=blank)
    finding = find_dicom_cases(root, parse_channels("image"))
    assert patients(finding) == ["archive.v2", "file", "folder"]
    assert patients(find_dicom_cases(root / "file.dcm")) == ["file"]
    assert patients(find_dicom_cases(root / "archive.v2.zip")) == ["archive.v2"]
    assert patients(find_dicom_cases(root / "folder" / "below")) == ["below"]


def test_patients_are_called_as_their_headers_call_them(tmp_path: Path) -> None:
    names = ["../../etc/passwd", "..", "A/1", "A:1", "Müller^Ä 3:*?"]
    for number, name in enumerate(names):
        write(tmp_path / str(number), name, SpecificCharacterSet="ISO_IR 192")
    finding = find_dicom_cases(tmp_path)
    assert sorted(patients(finding)) == sorted(names)
    assert not finding.failures


def test_domain_folders_name_domains(tmp_path: Path) -> None:
    for domain in ("Tumor", "Control", "edema"):
        write(tmp_path / domain / "x", f"in {domain}")
    finding = find_dicom_cases(tmp_path)
    assert finding.domains == DomainNames(names=("control", "edema", "tumor"), exclusive=True, healthy="control")
    assert {case.patient: case.domains for case in finding.cases} == {
        "in Tumor": ("tumor",),
        "in Control": ("control",),
        "in edema": ("edema",),
    }


def test_domain_folders_may_lie_one_folder_deeper_and_patients_in_archives(tmp_path: Path) -> None:
    write(tmp_path / "dataset" / "healthy" / "p1", "")
    write(tmp_path / "packed", "")
    (tmp_path / "dataset" / "sick").mkdir()
    zip_folder(tmp_path / "packed", tmp_path / "dataset" / "sick" / "p2.zip")
    finding = find_dicom_cases(tmp_path)
    assert finding.domains == DomainNames(names=("healthy", "sick"))
    assert {case.patient: case.domains for case in finding.cases} == {"p1": ("healthy",), "p2": ("sick",)}


def test_folders_are_no_domains_where_none_is_healthy_or_a_patient_lies_in_two(tmp_path: Path) -> None:
    write(tmp_path / "first" / "visits" / "x", "P1")
    write(tmp_path / "first" / "others" / "x", "P2")
    assert find_dicom_cases(tmp_path / "first").domains is None
    write(tmp_path / "second" / "normal" / "x", "P1", 1, SeriesDescription="one")
    write(tmp_path / "second" / "other" / "x", "P1", 2, SeriesDescription="two")
    finding = find_dicom_cases(tmp_path / "second", parse_channels("one,two"))
    assert finding.domains is None
    assert finding.cases[0].domains is None


def test_folders_of_one_name_in_two_domains_are_two_patients(tmp_path: Path) -> None:
    write(tmp_path / "healthy" / "01", "")
    write(tmp_path / "tumor" / "01", "")
    finding = find_dicom_cases(tmp_path)
    assert patients(finding) == ["01"]
    assert "has the same name as" in finding.failures[0].reason


def test_damaged_files_are_named_and_others_go_on(tmp_path: Path) -> None:
    write(tmp_path / "a", "P1")
    cut = tmp_path / "a" / "1_2"
    raw = cut.read_bytes()
    cut.write_bytes(raw[: raw.index(b"\x28\x00\x10\x00")])  # before Rows
    (tmp_path / "bad.zip").write_bytes(b"PK no archive")
    lost = tmp_path / "b" / "IM1.dcm"
    lost.parent.mkdir()
    lost.write_bytes(bytes(128) + b"DICM")
    finding = find_dicom_cases(tmp_path)
    assert [len(case.images["ct"].files) for case in finding.cases] == [2]
    reasons = {failure.reason.split(": ", 1)[0]: failure.reason.split(": ", 1)[1] for failure in finding.failures}
    assert set(reasons) == {str(cut), str(tmp_path / "bad.zip"), str(lost)}
    assert reasons[str(cut)].startswith("has no Rows or no Columns: its header is damaged or cut short")
    assert reasons[str(tmp_path / "bad.zip")].startswith("is not a zip archive, or damaged")
    assert reasons[str(lost)].startswith("has no SOPClassUID: its header is damaged or cut short")


def test_damage_alone_is_no_case_but_reported(tmp_path: Path) -> None:
    (tmp_path / "IM1").write_bytes(bytes(128) + b"DICM" + bytes(90))
    finding = find_dicom_cases(tmp_path)
    assert finding.cases == []
    assert str(tmp_path / "IM1") in finding.failures[0].reason


def test_what_is_no_dicom_is_not_recognized(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("notes " * 100)
    (tmp_path / "empty").touch()
    assert recognize(tmp_path) is None
    assert recognize(tmp_path / "notes.txt") is None
    assert recognize(tmp_path / "missing") is None
    with pytest.raises(DataError, match="no DICOM file found"):
        find_dicom_cases(tmp_path)
    with pytest.raises(DataError, match="does not exist"):
        find_dicom_cases(tmp_path / "missing")


def test_an_archive_that_cannot_be_opened_is_recognized_so_that_its_damage_is_told(tmp_path: Path) -> None:
    path = tmp_path / "scans.zip"
    path.write_bytes(b"PK no archive")
    assert recognize(path) == "is a zip archive"
    with pytest.raises(DataError, match="is not a zip archive, or damaged"):
        find_dicom_cases(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    write(tmp_path, "P1")
    os.mkfifo(tmp_path / "pipe")
    assert patients(find_dicom_cases(tmp_path)) == ["P1"]


def test_recognizing_imports_no_pydicom(tmp_path: Path) -> None:
    write(tmp_path, "P1")
    code = (
        "import sys; from pathlib import Path; from data_prep.layouts.dicom_tree import recognize; "
        "assert recognize(Path(sys.argv[1])); sys.exit('pydicom' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, cwd=Path(__file__).parents[2])


def test_words_of_headers_can_be_taken_out_of_a_message() -> None:
    message = f"/data/b: has several series: {quote_private('DOE^JOHN “head”')}, {quote_private('T1')}; say which"
    assert message == '/data/b: has several series: “DOE^JOHN "head"”, “T1”; say which'
    assert without_private_text(message) == "/data/b: has several series: “…”, “…”; say which"
