"""Detection scores against loops and hand-drawn maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.scores import candidate_sums, patient_score, peak_hits, slice_scores


@pytest.mark.parametrize("seed", range(5))
def test_slice_score_is_the_highest_pixel(seed: int) -> None:
    maps = np.random.default_rng(seed).integers(-3, 4, (6, 4, 5)).astype(np.float32)
    expected = [max(maps[s, h, w] for h in range(4) for w in range(5)) for s in range(6)]
    np.testing.assert_array_equal(slice_scores(maps), expected)


def slow_percentile(pixels: list[float], percentile: float) -> float:
    """Between the two sorted pixels beside the place that the percentile falls on."""
    pixels = sorted(pixels)
    place = percentile / 100 * (len(pixels) - 1)
    below = int(place)
    above = min(below + 1, len(pixels) - 1)
    return pixels[below] + (place - below) * (pixels[above] - pixels[below])


def random_slices(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Maps (6, 4, 5) and their foreground; the third slice has none."""
    rng = np.random.default_rng(seed)
    maps, foreground = rng.random((6, 4, 5), dtype=np.float32), rng.random((6, 4, 5)) < 0.6
    foreground[2] = False
    return maps, foreground


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("percentile", [0, 37.5, 99, 100])
def test_scores_over_the_foreground_agree_with_loop(seed: int, percentile: float) -> None:
    maps, foreground = random_slices(seed)
    percentiles = slice_scores(maps, foreground, rule="percentile", percentile=percentile)
    means = slice_scores(maps, foreground, rule="mean")
    assert percentiles.shape == means.shape == (6,)
    for s in range(6):
        pixels = [float(maps[s, h, w]) for h in range(4) for w in range(5) if foreground[s, h, w]]
        assert percentiles[s] == pytest.approx(slow_percentile(pixels, percentile) if pixels else 0)
        assert means[s] == pytest.approx(sum(pixels) / len(pixels) if pixels else 0)


def test_scores_by_hand() -> None:
    maps = np.array([[[0.0, 0.25, 1.0, 0.5]], [[0.0, 0.0, 0.0, 0.0]]])
    foreground = np.array([[[False, True, True, True]], [[False, False, False, False]]])
    assert slice_scores(maps).tolist() == slice_scores(maps, foreground).tolist() == [1, 0]
    # Of 1/4, 1/2 and 1: the median, and three quarters of the way; background counts nowhere.
    assert slice_scores(maps, foreground, rule="percentile", percentile=50).tolist() == [1 / 2, 0]
    assert slice_scores(maps, foreground, rule="percentile", percentile=75).tolist() == [3 / 4, 0]
    assert slice_scores(maps, foreground, rule="mean") == pytest.approx([7 / 12, 0])  # (1/4 + 1/2 + 1) / 3


def test_highest_percentile_is_the_maximum() -> None:
    maps = np.random.default_rng(0).random((3, 4, 5))
    everywhere = np.ones(maps.shape, bool)
    percentile = slice_scores(maps, everywhere, rule="percentile", percentile=100)
    np.testing.assert_array_equal(percentile, slice_scores(maps))


@pytest.mark.parametrize("rule", ["max", "percentile", "mean"])
def test_slice_scores_follow_their_slices_and_no_flip(rule: Any) -> None:
    maps, foreground = random_slices(3)
    scores = slice_scores(maps, foreground, rule=rule)
    order = np.random.default_rng(0).permutation(6)
    np.testing.assert_array_equal(slice_scores(maps[order], foreground[order], rule=rule), scores[order])
    assert slice_scores(maps[:, ::-1], foreground[:, ::-1], rule=rule) == pytest.approx(scores)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rule": "median"}, "`rule` must be"),
        ({"rule": "percentile", "percentile": 101}, "`percentile` must be"),
        ({"rule": "percentile", "percentile": -1}, "`percentile` must be"),
        ({"rule": "percentile", "percentile": float("nan")}, "`percentile` must be"),
    ],
)
def test_impossible_score_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        slice_scores(*random_slices(0), **settings)


@pytest.mark.parametrize("rule", ["percentile", "mean"])
def test_score_over_the_foreground_needs_it(rule: Any) -> None:
    with pytest.raises(ValueError, match="`foreground` is needed"):
        slice_scores(np.ones((1, 2, 2)), rule=rule)


def test_foreground_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        slice_scores(np.ones((1, 2, 2)), np.ones((2, 2, 2), bool), rule="mean")


@pytest.mark.parametrize("seed", range(5))
def test_candidate_sums_agree_with_a_sum_over_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps, owners = rng.random((5, 4, 4)), rng.integers(0, 3, (5, 4, 4))  # two candidates a slice, 0 is neither
    maps[3] = owners[3] = 0
    found = [(s, maps[s][owners[s] == n]) for s in range(5) for n in (1, 2) if (owners[s] == n).any()]
    expected = [sum(maps[s, h, w] for h in range(4) for w in range(4) if owners[s, h, w]) for s in range(5)]
    rng.shuffle(found)
    numbers = np.array([s for s, _ in found])
    sizes, means = (np.array([f(pixels) for _, pixels in found]) for f in (len, np.mean))
    assert candidate_sums(numbers, sizes, means, 5) == pytest.approx(expected)


def test_candidate_sums_by_hand() -> None:
    sums = candidate_sums(np.array([2, 0, 2]), np.array([3, 20, 4]), np.array([0.5, 0.125, 0.25]), 4)
    assert sums.tolist() == [5 / 2, 0, 5 / 2, 0]  # 20/8; none; 3/2 + 4/4; none


def test_without_candidates_all_sums_are_zero() -> None:
    assert candidate_sums(np.empty(0, int), np.empty(0, int), np.empty(0), 2).tolist() == [0, 0]


@pytest.mark.parametrize("number", [-1, 3])
def test_candidate_of_no_slice_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"`slice_numbers` must be from 0 to 2, got {number}"):
        candidate_sums(np.array([0, number]), np.ones(2), np.ones(2), 3)


def test_candidates_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        candidate_sums(np.array([0, 1]), np.ones(3), np.ones(2), 3)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("top", [1, 2, 7])
def test_patient_score_is_the_mean_of_the_highest(seed: int, top: int) -> None:
    scores = np.random.default_rng(seed).integers(0, 5, 7) / 4
    remaining, best = list(scores), []
    for _ in range(top):
        best.append(max(remaining))
        remaining.remove(best[-1])
    assert patient_score(scores, top=top) == pytest.approx(sum(best) / top)


def test_patient_score_by_hand() -> None:
    scores = np.array([0.5, 1.0, 0.25, 0.5])
    assert patient_score(scores) == 1
    assert patient_score(scores, top=3) == pytest.approx(2 / 3)  # (1 + 1/2 + 1/2) / 3: equal scores count each


def test_patient_with_fewer_slices_than_top_takes_all() -> None:
    assert patient_score(np.array([0.25, 0.75]), top=5) == 1 / 2  # (1/4 + 3/4) / 2


@pytest.mark.parametrize(("slices", "top"), [(0, 1), (2, 0), (2, -1)])
def test_patient_score_of_nothing_is_refused(slices: int, top: int) -> None:
    with pytest.raises(ValueError, match="top"):
        patient_score(np.ones(slices), top=top)


@pytest.mark.parametrize("seed", range(10))
def test_peak_hits_agree_with_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = rng.integers(0, 4, (8, 3, 5)).astype(float)  # few levels: the highest is often tied
    masks = rng.random(maps.shape) < 0.4
    hits = peak_hits(maps, masks)
    assert hits.dtype == bool
    for s in range(8):
        peak, place = -np.inf, (0, 0)
        for h in range(3):
            for w in range(5):
                if maps[s, h, w] > peak:
                    peak, place = maps[s, h, w], (h, w)
        assert hits[s] == masks[s][place]


def test_first_of_equal_peaks_counts() -> None:
    maps = np.array([[[0.0, 1.0], [1.0, 0.0]]])
    assert peak_hits(maps, np.array([[[False, True], [False, False]]])).tolist() == [True]
    assert peak_hits(maps, np.array([[[False, False], [True, False]]])).tolist() == [False]


def test_slice_without_lesion_is_no_hit() -> None:
    assert peak_hits(np.arange(4.0).reshape(1, 2, 2), np.zeros((1, 2, 2), bool)).tolist() == [False]


def test_map_without_a_peak_is_no_hit() -> None:
    maps = np.stack([np.zeros((2, 2)), np.full((2, 2), 0.5), [[0, 0], [0, -1]]])
    # The third is highest at three pixels, of which the first counts.
    assert peak_hits(maps, np.ones(maps.shape, np.uint8)).tolist() == [False, False, True]


def test_peak_hits_follow_their_slices() -> None:
    rng = np.random.default_rng(2)
    maps, masks = rng.random((8, 3, 5)), rng.random((8, 3, 5)) < 0.5
    hits, order = peak_hits(maps, masks), rng.permutation(8)
    assert 0 < hits.sum() < 8
    np.testing.assert_array_equal(peak_hits(maps[order], masks[order]), hits[order])
    np.testing.assert_array_equal(peak_hits(maps[:, :, ::-1], masks[:, :, ::-1]), hits)


def test_no_slices_give_no_hits() -> None:
    assert peak_hits(np.zeros((0, 3, 5)), np.zeros((0, 3, 5), bool)).shape == (0,)


def test_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        peak_hits(np.zeros((1, 2, 2)), np.zeros((1, 2, 3), bool))


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((3, 4, 4))
    call_unmutated(slice_scores, [maps])
    call_unmutated(slice_scores, [maps, maps > 0.5], rule="percentile")
    call_unmutated(slice_scores, [maps, maps > 0.5], rule="mean")
    call_unmutated(candidate_sums, [np.array([0, 1]), np.array([2, 3]), rng.random(2)], slices=2)
    call_unmutated(peak_hits, [maps, maps > 0.5])
    call_unmutated(patient_score, [rng.random(6)], top=3)
