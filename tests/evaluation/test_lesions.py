"""The centroid rule on hand-drawn slices and on random rectangles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.components import find_components
from evaluation.lesions import LesionMatches, find_candidates, join_matches, match_slice
from evaluation.undefined import UndefinedMetricWarning


def match(anomaly: np.ndarray, truth: np.ndarray, min_size: int = 2) -> LesionMatches:
    """Every component of a drawn map is a candidate; drawings are small, so lesions are of 3 pixels and more."""
    return match_slice(find_components(anomaly > 0, anomaly, min_size=0), truth > 0, min_size=min_size)


def test_centroid_inside_lesion_is_a_hit(draw: Callable[..., np.ndarray]) -> None:
    matches = match(draw(".....", "..aa.", "..ab.", a=0.5, b=0.75), draw("..xx.", "..xx.", "..xx."))
    assert matches.detection_scores.tolist() == [0.75]  # the candidate's peak
    assert matches.false_scores.size == 0
    assert matches.images == 1


def test_centroid_outside_lesion_is_a_miss(draw: Callable[..., np.ndarray]) -> None:
    # They overlap in a column, but the candidate's centroid is in column 2, the lesion in 3 and 4.
    matches = match(draw(".aaa.", ".aaa.", ".aaa.", a=0.5), draw("...xx", "...xx", "...xx"))
    assert matches.detection_scores.tolist() == [-np.inf]
    assert matches.false_scores.tolist() == [0.5]


def test_ring_on_the_edge_of_its_lesion_is_a_hit_by_its_centroid(draw: Callable[..., np.ndarray]) -> None:
    ring = draw("aaa", "a.a", "aaa", a=0.5)
    assert match(ring, np.ones((3, 3))).detection_scores.tolist() == [0.5]


def test_ring_is_false_where_its_centroid_lies_in_its_own_hole(draw: Callable[..., np.ndarray]) -> None:
    ring = draw("aaa", "a.a", "aaa", a=0.5)
    matches = match(ring, ring)  # every pixel agrees, and still the centroid is beside the lesion
    assert matches.detection_scores.tolist() == [-np.inf]
    assert matches.false_scores.tolist() == [0.5]


@pytest.mark.parametrize("row", ["a....b", "b....a"])
def test_two_candidates_detect_one_lesion_once(draw: Callable[..., np.ndarray], row: str) -> None:
    matches = match(draw(row, row, a=0.5, b=0.75), draw("xxxxxx", "xxxxxx"))
    assert matches.detection_scores.tolist() == [0.75]  # the better of both
    assert matches.false_scores.size == 0


def test_one_candidate_detects_only_the_lesion_below_its_centroid(draw: Callable[..., np.ndarray]) -> None:
    matches = match(draw("aaaaaaa", a=0.5), draw("xxxx.xx"), min_size=1)
    assert sorted(matches.detection_scores) == [-np.inf, 0.5]
    assert matches.false_scores.size == 0


def test_centroid_belongs_to_the_nearest_pixel(draw: Callable[..., np.ndarray]) -> None:
    candidate = draw("aaa", "..a", "..a", a=0.5)  # rows 0, 0, 0, 1, 2 and columns 0, 1, 2, 2, 2: (3/5, 7/5)
    assert match(candidate, draw("...", "xx.", "x..")).detection_scores.tolist() == [0.5]  # has (1, 1)
    assert match(candidate, draw("xxx", "x..", "...")).detection_scores.tolist() == [-np.inf]


@pytest.mark.parametrize(("size", "lesions"), [(9, 0), (10, 0), (11, 1)])
def test_lesion_of_min_size_is_neither_missed_nor_makes_a_candidate_false(size: int, lesions: int) -> None:
    anomaly, foreground, truth = np.zeros((5, 30)), np.ones((5, 30), bool), np.zeros((5, 30), bool)
    truth[2, 10 : 10 + size] = True
    assert match_slice(find_candidates(anomaly, foreground), truth).detection_scores.tolist() == [-np.inf] * lesions
    anomaly[1:4, 12:17] = 0.5
    matches = match_slice(find_candidates(anomaly, foreground), truth)
    assert matches.detection_scores.tolist() == [0.5] * lesions
    assert matches.false_scores.size == 0


@pytest.mark.parametrize("seed", range(20))
def test_random_rectangles_agree_with_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    anomaly, truth = np.zeros((45, 45)), np.zeros((45, 45), bool)
    sides, lesions, scores, centers = (1, 3, 5), [], [], []
    for row, column in np.ndindex(5, 5):  # cells of 9 x 9 whose rectangles, 5 at most, never touch another cell's
        for target in (anomaly, truth):
            if rng.random() < 0.5:
                height, width = rng.choice(sides, 2)
                h, w = 9 * row + rng.integers(2, 6), 9 * column + rng.integers(2, 6)  # the center
                box = (h - height // 2, h + height // 2 + 1, w - width // 2, w + width // 2 + 1)
                if target is truth:
                    lesions.append(box)
                    truth[box[0] : box[1], box[2] : box[3]] = True
                else:
                    scores.append(float(rng.integers(1, 5)))  # few levels, so ties
                    centers.append((h, w))
                    anomaly[box[0] : box[1], box[2] : box[3]] = scores[-1]
    false, detections = list(scores), []
    for top, bottom, left, right in lesions:
        hits = [s for s, (h, w) in zip(scores, centers, strict=True) if top <= h < bottom and left <= w < right]
        for score in hits:
            false.remove(score)
        if (bottom - top) * (right - left) > 8:
            detections.append(max(hits, default=-np.inf))
    matches = match(anomaly, truth, min_size=8)
    assert sorted(matches.detection_scores) == sorted(detections)
    assert sorted(matches.false_scores) == sorted(false)


def test_slice_without_lesions_makes_every_candidate_false(draw: Callable[..., np.ndarray]) -> None:
    matches = match(draw("a..b", a=0.5, b=0.25), np.zeros((1, 4)))
    assert matches.detection_scores.size == 0
    assert sorted(matches.false_scores) == [0.25, 0.5]


def test_candidates_are_the_upper_level_over_an_area() -> None:
    anomaly = np.full((20, 20), 0.1)
    anomaly[2:6, 3:7], anomaly[3, 4] = 0.6, 0.9  # 16 pixels
    anomaly[12, 4:14] = 0.7  # 10 pixels, so dropped
    candidates = find_candidates(anomaly, np.ones((20, 20), bool))
    assert candidates.sizes.tolist() == [16]
    assert candidates.centroids.tolist() == [[3.5, 4.5]]
    assert candidates.peaks.tolist() == [0.9]


def test_flat_slice_has_no_candidates() -> None:
    assert len(find_candidates(np.full((8, 8), 0.3), np.ones((8, 8), bool))) == 0


def test_joined_matches_count_as_one() -> None:
    one = LesionMatches(detection_scores=np.array([0.5, -np.inf]), false_scores=np.array([0.75]), images=1)
    two = LesionMatches(detection_scores=np.array([0.25]), false_scores=np.array([]), images=3)
    joined = join_matches(part for part in (one, two))
    assert joined.images == 4
    assert sorted(joined.detection_scores) == [-np.inf, 0.25, 0.5]
    assert joined.sensitivity(0.25) == pytest.approx(2 / 3)  # ≥ is inclusive; the missed lesion counts below
    assert joined.sensitivity(0.5) == pytest.approx(1 / 3)
    assert joined.false_positives_per_image(0.75) == 1 / 4
    assert joined.false_positives_per_image(0.8) == 0


def test_no_threshold_finds_a_missed_lesion() -> None:
    matches = LesionMatches(detection_scores=np.array([0.5, -np.inf]), false_scores=np.array([]), images=1)
    assert matches.sensitivity(-np.inf) == 1 / 2  # no candidate hits the second, whatever the threshold


def test_sensitivity_without_lesions_is_undefined() -> None:
    matches = LesionMatches(detection_scores=np.array([]), false_scores=np.array([0.5]), images=1)
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(matches.sensitivity(0.5))


def test_false_positives_without_images_are_undefined() -> None:
    with pytest.warns(UndefinedMetricWarning):
        assert np.isnan(join_matches([]).false_positives_per_image(0.5))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    anomaly = np.random.default_rng(0).random((12, 12))
    candidates = call_unmutated(find_candidates, [anomaly, anomaly > 0.1], min_size=1)
    before = candidates.labels.copy()
    call_unmutated(lambda truth: match_slice(candidates, truth, min_size=1), [anomaly > 0.5])
    np.testing.assert_array_equal(candidates.labels, before)
