"""Volumes on other grids, and bias fields."""

from __future__ import annotations

from itertools import permutations, product

import numpy as np
import pytest

from data_prep.grid import Grid
from data_prep.resampling import correct_bias, resample

SHAPE = (19, 20, 21)
TURNED = np.array([[1.6, -0.9, 0.2, 5], [1.2, 1.2, 0, -7], [0, 0.3, 2.5, 11], [0, 0, 0, 1.0]])


def world(grid: Grid) -> np.ndarray:
    """World positions (3, I, J, K) of all voxels."""
    index = np.indices(grid.shape).reshape(3, -1)
    return (grid.affine[:3, :3] @ index + grid.affine[:3, 3:]).reshape(3, *grid.shape)


def inside(here: Grid, there: Grid) -> np.ndarray:
    """Voxels of `there` whose centers lie between voxel centers of `here`, and far from edges where those are coarser.

    Near an edge an average has values on one side only.
    """
    index = np.linalg.inv(here.affine) @ np.vstack([world(there).reshape(3, -1), np.ones(np.prod(there.shape))])
    span = np.linalg.norm(there.affine[:3, :3], axis=0) / np.linalg.norm(here.affine[:3, :3], axis=0)
    margin = np.where(span > 1, 2 * span, 0)[:, None]
    limits = np.array(here.shape)[:, None] - 1 - margin
    return ((index[:3] >= margin) & (index[:3] <= limits)).all(axis=0).reshape(there.shape)


@pytest.mark.parametrize("spacing_mm", [(1.0, 1.0, 1.0), (3.0, 1.3, 2.5), (0.7, 4.0, 2.0)])
def test_a_linear_field_of_the_world_is_the_same_on_every_grid(spacing_mm: tuple[float, float, float]) -> None:
    here = Grid(shape=SHAPE, affine=TURNED)
    there = here.with_spacing(spacing_mm)

    def field(grid: Grid) -> np.ndarray:
        right, anterior, superior = world(grid)
        return 3 * right - 2 * anterior + 0.5 * superior + 40

    moved = resample(field(here).astype(np.float32), here, there)
    known = inside(here, there)
    assert known.any()
    np.testing.assert_allclose(moved[known], field(there)[known], atol=1e-3)


def test_a_new_spacing_keeps_axes_and_middle_and_covers_the_same_box() -> None:
    here = Grid(shape=SHAPE, affine=TURNED)
    there = here.with_spacing((1.0, 1.0, 1.0))
    lengths = np.linalg.norm(here.affine[:3, :3], axis=0)
    np.testing.assert_allclose(there.affine[:3, :3], here.affine[:3, :3] / lengths)
    np.testing.assert_allclose(there.shape, np.array(SHAPE) * lengths, atol=0.5)
    for grid in (here, there):
        middle = grid.affine @ [*(np.array(grid.shape) - 1) / 2, 1]
        np.testing.assert_allclose(middle, here.affine @ [9, 9.5, 10, 1])


def test_the_same_grid_is_not_resampled() -> None:
    array = np.random.default_rng(0).normal(size=SHAPE)
    grid = Grid(shape=SHAPE, affine=TURNED)
    assert resample(array, grid, Grid(shape=SHAPE, affine=TURNED.copy())) is array


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("signs", list(product((1, -1), repeat=3))[1:4])
def test_labels_go_to_the_voxel_at_the_same_place(order: tuple[int, ...], signs: tuple[int, ...]) -> None:
    labels = np.random.default_rng(0).integers(0, 5, SHAPE).astype(np.uint8)
    here = Grid(shape=SHAPE, affine=TURNED)
    # The same voxels with axes in another order and direction.
    shape = tuple(SHAPE[axis] for axis in order)
    change = np.zeros((4, 4))
    change[3, 3] = 1
    for new, old in enumerate(order):
        change[old, new] = signs[new]
        change[old, 3] = 0 if signs[new] == 1 else SHAPE[old] - 1
    there = Grid(shape=(shape[0], shape[1], shape[2]), affine=TURNED @ change)
    expected = labels.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
    moved = resample(labels, here, there, smooth=False)
    assert moved.dtype == np.uint8
    np.testing.assert_array_equal(moved, expected)


def test_what_lies_outside_gets_the_outside_value() -> None:
    here = Grid(shape=SHAPE, affine=np.eye(4))
    far = Grid(shape=(2, 2, 2), affine=np.array([[1, 0, 0, 100], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]))
    assert (resample(np.ones(SHAPE, np.float32), here, far, outside=-7) == -7).all()


def test_n4_takes_a_smooth_field_out_and_leaves_the_background_alone() -> None:
    i, j, k = np.indices((48, 48, 24))
    head = ((i - 24) / 20) ** 2 + ((j - 24) / 20) ** 2 + ((k - 12) / 10) ** 2 < 1
    stripes = np.where((i // 4 + j // 4) % 2, 200.0, 100.0)
    field = np.exp(0.5 * np.sin(i / 25) + 0.4 * np.cos(j / 30))
    image = np.where(head, stripes * field, 0).astype(np.float32)
    corrected, found = correct_bias(image, head)
    assert (corrected[~head] == 0).all()
    np.testing.assert_allclose(corrected * found, image, atol=0.2)
    assert found[head].mean() == pytest.approx(1, abs=1e-3)

    def spread(values: np.ndarray) -> float:
        """Variation of one tissue's values."""
        tissue = values[head & (stripes == 200)]
        return float(tissue.std() / tissue.mean())

    assert spread(corrected) < 0.35 * spread(image)


def test_what_lies_between_the_samples_of_a_coarser_grid_is_averaged() -> None:
    here = Grid(shape=(60, 60, 20), affine=np.diag([1.0, 1, 1, 1]))
    checkers = np.where(np.indices(here.shape).sum(axis=0) % 2, 200.0, 100.0).astype(np.float32)
    coarse = resample(checkers, here, here.with_spacing((3, 3, 1)))
    np.testing.assert_allclose(coarse[3:-3, 3:-3, 3:-3], 150, atol=5)
    fine = resample(checkers, here, here.with_spacing((1, 1, 1 / 3)))
    assert fine.max() > 195  # nothing is blurred where nothing is lost
