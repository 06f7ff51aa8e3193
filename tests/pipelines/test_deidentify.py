"""`lesions.dcm` and `report.dcm` hold no trace of the patient, and say so."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as Items
from pydicom.tag import Tag

from data_prep.readers.dicom_headers import HEADER_TAGS, read_headers
from pipelines.reporting.deidentify import patient_name, study_date
from tests.data_prep.dicom_writing import oblique
from tests.pipelines.dicom_objects import (
    complaints_of,
    lesion,
    needs_dciodvfy,
    report_on,
    some_labels,
    write_objects,
    write_source,
)

PLANTED = {
    **dict.fromkeys(("LO", "LT", "PN", "SH", "ST", "UC", "UT", "UR"), "Planted"),
    **dict.fromkeys(("AE", "CS"), "PLANTED"),
    **{"DA": "19110911", "TM": "030405.678", "DT": "19110911030405.678", "AS": "091Y"},
    **{"IS": "9119119", "DS": "91191.19", "OB": b"Planted!", "UN": b"Planted!"},
}
TRACES = (b"lanted", b"LANTED", b"19110911", b"030405.678", b"091Y", b"9119119", b"91191.19")
NOT_PLANTED = {Tag(keyword) for keyword in HEADER_TAGS} | {
    Tag(keyword) for keyword in ("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData")
}


def plant(dataset: Dataset, depth: int = 0) -> None:
    """Put a trace into every element that can hold text, a date or bytes, on two levels, and into private ones."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for tag, (vr, _, _, retired, _) in DicomDictionary.items():
            tag = Tag(tag)
            if tag in NOT_PLANTED or tag.group in (0, 2, 0x7FE0, 0xFFFE, 0xFFFC) or tag == Tag("SpecificCharacterSet"):
                continue
            kind = vr.split(" ")[0]
            if kind in PLANTED:
                dataset.add_new(tag, kind, PLANTED[kind])
            elif kind == "SQ" and depth == 0 and not retired and tag.group in (0x0008, 0x0010, 0x0012, 0x0040, 0x0032):
                dataset.add_new(tag, "SQ", Items([NESTED]))
        block = dataset.private_block(0x0009, "Planted", create=True)
        block.add_new(1, "LO", "Planted")
        block.add_new(2, "SQ", Items([NESTED]))


NESTED = Dataset()
NESTED.PatientName = "Planted"
NESTED.PatientBirthDate = "19110911"
NESTED.CodeMeaning = "Planted"


@pytest.mark.parametrize("kind", ["CT", "enhanced MR"])
@pytest.mark.parametrize("keep_dates", [False, True])
def test_nothing_that_a_header_says_reaches_the_objects(tmp_path: Path, kind: str, keep_dates: bool) -> None:
    def change(dataset: Dataset) -> None:
        plant(dataset)
        for group in [
            *dataset.get("PerFrameFunctionalGroupsSequence", []),
            *dataset.get("SharedFunctionalGroupsSequence", []),
        ]:
            plant(group, depth=1)

    files = write_source(kind, tmp_path / "source", oblique(), change=change)
    source = files[0].read_bytes()
    assert all(trace in source for trace in TRACES)
    report = report_on([lesion(number, np.zeros(3)) for number in (1, 2)])
    write_objects(tmp_path, files, some_labels(2), report, keep_dates=keep_dates)
    for name in ("lesions.dcm", "report.dcm"):
        raw = (tmp_path / name).read_bytes()
        assert [trace for trace in TRACES if trace in raw] == []
        assert (b"20240229" in raw) == keep_dates
        assert b"101112.5" not in raw


@pytest.mark.parametrize("keep_dates", [False, True])
def test_objects_say_how_they_were_deidentified(tmp_path: Path, keep_dates: bool) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    written = write_objects(tmp_path, files, some_labels(1), report_on([lesion(1, np.zeros(3))]), keep_dates=keep_dates)
    for dataset in (written.segmentation, written.document):
        assert (dataset.PatientID, str(dataset.PatientName).rstrip("^")) == ("P7", "P7")
        assert dataset[0x0012, 0x0062].value == "YES"
        assert all(len(text) <= 64 for text in dataset[0x0012, 0x0063].value)
        options = [(item.CodeValue, item.CodingSchemeDesignator) for item in dataset[0x0012, 0x0064].value]
        assert options == [("113100", "DCM"), ("113110", "DCM"), *([("113106", "DCM")] if keep_dates else [])]
        assert dataset.LongitudinalTemporalInformationModified == ("UNMODIFIED" if keep_dates else "REMOVED")
        assert dataset.StudyDate == ("20240229" if keep_dates else "")
        empty = (dataset.PatientBirthDate, dataset.PatientSex, dataset.AccessionNumber, dataset.StudyID)
        assert not any(empty)


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("20240229", "2024-02-29"),
        *((text, None) for text in ("20230229", "2024", "2024W015", "Doe^Jane", "")),
    ],
)
def test_only_what_is_a_date_is_kept(tmp_path: Path, date: str, iso: str | None) -> None:
    def change(dataset: Dataset) -> None:
        dataset.StudyDate = date

    files = write_source("MR", tmp_path / "source", oblique(), change=change)
    assert study_date(read_headers(files)) == iso
    document = write_objects(tmp_path, files, some_labels(0), report_on([]), keep_dates=True).document
    assert document.StudyDate == (iso or "").replace("-", "")
    assert document.StudyTime == ""


PSEUDONYMS = ["P1", "Müller-Öß", "山田太郎", "x" * 300, "<script>", "a\\b", "a^b=c", "a\nb", "\udce4", "  "]


@pytest.mark.parametrize("pseudonym", PSEUDONYMS)
def test_any_pseudonym_becomes_name_and_id(tmp_path: Path, pseudonym: str) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    report = report_on([lesion(1, np.zeros(3))], patient=pseudonym)
    written = write_objects(tmp_path, files, some_labels(1), report)
    for dataset in (written.segmentation, written.document):
        assert dataset.PatientID == str(dataset.PatientName).removesuffix("^") == patient_name(pseudonym)
        assert 0 < len(dataset.PatientID) <= 64


def test_plain_pseudonyms_stay_and_no_two_become_one() -> None:
    for plain in ("P1", "Müller-Öß", "山田太郎", "<script>", "x" * 63):
        assert patient_name(plain) == plain
    alike = ["a\\b", "a_b", "a^b", "a\nb", "x" * 63, "x" * 64, "x" * 300 + "1", "x" * 300 + "2", "", " ", "\udce4", "_"]
    assert len({patient_name(pseudonym) for pseudonym in alike}) == len(alike)


@needs_dciodvfy
@pytest.mark.parametrize("pseudonym", PSEUDONYMS)
def test_objects_with_any_pseudonym_are_valid(tmp_path: Path, pseudonym: str) -> None:
    files = write_source("MR", tmp_path / "source", oblique())
    write_objects(tmp_path, files, some_labels(0), report_on([], patient=pseudonym))
    assert complaints_of(tmp_path / "report.dcm") == []
