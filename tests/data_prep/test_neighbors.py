"""Which slices are seen beside a slice, by a distance in mm, in a cohort and in its dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from data_prep.case import Case
from data_prep.cohort import open_cohort
from data_prep.dataset import CohortDataset
from data_prep.neighbors import neighbor_rows, neighbors_in
from data_prep.settings import CohortSettings


def slow_neighbor(places: np.ndarray, row: int, spacing: float, distance: float, *, side: int) -> int:
    """The row on one side whose distance to the slice is nearest to the wanted one; the slice itself without any."""
    on_side = [n for n in range(len(places)) if side * (places[n] - places[row]) > 0]
    return min(
        on_side, key=lambda n: (abs(abs(places[n] - places[row]) * spacing - distance), side * places[n]), default=row
    )


@pytest.mark.parametrize("seed", range(20))
def test_neighbors_are_the_nearest_to_the_distance_on_either_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = np.sort(rng.choice(40, rng.integers(1, 30), replace=False)) + 7
    spacing, distance = rng.choice([0.5, 1.0, 1.3, 4.0, 9.0]), rng.choice([0.3, 2.0, 4.0, 6.1])
    rows = neighbor_rows(places, spacing, distance)
    assert rows.shape == (len(places), 3)
    for row, (before, own, after) in enumerate(rows):
        assert own == row
        for found, side in ((before, -1), (after, 1)):
            wanted = slow_neighbor(places, row, spacing, distance, side=side)
            # Two may be as near.
            assert abs(abs(places[found] - places[row]) * spacing - distance) == pytest.approx(
                abs(abs(places[wanted] - places[row]) * spacing - distance)
            )
            assert (found == row) == (wanted == row)
            assert side * (places[found] - places[row]) >= 0


@pytest.mark.parametrize(
    ("spacing", "step"),
    [(1.0, 4), (1.5, 3), (4.0, 1), (10.0, 1)],  # slices 10 mm apart have none at 4 mm; the next ones are taken
)
def test_thin_slices_are_skipped_and_thick_ones_are_not(spacing: float, step: int) -> None:
    rows = neighbor_rows(np.arange(5, 25), spacing, 4.0)
    assert rows[10].tolist() == [10 - step, 10, 10 + step]
    assert rows[0].tolist() == [0, 0, step]
    assert rows[-1].tolist() == [19 - step, 19, 19]


def test_without_a_distance_or_a_spacing_a_slice_is_alone() -> None:
    assert neighbor_rows(np.arange(3), 1.0, 0).tolist() == [[0], [1], [2]]
    assert neighbor_rows(np.arange(3), None, 4.0).tolist() == [[0, 0, 0], [1, 1, 1], [2, 2, 2]]
    assert neighbor_rows(np.array([9]), 1.0, 4.0).tolist() == [[0, 0, 0]]
    assert neighbor_rows(np.array([], int), 1.0, 4.0).shape == (0, 3)


def test_a_cohort_knows_how_far_apart_slices_are(cohort_folder: Path) -> None:
    cohort = open_cohort(cohort_folder)  # its slices are 6 mm apart
    count = len(cohort.images("002"))
    assert neighbors_in(cohort, "002", 12)[4].tolist() == [2, 4, 6]
    assert neighbors_in(cohort, "002", 4)[0].tolist() == [0, 0, 1]
    assert neighbors_in(cohort, "002", 0).shape == (count, 1)


def test_items_are_three_slices_of_which_only_the_middle_is_labeled(cohort_folder: Path) -> None:
    cohort = open_cohort(cohort_folder)
    seen_unlabeled = 0
    for split in ("train", "validation", "test"):
        alone, dataset = CohortDataset(cohort, split), CohortDataset(cohort, split, neighbor_mm=6)
        assert len(dataset) == len(alone)
        np.testing.assert_array_equal(dataset.domains, alone.domains)
        for index, row in enumerate(dataset.rows.itertuples()):
            images = cohort.images(row.patient)
            around = [max(row.row - 1, 0), row.row, min(row.row + 1, len(images) - 1)]
            np.testing.assert_array_equal(dataset[index][0], np.concatenate([images[n] for n in around]))
            own = cohort.slices[cohort.slices["patient"] == row.patient].set_index("row")["domains"]
            seen_unlabeled += (own[around] == "").any()
    assert seen_unlabeled == 2  # beside the slice with a small lesion


def test_an_empty_split_has_no_neighbors(
    tmp_path: Path, cases: list[Case], settings: CohortSettings, write_cohort: Callable[..., Path]
) -> None:
    cohort = open_cohort(write_cohort(tmp_path / "cohort", cases[:1], settings))
    assert len(CohortDataset(cohort, "validation", neighbor_mm=4)) == 0
