"""Patients to training, validation and test."""

from __future__ import annotations

from collections import Counter

import pytest

from data_prep.splits import SPLITS, fold_split, split_folds, split_subjects

SHARES = (0.6, 0.15, 0.25)


def patients(**strata: int) -> dict[str, str]:
    """`patients(healthy=2)` is two healthy patients by name."""
    return {f"{stratum}_{n:03d}": stratum for stratum, count in strata.items() for n in range(count)}


def test_four_patients_by_hand() -> None:
    # Owed after 1 patient: .6 .15 .25, so train; after 2: .2 .3 .5, so test; after 3: .8 .45 -.25, so train;
    # after 4: .4 .6 0, so validation.
    split_of = split_subjects(patients(diseased=4), shares=SHARES)
    assert Counter(split_of.values()) == {"train": 2, "validation": 1, "test": 1}


def test_every_patient_is_in_exactly_one_split() -> None:
    strata = patients(healthy=13, diseased=29)
    split_of = split_subjects(strata)
    assert split_of.keys() == strata.keys()
    assert set(split_of.values()) == set(SPLITS)


@pytest.mark.parametrize("seed", range(5))
def test_every_stratum_is_divided_in_the_same_proportions(seed: int) -> None:
    strata = patients(healthy=20, diseased=60, neither=20)
    split_of = split_subjects(strata, shares=SHARES, seed=seed)
    for stratum, total in Counter(strata.values()).items():
        counts = Counter(split_of[name] for name in strata if strata[name] == stratum)
        for split, share in zip(SPLITS, SHARES, strict=True):
            assert abs(counts[split] - share * total) <= 1


def test_the_seed_decides_and_repeats() -> None:
    strata = patients(healthy=20, diseased=60)
    assert split_subjects(strata, seed=1) == split_subjects(strata, seed=1)
    assert split_subjects(strata, seed=1) != split_subjects(strata, seed=2)


def test_the_order_of_patients_does_not_matter() -> None:
    strata = patients(healthy=20, diseased=60)
    backwards = dict(reversed(strata.items()))
    assert split_subjects(backwards, seed=3) == split_subjects(strata, seed=3)


@pytest.mark.parametrize("count", range(3, 30))
@pytest.mark.parametrize("shares", [SHARES, (0.9, 0.05, 0.05), (0.02, 0.49, 0.49)])
def test_no_split_is_empty_from_three_patients_on(count: int, shares: tuple[float, float, float]) -> None:
    for strata in (patients(diseased=count), patients(healthy=1, diseased=count - 1)):
        assert set(split_subjects(strata, shares=shares, seed=count).values()) == set(SPLITS)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_patients_are_split_as_far_as_they_go(count: int) -> None:
    split_of = split_subjects(patients(diseased=count))
    assert len(set(split_of.values())) == count
    assert "train" in split_of.values() or count == 0


def test_a_split_without_a_share_stays_empty() -> None:
    split_of = split_subjects(patients(healthy=10, diseased=30), shares=(0.7, 0.0, 0.3))
    assert Counter(split_of.values()) == {"train": 28, "test": 12}


@pytest.mark.parametrize("shares", [(0.5, 0.2, 0.2), (1.2, -0.1, -0.1), (0.6, 0.15, 0.26), (float("nan"), 0.5, 0.5)])
def test_shares_that_do_not_sum_to_one_are_an_error(shares: tuple[float, float, float]) -> None:
    with pytest.raises(ValueError, match="must be three numbers from 0 that sum to 1"):
        split_subjects(patients(diseased=4), shares=shares)


def test_every_patient_is_tested_on_in_exactly_one_fold() -> None:
    strata = patients(healthy=11, diseased=34)
    folds = split_folds(strata, folds=5, seed=1)
    assert folds.keys() == strata.keys()
    for name in strata:
        splits = [fold_split(folds[name], test_fold=fold, folds=5) for fold in range(5)]
        assert Counter(splits) == {"train": 3, "validation": 1, "test": 1}


@pytest.mark.parametrize("folds", [3, 5, 10])
def test_folds_hold_each_stratum_evenly(folds: int) -> None:
    strata = patients(healthy=23, diseased=57)
    fold_of = split_folds(strata, folds=folds, seed=4)
    for stratum in ("healthy", "diseased"):
        counts = Counter(fold_of[name] for name in strata if strata[name] == stratum)
        assert max(counts.values()) - min(counts.values()) <= 1
        assert len(counts) == folds


def test_folds_repeat_with_their_seed() -> None:
    strata = patients(healthy=10, diseased=20)
    assert split_folds(strata, folds=5, seed=1) == split_folds(strata, folds=5, seed=1)
    assert split_folds(strata, folds=5, seed=1) != split_folds(strata, folds=5, seed=2)
