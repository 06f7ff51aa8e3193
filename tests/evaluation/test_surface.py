"""Hausdorff distance against all distances between all surface voxels, and values worked by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from evaluation.surface import hausdorff95
from evaluation.undefined import UndefinedMetricWarning

Spacing = tuple[float, float, float]
FACES = [(-1, 0, 0), (1, 0, 0), (0, -1, 0), (0, 1, 0), (0, 0, -1), (0, 0, 1)]


def surface(mask: np.ndarray) -> list[tuple[int, ...]]:
    """Voxels of a mask with a face to the outside, which is also what lies beyond the array."""
    inside = {tuple(voxel) for voxel in np.argwhere(mask).tolist()}
    return [
        voxel
        for voxel in sorted(inside)
        if any(tuple(v + s for v, s in zip(voxel, step, strict=True)) not in inside for step in FACES)
    ]


def percentile95(distances: list[float]) -> float:
    """95th percentile, linear between the two distances of nearest rank."""
    ordered = sorted(distances)
    rank = 0.95 * (len(ordered) - 1)
    below = int(rank)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (rank - below) * (ordered[above] - ordered[below])


def slow_hausdorff95(predicted: np.ndarray, truth: np.ndarray, spacing: Spacing) -> float:
    one, two = (np.array(surface(mask)) * spacing for mask in (predicted, truth))
    distances = cdist(one, two)
    return max(percentile95(distances.min(axis=1).tolist()), percentile95(distances.min(axis=0).tolist()))


def random_masks(seed: int, shape: tuple[int, int, int] = (5, 8, 7)) -> tuple[np.ndarray, np.ndarray]:
    """Two masks with an inside, of two boxes each and some single voxels."""
    rng = np.random.default_rng(seed)
    masks = rng.random((2, *shape)) < 0.01
    for mask in (masks[0], masks[0], masks[1], masks[1]):
        first = rng.integers(0, np.array(shape) - 1)
        mask[tuple(slice(f, f + side) for f, side in zip(first, rng.integers(1, 6, 3), strict=True))] = True
    return masks[0], masks[1]


def voxels(*places: tuple[int, int, int], shape: tuple[int, int, int] = (6, 9, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    for place in places:
        mask[place] = True
    return mask


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (5.0, 0.5, 0.75)])
def test_distance_agrees_with_all_distances(seed: int, spacing: Spacing) -> None:
    predicted, truth = random_masks(seed)
    result = hausdorff95(predicted, truth, spacing_mm=spacing)
    assert result == pytest.approx(slow_hausdorff95(predicted, truth, spacing), rel=1e-6)


def test_distance_of_two_voxels_is_in_millimeters() -> None:
    # 2 slices of 4 mm and 3 rows of 2 mm apart: √(8² + 6²).
    assert hausdorff95(voxels((1, 1, 1)), voxels((3, 4, 1)), spacing_mm=(4, 2, 1)) == pytest.approx(10)


def test_farthest_twentieth_of_a_surface_is_left_out() -> None:
    line = [(0, 0, column) for column in range(10)]
    # Eleven distances, ten of 0 and one of 20: rank 0.95 · 10 = 9.5 lies halfway between the two last.
    assert hausdorff95(voxels(*line, (0, 0, 29)), voxels(*line), spacing_mm=(1, 1, 1)) == pytest.approx(20 / 2)
    longer = [(0, 0, column) for column in range(20)]
    # Of 21, rank 19 is the last 0.
    assert hausdorff95(voxels(*longer, (0, 0, 39)), voxels(*longer), spacing_mm=(1, 1, 1)) == 0


def test_direction_does_not_matter() -> None:
    line = [(0, 0, column) for column in range(10)]
    assert hausdorff95(voxels(*line), voxels(*line, (0, 0, 29)), spacing_mm=(1, 1, 1)) == pytest.approx(20 / 2)


def test_inside_of_a_volume_is_no_surface() -> None:
    solid = voxels(*[(i, j, k) for i in range(3) for j in range(3) for k in range(3)])
    hollow = solid & ~voxels((1, 1, 1))
    assert hausdorff95(hollow, solid, spacing_mm=(1, 1, 1)) == 0  # the 26 outer voxels are the surface of both


def test_all_of_a_single_slice_is_surface(draw: Callable[..., np.ndarray]) -> None:
    square, ring = (draw(*["xxxxx", line, line, line, "xxxxx"])[None] for line in ("xxxxx", "x...x"))
    # Above and below it is outside, so to each of the square's 25 pixels belongs a distance to the ring: 16 are 0,
    # 8 are 1, and the center has 2. Rank 0.95 · 24 = 22.8 lies between two of 1.
    assert hausdorff95(square, ring, spacing_mm=(9, 1, 1)) == 1


def test_edge_of_the_array_is_outside() -> None:
    full = np.ones((3, 3, 3), bool)
    # 6 of the 26 outer voxels are 1 from the center, 12 are √2 and 8 √3; rank 0.95 · 25 lies among the last.
    assert hausdorff95(full, voxels((1, 1, 1), shape=(3, 3, 3)), spacing_mm=(1, 1, 1)) == pytest.approx(np.sqrt(3))


def test_empty_surroundings_do_not_matter() -> None:
    predicted, truth = random_masks(3)
    padded = (np.pad(mask, ((2, 0), (0, 5), (1, 1))) for mask in (predicted, truth))
    spacing = (3.0, 1.0, 2.0)
    assert hausdorff95(*padded, spacing_mm=spacing) == hausdorff95(predicted, truth, spacing_mm=spacing)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_flipping_does_not_matter(axis: int) -> None:
    predicted, truth = random_masks(4)
    spacing = (3.0, 1.0, 2.0)
    flipped = hausdorff95(np.flip(predicted, axis), np.flip(truth, axis), spacing_mm=spacing)
    assert flipped == pytest.approx(hausdorff95(predicted, truth, spacing_mm=spacing), rel=1e-6)


def test_labels_above_zero_are_lesion() -> None:
    predicted, truth = random_masks(5)
    labels = np.where(truth, 4, -1)
    expected = hausdorff95(predicted, truth, spacing_mm=(1, 1, 1))
    assert hausdorff95(predicted.astype(float), labels, spacing_mm=(1, 1, 1)) == expected


@pytest.mark.parametrize(("one", "two"), [(0, 1), (1, 0), (0, 0)])
def test_distance_to_an_empty_mask_is_undefined(one: int, two: int) -> None:
    shape = (2, 3, 3)
    with pytest.warns(UndefinedMetricWarning, match="Hausdorff distance is undefined: one of the masks is empty"):
        assert np.isnan(hausdorff95(np.full(shape, one), np.full(shape, two), spacing_mm=(1, 1, 1)))


@pytest.mark.parametrize(
    ("predicted", "truth", "error", "message"),
    [
        (np.ones((3, 3)), np.ones((3, 3)), ValueError, r"`predicted` must be \(S, H, W\), got \(3, 3\)"),
        (np.ones((1, 3, 3)), np.ones((1, 3, 4)), ValueError, r"`predicted` \(1, 3, 3\), `truth` \(1, 3, 4\)"),
        (np.ones((1, 3, 3)), [[[1]]], TypeError, "`truth` must be a NumPy array, got list"),
    ],
)
def test_wrong_arrays_are_refused(predicted: Any, truth: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        hausdorff95(predicted, truth, spacing_mm=(1, 1, 1))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    call_unmutated(hausdorff95, random_masks(6), spacing_mm=(1, 1, 1))
