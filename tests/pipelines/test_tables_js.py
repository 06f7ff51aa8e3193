"""Sorting and filtering of tables, in a browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pipelines.reporting
from data_prep.case import Failure
from data_prep.cohort import file_stem
from pipelines.reporting.index_page import PatientRow, write_index
from tests.pipelines.pictured import patient_report

pytest_plugins = ["tests.pipelines.browser_fixtures"]

SCRIPT = (Path(pipelines.reporting.__file__).parent / "templates" / "tables.js").read_text(encoding="utf-8")
NASTY = "<script>alert(1)</script>\"'& ../../%41#?"
LONG = "name_" * 60


@pytest.fixture
def tab(browser: Any) -> Iterator[Any]:
    """A tab whose scripts must not fail or complain."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda message: complaints.append(message.text))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    yield page
    page.close()
    assert complaints == []


def open_table(tab: Any, *columns: Sequence[str | tuple[str, str]]) -> None:
    """Show columns of texts as a table; a cell may be a text with its data-value."""
    header = "".join(f"<th>column {number}</th>" for number in range(len(columns)))
    body = "".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in zip(*columns, strict=True))
    table = f'<table class="sortable"><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>'
    tab.set_content(f"{table}<script>{SCRIPT}</script>")


def _cell(content: str | tuple[str, str]) -> str:
    return f"<td>{content}</td>" if isinstance(content, str) else f'<td data-value="{content[1]}">{content[0]}</td>'


def column(tab: Any, number: int = 0) -> list[str]:
    texts: list[str] = tab.locator(f"tbody tr > :nth-child({number + 1})").all_inner_texts()
    return texts


def sort_by(tab: Any, title: str) -> None:
    tab.get_by_role("columnheader", name=title).get_by_role("button").click()


def row(patient: str, **changed: Any) -> PatientRow:
    report = patient_report(
        patient=patient,
        folder=file_stem(patient)[:100],
        files={"page": "report.html", "preview": "preview.png"},
    )
    return replace(PatientRow.of(report), **changed)


def open_index(
    tab: Any, output: Path, rows: Sequence[PatientRow], failures: Sequence[Failure] = (), *, scripts: bool = True
) -> None:
    """Write an index with the pages and pictures that it names, and show it."""
    for own in rows:
        (output / own.folder).mkdir(exist_ok=True)
        (output / own.report).write_text(f"<title>{escape(own.patient)}</title>")
        Image.new("RGB", (960, 320)).save(output / own.preview)
    write_index(output, rows, failures)
    tab.goto((output / "index.html").as_uri())


def shown(tab: Any) -> list[str]:
    names: list[str] = tab.locator("#patients tbody tr:visible th").all_inner_texts()
    return [name.strip() for name in names]


@pytest.mark.parametrize(
    ("texts", "ascending"),
    [
        (["10", "9", "-1", "0.5"], ["-1", "0.5", "9", "10"]),
        (["P10", "p2", "P1", "Ö3", "Z"], ["Ö3", "P1", "p2", "P10", "Z"]),
        (["2", "P1", "10"], ["2", "10", "P1"]),  # one text makes all of them texts
    ],
)
def test_numbers_and_names_are_sorted_both_ways(texts: list[str], ascending: list[str], tab: Any) -> None:
    open_table(tab, texts)
    sort_by(tab, "column 0")
    assert column(tab) == ascending
    sort_by(tab, "column 0")
    assert column(tab) == ascending[::-1]
    sort_by(tab, "column 0")
    assert column(tab) == ascending


def test_what_is_missing_comes_last_both_ways(tab: Any) -> None:
    open_table(tab, ["–", "10", "", "9"])
    sort_by(tab, "column 0")
    assert column(tab) == ["9", "10", "–", ""]
    sort_by(tab, "column 0")
    assert column(tab) == ["10", "9", "–", ""]


def test_data_values_count_more_than_texts(tab: Any) -> None:
    open_table(tab, [("one", "3"), ("two", "20"), ("none", ""), ("3 of 4", "0.75")])
    sort_by(tab, "column 0")
    assert column(tab) == ["3 of 4", "one", "two", "none"]


def test_rows_of_equal_values_keep_their_order(tab: Any) -> None:
    open_table(tab, ["1", "0", "1", "0"], ["a", "b", "c", "d"])
    sort_by(tab, "column 0")
    assert column(tab, 1) == ["b", "d", "a", "c"]
    sort_by(tab, "column 0")
    assert column(tab, 1) == ["a", "c", "b", "d"]


def test_only_the_column_that_rows_are_sorted_by_says_so(tab: Any) -> None:
    open_table(tab, ["1", "2"], ["b", "a"])
    header = tab.get_by_role("columnheader")
    seen = []
    for title in ("column 0", "column 1", "column 1"):
        sort_by(tab, title)
        seen.append([header.nth(number).get_attribute("aria-sort") for number in (0, 1)])
    assert seen == [["ascending", None], [None, "ascending"], [None, "descending"]]


def test_the_script_makes_no_global_name(tab: Any) -> None:
    tab.set_content("<p></p>")
    names = tab.evaluate("Object.getOwnPropertyNames(window)")
    open_table(tab, ["1", "2"])
    assert tab.locator("th button").count() == 1
    assert set(tab.evaluate("Object.getOwnPropertyNames(window)")) == set(names)


def test_the_index_starts_as_sorted_by_score_and_sorts_by_every_column(tab: Any, tmp_path: Path) -> None:
    truth = {"truth_lesions": 4, "truth_found": 1, "false_candidates": 2}
    none = {"lesions": 0, "lesion_volume_mm3": 0.0, "largest_volume_mm3": None, "largest_diameter_mm": None}
    rows = [
        row("P10", score=0.9, lesions=3, lesion_volume_mm3=9.5, largest_volume_mm3=4.5, largest_diameter_mm=30.0),
        row("P2", score=0.8, lesion_volume_mm3=12000.0, largest_volume_mm3=12000.0, largest_diameter_mm=4.0, **truth),
        row("P1", score=0.7, study_date="2021-05-04", warnings=("Far.",), **none, **(truth | {"truth_found": 2})),
    ]
    open_index(tab, tmp_path, rows)
    assert tab.get_by_role("columnheader", name="Score").get_attribute("aria-sort") == "descending"
    assert shown(tab) == ["P10", "P2", "P1"]
    for title, ascending in {
        "Score": ["P1", "P2", "P10"],
        "Patient": ["P1", "P2", "P10"],
        "Lesion candidates": ["P1", "P2", "P10"],
        "Their volume": ["P1", "P10", "P2"],
        "Largest": ["P10", "P2", "P1"],
        "Longest diameter": ["P2", "P10", "P1"],
        "Lesions found": ["P2", "P1", "P10"],
        "Warnings": ["P2", "P10", "P1"],
        "Study date": ["P1", "P2", "P10"],
    }.items():
        sort_by(tab, title)
        assert shown(tab) == ascending, title


def test_words_and_states_are_asked_for_together(tab: Any, tmp_path: Path) -> None:
    rows = [
        row("Müller 1", warnings=("Slices are 7 mm apart.",), score=0.9),
        row("Muller 2", score=0.8),
        row("Meier 3", lesions=0, abnormal=False, warnings=("Slices are 8 mm apart.",), score=0.1),
    ]
    open_index(tab, tmp_path, rows)
    search, count = tab.get_by_role("searchbox"), tab.get_by_role("status")
    assert count.get_attribute("aria-live") == "polite"
    assert count.inner_text() == "3 of 3 shown"
    for words, state, names in (
        ("muller", "All", ["Müller 1", "Muller 2"]),
        ("muller", "With warnings", ["Müller 1"]),
        ("apart slices", "With warnings", ["Müller 1", "Meier 3"]),
        ("apart", "Abnormal", ["Müller 1"]),
        ("", "With candidates", ["Müller 1", "Muller 2"]),
        ("  MEIER ", "All", ["Meier 3"]),
        ("12", "All", []),  # of numbers beside the names, nothing is found: 12345.6 mm³
        ("meier", "Abnormal", []),
    ):
        search.fill(words)
        tab.get_by_role("radio", name=state).check()
        assert shown(tab) == names, (words, state)
        assert count.inner_text() == f"{len(names)} of 3 shown"
    search.fill("m")
    tab.get_by_role("radio", name="With warnings").check()
    sort_by(tab, "Patient")
    assert shown(tab) == ["Meier 3", "Müller 1"]  # what is hidden stays so


def test_a_filter_still_holds_when_a_reader_returns_from_a_patient(tab: Any, tmp_path: Path) -> None:
    open_index(tab, tmp_path, [row("A"), row("B")])
    tab.get_by_role("searchbox").fill("B")
    tab.get_by_role("link", name="B", exact=True).click()
    tab.go_back()
    tab.get_by_text("1 of 2 shown").wait_for()
    assert tab.get_by_role("searchbox").input_value() == "B"
    assert shown(tab) == ["B"]


def test_all_of_it_works_by_keyboard(tab: Any, tmp_path: Path) -> None:
    open_index(tab, tmp_path, [row("B", score=0.9), row("A"), row("C", abnormal=False, score=0.1)])

    def tab_to(role: str) -> None:
        for _ in range(8):
            tab.keyboard.press("Tab")
            if tab.evaluate("document.activeElement.matches(':focus-visible')") and tab.evaluate(
                "role => document.activeElement.matches(role)", role
            ):
                return
        pytest.fail(f"{role} cannot be reached")

    tab_to("input[type=search]")
    tab_to("input[type=radio]")
    tab.keyboard.press("ArrowRight")
    assert shown(tab) == ["B", "A"]
    tab_to("th button")
    tab.keyboard.press("Enter")
    assert shown(tab) == ["A", "B"]
    tab.keyboard.press("Space")
    assert shown(tab) == ["B", "A"]
    tab_to("tbody a")
    tab.keyboard.press("Enter")
    tab.wait_for_url("**/B/report.html")


def test_without_scripts_the_index_is_complete(browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    open_index(
        context.new_page(), tmp_path, [row("A"), row("B", warnings=("Far.",))], [Failure(patient="C", reason="x")]
    )
    page = context.pages[0]
    assert shown(page) == ["A", "B"]
    assert page.locator(".filter:visible, th button").count() == 0
    page.locator("summary").click()
    assert page.locator("li:visible").inner_text() == "Far."
    context.close()


@pytest.mark.parametrize("name", [NASTY, LONG, "Größe 患者 №7", "javascript:alert(1)", "=1+1"])
def test_any_name_is_shown_as_it_is_and_leads_to_its_page(name: str, tab: Any, tmp_path: Path) -> None:
    open_index(tab, tmp_path, [row(name, warnings=(name,))], [Failure(patient=name, reason=name)])
    assert shown(tab) == [name]
    assert tab.locator(".failures td").all_inner_texts() == [name, name]
    assert tab.locator("summary").get_attribute("title") == name
    picture = tab.locator("#patients img")
    picture.scroll_into_view_if_needed()
    tab.wait_for_function("document.querySelector('#patients img').naturalWidth == 960")
    tab.get_by_role("row", name=name).get_by_role("link").click()
    assert tab.title() == name
    assert tab.url == (tmp_path / row(name).report).as_uri()


def test_nothing_is_fetched_but_thumbnails_near_the_window(tab: Any, tmp_path: Path) -> None:
    asked: list[str] = []
    tab.on("request", lambda request: asked.append(request.url))
    rows = [row(f"P{number:03}", score=1 - number / 1000) for number in range(150)]
    open_index(tab, tmp_path, rows)
    tab.wait_for_function("document.querySelector('#patients img').complete")
    page, *pictures = asked
    assert page == (tmp_path / "index.html").as_uri()
    assert set(pictures) < {(tmp_path / own.preview).as_uri() for own in rows}
    assert (tmp_path / rows[0].preview).as_uri() in pictures


@pytest.mark.parametrize("width", [360, 800, 1280])
def test_the_page_itself_never_scrolls_sideways(width: int, tab: Any, tmp_path: Path) -> None:
    truth = {"truth_lesions": 4, "truth_found": 1, "false_candidates": 2}
    rows = [row(LONG, study_date="2021-05-04", warnings=("Slices are 7 mm apart." * 5,), **truth)]
    tab.set_viewport_size({"width": width, "height": 800})
    open_index(tab, tmp_path, rows, [Failure(patient=LONG, reason=f"/{LONG}: is damaged")])
    tab.locator("summary").click()
    assert tab.evaluate("document.documentElement.scrollWidth") <= width
