"""What headers and paths tell of a patient reaches no file of a report when the patient cannot be used either."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless

from anomaly_fpgan import FixedPointGAN
from tests.data_prep.dicom_writing import CT, SERIES
from tests.pipelines.conftest import at_home
from tests.pipelines.planted import MARK, pack, planted_in
from tests.pipelines.planted_patients import Inputs, put, write_classic
from tests.pipelines.spoiled import change, rows, run_apart

Fpgan = Callable[..., Any]


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


@pytest.mark.parametrize("slices", [12, 11], ids=["affine", "shape"])
def test_two_series_on_two_grids_are_told_without_their_files(
    slices: int, fpgan: Fpgan, two_channels: Path, tmp_path: Path
) -> None:
    for number, channel in enumerate(("flair", "t1ce")):

        def identify(k: int, dataset: Dataset, number: int = number, channel: str = channel) -> None:
            dataset.SeriesInstanceUID, dataset.SOPInstanceUID = f"{SERIES}.3{number}", f"{SERIES}.3{number}.{k}"
            dataset.SeriesDescription = channel
            dataset.PixelSpacing = [1.5, 0.8 + number]

        folder = tmp_path / "dicom" / f"{MARK} patient" / f"{MARK} series {channel}"
        write_classic(folder, f"{MARK} ID", spoil=identify)
    for path in sorted(folder.iterdir())[slices:]:
        path.unlink()
    result = fpgan("report", two_channels, tmp_path / "dicom", "--output", tmp_path / "reports")
    assert result.exit_code == 1, result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert "resample it onto the same grid" in failure["reason"]
    assert f"“{MARK} " in result.output
    assert planted_in(tmp_path / "reports", also=(str(tmp_path),)) == []


@pytest.fixture
def shut(tmp_path: Path) -> Iterator[Path]:
    """A folder named with a comma, beside that of another DICOM patient, that nobody may enter."""
    for name in (f"{MARK} good", f"{MARK} DOE, {MARK} JOHN"):
        write_classic(tmp_path / "dicom" / name, name, spoil=put())
    folder = tmp_path / "dicom" / f"{MARK} DOE, {MARK} JOHN"
    folder.chmod(0)
    yield folder
    folder.chmod(0o700)


@pytest.mark.parametrize("options", [[], ["--pseudonym", "hash"]], ids=["default", "hash"])
def test_a_folder_that_cannot_be_read_is_not_told(options: list[str], run: Path, shut: Path, tmp_path: Path) -> None:
    result = run_apart("report", run, shut.parent, "--output", tmp_path / "reports", *options, is_unprivileged=True)
    assert result.exit_code == 1, result.output
    assert str(shut) in result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert "cannot be read (Permission denied)" in failure["reason"]
    assert planted_in(tmp_path / "reports", also=(str(tmp_path),)) == []


def test_a_missing_picture_is_not_told_under_a_pseudonym(fpgan: Fpgan, run: Path, tmp_path: Path) -> None:
    model = FixedPointGAN.load(run)
    model.metadata["preparation"]["channels"] = ["gray"]
    model.save(tmp_path / "gray.safetensors")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 72), np.uint8)).save(pictures / f"{MARK}-1.png")
    (pictures / "list_attr.txt").write_text(f"2\nsmiling\n{MARK}-1.png 1\n{MARK}-2.png 1\n")
    options = ["--output", tmp_path / "reports", "--pseudonym", "hash"]
    result = fpgan("report", tmp_path / "gray.safetensors", pictures, *options)
    assert result.exit_code == 1, result.output
    assert f"{MARK}-2.png” is missing" in result.output
    (failure,) = rows(tmp_path / "reports" / "failures.csv")
    assert "is missing" in failure["reason"]
    assert planted_in(tmp_path / "reports", also=(str(tmp_path),)) == []
