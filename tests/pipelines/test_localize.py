"""Lesions in a patient's own geometry, and against the patient's own mask: by definition, and by hand."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.foreground import bounding_box
from data_prep.preparation import Preparation, PreparedSlices, prepare_slices
from data_prep.slicing import to_slices
from data_prep.volume import SourceGrid, Volume
from evaluation.components import find_components
from evaluation.difference import difference_map, foreground_of, signed_difference_map
from pipelines.inference import PatientMaps
from pipelines.localize import Localization, compare_with_truth, localize
from pipelines.place import Anatomy
from pipelines.reporting.record import Lesion, Truth
from tests.pipelines.slow_localize import PLANES, SLICE_DIRECTION, slow_lesions, slow_matches, slow_place

IN_PLANE = {"axial": (1, 0), "coronal": (2, 0), "sagittal": (2, 1)}
"""The volume's axes that run along rows and columns of a slice."""
FLIPPED = np.diag([-1.0, -1.5, 2.0, 1.0])
"""Voxels of a file that runs left and posterior."""


def whole_slices(plane: Any, shape: tuple[int, ...], **options: Any) -> Preparation:
    """Each pixel of a slice is one voxel of a volume of this shape, if its foreground reaches all edges."""
    rows, columns = (shape[axis] for axis in IN_PLANE[plane])
    options = {"channels": ("flair",), "min_foreground_share": 0, "foreground": "zero", **options}
    return Preparation(size=(rows, columns), axis=plane, field_of_view_mm="crop", **options)


def patient(*channels: np.ndarray, affine: np.ndarray = FLIPPED) -> Volume:
    """From channels in RAS+ order, as if they had been read from a file that lies as `affine` says."""
    kept = SourceGrid(path=Path("P"), sha256="", shape=channels[0].shape, affine=affine)
    return Volume.from_file_order(np.stack([kept.from_ras(channel) for channel in channels]), kept)


def noise(random: np.random.Generator, shape: tuple[int, ...], dtype: Any = np.int16) -> np.ndarray:
    """Values without a background."""
    return random.integers(50, 200, shape).astype(dtype)


def as_mapped(prepared: PreparedSlices, change: np.ndarray, candidates: np.ndarray) -> PatientMaps:
    """Maps of a network that removes `change` (S, C, H, W), with candidates (S, H, W; bool) drawn by hand."""
    images = prepared.images.astype(np.float32)
    healthy = images - change.astype(np.float32)
    anomaly = difference_map(images, healthy)
    return PatientMaps(
        images=images,
        healthy=healthy,
        foreground=foreground_of(images),
        anomaly=anomaly,
        signed=signed_difference_map(images, healthy),
        scores=anomaly.max(axis=(1, 2)),
        candidates=find_components(candidates, anomaly, min_size=0),
    )


SHOWN = whole_slices("axial", (32, 32, 5), intensity="window", intensity_window=(0, 100))
"""1 on the scale is 100 in the file."""


def located(volume: Volume, change: np.ndarray, *, threshold: float = 0) -> Localization:
    """Lesions of a patient (32, 32, 5) whose candidates lie wherever `change` (32, 32, 5) is not 0."""
    prepared = prepare_slices(volume, SHOWN)
    slices = to_slices(change, "axial")[prepared.indices]
    return localize(volume, prepared, as_mapped(prepared, slices[:, None], slices != 0), SHOWN, threshold=threshold)


@pytest.mark.parametrize("plane", PLANES)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), signs=st.sampled_from(list(product((1, -1), repeat=3))))
def test_lesions_are_those_found_pixel_by_pixel(plane: str, seed: int, signs: tuple[int, ...]) -> None:
    random = np.random.default_rng(seed)
    shape = [33, 32, 34]
    shape[SLICE_DIRECTION[plane]] = 6
    image = noise(random, tuple(shape)) * (random.random(shape) < 0.95)
    image[0, 0, 0] = image[-1, -1, -1] = 60
    blank = [slice(None)] * 3
    blank[SLICE_DIRECTION[plane]] = slice(2, 3)
    image[tuple(blank)] = 0
    volume = patient(image, affine=np.diag([*(signs * np.array([1.0, 1.5, 2.0])), 1.0]))
    preparation = whole_slices(plane, volume.shape)
    prepared = prepare_slices(volume, preparation)
    assert prepared.indices.tolist() == [0, 1, 3, 4, 5]
    change = random.uniform(-0.5, 0.5, prepared.images.shape)
    candidates = (random.random(prepared.images[:, 0].shape) < 0.06) & (prepared.images[:, 0] > 0)
    maps = as_mapped(prepared, change, candidates)
    threshold = float(np.median(maps.candidates.peaks))  # one candidate or two are equal to it

    found = localize(volume, prepared, maps, preparation, threshold=threshold)

    expected = slow_lesions(candidates, maps.signed, prepared.indices.tolist(), volume.shape, plane, threshold)
    assert len(expected) > 10
    assert [lesion.number for lesion in found.lesions] == list(range(1, len(expected) + 1))
    totals = []
    for lesion, centroid in zip(found.lesions, found.centroids, strict=True):
        own = np.argwhere(found.labels == lesion.number)
        slow = expected[frozenset(tuple(voxel) for voxel in own.tolist())]
        totals.append(slow.total)
        np.testing.assert_allclose(centroid, own.mean(axis=0))
        assert lesion.peak_anomaly == pytest.approx(slow.peak, abs=5.1e-5)
        assert lesion.mean_anomaly == pytest.approx(slow.mean, abs=5.1e-5)
        assert lesion.brighter == slow.brighter
    assert np.diff(totals).max() < 1e-9
    np.testing.assert_array_equal(found.foreground, volume.channels[0] > 0)
    in_file, foreground = volume.source.from_ras(found.labels), volume.source.from_ras(found.foreground)
    for lesion in found.lesions[:3]:
        place = slow_place(in_file == lesion.number, foreground, volume.source.affine, plane)
        for name, value in place.items():
            own_value = getattr(lesion, name)
            assert own_value == (value if isinstance(value, str) else pytest.approx(value, abs=5.1e-3)), name


def test_the_largest_sum_of_anomaly_comes_first_and_equal_ones_keep_their_order() -> None:
    change = np.zeros((32, 32, 5))
    change[20:24, 4, 1] = 0.5  # 2, as one further on
    change[2, 30, 3] = 1  # 1, the highest peak
    change[4:12, 20, 2] = 0.25  # 2, as one before
    change[10:30, 10, 2] = 0.125  # 2.5, the lowest mean
    found = located(patient(np.full((32, 32, 5), 90)), change)
    assert [found.labels[place] for place in ((10, 10, 2), (20, 4, 1), (4, 20, 2), (2, 30, 3))] == [1, 2, 3, 4]
    assert [lesion.mean_anomaly for lesion in found.lesions] == [0.125, 0.5, 0.25, 1]


def test_a_blank_slice_parts_what_lies_above_it_from_what_lies_below() -> None:
    change = np.zeros((32, 32, 5))
    change[8:12, 8:12, 1:4] = 0.5
    image = np.full((32, 32, 5), 90)
    assert len(located(patient(image), change).lesions) == 1
    image[:, :, 2] = 0
    found = located(patient(image), change)
    assert [(lesion.first_slice, lesion.last_slice) for lesion in found.lesions] == [(1, 1), (3, 3)]
    assert np.count_nonzero(found.labels) == 32


def test_candidates_that_touch_at_a_corner_in_neighboring_slices_are_one_lesion() -> None:
    change = np.zeros((32, 32, 5))
    change[8:10, 8:10, 1] = change[10:12, 10:12, 2] = 0.5
    change[13:15, 10:12, 2] = 0.25  # beside it, but for one voxel
    found = located(patient(np.full((32, 32, 5), 90)), change)
    assert [np.count_nonzero(found.labels == number) for number in (1, 2, 3)] == [8, 4, 0]


def test_candidates_below_the_threshold_are_no_part_of_a_lesion_and_those_equal_to_it_are() -> None:
    change = np.zeros((32, 32, 5))
    change[8:12, 8:12, 1], change[8:12, 8:12, 2], change[8:12, 8:12, 3] = 0.25, 0.5, -0.5
    found = located(patient(np.full((32, 32, 5), 90)), change, threshold=0.5)
    (lesion,) = found.lesions
    assert (lesion.first_slice, lesion.last_slice) == (2, 3)
    nothing = located(patient(np.full((32, 32, 5), 90)), change, threshold=0.51)
    assert nothing.lesions == []
    assert nothing.centroids.shape == (0, 3)
    assert not nothing.labels.any()


@pytest.mark.parametrize(("darker", "is_brighter"), [(-0.25, True), (-0.75, False)])
def test_brighter_is_the_sign_of_the_mean_change(darker: float, is_brighter: bool) -> None:
    change = np.zeros((32, 32, 5))
    change[8:12, 8:10, 1], change[8:12, 10:12, 1] = 0.5, darker
    (lesion,) = located(patient(np.full((32, 32, 5), 90)), change).lesions
    assert lesion.brighter is is_brighter
    assert lesion.mean_anomaly == (0.5 + abs(darker)) / 2


def test_a_lesion_that_vanishes_on_a_coarser_source_grid_leaves_no_gap() -> None:
    # Of three fine voxels along each axis only the middle one is nearest to the center of a voxel of the source.
    volume = patient(np.full((12, 12, 4), 90), affine=np.diag([3.0, 3.0, 3.0, 1.0]))
    options = {"size": (36, 36), "field_of_view_mm": "crop", "foreground": "all", "min_foreground_share": 0}
    preparation = Preparation(
        channels=("flair",), spacing_mm=(1, 1, 1), intensity="window", intensity_window=(0, 100), **options
    )
    prepared = prepare_slices(volume, preparation)
    assert prepared.grid.shape == (36, 36, 12)
    change = np.zeros((36, 36, 12))
    change[3:9, 3:9, 3:6] = 0.5
    change[18, 10:30, 6] = 1.0  # no fine voxel in the middle of a coarse one
    change[25, 25, 10] = 0.25
    slices = to_slices(change, "axial")
    maps = as_mapped(prepared, slices[:, None], slices != 0)

    found = localize(volume, prepared, maps, preparation, threshold=0)

    assert len(maps.candidates) == 5
    assert [(lesion.number, lesion.peak_anomaly) for lesion in found.lesions] == [(1, 0.5), (2, 0.25)]
    expected = np.zeros((12, 12, 4))
    expected[1:3, 1:3, 1], expected[8, 8, 3] = 1, 2
    np.testing.assert_array_equal(found.labels, expected)

    only_thin = slices == 1
    vanished = localize(
        volume, prepared, as_mapped(prepared, slices[:, None] * only_thin[:, None], only_thin), preparation, threshold=0
    )
    assert vanished.lesions == []
    assert not vanished.labels.any()


OBLIQUE = np.array([[-0.9, 0.4, 0.1, 9], [-0.3, -1.3, 0.2, 8], [0, 0.1, 3.5, 7], [0, 0, 0, 1]])
RESAMPLED = [
    pytest.param({}, id="enlarged"),
    pytest.param({"spacing_mm": (1.0, 1.4, 1.7)}, id="finer slices"),
    pytest.param({"spacing_mm": (2.1, 2.6, 5.5)}, id="coarser slices"),
    pytest.param({"bias_correction": True}, id="bias"),
    pytest.param({"bias_correction": True, "spacing_mm": (1.3, 1.0, 2.0)}, id="bias, finer slices"),
]


@pytest.mark.parametrize("plane", PLANES)
@pytest.mark.parametrize("options", RESAMPLED)
def test_on_any_grid_volumes_agree_with_each_other(options: dict[str, Any], plane: Any) -> None:
    random = np.random.default_rng(7)
    i, j, k = np.indices((44, 40, 20))
    head = ((i - 24) / 15) ** 2 + ((j - 20) / 14) ** 2 + ((k - 10) / 9) ** 2 < 1
    image = np.where(head, 300 + i + random.integers(0, 60, head.shape), 0).astype(np.int16)
    volume = patient(image, affine=OBLIQUE)
    preparation = Preparation(channels=("flair",), size=(32, 32), field_of_view_mm=50, axis=plane, **options)
    prepared = prepare_slices(volume, preparation)
    change = np.where(random.random(prepared.images.shape) < 0.03, random.uniform(-0.5, 0.5, prepared.images.shape), 0)
    candidates = (random.random(prepared.images[:, 0].shape) < 0.01) & (prepared.images[:, 0] > 0)
    maps = as_mapped(prepared, change, candidates)

    found = localize(volume, prepared, maps, preparation, threshold=0.0)

    (source,) = volume.channels
    assert 0.3 * head.sum() < found.foreground.sum() < 1.5 * head.sum()
    np.testing.assert_array_equal(found.healthy[0][~found.foreground], source[~found.foreground])
    assert not found.difference[~found.foreground].any()
    unchanged = found.difference == 0
    assert (unchanged & found.foreground).any()
    np.testing.assert_array_equal(found.healthy[0][unchanged], source[unchanged])
    fields = prepared.bias_fields or (1,)
    (scale,) = prepared.scales
    np.testing.assert_allclose(
        (source - found.healthy[0]) / fields[0] / (scale.high - scale.low), found.difference, atol=1e-6
    )
    assert np.abs(found.difference).max() > 0.05  # of 0.5, in single pixels

    assert len(found.lesions) > 5
    assert set(np.unique(found.labels)) == set(range(len(found.lesions) + 1))
    assert not found.labels[~found.foreground].any()
    for lesion in found.lesions:
        inside = found.labels == lesion.number
        voxel_mm3 = abs(np.linalg.det(OBLIQUE[:3, :3]))
        assert lesion.volume_mm3 == pytest.approx(inside.sum() * voxel_mm3, abs=0.0051)
        assert lesion.brighter == (found.difference[inside].mean() > 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16, np.int32, np.float32])
def test_a_change_is_taken_from_the_source_whatever_its_type(dtype: Any) -> None:
    image = noise(np.random.default_rng(1), (32, 32, 5), dtype)
    change = np.zeros(image.shape)
    change[4:9, 4:9, 2], change[20:25, 4:9, 3] = 0.25, -1.75
    volume = patient(image)
    found = located(volume, change)
    assert found.healthy.dtype == np.float32
    np.testing.assert_array_equal(found.healthy[0], image - 100 * change)
    np.testing.assert_array_equal(found.difference, change)
    np.testing.assert_array_equal(volume.channels[0], image)


def test_each_channel_changes_on_its_own_scale_and_the_difference_is_the_strongest() -> None:
    random = np.random.default_rng(3)
    shape = (32, 32, 5)
    images = [noise(random, shape), noise(random, shape) * 10, noise(random, shape) + 7]
    volume = patient(*images)
    preparation = whole_slices("axial", shape, channels=("flair", "t1ce", "t2"))
    prepared = prepare_slices(volume, preparation)
    changes = np.zeros((3, *shape))
    changes[0, 4:9, 4:9, 2] = 0.25
    changes[1, 6:14, 4:9, 2] = -0.5
    slices = to_slices(changes, "axial").swapaxes(0, 1)
    maps = as_mapped(prepared, slices, (slices != 0).any(axis=1))

    found = localize(volume, prepared, maps, preparation, threshold=0)

    np.testing.assert_array_equal(found.healthy[2], images[2])
    for channel in (0, 1):
        scale = prepared.scales[channel]
        own = (images[channel] - found.healthy[channel]) / (scale.high - scale.low)
        np.testing.assert_allclose(own, changes[channel], atol=1e-6)
    strongest = changes[0] + changes[1]
    strongest[6:9, 4:9, 2] = -0.5
    np.testing.assert_array_equal(found.difference, strongest)
    (lesion,) = found.lesions
    assert not lesion.brighter
    assert lesion.peak_anomaly == 0.5


SHAPE = (13, 12, 11)
AXIAL = Preparation(channels=("flair",))


def as_found(volume: Volume, labels: np.ndarray) -> Localization:
    """What is found where candidates lie as `labels` (I, J, K) says."""
    foreground = np.ones(volume.shape, bool)
    anatomy = Anatomy.of(volume, foreground, 2)
    lesions, centroids = [], []
    for number in range(1, int(labels.max(initial=0)) + 1):
        inside = labels == number
        box = bounding_box(inside)
        assert box is not None
        centroids.append(np.argwhere(inside).mean(axis=0))
        shown = {"number": number, "peak_anomaly": 1, "mean_anomaly": 1, "brighter": True}
        lesions.append(Lesion(**shown, **anatomy.describe(inside[box], box)))
    return Localization(
        healthy=volume.array.astype(np.float32),
        difference=np.zeros(volume.shape, np.float32),
        labels=labels.astype(np.uint16),
        foreground=foreground,
        lesions=lesions,
        centroids=np.reshape(centroids, (-1, 3)),
    )


Box = tuple[slice | int, slice | int, slice | int]


def compared(candidates: Iterable[Box], truth: Iterable[Box]) -> tuple[list[Any], Truth]:
    """What candidates are, each drawn as a box, and the count."""
    labels, mask = np.zeros(SHAPE, int), np.zeros(SHAPE, bool)
    for number, box in enumerate(candidates, start=1):
        labels[box] = number
    for box in truth:
        mask[box] = True
    volume = patient(np.ones(SHAPE))
    found, counts = compare_with_truth(volume, as_found(volume, labels), mask, AXIAL)
    return [lesion.match for lesion in found.lesions], counts


def numbers(counts: Truth) -> tuple[int, int, int, int]:
    return counts.lesions, counts.found, counts.false_candidates, len(counts.missed)


CUBE = (slice(2, 6), slice(2, 6), slice(2, 6))


@pytest.mark.parametrize(
    ("candidates", "truth", "matches", "counts"),
    [
        pytest.param([(3, 3, 3)], [CUBE], ["hit"], (1, 1, 0, 0), id="hit"),
        pytest.param([(9, 9, 9)], [CUBE], ["false"], (1, 0, 1, 1), id="false"),
        pytest.param([(9, 9, 9), (3, 3, 3)], [CUBE], ["false", "hit"], (1, 1, 1, 0), id="false and hit"),
        pytest.param([(3, 3, 3), (5, 5, 5)], [CUBE], ["hit", "hit"], (1, 1, 0, 0), id="two in one"),
        pytest.param([(3, 0, 0)], [(3, 0, slice(0, 10))], ["excused"], (0, 0, 0, 0), id="10 voxels"),
        pytest.param([(3, 0, 0)], [(3, 0, slice(0, 11))], ["hit"], (1, 1, 0, 0), id="11 voxels"),
        pytest.param([(9, 9, 9)], [(3, 0, slice(0, 10))], ["false"], (0, 0, 1, 0), id="beside 10 voxels"),
        pytest.param([(9, 9, 9), (3, 3, 3)], [], ["false", "false"], (0, 0, 2, 0), id="nothing to find"),
        pytest.param([], [CUBE, (9, 9, slice(None))], [], (2, 0, 0, 2), id="nothing found"),
        pytest.param([], [], [], (0, 0, 0, 0), id="nothing"),
        # From 4 to 7 the middle is 5.5, from 5 to 7 it is 6; the lesion ends at 5.
        pytest.param([(slice(4, 7), 3, 3)], [CUBE], ["hit"], (1, 1, 0, 0), id="overlaps with its centroid"),
        pytest.param([(slice(5, 9), 3, 3)], [CUBE], ["false"], (1, 0, 1, 1), id="overlaps with less"),
        pytest.param([(slice(5, 7), 3, 3)], [CUBE], ["false"], (1, 0, 1, 1), id="halfway is outside above"),
        pytest.param([(slice(1, 3), 3, 3)], [CUBE], ["hit"], (1, 1, 0, 0), id="halfway is inside below"),
        pytest.param([(0, 0, 0)], [(0, 0, slice(5)), (1, 1, slice(5, 11))], ["hit"], (1, 1, 0, 0), id="by a corner"),
        pytest.param([(0, 0, 0)], [(0, 0, slice(5)), (1, 1, slice(6, 11))], ["excused"], (0, 0, 0, 0), id="parted"),
    ],
)
def test_candidates_hit_what_their_centroid_lies_in(
    candidates: list[Box], truth: list[Box], matches: list[str], counts: tuple[int, ...]
) -> None:
    found, counted = compared(candidates, truth)
    assert found == matches
    assert numbers(counted) == counts


def test_a_centroid_in_the_hole_of_a_lesion_hits_nothing() -> None:
    shell = np.zeros(SHAPE, int)
    shell[2:7, 2:7, 2:7] = 1
    shell[3:6, 3:6, 3:6] = 0
    volume = patient(np.ones(SHAPE))
    found, counts = compare_with_truth(volume, as_found(volume, shell), shell > 0, AXIAL)
    assert found.lesions[0].match == "false"  # though all of it is lesion
    assert numbers(counts) == (1, 0, 1, 1)
    found, counts = compare_with_truth(volume, as_found(volume, shell), shell == 0, AXIAL)
    assert found.lesions[0].match == "hit"
    core = np.zeros(SHAPE, bool)
    core[4, 4, 4] = True
    found, counts = compare_with_truth(volume, as_found(volume, shell), core, AXIAL)
    assert found.lesions[0].match == "excused"  # though none of it is
    assert numbers(counts) == (0, 0, 0, 0)


def test_missed_lesions_are_described_in_the_file_and_the_largest_comes_first() -> None:
    small, large, middle = (slice(0, 11), 0, 0), (slice(0, 4), slice(8, 12), 4), (12, slice(0, 12), 9)
    matches, counts = compared([], [small, large, middle])
    assert matches == []
    assert [missed.volume_mm3 for missed in counts.missed] == [16 * 3, 12 * 3, 11 * 3]
    # The file runs left and posterior: of 13 voxels the last is number 0.
    assert [missed.center_voxel for missed in counts.missed] == [(10.5, 1.5, 4), (0, 5.5, 9), (7, 11, 0)]
    assert [missed.hemisphere for missed in counts.missed] == ["midline", "right", "midline"]
    assert [missed.height for missed in counts.missed] == [0.4, 0.9, 0]


def test_what_else_was_found_stays_as_it_was() -> None:
    volume, labels = patient(np.ones(SHAPE)), np.zeros(SHAPE, int)
    labels[CUBE] = 1
    before = as_found(volume, labels)
    after, _ = compare_with_truth(volume, before, labels > 0, AXIAL)
    assert before.lesions[0].match is None
    assert after.lesions[0].model_copy(update={"match": None}) == before.lesions[0]
    assert after.labels is before.labels
    assert after.healthy is before.healthy


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), share=st.sampled_from([0.02, 0.1, 0.15, 0.3]))
def test_matches_are_those_found_voxel_by_voxel(seed: int, share: float) -> None:
    random = np.random.default_rng(seed)
    volume = patient(np.ones(SHAPE))
    truth = random.random(SHAPE) < share
    labels = np.zeros(SHAPE, int)
    for number in range(1, random.integers(0, 9) + 1):
        first = random.integers(0, np.array(SHAPE) - 2)
        sizes = random.integers(1, 4, 3)
        labels[tuple(map(slice, first, first + sizes))] = number
    labels = np.searchsorted(np.unique(labels), labels)  # without numbers that others cover whole

    found, counts = compare_with_truth(volume, as_found(volume, labels), truth, AXIAL)

    expected = slow_matches(labels, truth)
    assert [lesion.match for lesion in found.lesions] == expected.matches
    assert counts.lesions == expected.lesions
    assert counts.found == expected.lesions - len(expected.missed)
    assert counts.false_candidates == expected.matches.count("false")
    assert [missed.volume_mm3 for missed in counts.missed] == [3 * len(missed) for missed in expected.missed]
    in_volume = [np.mean(list(missed), axis=0) for missed in expected.missed]
    centers_mm = [volume.affine[:3, :3] @ center + volume.affine[:3, 3] for center in in_volume]
    assert [missed.center_mm for missed in counts.missed] == [pytest.approx(mm, abs=0.0051) for mm in centers_mm]
