"""The search for planted texts finds them, wherever they are: else its silence about reports would mean nothing."""

from __future__ import annotations

import base64
import gzip
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.data_prep.dicom_writing import MR, image, save
from tests.pipelines.planted import (
    DATE,
    ISO_DATES,
    MARK,
    STUDY_DATE,
    planted_in,
)
from tests.pipelines.planted_patients import Inputs


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
    weasyprint = pytest.importorskip("weasyprint", exc_type=ImportError, reason="the `pdf` extra is missing")
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
