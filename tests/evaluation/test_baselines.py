"""Baselines without training against loops and hand-made tables."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from evaluation.baselines import PositionTable, intensity_map, learn_position_table
from evaluation.roc import auc_score


def slow_bin(height: float, bins: int) -> int:
    """Bins hold their lower edge; the last holds the top as well."""
    for number in range(bins - 1):
        if height < (number + 1) / bins:
            return number
    return bins - 1


@pytest.mark.parametrize("seed", range(5))
def test_intensity_map_is_the_brightest_channel(seed: int) -> None:
    images = np.random.default_rng(seed).integers(0, 5, (3, 2, 5, 4)) / 4
    result = intensity_map(images)
    assert result.shape == (3, 5, 4)
    for s, h, w in np.ndindex(3, 5, 4):
        assert result[s, h, w] == max(images[s, 0, h, w], images[s, 1, h, w])


@pytest.mark.parametrize("seed", range(10))
def test_position_table_agrees_with_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels, heights = rng.random(40) < 0.4, rng.random(40)
    table = learn_position_table(labels, heights, bins=16)  # 40 slices in 16 bins: some are often empty
    assert table.edges == pytest.approx([number / 16 for number in range(17)])
    for number in range(16):
        inside = [label for label, height in zip(labels, heights, strict=True) if slow_bin(height, 16) == number]
        expected = sum(inside) / len(inside) if inside else labels.sum() / 40
        assert table.shares[number] == pytest.approx(expected)
    others = rng.random(30)
    assert table.score(others) == pytest.approx([table.shares[slow_bin(height, 16)] for height in others])


def test_position_table_by_hand() -> None:
    labels = np.array([False, False, True, True, False])
    heights = np.array([0.0, 0.2, 0.3, 0.4, 1.0])
    table = learn_position_table(labels, heights, bins=4)
    # Two healthy below 1/4, two abnormal below 1/2, none below 3/4, so the overall 2/5; one healthy at the top.
    assert table.shares == pytest.approx([0, 1, 2 / 5, 0])
    assert table.score(np.array([0.1, 0.45, 0.6, 0.9])) == pytest.approx([0, 1, 2 / 5, 0])


def test_first_and_last_slice_lie_in_the_end_bins() -> None:
    table = PositionTable(edges=np.array([0, 0.5, 1]), shares=np.array([0.25, 0.75]))
    assert table.score(np.array([1.0, 0.0])).tolist() == [0.75, 0.25]


def test_slice_on_an_inner_edge_is_scored_in_the_bin_where_it_was_learned() -> None:
    for height in np.arange(21) / 20:  # on the edges of the default 20 bins, in floats now and then just beside them
        far = (height + 0.5) % 1
        table = learn_position_table(np.array([True, False]), np.array([height, far]))
        assert table.score(np.array([height, far])).tolist() == [1, 0]


def test_position_alone_separates_slices_where_height_predicts_label() -> None:
    heights = np.tile(np.linspace(0, 1, 41), 3)
    labels = np.abs(heights - 0.5) < 0.2
    table = learn_position_table(labels, heights)
    unseen = np.linspace(0.01, 0.99, 60)
    assert auc_score(np.abs(unseen - 0.5) < 0.2, table.score(unseen)) > 0.95


def test_inputs_are_not_mutated(call_unmutated: Callable[..., Any]) -> None:
    rng = np.random.default_rng(0)
    heights = rng.random(12)
    call_unmutated(intensity_map, [rng.random((2, 2, 3, 3))])
    table = call_unmutated(learn_position_table, [rng.random(12) < 0.5, heights])
    call_unmutated(table.score, [heights])
