"""Patients of any name: no markup, no formula, no file outside the output, no broken link, no two in one folder."""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

import nibabel as nib
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from tests.conftest import draw_head
from tests.data_prep.dicom_writing import MR, SERIES, write_series
from tests.pipelines.spoiled import rows

Fpgan = Callable[..., Any]

FOLDERS = (
    "plain",
    "<script>alert(1)<",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "{{ 7 * 7 }}{% raw %}",
    "javascript:alert(1)",
    "-rf",
    "=cmd()",
    "@SUM(A1)",
    "'quoted'",
    "a b\tc",
    "two\nlines",
    "carriage\rreturn",
    "\x1b[31mred",
    "back\\slash",
    "100%",
    "%2e%2e",
    "a#b?c=d&e",
    "a:b",
    "a*b",
    "[bold]",
    "Jürgen",
    "患者",
    "\u202egnp.exe",
    "nul",
    "case",
    "Case",
    "CASE",
    "a_b",
    "a-b",
    "a.b",
    "ab",
    "ab.",
    "ab ",
    "x" * 200,
    "y" * 255,
    "患" * 85,
    "report.html",
    "sub-01",
)
"""Names that a folder can have on Linux. The longest have the 255 bytes that are allowed."""
IN_TABLES = (
    "plain",
    ".fpgan",
    ".plain.part",
    ".hidden",
    "sub-plain",
    '=HYPERLINK("x")',
    "<script>alert(1)<",
    "</script>",
    "../../etc",
    "/etc/passwd",
    "..",
    ".",
    "a/b",
    "a\\b",
    "two\nlines",
    "z" * 200,
    "z" * 300,
    "sub-plain_ses-1",
    "dataset_description.json",
    "README.md",
    ".bidsignore",
)
REFUSED = ("</script>", "../../etc", "/etc/passwd", "..", ".", "a/b", "a\\b", "two\nlines", "z" * 300)
"""Names in a table that no file can have."""


@pytest.fixture(scope="session")
def small_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head of few slices, that many copies of take no time."""
    volume, _ = draw_head(np.random.default_rng(1), lesion=True)
    path = tmp_path_factory.mktemp("image") / "flair.nii.gz"
    nib.save(nib.Nifti1Image(volume[:, :, 4:8], np.diag([0.8, 1.5, 4, 1])), path)
    return path


@pytest.fixture(scope="session")
def many(fpgan: Fpgan, tiny: Any, small_image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Reports on a folder for each name, in `reports` and, as a BIDS dataset, in `bids`; all lies in `root`."""
    root = tmp_path_factory.mktemp("many")
    for name in FOLDERS:
        (root / "in" / name).mkdir(parents=True)
        shutil.copy(small_image, root / "in" / name / "flair.nii.gz")
    bytes_only = os.fsencode(root / "in") + b"/bytes\xff"
    os.mkdir(bytes_only)  # noqa: PTH102  (a name that is no text)
    shutil.copy(small_image, bytes_only + b"/flair.nii.gz")
    for output, options in (("reports", []), ("bids", ["--bids"])):
        place = root / output / "deep" / "out"
        place.parent.mkdir(parents=True)
        result = fpgan("report", tiny.run, root / "in", "--output", place, "--layout", "folder", *options)
        assert result.exit_code == 1, result.output
        (root / f"{output}.txt").write_text(result.output)
    return root


class Page(HTMLParser):
    """Elements, attributes and addresses of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.is_script = False
        self.elements: list[str] = []
        self.handlers: list[str] = []
        self.addresses: list[str] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))
        self.close()

    def handle_starttag(self, tag: str, attributes: Sequence[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.is_script = tag == "script"
        self.handlers += [name for name, _ in attributes if name.startswith("on")]
        self.addresses += [value or "" for name, value in attributes if name in ("href", "src", "action", "data")]

    def handle_endtag(self, tag: str) -> None:
        self.is_script = False

    def handle_data(self, data: str) -> None:
        (self.scripts if self.is_script else self.texts).append(data)


def check_page(path: Path, like: Page, *, below: Path) -> None:
    """A page has the elements of another one, no handlers, and addresses of files that are there."""
    page = Page(path)
    assert page.elements == like.elements, path
    assert page.handlers == []
    assert "alert(1)" not in "".join(page.scripts)
    check_addresses(path, page, below=below)


def check_addresses(path: Path, page: Page, *, below: Path) -> None:
    assert page.addresses
    for address in page.addresses:
        parts = urlsplit(address)
        assert parts.scheme in ("", "data"), address
        if parts.scheme == "data" or (address.startswith("#") and len(address) > 1):
            continue
        assert not parts.netloc
        assert not parts.query
        target = Path(os.fsdecode(os.path.join(os.fsencode(path.parent), unquote_to_bytes(parts.path))))  # noqa: PTH118  (bytes)
        assert target.is_file(), f"{path}: {address}"
        assert target.resolve().is_relative_to(below.resolve())


def reports_of(output: Path) -> dict[str, Path]:
    """The record of each patient by the patient's name."""
    return {json.loads(path.read_text())["patient"]: path for path in sorted(output.rglob("*report.json"))}


@pytest.mark.parametrize("kind", ["reports", "bids"])
def test_every_patient_has_a_folder_of_its_own(kind: str, many: Path) -> None:
    output = many / kind / "deep" / "out"
    reports = reports_of(output)
    failed = rows(output / "failures.csv")
    assert set(reports) == set(FOLDERS)
    assert len({path.parent for path in reports.values()}) == len(FOLDERS)
    assert len({str(path.parent).lower() for path in reports.values()}) >= len(FOLDERS) - 2  # case, Case, CASE
    (failure,) = failed
    assert "no valid UTF-8" in failure["reason"]
    for path in reports.values():
        assert (path.parent / json.loads(path.read_text())["files"]["difference"]).is_file()


@pytest.mark.parametrize("kind", ["reports", "bids"])
def test_nothing_is_written_elsewhere(kind: str, many: Path) -> None:
    assert {path.name for path in many.iterdir()} == {"in", "reports", "reports.txt", "bids", "bids.txt"}
    assert [path.name for path in (many / kind).iterdir()] == ["deep"]
    assert [path.name for path in (many / kind / "deep").iterdir()] == ["out"]
    with_part = [path for path in (many / kind).rglob("*") if path.name.endswith(".part")]
    assert not with_part
    inputs = {Path(folder) for folder, _, _ in os.walk(many / "in")}
    assert len(inputs) == len(FOLDERS) + 2
    assert all(os.listdir(folder) == ["flair.nii.gz"] for folder in inputs - {many / "in"})


@pytest.mark.parametrize("kind", ["reports", "bids"])
def test_names_are_no_markup_and_links_lead_to_files(kind: str, many: Path) -> None:
    output = many / kind / "deep" / "out"
    reports = reports_of(output)
    pages = {name: path.parent / json.loads(path.read_text())["files"]["page"] for name, path in reports.items()}
    like = Page(pages["plain"])
    for name, path in pages.items():
        check_page(path, like, below=output)
        if name.isprintable() and name == name.strip():
            assert name in "".join(Page(path).texts)
    index = Page(output / "index.html")
    assert index.handlers == []
    assert "alert(1)" not in "".join(index.scripts)
    assert {"svg", "iframe"}.isdisjoint(index.elements)
    assert index.elements.count("img") == len(FOLDERS)
    assert index.elements.count("script") == 1
    check_addresses(output / "index.html", index, below=output)
    assert len(set(index.addresses)) >= 2 * len(FOLDERS)


@pytest.mark.parametrize("kind", ["reports", "bids"])
def test_tables_lead_to_every_patient_and_hold_no_formulas(kind: str, many: Path) -> None:
    output = many / kind / "deep" / "out"
    for name in ("patients.csv", "failures.csv"):
        with (output / name).open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        for cell in cells:
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n")), cell
            assert not cell.startswith("-") or cell[1:].replace(".", "").isdigit(), cell
    assert len((output / "failures.csv").read_text().splitlines()) == 2
    with (output / "patients.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert {row["patient"].removeprefix("'") for row in table} == set(FOLDERS)
    assert all((output / row["report"].removeprefix("'")).is_file() for row in table)


def test_names_reach_the_terminal_as_text(many: Path) -> None:
    for kind in ("reports", "bids"):
        text = (many / f"{kind}.txt").read_text()
        assert "\x1b[31mred" not in text
        assert "[bold]" in text or "bold" not in text


def write_table(folder: Path, names: Sequence[str], image: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(image, folder / "flair.nii.gz")
    with (folder / "table.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, quoting=csv.QUOTE_ALL).writerows(
            [["patient", "flair"], *([name, "flair.nii.gz"] for name in names)]
        )
    return folder / "table.csv"


RESERVED = ("index.html", "patients.csv", "failures.csv", "INDEX.HTML", "dataset_description.json", ".fpgan")


@pytest.mark.parametrize("options", [[], ["--bids"]], ids=["plain", "bids"])
def test_a_patient_may_be_called_like_a_file_of_the_output(
    options: list[str], fpgan: Fpgan, tiny: Any, small_image: Path, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "in", RESERVED, small_image)
    output = tmp_path / "out"
    for more in ([], ["--resume"]):
        result = fpgan("report", tiny.run, table, "--output", output, *options, *more)
        assert result.exit_code == 0, result.output
        assert set(reports_of(output)) == set(RESERVED)
        assert {row["patient"] for row in rows(output / "patients.csv")} == set(RESERVED)
        check_addresses(output / "index.html", Page(output / "index.html"), below=output)


@pytest.mark.parametrize("name", ["..evil", "...", ".hidden"])
def test_a_hidden_folder_that_is_given_is_a_patient_like_any_other(
    name: str, fpgan: Fpgan, tiny: Any, small_image: Path, tmp_path: Path
) -> None:
    (tmp_path / "in" / name).mkdir(parents=True)
    shutil.copy(small_image, tmp_path / "in" / name / "flair.nii.gz")
    result = fpgan("report", tiny.run, tmp_path / "in" / name, "--output", tmp_path / "out", "--layout", "folder")
    assert result.exit_code == 0, result.output
    (record,) = reports_of(tmp_path / "out").values()
    assert record.parent.parent == tmp_path / "out"
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "out"}


@pytest.mark.parametrize("options", [[], ["--bids"]], ids=["plain", "bids"])
def test_names_in_a_table_may_be_anything(
    options: list[str], fpgan: Fpgan, tiny: Any, small_image: Path, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "in", IN_TABLES, small_image)
    output = tmp_path / "a" / "b" / "out"
    before = set(tmp_path.rglob("*"))
    result = fpgan("report", tiny.run, table, "--output", output, *options)
    assert result.exit_code == 1, result.output
    written = set(tmp_path.rglob("*")) - before
    assert all(path.is_relative_to(output) or output.is_relative_to(path) for path in written)
    reports = reports_of(output)
    # As BIDS, `plain` and `sub-plain` are one subject.
    twins = {"sub-plain"} if options else set()
    assert set(reports) == set(IN_TABLES) - set(REFUSED) - twins
    assert len({path.parent for path in reports.values()}) == len(reports)
    assert len(rows(output / "failures.csv")) == len(REFUSED) + len(twins)
    check_addresses(output / "index.html", Page(output / "index.html"), below=output)
    assert (output / ".fpgan").read_text() == "report\n"
    again = fpgan("report", tiny.run, table, "--output", output, "--resume", *options)
    assert again.exit_code == 1, again.output
    assert set(reports_of(output)) == set(reports)


def test_folders_of_dicom_patients_may_be_called_anything(fpgan: Fpgan, tiny: Any, tmp_path: Path) -> None:
    names = ("<b onclick=alert(1)>", "=cmd()", "two\nlines", "-rf", "w" * 255, "患" * 85, "a^b=c\\d", "a")
    stored = draw_head(np.random.default_rng(1), lesion=True)[0].transpose(2, 1, 0)[4:8].astype(np.uint16)
    for number, name in enumerate(names):

        def identify(k: int, dataset: Dataset, number: int = number) -> None:
            dataset.SOPClassUID, dataset.Modality = MR, "MR"
            dataset.StudyInstanceUID, dataset.PatientID = f"{SERIES}.{number}", f"../../{number}<script>"

        write_series(tmp_path / "in" / name, stored, change=identify)
    for output, options, expected in (("by-folder", ["--pseudonym", "folder"], set(names)), ("by-hash", [], None)):
        result = fpgan("report", tiny.run, tmp_path / "in", "--output", tmp_path / output, *options)
        assert result.exit_code == 0, result.output
        reports = reports_of(tmp_path / output)
        assert len(reports) == len({path.parent for path in reports.values()}) == len(names)
        assert expected is None or set(reports) == expected
        assert all(path.parent.parent == tmp_path / output for path in reports.values())
        check_addresses(tmp_path / output / "index.html", Page(tmp_path / output / "index.html"), below=tmp_path)
        objects = [dcmread(path / "report.dcm") for path in (path.parent for path in reports.values())]
        assert len({dataset.PatientID for dataset in objects}) == len(names)
        assert all(len(dataset.PatientID) <= 64 for dataset in objects)
    assert {path.name for path in tmp_path.iterdir()} <= {"in", "by-folder", "by-hash"}
