"""Connected components against a flood fill and SciPy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from evaluation.components import find_components

Pixel = tuple[int, ...]


def flood_fill(mask: np.ndarray) -> list[list[Pixel]]:
    """The pixels of each component, diagonal neighbors connected, found one neighbor at a time."""
    waiting = {tuple(map(int, place)) for place in np.argwhere(mask)}
    steps = list(product((-1, 0, 1), repeat=mask.ndim))
    components = []
    while waiting:
        reached = [waiting.pop()]
        for place in reached:  # grows while it is walked
            for step in steps:
                neighbor = tuple(p + s for p, s in zip(place, step, strict=True))
                if neighbor in waiting:
                    waiting.remove(neighbor)
                    reached.append(neighbor)
        components.append(reached)
    return components


def random_mask(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """A mask of several components, in 3D sparser since there each pixel has 26 neighbors, and a signed map."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) < (0.3 if len(shape) == 2 else 0.08), rng.normal(size=shape)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("shape", [(12, 15), (6, 9, 8)])
@pytest.mark.parametrize("min_size", [0, 1, 4])
def test_components_agree_with_flood_fill(seed: int, shape: tuple[int, ...], min_size: int) -> None:
    mask, anomaly = random_mask(seed, shape)
    found = find_components(mask, anomaly, min_size=min_size)
    expected = {frozenset(pixels) for pixels in flood_fill(mask) if len(pixels) > min_size}
    assert len(found) == len(found.sizes) == len(expected)
    assert found.centroids.shape == (len(expected), len(shape))
    for number in range(1, len(found) + 1):
        pixels = [tuple(map(int, place)) for place in np.argwhere(found.labels == number)]
        assert frozenset(pixels) in expected
        assert found.sizes[number - 1] == len(pixels)
        center = [sum(pixel[axis] for pixel in pixels) / len(pixels) for axis in range(len(shape))]
        assert found.centroids[number - 1] == pytest.approx(center)
        values = [anomaly[pixel] for pixel in pixels]
        assert found.peaks[number - 1] == pytest.approx(max(values))
        assert found.means[number - 1] == pytest.approx(sum(values) / len(values), abs=1e-12)
    assert found.labels.max(initial=0) == len(found)


@pytest.mark.parametrize("shape", [(30, 40), (10, 14, 12)])
def test_components_agree_with_scipy(shape: tuple[int, ...]) -> None:
    mask, anomaly = random_mask(99, shape)
    found = find_components(mask, anomaly, min_size=0)
    labels, count = ndimage.label(mask, structure=np.ones((3,) * len(shape)))
    assert len(found) == count
    pairs = set(zip(found.labels.ravel().tolist(), labels.ravel().tolist(), strict=True))
    assert len(pairs) == count + 1  # the same parts, whatever their numbers, and the background
    peaks = ndimage.maximum(anomaly, labels, range(1, count + 1))
    np.testing.assert_array_equal(np.sort(found.peaks), np.sort(peaks))


def test_numbers_of_a_drawn_component(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw(".....", ".ab..", ".a...", ".....", a=0.25, b=1.0)
    found = find_components(anomaly > 0, anomaly, min_size=2)
    assert found.sizes.tolist() == [3]
    assert found.centroids[0] == pytest.approx([4 / 3, 4 / 3])  # rows 1, 1, 2; columns 1, 2, 1
    assert found.peaks.tolist() == [1.0]
    assert found.means[0] == pytest.approx(1 / 2)  # (1/4 + 1 + 1/4) / 3


def test_diagonal_neighbors_are_connected(draw: Callable[..., np.ndarray]) -> None:
    mask = draw("x..x", ".x..", "...x") > 0
    assert sorted(find_components(mask, mask.astype(float), min_size=0).sizes) == [1, 1, 2]


def test_corner_neighbors_are_connected_in_3d() -> None:
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[1, 1, 1] = True
    assert find_components(mask, mask.astype(float), min_size=1).centroids.tolist() == [[0.5, 0.5, 0.5]]


@pytest.mark.parametrize(("size", "kept"), [(9, 0), (10, 0), (11, 1)])
def test_component_of_min_size_is_dropped(size: int, kept: int) -> None:
    mask = np.zeros((3, 20), bool)
    mask[1, :size] = True
    found = find_components(mask, np.ones(mask.shape))  # the default is 10
    assert len(found) == kept
    assert (found.labels > 0).sum() == kept * size


@pytest.mark.parametrize("shape", [(4, 5), (3, 4, 5)])
def test_empty_mask_has_no_components(shape: tuple[int, ...]) -> None:
    found = find_components(np.zeros(shape, bool), np.ones(shape))
    assert len(found) == len(found.peaks) == len(found.means) == 0
    assert found.centroids.shape == (0, len(shape))
    assert not found.labels.any()


@pytest.mark.parametrize("shapes", [((4, 5), (5, 4)), ((20,), (20,)), ((2, 2, 2, 2), (2, 2, 2, 2))])
def test_wrong_shapes_are_refused(shapes: tuple[tuple[int, ...], ...]) -> None:
    with pytest.raises(ValueError, match="got"):
        find_components(np.ones(shapes[0], bool), np.ones(shapes[1]))


def test_memory_layout_does_not_matter() -> None:
    mask, anomaly = random_mask(5, (10, 12))
    plain = find_components(mask[::2].copy(), anomaly[::2].copy(), min_size=1)
    strided = find_components(mask[::2], np.asfortranarray(anomaly)[::2], min_size=1)
    np.testing.assert_array_equal(plain.labels > 0, strided.labels > 0)
    np.testing.assert_allclose(np.sort(plain.means), np.sort(strided.means))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    call_unmutated(find_components, random_mask(6, (20, 20)), min_size=2)
