"""Pictures of planes: millimeters, sides, outlines and colors."""

from __future__ import annotations

import base64
import re
from dataclasses import replace
from io import BytesIO
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from data_prep.slicing import SliceAxis
from pipelines.reporting.figures import CANDIDATE_COLOR
from pipelines.reporting.pictures import Cut, Kind, Planes, difference_palette, draw_picture, scale_uri, trace
from pipelines.reporting.preview import HEIGHT, WIDTH, draw_preview
from pipelines.reporting.shown import ShownVolumes
from tests.pipelines.pictured import SPACING_MM, one_slice, patient_report, shown_patient

CENTER = (8, 14, 4)
"""A voxel of the candidate."""


def cut_of(axis: SliceAxis, shown: ShownVolumes | None = None) -> Cut:
    return Planes(shown or shown_patient()).through(axis, CENTER)


def drawn(cut: Cut, kind: Kind = "input", *, number: int = 1, max_pixels: int = 10**6) -> ElementTree.Element:
    picture = draw_picture(cut, kind, title="Title", corner="corner", number=number, max_pixels=max_pixels)
    return ElementTree.fromstring(picture)


def pixels(uri: str) -> np.ndarray:
    """Rows and columns of RGB."""
    data = base64.b64decode(uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def image_of(picture: ElementTree.Element) -> ElementTree.Element:
    image = picture.find("image")
    assert image is not None
    return image


def letters_of(picture: ElementTree.Element) -> dict[str, tuple[float, float]]:
    texts = [(text.text or "", text) for text in picture.iter("text")]
    return {letter: (float(text.get("x", "")), float(text.get("y", ""))) for letter, text in texts if len(letter) == 1}


@pytest.mark.parametrize(
    ("axis", "shape", "size_mm"),
    [
        # The foreground is 10 × 16 × 6 voxels of 0.8 × 1.5 × 4 mm.
        ("axial", (16, 10), (24, 8)),
        ("coronal", (6, 10), (24, 8)),
        ("sagittal", (6, 16), (24, 24)),
    ],
)
def test_pixels_are_stretched_to_their_size_in_mm(
    axis: SliceAxis, shape: tuple[int, int], size_mm: tuple[float, float]
) -> None:
    picture = drawn(cut_of(axis))
    image = image_of(picture)
    assert pixels(image.get("href", "")).shape[:2] == shape
    assert (float(image.get("height", "")), float(image.get("width", ""))) == pytest.approx(size_mm)
    assert image.get("preserveAspectRatio") == "none"
    left, top, width, height = map(float, picture.get("viewBox", "").split())
    assert width == height > max(size_mm)
    assert (left + width / 2, top + height / 2) == pytest.approx((size_mm[1] / 2, size_mm[0] / 2), abs=1e-3)


@pytest.mark.parametrize(
    ("axis", "near", "far"), [("axial", "RA", "LP"), ("coronal", "RS", "LI"), ("sagittal", "AS", "PI")]
)
def test_the_spot_lies_on_the_side_of_its_letters(axis: SliceAxis, near: str, far: str) -> None:
    picture = drawn(cut_of(axis))
    image, letters = image_of(picture), letters_of(picture)
    assert set(letters) == {*near, *far}
    bright = pixels(image.get("href", ""))[..., 0] > 200
    rows, columns = np.nonzero(bright)
    y = (rows.mean() + 0.5) / bright.shape[0] * float(image.get("height", ""))
    x = (columns.mean() + 0.5) / bright.shape[1] * float(image.get("width", ""))

    def distance(letter: str) -> float:
        return float(np.hypot(letters[letter][0] - x, letters[letter][1] - y))

    assert all(distance(a) < distance(b) for a, b in zip(near, far, strict=True))


def test_radiological_convention_and_a_sagittal_plane_that_looks_to_the_left() -> None:
    axial, sagittal = letters_of(drawn(cut_of("axial"))), letters_of(drawn(cut_of("sagittal")))
    assert axial["R"][0] < axial["L"][0]
    assert axial["A"][1] < axial["P"][1]
    assert sagittal["A"][0] < sagittal["P"][0]
    assert sagittal["S"][1] < sagittal["I"][1]


def test_an_outline_runs_along_the_border_of_pixels() -> None:
    mask = np.zeros((6, 9), bool)
    mask[1:3, 4:8] = True
    (line,) = trace(mask, (2.0, 0.5))
    # Rows 1 to 2 of 2 mm and columns 4 to 7 of 0.5 mm.
    np.testing.assert_allclose([line.min(axis=0), line.max(axis=0)], [(2, 2), (4, 6)])
    np.testing.assert_array_equal(line[0], line[-1])
    x, y = line.T
    area = abs(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])) / 2
    # All four corners are cut, half a pixel along each side: a triangle of 1 × 0.25 / 2 mm² each.
    assert area == pytest.approx(2 * 4 * (2.0 * 0.5) - 4 * (1.0 * 0.25 / 2))


def test_outlines_close_at_the_edge_of_the_picture_and_around_holes() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 2] = False
    lines = trace(mask, (1.0, 1.0))
    assert len(lines) == 2
    assert all((line[0] == line[-1]).all() for line in lines)
    outer = max(lines, key=len)
    np.testing.assert_allclose([outer.min(axis=0), outer.max(axis=0)], [(0, 0), (5, 5)])
    assert not trace(np.zeros((5, 5), bool), (1.0, 1.0))


def test_candidate_others_and_truth_are_outlined_in_the_input_alone() -> None:
    shown = shown_patient()
    shown.lesions[2:4, 4:7, 4] = 2
    truth = shown.lesions == 1
    cut = cut_of("axial", shown_patient(lesions=shown.lesions, truth=truth))

    def outlines(picture: ElementTree.Element) -> dict[str, str]:
        return {path.get("class", ""): path.get("d", "") for path in picture.iter("path") if path.get("class") != "bar"}

    own = outlines(drawn(cut, number=1))
    assert list(own) == ["truth", "other", "candidate"]
    assert own["candidate"] == own["truth"] != own["other"]
    assert outlines(drawn(cut, number=2))["other"] == own["candidate"]
    assert not outlines(drawn(cut, "healthy"))
    assert not outlines(drawn(cut, "difference"))
    # The box begins at the last column of i = 10 and j = 17: the spot, i 8 to 9 and j 13 to 15, is cut there.
    numbers = [float(number) for number in re.findall(r"[\d.]+", own["candidate"])]
    assert (min(numbers[::2]), max(numbers[::2])) == pytest.approx((1 * SPACING_MM[0], 3 * SPACING_MM[0]))
    assert (min(numbers[1::2]), max(numbers[1::2])) == pytest.approx((2 * SPACING_MM[1], 5 * SPACING_MM[1]))


def test_differences_are_red_above_zero_blue_below_pale_at_zero_and_black_outside() -> None:
    shown = shown_patient()
    difference = shown.difference.copy()
    difference[2, 3, 4] = -0.5
    foreground = shown.foreground.copy()
    foreground[10, 2, :] = False
    cut = cut_of("axial", shown_patient(difference=difference, foreground=foreground))
    colors = pixels(image_of(drawn(cut, "difference")).get("href", "")).astype(int)
    # Rows count from j = 17 down, columns from i = 10 down.
    red, blue, zero, outside = colors[17 - 14, 10 - 8], colors[17 - 3, 10 - 2], colors[5, 9], colors[15, 0]
    assert red[0] > red[2] + 50
    assert blue[2] > blue[0] + 50
    assert zero.min() > 240
    assert outside.max() == 0
    ends = pixels(scale_uri())[0, [0, -1]].astype(int)
    assert np.abs(ends - [blue, red]).max() < 2
    np.testing.assert_array_equal(difference_palette()[128], zero)


def test_a_volume_of_one_slice_has_one_plane() -> None:
    assert Planes(one_slice()).axes == ("axial",)
    assert Planes(shown_patient()).axes == ("axial", "coronal", "sagittal")


def test_strongest_difference_has_either_sign() -> None:
    difference = shown_patient().difference.copy()
    difference[2, 3, 4] = -0.7
    shown = shown_patient(difference=difference)
    assert Planes(shown).strongest() == (2, 3, 4)
    assert shown.limit == pytest.approx(0.7)


def test_large_planes_are_reduced_and_keep_their_size_in_mm() -> None:
    whole = image_of(drawn(cut_of("axial"), "difference"))
    small = image_of(drawn(cut_of("axial"), "difference", max_pixels=40))
    rows, columns, _ = pixels(small.get("href", "")).shape
    assert 20 <= rows * columns <= 40
    assert (small.get("width"), small.get("height")) == (whole.get("width"), whole.get("height"))


def test_the_bar_is_as_long_as_it_says() -> None:
    picture = drawn(cut_of("axial"))
    (bar,) = (path.get("d", "") for path in picture.iter("path") if path.get("class") == "bar")
    (label,) = (text.text for text in picture.iter("text") if (text.text or "").endswith(" mm"))
    assert label == f"{float(bar.split('h')[1]):g} mm" == "5 mm"


def test_a_title_is_escaped() -> None:
    cut = cut_of("axial")
    picture = draw_picture(cut, "input", title="<b>&", corner="<i>", number=1, max_pixels=99)
    assert "<title>&lt;b&gt;&amp;</title>" in picture
    assert ">&lt;i&gt;</text>" in picture


@pytest.mark.parametrize("patient", ["P-17", "two\nlines \udcff" + "x" * 300])
def test_a_preview_shows_outlines_and_difference_beside_each_other(patient: str) -> None:
    png = draw_preview(patient_report(patient=patient), shown_patient())
    picture = np.asarray(Image.open(BytesIO(png)).convert("RGB")).astype(int)
    assert picture.shape == (HEIGHT, WIDTH, 3)
    third = WIDTH // 3
    orange = tuple(int(CANDIDATE_COLOR[place : place + 2], 16) for place in (1, 3, 5))
    outlined = (np.abs(picture[60:] - orange) < 8).all(axis=-1).nonzero()[1]
    assert len(outlined)
    assert outlined.max() < third
    # A dark red, which only the strongest difference has; the scale, at the right, has it too.
    red = ((picture[60:, :880, 0] - picture[60:, :880, 1]) > 90) & (picture[60:, :880, 2] < 60)
    assert red[:, 2 * third :].any()


def test_a_volume_of_one_slice_has_a_preview() -> None:
    assert draw_preview(patient_report(), one_slice()).startswith(b"\x89PNG")


def test_a_preview_has_letters_only_where_the_source_says_how_the_patient_lies() -> None:
    shown = shown_patient()
    known, unknown = (
        np.asarray(Image.open(BytesIO(draw_preview(patient_report(), one))).convert("L")).astype(int)
        for one in (shown, replace(shown, anatomy=False))
    )
    changed = np.argwhere(known != unknown)
    middle = HEIGHT / 2 + 23  # of the tiles, below the band of text
    left = changed[(changed[:, 1] < 40) & (abs(changed[:, 0] - middle) < 15)]
    assert len(left) > 20  # an R
    assert known.shape == unknown.shape == (HEIGHT, WIDTH)
