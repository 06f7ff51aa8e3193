"""The page of one patient: values where they belong, nothing from outside, safe with any names."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from markupsafe import Markup

from data_prep.preparation import Preparation
from pipelines.reporting.patient_page import render_patient_page
from pipelines.reporting.record import PatientReport, Standing, Truth
from pipelines.reporting.shown import ShownVolumes
from tests.pipelines.pictured import PLACE, SHAPE, lesion, one_slice, patient_report, shown_patient

VIEWER = Markup("<div id='the-viewer'></div>")
NASTY = "<script>alert(1)</script>\"'&{{ 7*7 }}" + "x" * 270


class Page(HTMLParser):
    """Tags with their attributes, visible text, and tables as rows of texts of cells."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: list[list[list[str]]] = []
        self._texts: list[str] = []
        self._hidden = self._in_cell = False
        self.feed(html)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self._texts).split())

    def all(self, tag: str, **attributes: str) -> list[dict[str, str]]:
        return [own for name, own in self.tags if name == tag and attributes.items() <= own.items()]

    def records(self, table: int = 0) -> list[dict[str, str]]:
        """Rows of a table by the titles of its columns."""
        titles, *rows = self.tables[table]
        return [dict(zip(titles, row, strict=True)) for row in rows]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        self._hidden |= tag in ("script", "style")
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
            self._in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden = False
        self._in_cell &= tag not in ("td", "th")

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        self._texts.append(data)
        if self._in_cell:
            self.tables[-1][-1][-1] = " ".join(f"{self.tables[-1][-1][-1]} {data}".split())


def page_of(shown: ShownVolumes | None = None, **changed: Any) -> Page:
    return Page(render_patient_page(patient_report(**changed), shown or shown_patient(), VIEWER))


def no_lesions() -> ShownVolumes:
    return shown_patient(lesions=np.zeros(SHAPE, np.uint16))


def test_each_value_stands_in_its_column() -> None:
    (row,) = page_of().records()
    assert row == {
        "Number": "1",
        "Side": "right",
        "Height": "62 %",
        "Center R, A, S (mm)": "2.8, 11.0, 48.0 voxel 8, 14, 4",
        "Volume (mm³)": "12 346",
        "Longest diameter (mm)": "9.9",
        "Slices": "4–5",
        "Peak anomaly": "0.512",
        "Mean anomaly": "0.345",
        "Against healthy": "brighter",
    }


def test_header_says_what_was_reported_how_and_when() -> None:
    page = page_of(warnings=("Slices are thick.",), study_date="2020-02-03")
    for words in (
        "P-17",
        "Slices are thick.",
        "Study date 2020-02-03",
        "2025-03-04, 05:06",
        "first, iteration 1000",
        "axial, 64 × 64 pixels",
        "192 mm around the patient",
        "percentiles 0.5 and 99.9",
        "Research use only, not a medical device",
        "radiological convention",
    ):
        assert words in page.text
    assert page.all("a", href="../index.html")
    assert page.all("a", href="lesions.csv")
    assert "Study date" not in page_of().text


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"intensity": "median"}, "from percentile 0.5, at 0, the median lies at a third"),
        ({"intensity": "zscore"}, "mean ± 4 standard deviations"),
        ({"intensity": "window", "intensity_window": (-50, 150)}, "-50 to 150 in units of the file"),
        ({"intensity": "none"}, "as in the file"),
        ({"field_of_view_mm": "whole"}, "the whole slice"),
        ({"field_of_view_mm": "crop"}, "at the resolution of the scan"),
        ({"spacing_mm": (1, 1, 2.5), "bias_correction": True}, "1 × 1 × 2.5 mm"),
    ],
)
def test_preparation_is_told_in_words(settings: dict[str, Any], words: str) -> None:
    preparation = Preparation(channels=("flair",), **settings)
    assert words in page_of(preparation=preparation.model_dump(mode="json")).text


def test_the_patient_stands_among_the_validation_patients() -> None:
    page = page_of()
    assert "Higher than 100 % of the healthy and 33 % of the diseased validation patients." in page.text
    # Ticks run from 0 to 0.8, so a score of 0.4 lies in the middle.
    places = [float(circle["cx"].rstrip("%")) for circle in page.all("circle")]
    assert places == pytest.approx([12.5, 25, 50, 75, 100])
    (patient,) = {line["x1"] for line in page.all("line") if line["class"] == "patient"}
    (threshold,) = {line["x1"] for line in page.all("line") if line["class"] == "operating"}
    assert (patient, threshold) == ("62.5%", "31.25%")


@pytest.mark.parametrize(
    ("standing", "sentence"),
    [
        (None, "The model holds no scores of validation patients to compare with."),
        (
            Standing(healthy=(), diseased=(0.4,), above_healthy=None, above_diseased=1.0),
            "Higher than 100 % of the diseased validation patients. There were no healthy validation patients",
        ),
        (
            Standing(healthy=(0.1,) * 300, diseased=(), above_healthy=299 / 300, above_diseased=None),
            "Higher than 99 % of the healthy validation patients. There were no diseased validation patients",
        ),
    ],
)
def test_missing_validation_scores_are_said_to_be_missing(standing: Standing | None, sentence: str) -> None:
    page = page_of(standing=standing)
    assert sentence in page.text
    assert bool(page.all("circle")) == (standing is not None)


def test_a_threshold_above_all_scores_has_no_line() -> None:
    page = page_of(threshold=float("inf"), abnormal=False)
    assert "above all scores" in page.text
    assert not [line for line in page.all("line") if line["class"] == "operating"]


def test_buttons_carry_the_center_of_their_lesion() -> None:
    missed = PLACE.model_copy(update={"center_mm": (-1.0, 2.5, 40.0)})
    truth = Truth(lesions=3, found=2, false_candidates=1, missed=(missed,))
    found = (lesion(match="hit"), lesion(2, match="excused", brighter=False))
    page = page_of(lesions=found, truth=truth)
    places = [button["data-mm"] for button in page.all("button") if "data-mm" in button]
    # Table, missed lesions, pictures.
    assert places == ["2.8,11,48"] * 2 + ["-1,2.5,40"] + ["2.8,11,48"] * 2
    assert [row["Ground truth"] for row in page.records()] == ["hit", "excused"]
    assert [row["Against healthy"] for row in page.records()] == ["brighter", "darker"]
    assert [row["Missed"] for row in page.records(1)] == ["1"]
    assert "Of 3 lesions in the patient's own mask, 2 hit and 1 missed; 1 false candidate." in page.text


def test_without_a_mask_nothing_is_said_of_ground_truth() -> None:
    assert "round truth" not in page_of().text


def test_names_from_outside_are_text_whatever_they_hold() -> None:
    def page_with(name: str) -> Page:
        return page_of(
            patient=name,
            channels=(name, "t1"),
            shown_channel=name,
            warnings=(name,),
            device=name,
            files={name: "a b'<c>.csv"},
            model={"run": name, "sha256": name, "iteration": name},
            preparation=Preparation(channels=(name, "t1")).model_dump(mode="json"),
        )

    nasty, plain = page_with(NASTY), page_with("plain")
    assert [tag for tag, _ in nasty.tags] == [tag for tag, _ in plain.tags]
    assert [set(own) for _, own in nasty.tags] == [set(own) for _, own in plain.tags]
    assert nasty.text.count(NASTY) == plain.text.count("plain") >= 9
    assert nasty.all("a", href="a%20b%27%3Cc%3E.csv")


def test_bytes_that_are_no_utf8_can_be_written() -> None:
    html = render_patient_page(patient_report(patient="name\udcff"), shown_patient(), VIEWER)
    assert b"name&#56575;" in html.encode()


def test_a_page_asks_nobody_for_anything() -> None:
    html = render_patient_page(patient_report(), shown_patient(), VIEWER)
    assert "http" not in html
    assert not re.search(r"@import|url\(", html)
    page = Page(html)
    assert not page.all("link")
    sources = [own["src"] for _, own in page.tags if "src" in own] + [own["href"] for own in page.all("image")]
    assert sources
    assert all(source.startswith("data:") for source in sources)


def test_every_candidate_has_three_pictures_in_three_planes() -> None:
    page = page_of()
    assert len(page.all("image")) == 9
    assert "Input, axial 4, through candidate 1" in page.text
    assert "Healthy translation, coronal 14, through candidate 1" in page.text
    assert "Difference, sagittal 8, through candidate 1" in page.text


def test_slices_are_numbered_as_in_a_file_of_other_orientation() -> None:
    # The file's first axis runs downwards, its second to the left and its third to the front.
    to_ras = np.array([[0, -1, 0, 11], [0, 0, 1, 0], [-1, 0, 0, 7], [0, 0, 0, 1]])
    affine = (shown_patient().affine @ to_ras).tolist()
    source = patient_report().source.model_copy(update={"affine": affine})
    text = page_of(source=source).text
    # The voxel i 8, j 14, k 4 of RAS+ is the file's 7 - 4, 11 - 8, 14.
    assert "axial 3, through" in text
    assert "sagittal 3, through" in text
    assert "coronal 14, through" in text


def test_a_volume_of_one_slice_shows_one_plane() -> None:
    page = page_of(one_slice())
    assert len(page.all("image")) == 3
    assert "coronal" not in page.text


def test_without_a_candidate_the_strongest_difference_is_shown() -> None:
    page = page_of(no_lesions(), lesions=(), lesion_volume_mm3=0.0, abnormal=False)
    assert not page.tables
    assert "What reaches a peak anomaly of 0.2 covers at most 10 pixels of a slice" in page.text
    assert "Not abnormal" in page.text
    assert "Difference, axial 4, through strongest difference" in page.text
    assert len(page.all("image")) == 9


def test_candidates_of_a_patient_below_the_operating_point_come_with_a_word_of_caution() -> None:
    assert "found in healthy patients, too" in page_of(abnormal=False).text
    assert "found in healthy patients, too" not in page_of().text


def test_of_forty_candidates_all_are_listed_and_the_first_are_shown() -> None:
    page = page_of(lesions=tuple(lesion(number) for number in range(1, 41)))
    assert [row["Number"] for row in page.records()] == [str(number) for number in range(1, 41)]
    assert len(page.all("article")) == 24
    assert "The first 24 of 40." in page.text


def test_the_viewer_stands_in_the_page_and_not_in_print() -> None:
    report, shown = (
        patient_report(truth=Truth(lesions=1, found=0, false_candidates=1, missed=(PLACE,))),
        shown_patient(),
    )
    screen, paper = (Page(render_patient_page(report, shown, VIEWER, for_print=on_paper)) for on_paper in (False, True))
    assert screen.all("div", id="the-viewer")
    assert screen.all("script")
    assert not paper.all("div", id="the-viewer")
    assert not paper.all("script")
    assert not paper.all("button")
    assert paper.tables == screen.tables


def test_landmarks_and_headings_come_in_order() -> None:
    page = page_of(truth=Truth(lesions=1, found=0, false_candidates=1, missed=(PLACE,)))
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert [tag for tag, _ in page.tags if tag in ("header", "main", "footer")] == ["header", "main", "footer"]
    names = [own["id"] for _, own in page.tags if "id" in own]
    assert len(names) == len(set(names))
    assert {own["aria-labelledby"] for _, own in page.tags if "aria-labelledby" in own} <= set(names)
    assert {own["href"] for own in page.all("a") if own["href"].startswith("#")} <= {f"#{name}" for name in names}
    assert all("alt" in own for own in page.all("img"))


def test_a_printed_page_holds_the_sections_and_candidates() -> None:
    weasyprint = pytest.importorskip(
        "weasyprint", exc_type=(ImportError, OSError), reason="the `pdf` extra or Pango is missing"
    )
    found = tuple(lesion(number) for number in range(1, 5))
    report: PatientReport = patient_report(patient="P-17 <b>", lesions=found)
    document = weasyprint.HTML(string=render_patient_page(report, shown_patient(), VIEWER, for_print=True)).render()
    ((title, _, sections, _),) = document.make_bookmark_tree()
    assert title == "P-17 <b>"
    below = {section: [label for label, *_ in own] for section, _, own, _ in sections}
    assert {"Summary", "Lesion candidates", "Files", "How to read the numbers"} <= set(below)
    assert below["Candidates in pictures"] == [f"Candidate {number}" for number in range(1, 5)]
    assert 3 <= len(document.pages) <= 5
    assert document.write_pdf().startswith(b"%PDF")


def test_pictures_go_through_a_candidate_also_where_its_centroid_lies_beside_it() -> None:
    shown = shown_patient()
    bent = np.zeros_like(shown.lesions)
    bent[4:6, 6:8, 3] = bent[7:9, 9:11, 3] = 1
    center = shown.affine @ (6, 8, 3, 1)
    own = lesion(center_mm=tuple(center[:3]))
    page = render_patient_page(patient_report(lesions=(own,)), replace(shown, lesions=bent), Markup())
    outlined = re.findall(r"<title>Input, (\w+) \d+, through[^<]*</title>.*?</svg>", page, re.DOTALL)
    assert outlined == ["axial", "coronal", "sagittal"]
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        if "<title>Input" in svg:
            assert 'class="candidate"' in svg
