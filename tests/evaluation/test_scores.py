"""Detection scores against loops and hand-drawn maps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.scores import patient_score, peak_hits, slice_scores


@pytest.mark.parametrize("seed", range(5))
def test_slice_score_is_the_highest_pixel(seed: int) -> None:
    maps = np.random.default_rng(seed).integers(-3, 4, (6, 4, 5)).astype(np.float32)
    expected = [max(maps[s, h, w] for h in range(4) for w in range(5)) for s in range(6)]
    np.testing.assert_array_equal(slice_scores(maps), expected)


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
    assert peak_hits(np.ones((1, 2, 2)), np.zeros((1, 2, 2), bool)).tolist() == [False]


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((3, 4, 4))
    call_unmutated(slice_scores, [maps])
    call_unmutated(peak_hits, [maps, maps > 0.5])
    call_unmutated(patient_score, [rng.random(6)], top=3)
