"""Which candidates hit which lesions: drawn slices for each rule, and a slow matching on random masks."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from evaluation.components import find_components
from evaluation.lesions import LesionMatches, match_lesions
from evaluation.undefined import UndefinedMetricWarning

RULES: list[Any] = ["centroid", "overlap", "iou"]
Pixels = set[tuple[int, ...]]


def match(anomaly: np.ndarray, truth: np.ndarray, **chosen: Any) -> LesionMatches:
    """Every component of a drawn slice or stack is a candidate; drawings are small, so lesions are of 3 pixels up."""
    anomaly, truth = (array if array.ndim == 3 else array[None] for array in (anomaly, truth))
    neighborhood = {name: chosen[name] for name in ("spatial_dims", "connectivity") if name in chosen}
    return match_lesions(
        find_components(anomaly > 0, anomaly, min_size=0, **neighborhood), truth, **{"min_size": 2, **chosen}
    )


def slow_parts(mask: np.ndarray, spatial_dims: int, connectivity: int) -> list[Pixels]:
    """The pixels of each component, by SciPy."""
    structure = np.zeros((3, 3, 3), bool)
    chosen = structure if spatial_dims == 3 else structure[1]
    chosen[...] = ndimage.generate_binary_structure(spatial_dims, connectivity)
    labels, count = ndimage.label(mask, structure)
    return [set(map(tuple, np.argwhere(labels == number).tolist())) for number in range(1, count + 1)]


def nearest_pixel(part: Pixels) -> tuple[int, ...]:
    """Of all pixels around a component the nearest to its centroid, on each axis the higher of two that are."""
    center = [Fraction(sum(places), len(part)) for places in zip(*part, strict=True)]
    spans = [range(min(places), max(places) + 1) for places in zip(*part, strict=True)]
    return min(
        product(*(reversed(span) for span in spans)),
        key=lambda pixel: sum((p - c) ** 2 for p, c in zip(pixel, center, strict=True)),
    )


def hits(candidate: Pixels, lesion: Pixels, rule: str, min_iou: Fraction) -> bool:
    if rule == "centroid":
        return nearest_pixel(candidate) in lesion
    if rule == "overlap":
        return bool(candidate & lesion)
    return Fraction(len(candidate & lesion), len(candidate | lesion)) >= min_iou


def slow_match(
    anomaly: np.ndarray, truth: np.ndarray, rule: str, min_iou: Fraction, spatial_dims: int, connectivity: int
) -> tuple[list[Any], list[Any]]:
    """(size, slice, score) of lesions of more than 2 pixels, and (score, slice) of candidates that hit nothing."""
    parts = slow_parts(truth > 0, spatial_dims, connectivity)
    lesions, small = [p for p in parts if len(p) > 2], [p for p in parts if len(p) <= 2]
    best, false = [-np.inf] * len(lesions), []
    for candidate in slow_parts(anomaly > 0, spatial_dims, connectivity):
        score = max(float(anomaly[pixel]) for pixel in candidate)
        below = [number for number, lesion in enumerate(lesions) if hits(candidate, lesion, rule, min_iou)]
        for number in below:
            best[number] = max(best[number], score)
        excused = any(hits(candidate, part, "centroid" if rule == "centroid" else "overlap", min_iou) for part in small)
        if not below and not excused:
            false.append((score, min(pixel[0] for pixel in candidate)))
    found = [(len(p), min(pixel[0] for pixel in p), score) for p, score in zip(lesions, best, strict=True)]
    return sorted(found), sorted(false)


def fast_match(matches: LesionMatches) -> tuple[list[Any], list[Any]]:
    lesions = zip(matches.lesion_sizes, matches.lesion_slices, matches.detection_scores, strict=True)
    return sorted(lesions), sorted(zip(matches.false_scores, matches.false_slices, strict=True))


def random_stack(seed: int, share: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """A map with ties whose components partly agree with those of the truth, and that truth with labels 0 to 3."""
    rng = np.random.default_rng(seed)
    truth = rng.random((4, 8, 9)) < share
    anomaly = (truth ^ (rng.random(truth.shape) < 0.15)) * rng.integers(1, 6, truth.shape) / 4
    return anomaly, truth * rng.integers(1, 4, truth.shape)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("spatial_dims", "connectivity"), [(2, 1), (2, 2), (3, 1), (3, 3)])
@pytest.mark.parametrize("seed", range(12))
def test_matching_agrees_with_sets_of_pixels(rule: Any, spatial_dims: Any, connectivity: int, seed: int) -> None:
    anomaly, truth = random_stack(seed, 0.3 if spatial_dims == 2 else 0.15)
    numerator = 1 + seed % 10
    matches = match(
        anomaly, truth, rule=rule, min_iou=numerator / 10, spatial_dims=spatial_dims, connectivity=connectivity
    )
    expected = slow_match(anomaly, truth, rule, Fraction(numerator, 10), spatial_dims, connectivity)
    assert expected[0]
    assert fast_match(matches) == expected
    assert matches.images == 4


SITUATIONS = {
    # name: (map, truth, {rule: (scores of lesions, scores of false candidates)}); an IoU of 1/2 is asked for
    "candidate inside a lesion": (
        [".....", "..aa.", "..ab."],
        [".....", "..xx.", "..xx."],
        {"centroid": ([0.75], []), "overlap": ([0.75], []), "iou": ([0.75], [])},  # the score is the peak; IoU 4/4
    ),
    "candidate with its centroid in column 2, beside a lesion it overlaps": (
        [".aaa.", ".aaa.", ".aaa."],
        ["...xx", "...xx", "...xx"],
        {"centroid": ([-np.inf], [0.5]), "overlap": ([0.5], []), "iou": ([-np.inf], [0.5])},  # IoU 3/12
    ),
    "candidate that only touches a lesion, by edge and corner": (
        ["aaa...", "......"],
        ["...xx.", "...xx."],
        {"centroid": ([-np.inf], [0.5]), "overlap": ([-np.inf], [0.5]), "iou": ([-np.inf], [0.5])},
    ),
    "candidate over two lesions, its centroid in the first": (
        ["aaaaaaa."],
        ["xxxx.xxx"],
        {"centroid": ([0.5, -np.inf], []), "overlap": ([0.5, 0.5], []), "iou": ([0.5, -np.inf], [])},  # IoU 4/7, 2/8
    ),
    "candidate over two lesions, its centroid in the gap": (
        ["aaaaaaa"],
        ["xxx.xxx"],
        {"centroid": ([-np.inf] * 2, [0.5]), "overlap": ([0.5, 0.5], []), "iou": ([-np.inf] * 2, [0.5])},  # IoU 3/7
    ),
    "two candidates in one lesion": (
        ["aa.b"],
        ["xxxx"],
        {"centroid": ([0.75], []), "overlap": ([0.75], []), "iou": ([0.5], [0.75])},  # IoU 2/4, 1/4
    ),
    "the better of two candidates first": (
        ["b.aa"],
        ["xxxx"],
        {"centroid": ([0.75], []), "overlap": ([0.75], []), "iou": ([0.5], [0.75])},
    ),
    "ring in a lesion without a hole": (
        ["aaa", "a.a", "aaa"],
        ["xxx", "xxx", "xxx"],
        {"centroid": ([0.5], []), "overlap": ([0.5], []), "iou": ([0.5], [])},  # IoU 8/9
    ),
    "ring that is the lesion pixel by pixel": (
        ["aaa", "a.a", "aaa"],
        ["xxx", "x.x", "xxx"],
        {"centroid": ([-np.inf], [0.5]), "overlap": ([0.5], []), "iou": ([0.5], [])},
    ),
    "ring around a lesion in its hole": (
        ["aaaaa", "a...a", "a...a", "a...a", "aaaaa"],
        [".....", ".....", ".xxx.", ".....", "....."],
        {"centroid": ([0.5], []), "overlap": ([-np.inf], [0.5]), "iou": ([-np.inf], [0.5])},
    ),
    "candidate on a lesion too small": (
        ["aaa.."],
        [".xx.."],
        {"centroid": ([], []), "overlap": ([], []), "iou": ([], [])},
    ),
    "candidate that shares a pixel with a lesion too small, its centroid beside it": (
        ["aaaaa"],
        ["x...."],
        {"centroid": ([], [0.5]), "overlap": ([], []), "iou": ([], [])},
    ),
    "candidate on a lesion and on one too small": (
        ["aaaaaaa"],
        ["x.xxxx."],
        {"centroid": ([0.5], []), "overlap": ([0.5], []), "iou": ([0.5], [])},  # IoU 4/7
    ),
    "candidate and lesion of diagonal neighbors": (
        ["a..", ".a.", "..a"],
        ["x..", ".x.", "..x"],
        {"centroid": ([0.5], []), "overlap": ([0.5], []), "iou": ([0.5], [])},
    ),
    "no lesion": (
        ["a..b"],
        ["...."],
        {"centroid": ([], [0.5, 0.75]), "overlap": ([], [0.5, 0.75]), "iou": ([], [0.5, 0.75])},
    ),
    "no candidate": (
        ["...."],
        ["xxxx"],
        {"centroid": ([-np.inf], []), "overlap": ([-np.inf], []), "iou": ([-np.inf], [])},
    ),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("situation", SITUATIONS)
def test_drawn_situation(draw: Callable[..., np.ndarray], situation: str, rule: Any) -> None:
    anomaly, truth, expected = SITUATIONS[situation]
    matches = match(draw(*anomaly, a=0.5, b=0.75), draw(*truth), rule=rule, min_iou=0.5)
    assert (matches.detection_scores.tolist(), sorted(matches.false_scores.tolist())) == expected[rule]


def test_centroid_belongs_to_the_nearest_pixel(draw: Callable[..., np.ndarray]) -> None:
    candidate = draw("aaa", "..a", "..a", a=0.5)  # rows 0, 0, 0, 1, 2 and columns 0, 1, 2, 2, 2: (3/5, 7/5)
    assert match(candidate, draw("...", "xx.", "x..")).detection_scores.tolist() == [0.5]  # has (1, 1)
    assert match(candidate, draw("xxx", "x..", "...")).detection_scores.tolist() == [-np.inf]


def test_centroid_halfway_belongs_to_the_pixel_of_higher_index(draw: Callable[..., np.ndarray]) -> None:
    candidate = draw("..aa..", a=0.5)  # column 5/2
    assert match(candidate, draw("...xxx")).detection_scores.tolist() == [0.5]
    assert match(candidate, draw("xxx...")).detection_scores.tolist() == [-np.inf]


def test_diagonal_pixels_are_small_lesions_of_their_own_with_neighbors_by_edge(draw: Callable[..., np.ndarray]) -> None:
    matches = match(draw("a..", ".a.", "..a", a=0.5), draw("x..", ".x.", "..x"), connectivity=1)
    assert (matches.detection_scores.size, matches.false_scores.size) == (0, 0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(("size", "lesions"), [(9, 0), (10, 0), (11, 1)])
def test_lesion_of_ten_pixels_is_neither_missed_nor_makes_a_candidate_false(size: int, lesions: int, rule: Any) -> None:
    anomaly, truth = np.zeros((1, 5, 30)), np.zeros((1, 5, 30), bool)
    truth[0, 2, 10 : 10 + size] = True
    nothing = find_components(anomaly > 0, anomaly)
    assert match_lesions(nothing, truth, rule=rule).detection_scores.tolist() == [-np.inf] * lesions
    anomaly[0, 1:4, 12:17] = 0.5
    matches = match_lesions(find_components(anomaly > 0, anomaly), truth, rule=rule)  # IoU 5 / (15 + 11 - 5)
    assert matches.detection_scores.tolist() == [0.5] * lesions
    assert matches.false_scores.size == 0


@pytest.mark.parametrize("percent", range(1, 101))
def test_smallest_iou_is_enough_by_itself(percent: int) -> None:
    anomaly, truth = np.zeros((1, 1, 100)), np.ones((1, 1, 100))
    anomaly[..., :percent] = 0.5  # IoU percent / 100
    assert match(anomaly, truth, rule="iou", min_iou=percent / 100).detection_scores.tolist() == [0.5]
    if percent < 100:
        missed = match(anomaly, truth, rule="iou", min_iou=(percent + 1) / 100)
        assert missed.detection_scores.tolist() == [-np.inf]


@pytest.mark.parametrize("rule", RULES)
def test_slices_are_matched_apart_in_2d_and_together_in_3d(rule: Any) -> None:
    anomaly, truth = np.zeros((5, 1, 3)), np.zeros((5, 1, 3), bool)
    anomaly[0:3], truth[1:4] = 0.5, True
    flat = match(anomaly, truth, rule=rule)
    # Slice 0 has a candidate alone, slice 3 a lesion alone.
    assert sorted(zip(flat.lesion_slices, flat.detection_scores, strict=True)) == [(1, 0.5), (2, 0.5), (3, -np.inf)]
    assert (flat.false_scores.tolist(), flat.false_slices.tolist()) == ([0.5], [0])
    solid = match(anomaly, truth, rule=rule, min_iou=0.5, spatial_dims=3)
    # One lesion of slices 1 to 3, one candidate with its centroid in slice 1, and 6 / 12 voxels in common.
    assert (solid.lesion_sizes.tolist(), solid.lesion_slices.tolist()) == ([9], [1])
    assert (solid.detection_scores.tolist(), solid.false_scores.tolist()) == ([0.5], [])
    assert solid.images == 5


def test_centroid_between_slices_is_false_where_the_lesion_has_a_hole_there() -> None:
    anomaly, truth = np.ones((3, 3, 3)), np.ones((3, 3, 3), bool)
    truth[1] = False
    matches = match(anomaly, truth, spatial_dims=3)
    assert matches.detection_scores.tolist() == [-np.inf] * 2
    assert matches.false_scores.tolist() == [1]
    assert match(anomaly, truth, spatial_dims=3, rule="overlap").detection_scores.tolist() == [1, 1]


def test_labels_that_touch_are_one_lesion_and_negative_ones_are_none(draw: Callable[..., np.ndarray]) -> None:
    matches = match(draw("aaaaaaa", a=0.5), draw("ghijzzz", g=1, h=2, i=4, j=1, z=-1).astype(np.int16))
    assert (matches.lesion_sizes.tolist(), matches.detection_scores.tolist()) == ([4], [0.5])


# --- What does not matter


@given(st.integers(0, 2**32 - 1), st.permutations(range(4)), st.sampled_from(RULES))
@settings(max_examples=40, deadline=None)
def test_order_of_slices_does_not_matter_in_2d(seed: int, order: list[int], rule: Any) -> None:
    anomaly, truth = random_stack(seed)
    lesions, false = fast_match(match(anomaly[order], truth[order], rule=rule))
    assert (
        sorted((size, order[number], score) for size, number, score in lesions),
        sorted((score, order[number]) for score, number in false),
    ) == fast_match(match(anomaly, truth, rule=rule))


@given(st.integers(0, 2**32 - 1), st.sets(st.sampled_from([0, 1, 2])), st.sampled_from([2, 3]), st.sampled_from(RULES))
@settings(max_examples=60, deadline=None)
def test_flipping_does_not_matter(seed: int, axes: set[int], spatial_dims: Any, rule: Any) -> None:
    anomaly, truth = random_stack(seed, 0.25 if spatial_dims == 2 else 0.1)
    found = find_components(anomaly > 0, anomaly, spatial_dims=spatial_dims, min_size=0)
    # A centroid halfway between pixels belongs to another of them when it is flipped; such candidates are taken out.
    anomaly[np.isin(found.labels, 1 + np.flatnonzero((found.centroids % 1 == 0.5).any(axis=1)))] = 0
    flipped = match(np.flip(anomaly, tuple(axes)), np.flip(truth, tuple(axes)), rule=rule, spatial_dims=spatial_dims)
    plain = match(anomaly, truth, rule=rule, spatial_dims=spatial_dims)
    assert sorted(zip(flipped.lesion_sizes, flipped.detection_scores, strict=True)) == sorted(
        zip(plain.lesion_sizes, plain.detection_scores, strict=True)
    )
    assert sorted(flipped.false_scores) == sorted(plain.false_scores)


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.sampled_from(RULES))
@settings(max_examples=30, deadline=None)
def test_empty_slices_make_false_positives_rarer_and_sensitivity_no_other(seed: int, empty: int, rule: Any) -> None:
    anomaly, truth = random_stack(seed)
    plain = match(anomaly, truth, rule=rule)
    padded = match(*(np.pad(array, ((0, empty), (0, 0), (0, 0))) for array in (anomaly, truth)), rule=rule)
    for threshold in (0.25, 0.5, 1, 2):
        assert padded.sensitivity(threshold) == plain.sensitivity(threshold)
        false = round(4 * plain.false_positives_per_image(threshold))
        assert padded.false_positives_per_image(threshold) == false / (4 + empty)


# --- Operating points


def matches_of(detections: list[float], false: list[float], images: int) -> LesionMatches:
    return LesionMatches(
        detection_scores=np.array(detections),
        lesion_sizes=np.full(len(detections), 11),
        lesion_slices=np.zeros(len(detections), int),
        false_scores=np.array(false),
        false_slices=np.zeros(len(false), int),
        images=images,
    )


def test_candidates_with_the_threshold_as_score_count() -> None:
    matches = matches_of([0.5, -np.inf, 0.25], [0.75, 0.5], images=4)
    assert matches.sensitivity(0.25) == 2 / 3
    assert matches.sensitivity(0.5) == 1 / 3
    assert matches.sensitivity(0.51) == 0
    assert matches.false_positives_per_image(0.5) == 2 / 4
    assert matches.false_positives_per_image(0.75) == 1 / 4
    assert matches.false_positives_per_image(0.76) == 0


def test_no_threshold_finds_a_missed_lesion() -> None:
    assert matches_of([0.5, -np.inf], [], images=1).sensitivity(-np.inf) == 1 / 2


def test_operating_point_without_lesions_or_images_is_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning, match="lesion sensitivity is undefined: there is no lesion"):
        assert np.isnan(matches_of([], [0.5], images=1).sensitivity(0.5))
    with pytest.warns(UndefinedMetricWarning, match="false positives per image is undefined: there is no image"):
        assert np.isnan(matches_of([], [], images=0).false_positives_per_image(0.5))


@pytest.mark.parametrize("rule", RULES)
def test_stack_without_slices_has_no_lesions(rule: Any) -> None:
    matches = match(np.zeros((0, 4, 4)), np.zeros((0, 4, 4)), rule=rule)
    assert (matches.images, matches.detection_scores.size, matches.false_scores.size) == (0, 0, 0)


# --- Refusals


@pytest.mark.parametrize(
    ("truth", "chosen", "error", "message"),
    [
        (np.ones((4, 5)), {}, ValueError, r"`truth` must be \(S, H, W\), got \(4, 5\)"),
        (np.ones((1, 5, 4)), {}, ValueError, r"`truth` \(1, 5, 4\), `candidates` \(1, 4, 5\)"),
        (np.full((1, 4, 5), np.nan), {}, ValueError, "`truth` must be finite"),
        (np.full((1, 4, 5), "x"), {}, TypeError, "`truth` must hold real numbers"),
        (np.ones((1, 4, 5)), {"rule": "center"}, ValueError, "`rule` must be 'centroid', 'overlap' or 'iou'.*'center'"),
        (np.ones((1, 4, 5)), {"min_iou": 0.0}, ValueError, "`min_iou` must be more than 0 and at most 1, got 0.0"),
        (np.ones((1, 4, 5)), {"min_iou": 1.1}, ValueError, "`min_iou` must be more than 0 and at most 1, got 1.1"),
        (np.ones((1, 4, 5)), {"min_iou": np.nan}, ValueError, "`min_iou` must be more than 0 and at most 1, got nan"),
        (np.ones((1, 4, 5)), {"connectivity": 3}, ValueError, "`connectivity` must be"),
    ],
)
def test_wrong_input_is_refused(truth: np.ndarray, chosen: Any, error: type[Exception], message: str) -> None:
    candidates = find_components(np.ones((1, 4, 5), bool), np.ones((1, 4, 5)))
    with pytest.raises(error, match=message):
        match_lesions(candidates, truth, **chosen)


@pytest.mark.parametrize("rule", RULES)
def test_inputs_are_not_mutated(rule: Any) -> None:
    anomaly, truth = random_stack(0)
    candidates = find_components(anomaly > 0, anomaly, min_size=1)
    arrays = {name: array.copy() for name, array in vars(candidates).items()}
    before = truth.copy()
    match_lesions(candidates, truth, rule=rule, min_size=1)
    np.testing.assert_array_equal(truth, before)
    for name, array in arrays.items():
        np.testing.assert_array_equal(getattr(candidates, name), array)
