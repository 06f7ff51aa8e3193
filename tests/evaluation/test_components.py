"""Connected components against a flood fill, SciPy and scikit-image."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage import measure

from evaluation.components import Components, find_components

Pixel = tuple[int, ...]
NEIGHBORHOODS = [(2, 1), (2, 2), (3, 1), (3, 2), (3, 3)]  # spatial dimensions and connectivity


def flood_fill(mask: np.ndarray, spatial_dims: int, connectivity: int) -> list[list[Pixel]]:
    """The pixels of each component, found one neighbor at a time."""
    waiting = {tuple(map(int, place)) for place in np.argwhere(mask)}
    steps = [
        step
        for step in product((-1, 0, 1), repeat=3)
        if sum(map(abs, step)) <= connectivity and (spatial_dims == 3 or step[0] == 0)
    ]
    components = []
    while waiting:
        reached = [waiting.pop()]
        for place in reached:  # grows while it is walked
            for step in steps:
                neighbor = tuple(p + s for p, s in zip(place, step, strict=True))
                if neighbor in waiting:
                    waiting.remove(neighbor)
                    reached.append(neighbor)
        components.append(sorted(reached))
    return components


def random_mask(seed: int, shape: tuple[int, int, int], share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A mask of several components, and a signed map of few values, so that peaks are not always unique."""
    rng = np.random.default_rng(seed)
    return rng.random(shape) < share, rng.integers(-4, 5, shape) / 4


def rows(components: Components) -> list[tuple[float, ...]]:
    """Size, row and column of the centroid, peak and mean of each, in an order of their own."""
    return sorted(
        (int(size), round(row, 9), round(column, 9), float(peak), round(float(mean), 9))
        for size, (_, row, column), peak, mean in zip(
            components.sizes, components.centroids, components.peaks, components.means, strict=True
        )
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("min_size", [0, 1, 4])
@pytest.mark.parametrize(("spatial_dims", "connectivity"), NEIGHBORHOODS)
def test_components_agree_with_flood_fill(seed: int, min_size: int, spatial_dims: Any, connectivity: int) -> None:
    mask, anomaly = random_mask(seed, (4, 7, 8), 0.3 if spatial_dims == 2 else 0.15)
    found = find_components(mask, anomaly, spatial_dims=spatial_dims, connectivity=connectivity, min_size=min_size)
    expected = [pixels for pixels in flood_fill(mask, spatial_dims, connectivity) if len(pixels) > min_size]
    assert found.labels.dtype == np.int32
    assert sorted(set(found.labels.ravel().tolist()) - {0}) == list(range(1, len(expected) + 1))
    assert len(found) == len(expected)
    for pixels in expected:
        number = found.labels[pixels[0]] - 1
        assert sorted(map(tuple, np.argwhere(found.labels == number + 1).tolist())) == pixels
        assert found.sizes[number] == len(pixels)
        by_axis = list(zip(*pixels, strict=True))
        assert found.centroids[number] == pytest.approx([sum(places) / len(pixels) for places in by_axis])
        assert found.boxes[number].tolist() == [[min(places), max(places) + 1] for places in by_axis]
        assert found.slices[number] == min(by_axis[0])
        values = [float(anomaly[pixel]) for pixel in pixels]
        assert found.peaks[number] == max(values)
        assert found.peak_places[number].tolist() == list(pixels[values.index(max(values))])
        assert found.means[number] == pytest.approx(sum(values) / len(values), abs=1e-12)


@pytest.mark.parametrize(("spatial_dims", "connectivity"), NEIGHBORHOODS)
def test_components_agree_with_scipy(spatial_dims: Any, connectivity: int) -> None:
    mask, anomaly = random_mask(99, (12, 24, 20))
    found = find_components(mask, anomaly, spatial_dims=spatial_dims, connectivity=connectivity, min_size=0)
    structure = np.zeros((3, 3, 3), bool)
    if spatial_dims == 3:
        structure[:] = ndimage.generate_binary_structure(3, connectivity)
    else:
        structure[1] = ndimage.generate_binary_structure(2, connectivity)
    labels, count = ndimage.label(mask, structure)
    numbers = range(1, count + 1)
    assert len(found) == count
    pairs = set(zip(found.labels.ravel().tolist(), labels.ravel().tolist(), strict=True))
    assert len(pairs) == count + 1  # the same parts, whatever their numbers, and the background
    theirs = np.array([theirs for ours, theirs in sorted(pairs) if ours])
    np.testing.assert_array_equal(found.peaks, ndimage.maximum(anomaly, labels, numbers)[theirs - 1])
    np.testing.assert_allclose(found.centroids, np.array(ndimage.center_of_mass(mask, labels, numbers))[theirs - 1])


@pytest.mark.parametrize(("spatial_dims", "connectivity"), NEIGHBORHOODS)
def test_components_agree_with_scikit_image(spatial_dims: Any, connectivity: int) -> None:
    mask, anomaly = random_mask(7, (3, 24, 20), 0.4 if connectivity == 1 else 0.2)
    found = find_components(mask, anomaly, spatial_dims=spatial_dims, connectivity=connectivity, min_size=2)
    parts = [(0, mask, anomaly)]
    if spatial_dims == 2:
        parts = [(number, mask[number], anomaly[number]) for number in range(len(mask))]
    expected = []
    for number, part, values in parts:
        for region in measure.regionprops(measure.label(part, connectivity=connectivity), values):
            if region.area > 2:
                own = (number,) if spatial_dims == 2 else ()
                first, last = region.bbox[: part.ndim], region.bbox[part.ndim :]
                box = list(zip(own + first, tuple(n + 1 for n in own) + last, strict=True))
                center = [round(float(c), 9) for c in own + region.centroid]
                expected.append((box, region.area, center, region.intensity_max, round(region.intensity_mean, 9)))
    ours = [
        ([tuple(ends) for ends in box.tolist()], size, np.round(center, 9).tolist(), peak, round(mean, 9))
        for box, size, center, peak, mean in zip(
            found.boxes, found.sizes, found.centroids, found.peaks, found.means, strict=True
        )
    ]
    assert len(ours) > 5
    assert sorted(ours) == sorted(expected)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_stacks_of_any_size_agree_with_scipy(spatial_dims: Any) -> None:
    structure = np.zeros((3, 3, 3), bool)
    structure[1 if spatial_dims == 2 else slice(None)] = True
    for shape in product((1, 2, 3), range(1, 10), range(1, 10)):
        mask, anomaly = random_mask(sum(shape), shape, 0.4)
        found = find_components(mask, anomaly, spatial_dims=spatial_dims, min_size=0)
        labels, count = ndimage.label(mask, structure)
        pairs = set(zip(found.labels.ravel().tolist(), labels.ravel().tolist(), strict=True))
        assert len(pairs) == count + (not mask.all())
        assert len(found) == count


def test_numbers_of_a_drawn_component(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw(".....", ".ab..", ".a...", ".....", a=0.25, b=1.0)[None]
    found = find_components(anomaly > 0, anomaly, min_size=2)
    assert found.sizes.tolist() == [3]
    assert found.centroids[0] == pytest.approx([0, 4 / 3, 4 / 3])  # rows 1, 1, 2; columns 1, 2, 1
    assert found.peaks.tolist() == [1.0]
    assert found.peak_places.tolist() == [[0, 1, 2]]
    assert found.means[0] == pytest.approx(1 / 2)  # (1/4 + 1 + 1/4) / 3
    assert found.boxes.tolist() == [[[0, 1], [1, 3], [1, 3]]]


def test_first_of_equal_peaks_is_its_place(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("aab", "bab", a=0.5, b=1.0)[None]
    assert find_components(anomaly > 0, anomaly, min_size=0).peak_places.tolist() == [[0, 0, 2]]


def test_component_of_negative_values_has_a_negative_peak(draw: Callable[..., np.ndarray]) -> None:
    anomaly = draw("ab", a=-2.0, b=-1.0)[None]
    found = find_components(anomaly < 0, anomaly, min_size=0)
    assert (found.peaks.tolist(), found.means.tolist()) == ([-1.0], [-1.5])


def test_pixels_outside_the_mask_do_not_count(draw: Callable[..., np.ndarray]) -> None:
    mask, anomaly = draw(".xx.")[None] > 0, draw("zabz", a=1, b=2, z=9)[None]
    found = find_components(mask, anomaly, min_size=0)
    assert (found.peaks.tolist(), found.means.tolist()) == ([2], [1.5])


@pytest.mark.parametrize(("connectivity", "sizes"), [(None, [1, 1, 2]), (2, [1, 1, 2]), (1, [1, 1, 1, 1])])
def test_diagonal_neighbors_are_connected_by_default(
    draw: Callable[..., np.ndarray], connectivity: int | None, sizes: list[int]
) -> None:
    mask = draw("x..x", ".x..", "...x")[None] > 0
    assert sorted(find_components(mask, mask, connectivity=connectivity, min_size=0).sizes) == sizes


@pytest.mark.parametrize(
    ("step", "connectivities"),
    [((1, 0, 0), [1, 2, 3, None]), ((1, 0, 1), [2, 3, None]), ((1, 1, 0), [2, 3, None]), ((1, 1, 1), [3, None])],
)
def test_connectivity_in_3d_is_how_many_axes_a_step_changes(step: Pixel, connectivities: list[int | None]) -> None:
    mask = np.zeros((2, 2, 2), bool)
    mask[0, 0, 0] = mask[step] = True
    for connectivity in (1, 2, 3, None):
        found = find_components(mask, mask, spatial_dims=3, connectivity=connectivity, min_size=0)
        assert len(found) == (1 if connectivity in connectivities else 2)


def test_slices_are_joined_in_3d_only() -> None:
    mask = np.zeros((3, 4, 4), bool)
    mask[:, 1:3, 1:3] = True
    flat, solid = (find_components(mask, mask, spatial_dims=dims) for dims in (2, 3))
    assert len(flat) == 0  # 4 pixels in each slice
    assert (solid.sizes.tolist(), solid.centroids.tolist()) == ([12], [[1, 1.5, 1.5]])
    assert solid.boxes.tolist() == [[[0, 3], [1, 3], [1, 3]]]
    apart = find_components(mask, mask, min_size=3)
    assert sorted(apart.slices.tolist()) == [0, 1, 2]


def test_empty_slice_parts_components_in_3d() -> None:
    mask = np.ones((3, 2, 2), bool)
    mask[1] = False
    assert find_components(mask, mask, spatial_dims=3, min_size=0).sizes.tolist() == [4, 4]


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize(("size", "kept"), [(9, 0), (10, 0), (11, 1)])
def test_component_of_ten_pixels_is_dropped_by_default(size: int, kept: int, spatial_dims: Any) -> None:
    mask = np.zeros((2, 3, 20), bool)
    mask[1, 1, :size] = True
    found = find_components(mask, np.ones(mask.shape), spatial_dims=spatial_dims)
    assert len(found) == kept
    assert (found.labels > 0).sum() == kept * size


@pytest.mark.parametrize("spatial_dims", [2, 3])
@pytest.mark.parametrize("shape", [(3, 4, 5), (0, 4, 5), (2, 0, 5)])
def test_empty_mask_has_no_components(shape: tuple[int, ...], spatial_dims: Any) -> None:
    found = find_components(np.zeros(shape, bool), np.ones(shape), spatial_dims=spatial_dims)
    assert len(found) == len(found.peaks) == len(found.means) == len(found.slices) == 0
    assert found.centroids.shape == found.peak_places.shape == (0, 3)
    assert found.boxes.shape == (0, 3, 2)
    assert found.labels.shape == shape
    assert not found.labels.any()


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_more_components_than_16_bits_can_number(spatial_dims: Any) -> None:
    mask = np.indices((16, 100, 100)).sum(axis=0) % 2 == 0  # single pixels in a checkerboard: 5,000 a slice
    found = find_components(mask, mask, spatial_dims=spatial_dims, connectivity=1, min_size=0)
    assert len(found) == 80_000
    assert np.array_equal(np.sort(found.labels[mask]), np.arange(1, 80_001))


@given(st.integers(0, 2**32 - 1), st.permutations(range(5)))
@settings(max_examples=40, deadline=None)
def test_order_of_slices_does_not_matter_in_2d(seed: int, order: list[int]) -> None:
    mask, anomaly = random_mask(seed, (5, 6, 7))
    plain, permuted = (find_components(m, a, min_size=1) for m, a in ((mask, anomaly), (mask[order], anomaly[order])))
    assert rows(plain) == rows(permuted)
    np.testing.assert_array_equal(plain.labels[order] > 0, permuted.labels > 0)


@given(st.integers(0, 2**32 - 1), st.sampled_from(NEIGHBORHOODS), st.sets(st.sampled_from([0, 1, 2])))
@settings(max_examples=40, deadline=None)
def test_flipped_components_are_flipped(seed: int, neighborhood: tuple[Any, int], axes: set[int]) -> None:
    mask, anomaly = random_mask(seed, (4, 6, 7))
    chosen = {"spatial_dims": neighborhood[0], "connectivity": neighborhood[1], "min_size": 1}
    plain = find_components(mask, anomaly, **chosen)
    flipped = find_components(np.flip(mask, tuple(axes)), np.flip(anomaly, tuple(axes)), **chosen)
    np.testing.assert_array_equal(np.flip(plain.labels, tuple(axes)) > 0, flipped.labels > 0)
    assert sorted(zip(plain.sizes, plain.peaks, strict=True)) == sorted(zip(flipped.sizes, flipped.peaks, strict=True))
    ends = np.array(mask.shape) - 1
    turned = np.where(np.isin([0, 1, 2], list(axes)), ends - plain.centroids, plain.centroids)
    np.testing.assert_allclose(sorted(np.round(turned, 9).tolist()), sorted(np.round(flipped.centroids, 9).tolist()))


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_memory_layout_does_not_matter(spatial_dims: Any) -> None:
    mask, anomaly = random_mask(5, (6, 10, 12))
    plain = find_components(mask[::2].copy(), anomaly[::2].copy(), spatial_dims=spatial_dims, min_size=1)
    strided = find_components(np.asfortranarray(mask)[::2], anomaly[::2], spatial_dims=spatial_dims, min_size=1)
    np.testing.assert_array_equal(plain.labels > 0, strided.labels > 0)
    assert rows(plain) == rows(strided)


@pytest.mark.parametrize(
    ("mask", "anomaly", "error", "message"),
    [
        (np.ones((4, 5), bool), np.ones((4, 5)), ValueError, r"`mask` must be \(S, H, W\), got \(4, 5\)"),
        (np.ones((1, 4, 5), bool), np.ones((4, 5)), ValueError, r"`anomaly` must be \(S, H, W\), got \(4, 5\)"),
        (np.ones((1, 4, 5), bool), np.ones((1, 5, 4)), ValueError, r"`mask` \(1, 4, 5\), `anomaly` \(1, 5, 4\)"),
        (np.ones((1, 4, 5), bool), np.full((1, 4, 5), np.nan), ValueError, "`anomaly` must be finite"),
        (np.ones((1, 4, 5), bool), np.ones((1, 4, 5), complex), TypeError, "`anomaly` must hold real numbers"),
        ([[[True]]], np.ones((1, 1, 1)), TypeError, "`mask` must be a NumPy array, got list"),
    ],
)
def test_wrong_arrays_are_refused(mask: Any, anomaly: np.ndarray, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        find_components(mask, anomaly)


@pytest.mark.parametrize(("spatial_dims", "connectivity"), [(2, 0), (2, 3), (3, 4), (1, 1), (3, 26)])
def test_impossible_connectivity_is_refused(spatial_dims: Any, connectivity: int) -> None:
    mask = np.ones((2, 3, 3), bool)
    with pytest.raises(ValueError, match=f"`connectivity` must be .*, got {connectivity} and {spatial_dims}"):
        find_components(mask, mask, spatial_dims=spatial_dims, connectivity=connectivity)


@pytest.mark.parametrize("spatial_dims", [2, 3])
def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any], spatial_dims: Any) -> None:
    call_unmutated(find_components, random_mask(6, (3, 20, 20)), spatial_dims=spatial_dims, min_size=2)
