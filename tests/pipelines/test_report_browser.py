"""The pages of `fpgan report`, opened from disk in a browser as a reader would."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest_plugins = ["tests.pipelines.browser_fixtures"]

WIDTHS = {"desktop": 1280, "phone": 360}


@pytest.fixture(scope="module")
def reports(fpgan: Callable[..., Any], tiny: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("browser") / "reports"
    result = fpgan("report", tiny.run, tiny.brats, "--output", output)
    assert result.exit_code == 0, result.output
    return output


@pytest.fixture
def open_page(browser: Any, reports: Path) -> Iterator[Callable[..., Any]]:
    """Opens a page of the reports; the test fails when the page complains, or asks anything of a network."""
    contexts, complaints = [], []

    def open_it(page: str, *, width: int = 1280, scheme: str = "light") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: complaints.append(message.text))
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        tab.goto((reports / page).as_uri())
        return tab

    yield open_it
    for context in contexts:
        context.close()
    assert not complaints


def most_lesions(reports: Path) -> dict[str, Any]:
    read = [json.loads(path.read_text()) for path in reports.glob("*/report.json")]
    chosen: dict[str, Any] = max(read, key=lambda report: len(report["lesions"]))
    return chosen


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS.values(), ids=WIDTHS)
def test_pages_open_without_a_complaint_and_fit_their_width(
    open_page: Callable[..., Any], reports: Path, width: int, scheme: str
) -> None:
    for page in ("index.html", f"{most_lesions(reports)['folder']}/report.html"):
        tab = open_page(page, width=width, scheme=scheme)
        tab.wait_for_load_state("load")
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = (
            np.array([int(part) for part in tab.evaluate(f"getComputedStyle(document.body).{name}")[4:-1].split(",")])
            for name in ("color", "backgroundColor")
        )
        assert contrast(ink, paper) > 7
        assert (paper.mean() < 128) == (scheme == "dark")


def contrast(first: np.ndarray, second: np.ndarray) -> float:
    """Of two sRGB colors, by WCAG 2."""

    def luminance(color: np.ndarray) -> float:
        share = color / 255
        linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, bright = sorted([luminance(first), luminance(second)])
    return (bright + 0.05) / (dark + 0.05)


def test_the_index_leads_to_every_patient_most_abnormal_first(open_page: Callable[..., Any], reports: Path) -> None:
    tab = open_page("index.html")
    names = tab.locator("table.sortable tbody a").all_inner_texts()
    read = [json.loads(path.read_text()) for path in reports.glob("*/report.json")]
    assert names == [report["patient"] for report in sorted(read, key=lambda r: (-r["score"], r["patient"]))]
    tab.locator("table.sortable tbody a").first.click()
    tab.wait_for_url("**/report.html")
    assert tab.locator("h1").inner_text() == names[0]
    tab.get_by_role("link", name="All patients").click()
    tab.wait_for_url("**/index.html")


def test_lesions_are_sorted_by_their_size(open_page: Callable[..., Any], reports: Path) -> None:
    report = most_lesions(reports)
    assert len(report["lesions"]) > 1
    tab = open_page(f"{report['folder']}/report.html")
    table = tab.locator("table.sortable").first
    header = table.get_by_role("button", name="Volume")
    by_volume = [str(lesion["number"]) for lesion in sorted(report["lesions"], key=lambda one: one["volume_mm3"])]
    numbers = table.locator("tbody tr td:first-child")
    header.click()
    assert [text.strip() for text in numbers.all_inner_texts()] == by_volume
    header.press("Enter")
    volumes = {str(lesion["number"]): lesion["volume_mm3"] for lesion in report["lesions"]}
    sorted_down = [volumes[text.strip()] for text in numbers.all_inner_texts()]
    assert sorted_down == sorted(sorted_down, reverse=True)


def test_a_lesion_moves_the_viewer_to_itself_by_mouse_and_by_keyboard(
    open_page: Callable[..., Any], reports: Path
) -> None:
    report = most_lesions(reports)
    tab = open_page(f"{report['folder']}/report.html")
    for lesion, act in zip(report["lesions"][:2], ("click", "press"), strict=True):
        button = tab.locator("table.sortable button.go").nth(lesion["number"] - 1)
        button.click() if act == "click" else button.press("Enter")
        place_mm = tab.evaluate("fpganViewer.positionMm()")
        # The viewer's voxels are as coarse as the scan's: up to 4 mm.
        assert np.linalg.norm(np.array(place_mm) - lesion["center_mm"]) < 4
    assert drawn_colors(tab) > 50


def drawn_colors(tab: Any) -> int:
    """How many different colors the viewer shows."""
    script = """() => {
      const canvas = document.getElementById("viewer-planes");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      const seen = new Set();
      for (let i = 0; i < pixels.length; i += 4) seen.add(pixels[i] * 65536 + pixels[i + 1] * 256 + pixels[i + 2]);
      return seen.size;
    }"""
    return int(tab.evaluate(script))


def test_the_keyboard_reaches_everything_that_can_be_used(open_page: Callable[..., Any], reports: Path) -> None:
    for page in ("index.html", f"{most_lesions(reports)['folder']}/report.html"):
        tab = open_page(page)
        usable = "a[href], button, input:not([type=radio]), input[type=radio]:checked, select, summary"
        wanted = tab.evaluate(
            f"""() => [...document.querySelectorAll("{usable}")]
                .filter((element) => element.checkVisibility() && !element.disabled)
                .map((element, number) => {{ element.dataset.number = number; return number; }})"""
        )
        reached = set()
        for _ in range(2 * len(wanted) + 20):
            tab.keyboard.press("Tab")
            number = tab.evaluate("document.activeElement.dataset.number")
            if number is not None:
                reached.add(int(number))
        assert reached == set(wanted), page
