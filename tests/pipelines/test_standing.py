"""Where a score stands among those of validation patients, counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from pipelines.standing import scores_by_kind, standing_of


def test_shares_count_the_scores_below() -> None:
    metadata = {"validation_scores": {"patients": {"healthy": [0.1, 0.2, 0.3, 0.4], "diseased": [0.3, 0.5, 0.7]}}}
    standing = standing_of(0.35, metadata)
    assert standing is not None
    assert standing.healthy == (0.1, 0.2, 0.3, 0.4)
    assert standing.diseased == (0.3, 0.5, 0.7)
    assert standing.above_healthy == 3 / 4
    assert standing.above_diseased == pytest.approx(1 / 3)


def test_an_equal_score_is_not_below() -> None:
    score = 1 / 3  # kept as 0.333333, which is less
    kept = scores_by_kind(np.array([score]), np.array([0.25, score, 0.5]))
    standing = standing_of(score, {"validation_scores": {"patients": kept}})
    assert standing is not None
    assert standing.above_healthy == 0
    assert standing.above_diseased == pytest.approx(1 / 3)


def test_a_kind_without_patients_has_no_share() -> None:
    standing = standing_of(0.5, {"validation_scores": {"patients": {"healthy": [], "diseased": [0.2, 0.6]}}})
    assert standing is not None
    assert standing.healthy == ()
    assert standing.above_healthy is None
    assert standing.above_diseased == 0.5


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {
            "validation_scores": {
                "patients": {"healthy": [], "diseased": []},
                "slices": {"healthy": [0.1], "diseased": []},
            }
        },
    ],
)
def test_a_model_without_scores_of_patients_says_nothing(metadata: dict[str, object]) -> None:
    assert standing_of(0.5, metadata) is None


def test_scores_are_sorted_and_rounded() -> None:
    assert scores_by_kind(np.array([0.3, 0.12345678], np.float32), np.empty(0)) == {
        "healthy": [0.123457, 0.3],
        "diseased": [],
    }


@pytest.mark.parametrize("count", [199, 200])
def test_up_to_200_scores_are_all_kept(count: int) -> None:
    assert len(scores_by_kind(np.arange(count), np.empty(0))["healthy"]) == count


def test_of_many_scores_evenly_spaced_ranks_are_kept() -> None:
    scores = np.random.default_rng(0).permutation(399)  # ranks 0, 2, 4, … 398
    assert scores_by_kind(np.empty(0), scores)["diseased"] == list(range(0, 399, 2))
