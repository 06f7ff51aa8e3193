"""Places against their definitions on the file's own grid, and cases worked by hand."""

from __future__ import annotations

from itertools import permutations, product
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from data_prep.foreground import bounding_box
from data_prep.volume import SourceGrid, Volume
from pipelines.place import Anatomy, longest_diameter_mm
from tests.pipelines.slow_localize import PLANES, SLICE_DIRECTION, slow_longest_diameter_mm, slow_place

OBLIQUE = np.eye(4)
OBLIQUE[:3, :3] = Rotation.from_euler("xyz", [12, -17, 21], degrees=True).as_matrix() @ np.diag([2.5, 4.0, 6.0])
OBLIQUE[:3, 3] = [-40.25, 31.5, 7.0]

TILTED = OBLIQUE.copy()
TILTED[:3, 2] += 0.4 * TILTED[:3, 1]
"""Sheared, as by a tilted gantry."""

SIGNS = list(product((1, -1), repeat=3))
ORDERS = [
    pytest.param(
        order, signs, id="".join("AaBbCc"[2 * axis + (sign < 0)] for axis, sign in zip(order, signs, strict=True))
    )
    for order, signs in product(permutations(range(3)), SIGNS)
]


def reordered(affine: np.ndarray, order: tuple[int, ...], signs: tuple[int, ...]) -> np.ndarray:
    """Axes of `affine` in another order, some of them reversed."""
    result = affine.copy()
    result[:3, :3] = affine[:3, list(order)] * signs
    return result


def describe(inside: np.ndarray, foreground: np.ndarray, affine: np.ndarray, plane: str = "axial") -> dict[str, Any]:
    """A place from masks in file order."""
    source = SourceGrid(path=Path("P"), sha256="", shape=inside.shape, affine=affine)
    volume = Volume.from_file_order(np.stack([inside, foreground]), source)
    turned, patient = volume.channels
    box = bounding_box(turned)
    assert box is not None
    return Anatomy.of(volume, patient, SLICE_DIRECTION[plane]).describe(turned[box], box)


def random_masks(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Some voxels, not all of them together, and a foreground that does not hold them all."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 6, 3))
    inside, foreground = random.random((2, *shape)) < random.uniform(0.05, 0.6)
    for mask in (inside, foreground):
        mask[tuple(random.integers(0, shape))] = True
    return inside, foreground


@pytest.mark.parametrize(("order", "signs"), ORDERS)
def test_places_agree_with_the_files_own_grid_however_its_axes_run(
    order: tuple[int, ...], signs: tuple[int, ...]
) -> None:
    for seed, affine, plane in product(range(2), (OBLIQUE, TILTED), PLANES):
        own = reordered(affine, order, signs)
        inside, foreground = random_masks(seed + 10 * SIGNS.index(signs))
        place = describe(inside, foreground, own, plane)
        expected = slow_place(inside, foreground, own, plane)
        assert place.keys() == expected.keys()
        for name in ("first_slice", "last_slice", "hemisphere"):
            assert place[name] == expected[name], name
        assert place["height"] == pytest.approx(expected["height"], abs=5.1e-4)
        for name in ("center_mm", "center_voxel", "volume_mm3", "longest_diameter_mm"):
            assert place[name] == pytest.approx(expected[name], abs=5.1e-3), name
        back = own[:3, :3] @ place["center_voxel"] + own[:3, 3]
        # Both are rounded to 0.01; half a step of each index moves the point by half a step of each axis at most.
        assert np.abs(back - place["center_mm"]).max() <= 0.005 * (1 + np.abs(own[:3, :3]).sum(axis=1).max()) + 1e-9


def test_a_place_of_known_voxels_in_a_file_that_runs_left_back_and_up() -> None:
    affine = np.array([[-1.0, 0, 0, 40], [0, -2, 0, 50], [0, 0, 3, -60], [0, 0, 0, 1]])
    inside = np.zeros((21, 11, 9), bool)
    inside[2:4, 5, 6:9] = True
    assert describe(inside, np.ones_like(inside), affine, "coronal") == {
        "center_mm": (37.5, 40.0, -39.0),
        "center_voxel": (2.5, 5.0, 7.0),
        "hemisphere": "right",  # 10 - 2.5 voxels of 1 mm from the middle
        "height": 0.875,  # 7 of 8
        "volume_mm3": 36.0,
        "longest_diameter_mm": pytest.approx(np.sqrt(2**2 + 2**2 + 9**2), abs=0.005),
        "first_slice": 5,
        "last_slice": 5,
    }


@pytest.mark.parametrize("signs", SIGNS)
@pytest.mark.parametrize(
    ("right_mm", "side"),
    [(-9, "left"), (-5.25, "left"), (-5, "midline"), (0, "midline"), (5, "midline"), (5.25, "right"), (9, "right")],
)
def test_five_millimeters_from_the_middle_belong_to_no_side(signs: tuple[int, ...], right_mm: float, side: str) -> None:
    affine = np.diag([0.25 * signs[0], *signs[1:], 1.0])
    affine[:3, 3] = 7, -300, 12  # where the world's origin lies says nothing of the patient
    inside, foreground = np.zeros((2, 120, 5, 4), bool)
    foreground[3:90] = True
    inside[46 + round(signs[0] * right_mm / 0.25), 2, 1] = True
    assert describe(inside, foreground, affine)["hemisphere"] == side


@pytest.mark.parametrize("degrees", [-40, 40])
def test_sides_are_those_of_a_turned_head_and_not_of_the_world(degrees: int) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("z", degrees, degrees=True).as_matrix()
    inside = np.zeros((41, 81, 3), bool)
    inside[28, 75 if degrees > 0 else 5, 1] = True  # 8 mm to the right, and in the world to the left of the middle
    middle_mm = affine[:3, :3] @ [20, 40, 1]
    place = describe(inside, np.ones_like(inside), affine)
    assert place["center_mm"][0] < middle_mm[0] - 5
    assert place["hemisphere"] == "right"


@pytest.mark.parametrize("up", [1, -1])
def test_height_rises_from_the_lowest_slice_of_the_foreground_to_its_highest(up: int) -> None:
    affine = np.diag([1, 1, 4.0 * up, 1])
    foreground = np.zeros((9, 9, 12), bool)
    foreground[2:8, 2:8, 3:8] = True
    heights = []
    for k in range(12):
        inside = np.zeros_like(foreground)
        inside[4, 4, k] = True
        heights.append(describe(inside, foreground, affine)["height"])
    assert heights[::up] == ([0] * 4 if up > 0 else [0] * 5) + [0.25, 0.5, 0.75] + [1] * (5 if up > 0 else 4)


def test_a_foreground_of_one_slice_has_height_0() -> None:
    inside = np.zeros((9, 9, 3), bool)
    inside[4, 4, 1] = True
    assert describe(inside, inside, np.eye(4))["height"] == 0


def test_a_single_voxel_is_as_long_as_its_diagonal() -> None:
    assert longest_diameter_mm(np.ones((1, 1, 1), bool), np.diag([2, 3, 6, 1])) == pytest.approx(7)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((1, 1, 8), [1, 1, 8]),
        ((1, 8, 1), [1, 8, 1]),
        ((8, 1, 1), [8, 1, 1]),
        ((5, 1, 9), [5, 1, 9]),
        ((4, 7, 1), [4, 7, 1]),
    ],
)
@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE])
def test_lines_and_plates_are_as_long_as_their_box(shape: Any, expected: list[int], affine: np.ndarray) -> None:
    size_mm = np.linalg.norm(affine[:3, :3], axis=0) * expected
    assert longest_diameter_mm(np.ones(shape, bool), affine) == pytest.approx(np.linalg.norm(size_mm))


def test_an_angle_is_measured_from_end_to_end() -> None:
    inside = np.zeros((6, 4, 1), bool)
    inside[0], inside[:, 0] = True, True
    # From the outer corner of one leg's end to that of the other's; the box's own diagonal is as long.
    assert longest_diameter_mm(inside, np.eye(4)) == pytest.approx(np.sqrt(6**2 + 4**2 + 1))


def test_distant_parts_are_measured_across_the_gap() -> None:
    inside = np.zeros((50, 2, 30), bool)
    inside[0, 1, 0] = inside[49, 0, 29] = True
    assert longest_diameter_mm(inside, np.diag([1, 1, 2, 1])) == pytest.approx(np.sqrt(50**2 + 2**2 + 60**2))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_longest_diameter_is_that_of_all_corners_on_any_grid(seed: int) -> None:
    random = np.random.default_rng(seed)
    inside = random.random(tuple(random.integers(1, 6, 3))) < random.choice([0.03, 0.1, 0.5])
    inside[tuple(random.integers(0, inside.shape))] = True
    affine = np.eye(4)
    turn = Rotation.random(rng=random).as_matrix() @ np.diag(random.choice([1, -1], 3) * random.uniform(0.2, 6, 3))
    shear = np.eye(3) + np.triu(random.uniform(-0.8, 0.8, (3, 3)), 1)
    affine[:3] = np.column_stack([turn @ shear, random.uniform(-500, 500, 3)])
    assert longest_diameter_mm(inside, affine) == pytest.approx(slow_longest_diameter_mm(inside, affine), rel=1e-9)


def test_large_lesions_are_measured_quickly() -> None:
    started = process_time()
    plate = longest_diameter_mm(np.ones((240, 240, 1), bool), np.eye(4))
    assert plate == pytest.approx(np.sqrt(240**2 + 240**2 + 1))
    from_center = np.abs(np.indices((81, 81, 81)) - 40)
    ball = (from_center**2).sum(axis=0) <= 40**2
    # Of a body that is its own reflection, the farthest points are one and its reflection.
    farthest = np.linalg.norm(from_center[:, ball] + 0.5, axis=0).max()
    assert longest_diameter_mm(ball, np.eye(4)) == pytest.approx(2 * farthest)
    assert process_time() - started < 3  # 0.2 s for the plate and 0.05 s for the ball on an idle core
