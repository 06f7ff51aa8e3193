"""The viewer of a patient's page: what Python writes, and what a browser makes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.machinery import ModuleSpec
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from pipelines.reporting import viewer
from pipelines.reporting.shown import ShownVolumes
from pipelines.reporting.viewer import render_viewer

pytest_plugins = ["tests.pipelines.browser_fixtures"]

ORANGE, CROSSHAIR = (232, 89, 12), (86, 144, 202)


def volumes(shape: tuple[int, int, int], spacing_mm: tuple[float, float, float], degrees: float = 0) -> ShownVolumes:
    """An ellipsoid of 0.2 that nothing has changed in, turned about two axes; the world's origin is at its center."""
    i, j, k = ((np.arange(n) - (n - 1) / 2) / max(1, 0.4 * n) for n in shape)
    head = i[:, None, None] ** 2 + j[:, None] ** 2 + k**2 <= 1
    image = np.where(head, np.float32(0.2), np.float32(0))
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    about_z = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cos, -sin], [0, sin, cos]])
    affine = np.eye(4)
    affine[:3, :3] = about_z @ about_x @ np.diag(spacing_mm)
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return ShownVolumes(
        image=image,
        healthy=image.copy(),
        difference=np.zeros(shape, np.float32),
        lesions=np.zeros(shape, np.uint16),
        truth=None,
        foreground=head,
        affine=affine,
        spacing_mm=spacing_mm,
        channel="flair",
    )


def with_lesion() -> ShownVolumes:
    """0.3 brighter in a candidate at the right, front and top of the patient; 0.5 darker where no candidate is."""
    shown = volumes((40, 48, 32), (2, 2, 2))
    shown.difference[24:30, 30:36, 20:26] = 0.3
    shown.difference[10:16, 14:20, 8:14] = -0.5
    shown.lesions[24:30, 30:36, 20:26] = 1
    return replace(shown, healthy=shown.image - shown.difference)


def world(shown: ShownVolumes, *index: float) -> np.ndarray:
    return (shown.affine @ (*index, 1))[:3]


def data_in(markup: str) -> dict[str, Any]:
    found = re.search(r"^const data = (\{.*\});$", markup, re.MULTILINE)
    assert found is not None
    return json.loads(found[1])


def test_nilearn_is_not_imported_for_its_script() -> None:
    code = "from pipelines.reporting import viewer; viewer.brainsprite_source(); import sys; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "nilearn" not in loaded


@pytest.mark.parametrize(("installed", "message"), [(False, "install it"), (True, "another version of nilearn")])
def test_missing_brainsprite_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool, message: str
) -> None:
    spec = ModuleSpec("nilearn", None, origin=str(tmp_path / "__init__.py")) if installed else None
    monkeypatch.setattr(viewer, "find_spec", lambda name: spec)
    viewer.brainsprite_source.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=message):
        viewer.brainsprite_source()


def test_fine_volumes_become_coarser() -> None:
    fine = data_in(render_viewer(volumes((300, 300, 150), (0.5, 0.5, 1))))
    coarse = data_in(render_viewer(volumes((60, 60, 60), (2, 2, 2))))
    assert np.prod(fine["size"]) == pytest.approx(170**3, rel=0.02)
    assert fine["voxelMm"] > 0.5
    assert coarse["voxelMm"] == 2


def test_sides_of_the_viewer_keep_the_proportions_of_the_patient() -> None:
    shown = volumes((100, 60, 10), (1, 1, 6))
    sides = np.array(data_in(render_viewer(shown))["size"])
    used = [np.ptp(np.flatnonzero(shown.foreground.any(axis=axes))) + 1 for axes in ((1, 2), (0, 2), (0, 1))]
    patient = np.array(used) * shown.spacing_mm
    assert sides == pytest.approx(patient + 0.1 * patient.max(), abs=1)


def test_voxels_that_keep_their_size_keep_their_places() -> None:
    shown = volumes((31, 40, 22), (2, 2, 2))
    data = data_in(render_viewer(shown))
    index = np.linalg.inv(shown.affine) @ np.vstack([data["toWorld"], (0, 0, 0, 1)]) @ (0, 0, 0, 1)
    assert index == pytest.approx(np.round(index))


def test_color_scale_is_not_stretched_over_tiny_differences() -> None:
    shown = volumes((20, 24, 16), (2, 2, 2))
    shown.difference[10, 12, 8] = 0.01
    assert data_in(render_viewer(shown))["limit"] == pytest.approx(0.1)


def test_crosshair_starts_in_a_candidate_though_more_changed_elsewhere() -> None:
    shown = with_lesion()
    data = data_in(render_viewer(shown))
    i, j, k = shown.index_of(tuple(np.array(data["toWorld"]) @ (*data["start"], 1)))
    assert shown.lesions[i, j, k] == 1


def test_crosshair_starts_at_the_largest_difference_without_candidates() -> None:
    shown = replace(with_lesion(), lesions=np.zeros((40, 48, 32), np.uint16))
    data = data_in(render_viewer(shown))
    i, j, k = shown.index_of(tuple(np.array(data["toWorld"]) @ (*data["start"], 1)))
    assert shown.difference[i, j, k] == pytest.approx(-0.5)


def test_names_cannot_inject() -> None:
    markup = render_viewer(replace(volumes((8, 8, 8), (1, 1, 1)), channel="<script>alert(1)</script>"))
    assert "<script>alert" not in markup
    assert "&lt;script&gt;alert" in markup


Opener = Callable[..., Any]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens volumes as a page in the browser and waits until they are drawn; in the end nothing may have gone wrong."""
    troubles: list[str] = []
    contexts = []

    def open_page(shown: ShownVolumes, *, width: int = 1280, ratio: float = 1) -> Any:
        file = tmp_path / "page.html"
        head = "<!doctype html><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        file.write_text(f"{head}<body style='margin:16px'>{render_viewer(shown)}", encoding="utf-8")
        context = browser.new_context(
            viewport={"width": width, "height": 900}, device_scale_factor=ratio, has_touch=True
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("request", lambda r: troubles.append(r.url) if not r.url.startswith(("data:", file.as_uri())) else None)
        page.goto(file.as_uri())
        page.wait_for_selector("#viewer[aria-busy=false]")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not troubles


def position(page: Any) -> np.ndarray:
    return np.array(page.evaluate("fpganViewer.positionMm()"))


def go_to(page: Any, place: np.ndarray) -> None:
    page.evaluate("place => fpganViewer.goTo(...place)", place.tolist())


def difference_shown(page: Any) -> str:
    return page.inner_text("#viewer-difference")


def planes(page: Any, shown: ShownVolumes) -> list[np.ndarray]:
    """The sagittal, coronal and axial plane as drawn, each (rows, columns, 3) float, at as many pixels a voxel."""
    uri = page.evaluate("document.getElementById('viewer-planes').toDataURL()")
    with Image.open(BytesIO(b64decode(uri.split(",")[1]))) as image:
        canvas = np.asarray(image.convert("RGB")).astype(float)
    x, y, _ = data_in(render_viewer(shown))["size"]
    scale = canvas.shape[1] / (2 * x + y)
    return np.split(canvas, [round(y * scale), round((y + x) * scale)], axis=1)


def near_color(plane: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return np.abs(plane - color).max(axis=-1) < 20


def crosshair_in(plane: np.ndarray) -> tuple[int, int]:
    """Row and column of its lines."""
    lines = near_color(plane, CROSSHAIR)
    return int(lines.sum(axis=1).argmax()), int(lines.sum(axis=0).argmax())


def brightest_gray(plane: np.ndarray) -> tuple[int, int]:
    """Row and column; letters and lines are not gray."""
    gray = np.where(np.ptp(plane, axis=-1) == 0, plane[..., 0], 0)
    row, column = np.unravel_index(int(gray.argmax()), gray.shape)
    assert gray.max() > 100  # the ellipsoid has 51
    return int(row), int(column)


def test_a_bright_voxel_of_an_oblique_scan_lies_under_the_crosshair(opened: Opener) -> None:
    shown = volumes((60, 48, 14), (0.8, 1.2, 4), degrees=20)
    right_back_low = (42, 17, 4)
    shown.image[right_back_low] = 1
    page = opened(shown)
    place = world(shown, *right_back_low)
    go_to(page, place)
    voxel_mm = data_in(render_viewer(shown))["voxelMm"]
    offset = np.linalg.inv(shown.affine[:3, :3] / shown.spacing_mm) @ (position(page) - place)
    assert np.abs(offset).max() <= voxel_mm / 2 + 1e-6
    for plane, is_left in zip(planes(page, shown), (False, True, True), strict=True):
        row, column = brightest_gray(plane)
        pixels_a_voxel = plane.shape[1] / 50
        assert np.abs(np.subtract((row, column), crosshair_in(plane))).max() <= pixels_a_voxel
        # The patient's right is at the left, the back at the right of the sagittal and below in the axial plane.
        assert (column < plane.shape[1] / 2) == is_left
        assert row > plane.shape[0] / 2


def test_every_corner_of_the_scan_lies_on_its_own_side(opened: Opener) -> None:
    shown = volumes((30, 40, 20), (2, 2, 2))
    page = opened(shown)
    for right in (-12, 12):
        for anterior in (-14, 14):
            for superior in (-8, 8):
                go_to(page, np.array([right, anterior, superior]))
                sagittal, coronal, axial = planes(page, shown)
                places = [(crosshair_in(p), (p.shape[0] / 2, p.shape[1] / 2)) for p in (sagittal, coronal, axial)]
                sides = [(row < middle, column < center) for (row, column), (middle, center) in places]
                assert sides == [
                    (superior > 0, anterior > 0),
                    (superior > 0, right > 0),
                    (anterior > 0, right > 0),
                ]


def test_signed_difference_is_read_under_the_crosshair(opened: Opener) -> None:
    shown = with_lesion()
    page = opened(shown)
    readings = []
    for index in ((26, 32, 22), (12, 16, 10), (20, 24, 16)):
        go_to(page, world(shown, *index))
        readings.append(difference_shown(page))
    assert readings == ["+0.30", "−0.50", "0.00"]


def test_brighter_is_red_and_darker_blue_until_the_difference_is_faded_out(opened: Opener) -> None:
    shown = with_lesion()
    page = opened(shown)
    for index, stronger, weaker in (((27, 33, 23), 0, 2), ((13, 17, 11), 2, 0)):
        go_to(page, world(shown, *index))
        for plane in planes(page, shown):
            pixel = plane[crosshair_in(plane)]
            assert pixel[stronger] > pixel[weaker] + 20
    page.locator("#viewer-opacity").fill("0")
    for plane in planes(page, shown):
        assert np.ptp(plane[crosshair_in(plane)]) == 0


def test_candidates_are_outlined_until_switched_off(opened: Opener) -> None:
    shown = with_lesion()
    page = opened(shown)
    go_to(page, world(shown, 27, 33, 23))
    assert all(near_color(plane, ORANGE).sum() > 20 for plane in planes(page, shown))
    page.get_by_label("Candidates").uncheck()
    assert not any(near_color(plane, ORANGE).any() for plane in planes(page, shown))


def test_truth_is_offered_only_where_there_is_some(opened: Opener) -> None:
    shown = with_lesion()
    assert opened(shown).get_by_label("Ground truth").count() == 0
    page = opened(replace(shown, truth=shown.lesions > 0))
    assert page.get_by_label("Ground truth").is_checked()


def test_healthy_translation_takes_the_place_of_the_input(opened: Opener) -> None:
    shown = volumes((30, 40, 20), (2, 2, 2))
    shown.image[13:18, 18:23, 8:13] = 0.9
    page = opened(shown)
    page.get_by_label("Healthy translation").check()
    for plane in planes(page, shown):
        assert plane[crosshair_in(plane)] == pytest.approx([51] * 3, abs=4)
    page.get_by_label("Input").check()
    for plane in planes(page, shown):
        assert plane[crosshair_in(plane)] == pytest.approx([230] * 3, abs=8)


def test_compression_leaves_no_traces_around_the_patient(opened: Opener) -> None:
    shown = volumes((60, 60, 60), (2, 2, 2))
    shown.image[shown.foreground] = 1
    axial = planes(opened(shown), shown)[2]
    rows, columns = (np.linspace(-1.1, 1.1, n) for n in axial.shape[:2])  # 1 is the border of the head
    radius = np.hypot(rows[:, None], columns)
    lower_right = (rows[:, None] > 0.3) & (columns > 0.3)  # without letters
    assert axial[lower_right & (radius < 0.9)].min() > 220
    assert axial[lower_right & (radius > 1.25)].max() == 0


def test_places_outside_end_at_the_border(opened: Opener) -> None:
    shown = volumes((30, 40, 20), (2, 2, 2))
    page = opened(shown)
    sides = np.array(data_in(render_viewer(shown))["size"])
    go_to(page, np.array([9e3, -9e3, 9e3]))
    assert position(page) == pytest.approx((sides - 1) * [1, -1, 1], abs=1e-6)
    assert difference_shown(page) == "0.00"


@pytest.mark.parametrize(
    ("label", "step"), [("R–L", (-2, 0, 0)), ("P–A", (0, 2, 0)), ("I–S", (0, 0, 2))], ids=("R-L", "P-A", "I-S")
)
def test_keys_move_the_crosshair_along_each_axis(opened: Opener, label: str, step: tuple[float, ...]) -> None:
    page = opened(volumes((30, 40, 20), (2, 2, 2)))
    slider = page.get_by_label(label)
    slider.focus()
    first, first_text = position(page), slider.get_attribute("aria-valuetext")
    page.keyboard.press("ArrowRight")
    assert position(page) - first == pytest.approx(step)
    assert slider.get_attribute("aria-valuetext") != first_text
    page.keyboard.press("ArrowLeft")
    assert position(page) == pytest.approx(first)
    page.keyboard.press("PageUp")
    assert np.dot(position(page) - first, step) > np.dot(step, step)


@pytest.mark.parametrize("ratio", [1, 2.5])
@pytest.mark.parametrize("touches", [False, True])
def test_pointing_moves_the_crosshair_on_any_screen(opened: Opener, ratio: float, touches: bool) -> None:
    page = opened(volumes((40, 40, 40), (2, 2, 2)), ratio=ratio)
    box = page.locator(".viewer-stage").bounding_box()
    act = page.touchscreen.tap if touches else page.mouse.click
    act(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.25)
    # Each plane is as wide and as high as the head, 64 mm, and its margins; the axial one's middle is at 5/6.
    side_mm = 2 * page.evaluate("Number(document.querySelector('[data-axis]').max) + 1")
    right, anterior, superior = position(page)
    assert right == pytest.approx((5 / 6 - 0.75) * 3 * side_mm, abs=1.5)
    assert anterior == pytest.approx(side_mm / 4, abs=1.5)
    assert superior == pytest.approx(0, abs=1.1)


def test_dragging_follows_the_mouse(opened: Opener) -> None:
    page = opened(volumes((40, 40, 40), (2, 2, 2)))
    box = page.locator(".viewer-stage").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + box["height"] * 0.5)
    assert position(page)[0] < -5
    page.mouse.up()
    page.mouse.move(box["x"] + box["width"] * 0.75, box["y"] + box["height"] * 0.5)
    assert position(page)[0] < -5


def test_a_phone_scrolls_the_planes_and_not_the_page(opened: Opener) -> None:
    page = opened(with_lesion(), width=360)
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    assert page.evaluate("(box => box.scrollWidth > box.clientWidth)(document.querySelector('.viewer-scroll'))")
    page.set_viewport_size({"width": 1280, "height": 900})
    width = "document.getElementById('viewer-planes').width"
    page.wait_for_function(f"{width} > 1000")
    assert page.evaluate(width) <= 1248


@pytest.mark.parametrize("shape", [(20, 24, 1), (1, 20, 24), (20, 1, 24), (1, 1, 1)])
def test_single_slices_are_shown(opened: Opener, shape: tuple[int, int, int]) -> None:
    shown = volumes(shape, (2, 2, 5))
    page = opened(shown)
    go_to(page, np.zeros(3))
    assert np.abs(position(page)).max() <= 1.01
    assert any(brightest > 30 for brightest in (plane.max() for plane in planes(page, shown)))


def test_a_volume_without_foreground_is_black(opened: Opener) -> None:
    shown = volumes((20, 24, 16), (2, 2, 2))
    page = opened(replace(shown, image=0 * shown.image, foreground=shown.foreground & False))
    assert difference_shown(page) == "0.00"
