"""Weighted numbers against the same cases, each repeated as often as its patient's weight says."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics

from evaluation.froc import froc_area, froc_curve, sensitivity_at
from evaluation.weighted import (
    weighted_auc,
    weighted_froc,
    weighted_pair_share,
    weighted_pixel_numbers,
    weighted_ratio,
    weighted_share,
)
from tests.evaluation.slow_evaluation import best_dice, slow_average_precision, slow_froc
from tests.evaluation.slow_maps import Matched

LIMITS = np.array([1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8])
SEEDS = st.integers(0, 10**6)
PATIENTS = 5


def draw_weights(random: np.random.Generator) -> np.ndarray:
    """Ones, then whole numbers of which a third are 0."""
    return np.concatenate([np.ones((1, PATIENTS)), np.maximum(random.integers(-1, 4, (5, PATIENTS)), 0)])


def repeat(patients: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Numbers of cases, each as often as its patient counts."""
    return np.repeat(np.arange(len(patients)), weight[patients].astype(int))


def froc_inputs(random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Scores with ties, within and between patients, and lesions that nothing hits."""
    lesions, false = int(random.integers(0, 12)), int(random.integers(0, 15))
    detections = np.where(random.random(lesions) < 0.3, -np.inf, random.integers(0, 6, lesions) / 4)
    return (
        detections,
        random.integers(0, PATIENTS, lesions),
        random.integers(0, 6, false) / 4,
        random.integers(0, PATIENTS, false),
        random.integers(0, 5, PATIENTS),
    )


def pixel_inputs(random: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Levels, counts of lesion and normal pixels, patients, each patient's pixels outside the foreground."""
    count = int(random.integers(1, 40))
    return (
        (random.integers(0, 9, count) / 8).astype(np.float32),
        random.integers(0, 4, count),
        random.integers(0, 6, count),
        np.sort(random.integers(0, PATIENTS, count)),
        random.integers(0, 5, PATIENTS),
    )


@given(seed=SEEDS)
def test_share_is_the_mean_of_repeated_cases(seed: int) -> None:
    random = np.random.default_rng(seed)
    cases, patients = random.random(20), random.integers(0, PATIENTS, 20)
    cases[random.random(20) < 0.3] = np.nan
    weights = draw_weights(random)
    for weight, result in zip(weights, weighted_share(cases, patients, weights), strict=True):
        repeated = cases[repeat(patients, weight)]
        repeated = repeated[~np.isnan(repeated)]
        np.testing.assert_allclose(result, repeated.mean() if len(repeated) else np.nan, rtol=1e-12)


def test_ratio_of_sums_is_not_a_mean_of_ratios() -> None:
    ratios = weighted_ratio(np.array([1.0, 9.0]), np.array([2, 10]), np.array([[1.0, 1.0], [2.0, 0.0], [0.0, 3.0]]))
    assert ratios.tolist() == [10 / 12, 2 / 4, 27 / 30]


@given(seed=SEEDS)
def test_auc_is_scikit_learns_on_repeated_cases(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels, patients = random.random(20) < 0.4, random.integers(0, PATIENTS, 20)
    scores = (random.integers(-4, 4, 20) / 4).astype(np.float32)
    weights = draw_weights(random)
    for weight, result in zip(weights, weighted_auc(labels, scores, patients, weights), strict=True):
        kept = repeat(patients, weight)
        both = len(set(labels[kept])) == 2
        expected = metrics.roc_auc_score(labels[kept], scores[kept]) if both else np.nan
        np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_auc_by_hand() -> None:
    labels, scores, patients = np.array([1, 1, 0, 0]), np.array([3.0, 1.0, 2.0, 1.0]), np.array([0, 1, 0, 1])
    weights = np.array([[1, 1], [2, 1], [0, 1]], float)
    # 3 beats both; 1 loses to 2 and ties with 1: 2.5 of 4. With patient 0 twice, its abnormal case wins 2 pairs against
    # itself twice and 2 against patient 1; patient 1 loses 2 and ties 1: 6.5 of 9.
    assert weighted_auc(labels, scores, patients, weights).tolist() == [2.5 / 4, 6.5 / 9, 0.5]


@given(seed=SEEDS)
def test_pair_share_counts_a_pair_as_often_as_both_patients(seed: int) -> None:
    random = np.random.default_rng(seed)
    pairs = random.integers(0, 3, (PATIENTS, PATIENTS))
    wins = pairs * random.random((PATIENTS, PATIENTS))
    weights = draw_weights(random)
    for weight, result in zip(weights, weighted_pair_share(wins, pairs, weights), strict=True):
        kept = repeat(np.arange(PATIENTS), weight)
        count = pairs[np.ix_(kept, kept)].sum()
        expected = wins[np.ix_(kept, kept)].sum() / count if count else np.nan
        np.testing.assert_allclose(result, expected, rtol=1e-12)


@given(seed=SEEDS)
def test_froc_is_that_of_repeated_patients(seed: int) -> None:
    random = np.random.default_rng(seed)
    detections, owners, false, false_owners, images = froc_inputs(random)
    weights = draw_weights(random)
    sensitivities, areas = weighted_froc(
        detections, owners, false, false_owners, images, weights, at=LIMITS, area_up_to=1.0
    )
    for weight, own, area in zip(weights, sensitivities, areas, strict=True):
        lesions = detections[repeat(owners, weight)].tolist()
        others = false[repeat(false_owners, weight)].tolist()
        hits = [[score] if score > -np.inf else [] for score in lesions]
        total = int(weight @ images)
        for at, sensitivity in zip(LIMITS, own, strict=True):
            expected, _ = slow_froc(Matched(sizes=[], hits=hits, false=others), total, [at])
            np.testing.assert_allclose(sensitivity, expected, rtol=1e-12)
        _, expected = slow_froc(Matched(sizes=[], hits=hits, false=others), total)
        np.testing.assert_allclose(area, expected, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("seed", range(20))
def test_froc_of_ones_is_the_curves(seed: int) -> None:
    detections, owners, false, false_owners, images = froc_inputs(np.random.default_rng(seed))
    detections, owners = np.append(detections, 0.5), np.append(owners, 0)
    curve = froc_curve(detections, false, int(images.sum()))
    for up_to in (0.3, 1.0, 5.0):
        sensitivities, areas = weighted_froc(
            detections, owners, false, false_owners, images, np.ones((1, PATIENTS)), at=LIMITS, area_up_to=up_to
        )
        assert sensitivities[0] == pytest.approx([sensitivity_at(curve, at) for at in LIMITS])
        assert areas[0] == pytest.approx(froc_area(curve, up_to))


def test_limit_met_exactly_is_allowed_in_a_resample() -> None:
    # Three images of patient 0, counted three times: 3/9 of a false positive at 0.9, and 6/9 at 0.5.
    detections, false = np.array([0.95, 0.6, 0.2]), np.array([0.9, 0.5])
    sensitivities, areas = weighted_froc(
        detections, np.array([0, 0, 0]), false, np.array([0, 0]), np.array([3]), np.array([[3.0]]),
        at=np.array([0, 1 / 3 - 1e-6, 1 / 3, 2 / 3]), area_up_to=1.0,
    )  # fmt: skip
    assert sensitivities.tolist() == [[1 / 3, 1 / 3, 2 / 3, 1]]
    assert areas == pytest.approx([(1 / 3 + 2 / 3 + 1) / 3])


@given(seed=SEEDS)
def test_pixel_numbers_are_those_of_repeated_pixels(seed: int) -> None:
    random = np.random.default_rng(seed)
    levels, lesion, normal, patients, missed = pixel_inputs(random)
    weights = draw_weights(random)
    precisions, dices = weighted_pixel_numbers(levels, lesion, normal, patients, missed, weights)
    for weight, precision, dice in zip(weights, precisions, dices, strict=True):
        rows = repeat(patients, weight)
        scores = np.concatenate([np.repeat(levels[rows], lesion[rows]), np.repeat(levels[rows], normal[rows])])
        truth = np.repeat([True, False], [lesion[rows].sum(), normal[rows].sum()])
        pixels = list(zip(scores.tolist(), truth.tolist(), strict=True))
        np.testing.assert_allclose(precision, slow_average_precision(pixels), rtol=1e-12)
        if truth.any():
            assert precision == pytest.approx(metrics.average_precision_score(truth, scores), rel=1e-12)
        np.testing.assert_allclose(dice, best_dice(pixels, int(weight @ missed))[0], rtol=1e-12)


def test_pixel_numbers_of_many_resamples_are_those_of_each() -> None:
    random = np.random.default_rng(1)
    inputs = pixel_inputs(random)
    weights = random.integers(0, 3, (75, PATIENTS)).astype(float)
    together = weighted_pixel_numbers(*inputs, weights)
    alone = [weighted_pixel_numbers(*inputs, weight[None]) for weight in weights]
    for number in (0, 1):
        np.testing.assert_allclose(together[number], np.concatenate([each[number] for each in alone]), rtol=1e-12)


def test_lesion_that_lies_outside_the_foreground_alone_has_a_dice_of_0() -> None:
    nothing = np.empty(0, int)
    precision, dice = weighted_pixel_numbers(
        np.empty(0, np.float32), nothing, nothing, nothing, np.array([3, 0]), np.array([[1.0, 1.0], [0.0, 2.0]])
    )
    np.testing.assert_array_equal(precision, [np.nan, np.nan])
    np.testing.assert_array_equal(dice, [0, np.nan])  # the second resample has no lesion at all


@settings(max_examples=30)
@given(seed=SEEDS, factor=st.sampled_from([2, 3, 10]))
def test_counting_everybody_several_times_changes_nothing(seed: int, factor: int) -> None:
    random = np.random.default_rng(seed)
    weights = draw_weights(random)
    froc, pixels = froc_inputs(random), pixel_inputs(random)
    cases, patients = random.random(9), random.integers(0, PATIENTS, 9)
    table = random.random((PATIENTS, PATIENTS))
    for once, often in zip(
        *(
            [
                weighted_share(cases, patients, own),
                weighted_auc(cases > 0.5, cases[::-1], patients, own),
                weighted_pair_share(table**2, table, own),
                *weighted_froc(*froc, own, at=LIMITS, area_up_to=1.0),
                *weighted_pixel_numbers(*pixels, own),
            ]
            for own in (weights, weights * factor)
        ),
        strict=True,
    ):
        np.testing.assert_allclose(once, often, rtol=1e-12, atol=1e-15)


@pytest.mark.filterwarnings("error")
def test_undefined_is_nan_without_a_word() -> None:
    weights, none, one = np.array([[0.0, 0.0], [0.0, 2.0]]), np.empty(0), np.zeros(1, int)  # patient 0 never counts
    no_patients = np.empty(0, int)
    results = [
        weighted_ratio(np.array([1, 0]), np.array([1, 0]), weights),
        weighted_ratio(np.array([1, 1]), np.array([1, 0]), weights),
        weighted_share(none, no_patients, weights),
        weighted_share(np.array([1.0]), one, weights),
        weighted_auc(none, none, no_patients, weights),
        weighted_auc(np.array([True, False]), np.ones(2), np.array([0, 1]), weights),
        weighted_pair_share(np.eye(2) * [1, 0], np.eye(2) * [1, 0], weights),
        *weighted_froc(none, no_patients, none, no_patients, np.ones(2), weights, at=LIMITS, area_up_to=1.0),
        *weighted_froc(np.ones(1), one, np.ones(1), one + 1, np.ones(2), weights, at=LIMITS, area_up_to=1.0),
        *weighted_pixel_numbers(np.ones(1), one + 3, one + 3, one, np.zeros(2, int), weights),
    ]
    for result in results:
        assert np.isnan(result).all()


def test_inputs_are_not_mutated(call_unmutated: Callable[..., object]) -> None:
    random = np.random.default_rng(2)
    weights = draw_weights(random)
    cases, patients = random.random(9), random.integers(0, PATIENTS, 9)
    call_unmutated(weighted_share, [cases, patients, weights])
    call_unmutated(weighted_auc, [cases > 0.5, cases, patients, weights])
    call_unmutated(weighted_froc, [*froc_inputs(random), weights], at=LIMITS, area_up_to=1.0)
    call_unmutated(weighted_pixel_numbers, [*pixel_inputs(random), weights])
