"""What headers tell of a patient reaches no file of a report, in no encoding and no container, and no name of one."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import shutil
import stat
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from anomaly_fpgan import FixedPointGAN
from tests.conftest import draw_head
from tests.data_prep.dicom_writing import CT, MR, SERIES, image, save, write_enhanced, write_series
from tests.pipelines.planted import (
    DATE,
    ISO_DATES,
    MARK,
    STUDY_DATE,
    pack,
    plant_around,
    plant_dicom,
    plant_nifti,
    planted_in,
    write_bids,
    write_metaimage,
    write_nrrd,
)
from tests.pipelines.spoiled import change, rows, tree

Fpgan = Callable[..., Any]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of this test, so that none makes a salt in that of whoever runs it."""
    return at_home(tmp_path / "home", monkeypatch)


def at_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
    monkeypatch.delenv("FPGAN_SALT", raising=False)
    return folder


@pytest.fixture(scope="session")
def run(tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained run that lists candidates in every patient, so that every kind of file is written."""
    folder = tmp_path_factory.mktemp("sensitive") / "run"
    shutil.copytree(tiny.run, folder)
    model = FixedPointGAN.load(folder)
    for name in ("threshold", "patient_threshold"):
        model.metadata["training"][name] *= 0.3
    model.save(folder / "model.safetensors")
    return folder


@dataclass(frozen=True)
class Inputs:
    """Folders of patients; all but `plain` are called like what is planted in their headers."""

    dicom: Path
    plain: Path
    brats: Path
    bids: Path
    itk: Path


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory, write_patient: Callable[..., Path]) -> Inputs:
    root = tmp_path_factory.mktemp("inputs")
    found = Inputs(*(root / name for name in ("dicom", "plain", "brats", "bids", "itk")))
    write_classic(found.dicom / f"{MARK} classic", f"{MARK} ONE")
    write_frames(found.dicom / f"{MARK} enhanced" / f"{MARK}.dcm", f"{MARK} TWO")
    pack(write_classic(root / "classic", f"{MARK} THREE"), found.dicom / f"{MARK} classic.zip")
    pack(write_frames(root / "enhanced" / "frames.dcm", f"{MARK} FOUR").parent, found.dicom / f"{MARK} enhanced.zip")
    write_classic(found.plain / "first", f"{MARK} ONE")
    write_frames(found.plain / "second" / "frames.dcm", f"{MARK} TWO")
    for path in write_patient(found.brats, "P1", seed=1).iterdir():
        plant_nifti(path)
    write_bids(found.bids, found.brats / "P1" / "P1_flair.nii.gz")
    voxels, _ = draw_head(np.random.default_rng(1), lesion=True)
    write_metaimage(found.itk / "M1" / "M1_flair.mha", voxels)
    write_nrrd(found.itk / "N1" / "N1_flair.nrrd", voxels)
    return found


def slices(seed: int = 1) -> np.ndarray:
    """A head as (K, rows, columns)."""
    return draw_head(np.random.default_rng(seed), lesion=True)[0].transpose(2, 1, 0).astype(np.uint16)


def write_classic(folder: Path, patient: str, *, spoil: Callable[[int, Dataset], None] | None = None) -> Path:
    """An MR series, a file a slice, with texts in the headers of both ends, and in the first in sequences, too."""

    def plant(k: int, dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality = MR, "MR"
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = f"{SERIES}.100", f"{SERIES}.200"
        if k in (0, 11):
            plant_dicom(dataset, nested=k == 0 and spoil is None)
        dataset.PatientID = patient
        if spoil:
            spoil(k, dataset)

    files = write_series(folder, slices(), change=plant, names=[f"{MARK} {k:02}" for k in range(12)])
    if not spoil:
        for path in files:
            plant_around(path)
    return folder


def write_frames(path: Path, patient: str) -> Path:
    """The same as one file of an enhanced MR image, with texts in the functional groups of a frame, too."""

    def plant(dataset: Dataset) -> None:
        dataset.StudyInstanceUID, dataset.FrameOfReferenceUID = f"{SERIES}.100", f"{SERIES}.200"
        plant_dicom(dataset)
        dataset.PatientID = patient

    def plant_group(k: int, group: Dataset) -> None:
        if k == 0:
            plant_dicom(group, nested=False)

    write_enhanced(path, slices(), change=plant_group, change_file=plant)
    plant_around(path)
    return path


# --- the search itself


def png(**texts: object) -> bytes:
    info, exif = PngInfo(), Image.Exif()
    info.add_text("Comment", str(texts.get("text", "")))
    info.add_text("Title", str(texts.get("packed", "")), zip=True)
    info.add_itxt("Author", str(texts.get("international", "")), zip=True)
    exif[0x010E] = str(texts.get("exif", ""))  # ImageDescription
    file = io.BytesIO()
    Image.new("L", (3, 3)).save(file, "PNG", pnginfo=info, exif=exif)
    return file.getvalue()


def zipped(name: str, content: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def pdf(page: str) -> bytes:
    weasyprint = pytest.importorskip("weasyprint", exc_type=ImportError)
    return bytes(weasyprint.HTML(string=page).write_pdf())


def dicom(folder: Path, syntax: str, **elements: str) -> bytes:
    dataset = image(np.zeros((2, 2), np.uint8), MR)
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    return save(dataset, folder, syntax).read_bytes()


def data_uri(content: bytes) -> bytes:
    return b'<img src="data:x/y;base64,' + base64.b64encode(content) + b'">'


TEXT = f"{MARK}00100010"
CONTAINERS: dict[str, Callable[[Path], bytes]] = {
    "UTF-8": lambda path: TEXT.encode(),
    "other case": lambda path: TEXT.lower().encode(),
    "UTF-16": lambda path: TEXT.encode("utf-16"),
    "UTF-16, big-endian, at an odd byte": lambda path: b"x" + TEXT.encode("utf-16-be"),
    "gzip": lambda path: gzip.compress(TEXT.encode() + bytes(10_000)),
    "gzip behind other bytes": lambda path: b"abc" + gzip.compress(TEXT.encode()),
    "zip": lambda path: zipped("a", TEXT.encode() * 9),
    "name in a zip": lambda path: zipped(TEXT, b""),
    "PNG text": lambda path: png(text=TEXT),
    "PNG text, packed": lambda path: png(packed=TEXT * 9),
    "PNG text, international": lambda path: png(international=TEXT * 9),
    "PNG EXIF": lambda path: png(exif=TEXT),
    "PNG in a page": lambda path: data_uri(png(packed=TEXT * 9)),
    "gzip in a page": lambda path: data_uri(gzip.compress(TEXT.encode() * 9)),
    "deflated in a script": lambda path: b'v = "' + base64.b64encode(zlib.compress(TEXT.encode() * 9)[2:-4]) + b'"',
    "PDF text": lambda path: pdf(f"<p>one <b>{TEXT}</b> two"),
    "PDF title": lambda path: pdf(f"<title>{TEXT}</title>"),
    "PDF picture": lambda path: pdf(f"<img src='data:image/svg+xml,<svg><text y=\"9\">{TEXT}</text></svg>'>"),
    "DICOM": lambda path: dicom(path, "explicit", PatientName=TEXT),
    "DICOM, deflated": lambda path: dicom(path, "deflated", StudyDescription=TEXT),
    "age in DICOM": lambda path: dicom(path, "implicit", PatientAge="089Y"),
    "age in a table": lambda path: b"patient,age\nx,089Y\n",
    "date": lambda path: f"on {DATE} at".encode(),
    "ISO date": lambda path: f"{ISO_DATES[STUDY_DATE]}T00:00".encode(),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_the_search_finds_a_text_in_every_kind_of_file(name: str, tmp_path: Path) -> None:
    place = tmp_path / "searched" / "a file"
    place.parent.mkdir()
    place.write_bytes(CONTAINERS[name](place))
    assert planted_in(place.parent)


def test_the_search_finds_names_and_nothing_in_files_without(tmp_path: Path) -> None:
    place = tmp_path / "searched"
    (place / f"of {MARK.lower()}").mkdir(parents=True)
    assert planted_in(place) == [f"of {MARK.lower()}: its name has {MARK}"]
    (place / f"of {MARK.lower()}").rmdir()
    (place / "a.png").write_bytes(png(text="none"))
    (place / "a.dcm").write_bytes(dicom(place / "b.dcm", "deflated", PatientName="none"))
    assert planted_in(place) == []


def test_every_input_is_planted(inputs: Inputs) -> None:
    found = {root: planted_in(root) for root in (inputs.plain / "second", inputs.brats, inputs.bids, inputs.itk)}
    for root, hits in found.items():
        for path in root.rglob("*.*"):
            if path.is_file():
                assert any(hit.startswith(f"{path.relative_to(root).as_posix()}: ") for hit in hits), path
    texts = {hit.split(": ")[1] for hit in found[inputs.plain / "second"]}
    assert len(texts) > 2500
    assert {f"{MARK}00100010 (PatientName)", f"{MARK}00081030 (StudyDescription)", DATE, "089Y"} <= texts


# --- DICOM


@dataclass(frozen=True)
class Reported:
    """Reports on the same DICOM patients with different options."""

    plain: Path
    with_more: Path
    with_dates: Path
    by_folder: Path

    @property
    def all(self) -> tuple[Path, ...]:
        return (self.plain, self.with_more, self.with_dates, self.by_folder)


@pytest.fixture(scope="session")
def reported(fpgan: Fpgan, run: Path, inputs: Inputs, tmp_path_factory: pytest.TempPathFactory) -> Reported:
    root = tmp_path_factory.mktemp("reported")
    done = Reported(*(root / name for name in ("plain", "more", "dates", "folder")))
    with pytest.MonkeyPatch.context() as monkeypatch:
        at_home(root / "home", monkeypatch)
        for source, output, options in (
            (inputs.dicom, done.plain, []),
            (inputs.plain, done.with_more, ["--pdf", "--bids"]),
            (inputs.plain, done.with_dates, ["--keep-dates"]),
            (inputs.plain, done.by_folder, ["--pseudonym", "folder"]),
        ):
            result = fpgan("report", run, source, "--output", output, *options)
            assert result.exit_code == 0, result.output
    return done


def test_nothing_of_a_dicom_header_or_path_reaches_an_output(reported: Reported, inputs: Inputs) -> None:
    assert planted_in(reported.plain, also=(str(inputs.dicom),)) == []
    assert len(rows(reported.plain / "patients.csv")) == 4


def test_nothing_reaches_the_pdf_or_a_bids_dataset(reported: Reported, inputs: Inputs) -> None:
    # `first` and `second` are too short to search for.
    assert planted_in(reported.with_more, also=(str(inputs.plain), "second/", "frames.dcm")) == []
    assert len(list(reported.with_more.rglob("*.pdf"))) == 2


def test_every_kind_of_file_was_searched(reported: Reported) -> None:
    kinds = {".html", ".json", ".csv", ".png", ".gz", ".dcm"}
    assert {path.suffix for path in reported.plain.rglob("*") if path.is_file()} >= kinds
    assert {path.suffix for path in reported.with_more.rglob("*") if path.is_file()} >= {*kinds, ".pdf"}
    for output in reported.all:
        objects = [dcmread(path) for path in output.rglob("*.dcm")]
        assert {dataset.Modality for dataset in objects} == {"SEG", "SR"}
        assert all(dataset.StudyInstanceUID == f"{SERIES}.100" for dataset in objects)


def test_folders_alone_are_told_when_that_is_asked_for(reported: Reported, inputs: Inputs) -> None:
    assert {row["patient"] for row in rows(reported.by_folder / "patients.csv")} == {"first", "second"}
    assert planted_in(reported.by_folder) == []


def test_kept_dates_are_that_of_the_study_alone(reported: Reported) -> None:
    iso = ISO_DATES[STUDY_DATE]
    assert planted_in(reported.with_dates, allowed=(STUDY_DATE, iso)) == []
    with_date = {hit.split(": ")[0].rpartition("/")[2] for hit in planted_in(reported.with_dates)}
    assert with_date - {"index.html"} == {"report.html", "report.json", "patients.csv", "report.dcm", "lesions.dcm"}
    for row in rows(reported.with_dates / "patients.csv"):
        assert row["study_date"] == iso
        folder = reported.with_dates / row["folder"]
        assert json.loads((folder / "report.json").read_text())["study_date"] == iso
        assert iso in (folder / "report.html").read_text()
        for name in ("report.dcm", "lesions.dcm"):
            dataset = dcmread(folder / name)
            dated = {element.keyword for element in dataset.iterall() if STUDY_DATE in str(element.value)}
            assert dated == {"StudyDate"}


def test_without_dates_dicom_objects_tell_the_day_of_the_report_alone(reported: Reported) -> None:
    for output in (reported.plain, reported.with_more, reported.by_folder):
        for path in output.rglob("*.dcm"):
            dataset = dcmread(path)
            assert dataset.StudyDate == dataset.StudyTime == dataset.PatientBirthDate == ""
            assert dataset.PatientIdentityRemoved == "YES"


# --- what fails


def put(**elements: Any) -> Callable[[int, Dataset], None]:
    """Other elements in every slice."""

    def spoil(k: int, dataset: Dataset) -> None:
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)

    return spoil


def in_last(spoil: Callable[[int, Dataset], None]) -> Callable[[int, Dataset], None]:
    return lambda k, dataset: spoil(k, dataset) if k == 11 else None


def one_of(folder: Path) -> Path:
    return min(folder.iterdir())


def overwrite(folder: Path, old: bytes, new: bytes) -> None:
    """Put text where a number belongs, which pydicom does not write."""
    for path in folder.iterdir():
        raw = path.read_bytes()
        assert old in raw
        assert len(old) == len(new)
        path.write_bytes(raw.replace(old, new))


def two_series(folder: Path, patient: str) -> None:
    for number in (1, 2):
        changes = {"SeriesInstanceUID": f"{SERIES}.3{number}", "SeriesDescription": f"{MARK} HEAD {number}"}
        write_classic(folder / str(number), patient, spoil=put(**changes))


def without_a_slice(folder: Path, patient: str) -> None:
    sorted(write_classic(folder, patient, spoil=put()).iterdir())[6].unlink()


def cut_short(folder: Path, patient: str) -> None:
    path = one_of(write_classic(folder, patient, spoil=put()))
    path.write_bytes(path.read_bytes()[:-3000])


def undecodable(folder: Path, patient: str) -> None:
    for path in write_classic(folder, patient, spoil=put()).iterdir():
        dataset = dcmread(path)
        dataset.PixelData = encapsulate([f"{MARK} is no picture".encode() * 20])
        dataset["PixelData"].is_undefined_length = True
        dataset.file_meta.TransferSyntaxUID = JPEG2000Lossless
        dataset.save_as(path, enforce_file_format=True)


def damaged_archive(folder: Path, patient: str) -> None:
    write_classic(folder / "slices", patient, spoil=put())
    archive = pack(folder / "slices", folder / f"{MARK} a damaged archive.zip")
    archive.write_bytes(archive.read_bytes()[:-4000])
    shutil.rmtree(folder / "slices")


def with_text_for(keyword: str, number: str, shape: str = "{}") -> Callable[[Path, str], None]:
    def write(folder: Path, patient: str) -> None:
        value = shape.format(number).split("\\")
        write_classic(folder, patient, spoil=put(**{keyword: value if len(value) > 1 else value[0]}))
        overwrite(folder, number.encode(), MARK.ljust(len(number), "X").encode())

    return write


def written(spoil: Callable[[int, Dataset], None]) -> Callable[[Path, str], Any]:
    return lambda folder, patient: write_classic(folder, patient, spoil=spoil)


FAILING: dict[str, Callable[[Path, str], Any]] = {
    "several series": two_series,
    "color": written(put(PhotometricInterpretation="RGB", SamplesPerPixel=3)),
    "an unknown kind of color": written(put(PhotometricInterpretation=f"{MARK} COLOR")),
    "two kinds of gray": written(in_last(put(PhotometricInterpretation="MONOCHROME1"))),
    "a missing slice": without_a_slice,
    "a file cut short": cut_short,
    "pixels that cannot be decoded": undecodable,
    "another modality": written(put(SOPClassUID=CT, Modality="CT")),
    "unequal pixels": written(in_last(put(PixelSpacing=[1.6, 0.8]))),
    "unequal distances": written(in_last(put(ImagePositionPatient=[-30.0, 20.0, 7.3]))),
    "a slice twice": written(in_last(put(ImagePositionPatient=[-30.0, 20.0, -40.0]))),
    "a slice turned": written(in_last(put(ImageOrientationPatient=[0.8, 0.6, 0, -0.6, 0.8, 0]))),
    "pixels of no size": written(put(PixelSpacing=[0, 0.8])),
    "no orientation": written(put(ImageOrientationPatient=None)),
    "pixels far too large": written(put(PixelSpacing=[15.0, 15.0])),
    "bits that do not exist": written(put(BitsStored=40)),
    "a localizer": written(put(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER", MARK])),
    "a mosaic": written(put(ImageType=["ORIGINAL", "PRIMARY", "MOSAIC", MARK])),
    "a damaged archive": damaged_archive,
    "a text for pixel spacing": with_text_for("PixelSpacing", "1.12345678", "{}\\0.8"),
    "a text for a position": with_text_for("ImagePositionPatient", "1.12345678", "-30\\{}\\20"),
    "a text for a slope": with_text_for("RescaleSlope", "1.12345678"),
    "a text for a number of frames": with_text_for("NumberOfFrames", "112345678"),
}
WITHOUT_OBJECTS: dict[str, Callable[[Path, str], Any]] = {
    "a text for a UID": written(put(StudyInstanceUID=MARK)),
    "two studies": written(in_last(put(StudyInstanceUID=f"{SERIES}.101"))),
    "one UID for all slices": written(put(SOPInstanceUID=f"{SERIES}.5")),
    "no study": written(put(StudyInstanceUID=None)),
}
"""Patients with a page, of whom no DICOM object can be made."""


@pytest.fixture(scope="session")
def failed(fpgan: Fpgan, run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports on a folder in which most patients cannot be used."""
    root = tmp_path_factory.mktemp("failed")
    for name, write in {**FAILING, **WITHOUT_OBJECTS}.items():
        write(root / "dicom" / f"{MARK} {name}", f"{MARK} {name}")
    with pytest.MonkeyPatch.context() as monkeypatch:
        at_home(root / "home", monkeypatch)
        result = fpgan("report", run, root / "dicom", "--output", root / "reports", "--key-file", root / "key.csv")
    assert result.exit_code == 1, result.output
    return root


def test_nothing_reaches_an_output_when_a_patient_fails(failed: Path) -> None:
    assert planted_in(failed / "reports", also=(str(failed / "dicom"),)) == []


@pytest.mark.parametrize("name", FAILING)
def test_a_failure_is_told_under_a_pseudonym(name: str, failed: Path) -> None:
    known = {row["pseudonym"] for row in rows(failed / "key.csv") if row["patient"] == f"{MARK} {name}"}
    reasons = [row["reason"] for row in rows(failed / "reports" / "failures.csv") if row["patient"] in known]
    assert reasons
    assert all(reasons)
    assert not (failed / "reports" / known.pop()).exists()


@pytest.mark.parametrize("name", WITHOUT_OBJECTS)
def test_a_page_without_dicom_objects_tells_why(name: str, failed: Path) -> None:
    (pseudonym,) = {row["pseudonym"] for row in rows(failed / "key.csv") if row["patient"] == f"{MARK} {name}"}
    folder = failed / "reports" / pseudonym
    assert not list(folder.glob("*.dcm"))
    assert "No DICOM objects were written" in " ".join(json.loads((folder / "report.json").read_text())["warnings"])


def test_a_folder_of_one_unusable_patient_leaves_no_trace(fpgan: Fpgan, run: Path, tmp_path: Path) -> None:
    """Even where nothing says that the input is DICOM but its failing."""
    bad = tmp_path / f"{MARK} bad"
    FAILING["a localizer"](bad, f"{MARK} BAD")
    good = write_classic(tmp_path / f"{MARK} good", f"{MARK} GOOD", spoil=put())
    result = fpgan("report", run, bad, good, "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    assert planted_in(tmp_path / "reports", also=(str(tmp_path),)) == []
    assert len(rows(tmp_path / "reports" / "failures.csv")) == 1


# --- other formats


def test_nothing_of_other_headers_reaches_an_output(fpgan: Fpgan, run: Path, inputs: Inputs, tmp_path: Path) -> None:
    for source, options in ((inputs.brats, ["--pdf"]), (inputs.bids, ["--bids"]), (inputs.itk, [])):
        output = tmp_path / source.name
        result = fpgan("report", run, source, "--output", output, *options)
        assert result.exit_code == 0, result.output
        assert planted_in(output) == []
        assert len(rows(output / "patients.csv")) == (2 if source == inputs.itk else 1)


def test_nothing_of_a_damaged_header_reaches_an_output(fpgan: Fpgan, run: Path, inputs: Inputs, tmp_path: Path) -> None:
    shutil.copytree(inputs.itk, tmp_path / "itk")
    damages = (
        ("M1_flair.mha", b"DimSize = 60", b"DimSize = %s" % MARK.encode()),
        ("M1_flair.mha", b"MET_SHORT", MARK.encode()),
        ("M1_flair.mha", b"= LOCAL", b"= ../%s.raw" % MARK.encode()),
        ("N1_flair.nrrd", b"sizes: 60", b"sizes: %s" % MARK.encode()),
        ("N1_flair.nrrd", b"type: short", b"type: %s" % MARK.encode()),
        ("N1_flair.nrrd", b"encoding: raw", b"encoding: %s" % MARK.encode()),
        ("N1_flair.nrrd", b"(0.8,0,0)", b"(%s,0,0)" % MARK.encode()),
    )
    for number, (name, old, new) in enumerate(damages):
        raw = (inputs.itk / name[:2] / name).read_bytes()
        assert old in raw
        folder = tmp_path / "itk" / f"D{number}"
        folder.mkdir()
        (folder / name.replace(name[:2], folder.name)).write_bytes(raw.replace(old, new, 1))
    result = fpgan("report", run, tmp_path / "itk", "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    assert len(rows(tmp_path / "reports" / "patients.csv")) == 2
    assert len(rows(tmp_path / "reports" / "failures.csv")) == len(damages)
    assert planted_in(tmp_path / "reports") == []


def test_a_hashed_folder_is_not_told_either(
    fpgan: Fpgan, run: Path, write_patient: Callable[..., Path], tmp_path: Path
) -> None:
    brats = tmp_path / "brats"
    write_patient(brats, f"{MARK}-good", seed=1)
    smaller = write_patient(brats, f"{MARK}-smaller-mask", seed=6)
    change(smaller / f"{smaller.name}_seg.nii.gz", lambda array: array[1:])
    twice = write_patient(brats, f"{MARK}-two-masks", seed=2)
    shutil.copy(twice / f"{twice.name}_seg.nii.gz", twice / f"{twice.name}_other_seg.nii.gz")
    elsewhere = write_patient(brats, f"{MARK}-other-mask", seed=3)
    shutil.copy(elsewhere / f"{elsewhere.name}_flair.nii.gz", elsewhere / f"{elsewhere.name}_seg.nii.gz")
    broken = write_patient(brats, f"{MARK}-broken", seed=4)
    (broken / f"{broken.name}_flair.nii.gz").write_bytes(b"nothing")
    (write_patient(brats, f"{MARK}-missing", seed=5) / f"{MARK}-missing_flair.nii.gz").unlink()
    double = write_patient(brats, f"{MARK}-double", seed=7)
    shutil.copy(double / f"{double.name}_flair.nii.gz", double / f"{double.name}_more_flair.nii.gz")
    result = fpgan("report", run, brats, "--output", tmp_path / "reports", "--pseudonym", "hash")
    assert result.exit_code == 1, result.output
    assert planted_in(tmp_path / "reports", also=(str(brats),)) == []
    assert len(rows(tmp_path / "reports" / "patients.csv")) == 4
    assert len(rows(tmp_path / "reports" / "failures.csv")) == 3


# --- pseudonyms


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain DICOM series of the patient `ID-7`."""

    def identify(k: int, dataset: Dataset) -> None:
        dataset.SOPClassUID, dataset.Modality, dataset.PatientID = MR, "MR", "ID-7"
        dataset.StudyInstanceUID = f"{SERIES}.100"

    folder = tmp_path_factory.mktemp("small") / "scan"
    write_series(folder, slices(), change=identify)
    return folder


def name_of(fpgan: Fpgan, run: Path, source: Path, output: Path, *options: object) -> str:
    result = fpgan("report", run, source, "--output", output, *options)
    assert result.exit_code == 0, result.output
    (row,) = rows(output / "patients.csv")
    return row["patient"]


def test_a_pseudonym_depends_on_patient_and_salt_alone(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = Path(shutil.copytree(small, tmp_path / "elsewhere" / "moved"))
    monkeypatch.setenv("FPGAN_SALT", "pepper")
    names = [name_of(fpgan, run, source, tmp_path / f"of {source.name}") for source in (small, moved.parent)]
    monkeypatch.setenv("FPGAN_SALT", "salt")
    other = name_of(fpgan, run, small, tmp_path / "other")
    assert names[0] == names[1] != other
    plain = {function(b"ID-7").hexdigest() for function in (hashlib.md5, hashlib.sha1, hashlib.sha256, hashlib.sha512)}
    assert not any(name in digest for name in (names[0], other) for digest in plain)
    assert not (tmp_path / "home").exists()


def test_without_a_salt_one_is_made_for_this_user_and_kept(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, home: Path
) -> None:
    first = name_of(fpgan, run, small, tmp_path / "first")
    (salt,) = (path for path in home.rglob("*") if path.is_file())
    assert stat.S_IMODE(salt.stat().st_mode) == 0o600
    assert salt.is_relative_to(home / "config" / "fpgan")
    content = salt.read_bytes()
    assert len(content) >= 32
    assert name_of(fpgan, run, small, tmp_path / "second") == first
    assert salt.read_bytes() == content
    salt.unlink()
    assert name_of(fpgan, run, small, tmp_path / "third") != first
    assert planted_in(tmp_path / "third", also=(salt.read_text().strip(),)) == []


def test_the_key_file_tells_who_is_who_to_its_owner(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    key = tmp_path / "key.csv"
    name = name_of(fpgan, run, small, tmp_path / "reports", "--key-file", key)
    assert [(row["pseudonym"], row["patient"]) for row in rows(key)] == [(name, "ID-7")]
    assert str(small) in rows(key)[0]["place"]
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_who_was_who_before_an_interruption_is_not_forgotten(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path
) -> None:
    other = write_classic(tmp_path / "other", "ID-8", spoil=put(StudyInstanceUID=f"{SERIES}.101"))
    command = ["--output", tmp_path / "reports", "--key-file", tmp_path / "key.csv"]
    for source, options in ((small, []), (other, ["--resume"])):
        result = fpgan("report", run, source, *command, *options)
        assert result.exit_code == 0, result.output
    known = {row["pseudonym"]: row["patient"] for row in rows(tmp_path / "key.csv")}
    shown = {row["patient"] for row in rows(tmp_path / "reports" / "patients.csv")}
    assert set(known) >= shown
    assert set(known.values()) >= {"ID-8"}


def test_a_key_file_overwrites_nothing_of_somebody_else(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    (tmp_path / "results.csv").write_text("years,of,work\n")
    result = fpgan("report", run, small, "--output", tmp_path / "reports", "--key-file", tmp_path / "results.csv")
    assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
    assert (tmp_path / "results.csv").read_text() == "years,of,work\n"


def test_a_key_file_among_the_reports_is_refused(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    output = tmp_path / "reports"
    (tmp_path / "link").symlink_to(output)
    for place in (output / "key.csv", output / "deep" / "key.csv", tmp_path / "x" / ".." / "reports" / "key.csv"):
        result = fpgan("report", run, small, "--output", output, "--key-file", place)
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
        assert "--key-file" in result.output
    result = fpgan("report", run, small, "--output", output, "--key-file", tmp_path / "link" / "key.csv")
    assert result.exit_code == 2
    assert not list(tmp_path.rglob("key.csv"))


def test_a_salt_that_cannot_be_used_is_one_line(
    fpgan: Fpgan, run: Path, small: Path, tmp_path: Path, home: Path
) -> None:
    for make in (lambda path: path.mkdir(parents=True), lambda path: path.rmdir() or path.write_bytes(b"\n")):
        make(home / "config" / "fpgan" / "salt")
        result = fpgan("report", run, small, "--output", tmp_path / "reports")
        assert (result.exit_code, len(result.output.splitlines())) == (2, 1), result.output
        assert str(home / "config" / "fpgan" / "salt") in result.output
        assert "FPGAN_SALT" in result.output
        assert tree(tmp_path / "reports") == {} if (tmp_path / "reports").exists() else True


def test_who_is_who_is_known_of_tables_of_dicom_too(fpgan: Fpgan, run: Path, small: Path, tmp_path: Path) -> None:
    """A table's names are its author's own; what its DICOM files say stays out."""
    write_classic(tmp_path / "scan", f"{MARK} ONE", spoil=put())
    (tmp_path / "table.csv").write_text("patient,flair\nchosen,scan\n")
    assert name_of(fpgan, run, tmp_path / "table.csv", tmp_path / "reports") == "chosen"
    assert planted_in(tmp_path / "reports") == []
