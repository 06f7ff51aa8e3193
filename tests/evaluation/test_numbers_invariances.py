"""What must not change the numbers of an evaluation, and what must change one of them by a known factor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.bootstrap import patient_weights
from evaluation.measure import measure_scores
from evaluation.measurements import NORMAL, Measurements, join_measurements
from evaluation.numbers import compute_numbers
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
from tests.evaluation.random_patients import measure, random_cases
from tests.evaluation.slow_maps import Case

SEEDS = st.integers(0, 10**6)
SOME = Thresholds(slices=0.6, patients=0.7, lesions=0.6, lesions_3d=0.5, pixels=0.25)
OVERLAP = Protocol(hit="overlap")
"""A centroid halfway between two pixels belongs to the later one, which is another one in a flipped slice."""


def numbers_of(measured: Measurements) -> dict[str, float]:
    values = compute_numbers(measured, SOME, Protocol(), np.ones((1, measured.patients)))
    return {name: float(value[0]) for name, value in values.items()}


def assert_equal(one: Mapping[str, float], other: Mapping[str, float]) -> None:
    for name, value in one.items():
        tolerance = 1e-5 if name == "pixels.hausdorff95_mm" else 1e-12  # float32
        np.testing.assert_allclose(other[name], value, rtol=tolerance, atol=1e-15, err_msg=name)


def reordered(case: Case, order: np.ndarray) -> Case:
    """Slices in another order, at the places that were there."""
    truth = case.truth
    lesions = None if truth.lesions is None else truth.lesions[order]
    return Case(
        maps=case.maps[order],
        truth=replace(
            truth,
            foreground=truth.foreground[order],
            lesions=lesions,
            labels=truth.labels[order],
            heights=truth.heights[order],
        ),
        same_l1=case.same_l1[order],
    )


def flipped(case: Case, axis: int) -> Case:
    truth = case.truth
    lesions = None if truth.lesions is None else np.flip(truth.lesions, axis)
    return replace(
        case,
        maps=np.flip(case.maps, axis),
        truth=replace(truth, foreground=np.flip(truth.foreground, axis), lesions=lesions),
    )


def with_empty_slice(case: Case) -> Case:
    """One more healthy slice, whose map is 0."""
    truth = case.truth
    assert truth.lesions is not None

    def longer(array: np.ndarray, last: float | np.ndarray) -> np.ndarray:
        return np.concatenate([array, np.asarray(last)[None]]).astype(array.dtype)

    empty = np.zeros(case.maps.shape[1:])
    return Case(
        maps=longer(case.maps, empty),
        truth=replace(
            truth,
            foreground=longer(truth.foreground, truth.foreground[0]),
            lesions=longer(truth.lesions, empty),
            labels=longer(truth.labels, NORMAL),
            heights=longer(truth.heights, 1),
            places=longer(truth.places, truth.places[-1] + 1),
        ),
        same_l1=longer(case.same_l1, 0),
    )


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, coarse=st.booleans())
def test_order_of_patients_does_not_matter(seed: int, coarse: bool) -> None:
    cases = random_cases(seed, coarse=coarse)
    order = np.random.default_rng(seed).permutation(len(cases))
    weights = np.concatenate([np.ones((1, len(cases))), patient_weights(len(cases), resamples=5, seed=seed)])
    one = compute_numbers(measure(cases, Protocol()), SOME, Protocol(), weights)
    other = compute_numbers(measure([cases[n] for n in order], Protocol()), SOME, Protocol(), weights[:, order])
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=1e-12, atol=1e-15, err_msg=name)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, coarse=st.booleans())
def test_order_of_slices_matters_in_3d_alone(seed: int, coarse: bool) -> None:
    random = np.random.default_rng(seed)
    cases = random_cases(seed, coarse=coarse)
    one, other = (
        numbers_of(measure(own, Protocol(), pixel_threshold=None))
        for own in (cases, [reordered(case, random.permutation(len(case.maps))) for case in cases])
    )
    flat = [name for name in one if not name.startswith("lesions_3d")]
    assert_equal({name: one[name] for name in flat}, other)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, axis=st.sampled_from([1, 2]))
def test_flipped_slices_have_the_same_numbers(seed: int, axis: int) -> None:
    cases = random_cases(seed)
    one, other = (numbers_of(measure(own, OVERLAP)) for own in (cases, [flipped(case, axis) for case in cases]))
    assert_equal(one, other)


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS, axis=st.sampled_from([1, 2]))
def test_flipped_slices_have_the_same_hits_by_centroid(seed: int, axis: int) -> None:
    random = np.random.default_rng(seed)
    cases = [with_squares(case, random) for case in random_cases(seed)]
    one, other = (numbers_of(measure(own, Protocol())) for own in (cases, [flipped(case, axis) for case in cases]))
    assert_equal(one, other)


def with_squares(case: Case, random: np.random.Generator) -> Case:
    """Noise and squares of 5 × 5 pixels, in slices one above the other: the centroids of all candidates are pixels."""
    maps = random.uniform(0, 0.1, case.maps.shape)
    for own in maps:
        squares = [(8, 8), (8, 16), (16, 12)]
        for row, column in random.permutation(squares)[: random.integers(1, 4)]:
            own[row - 2 : row + 3, column - 2 : column + 3] += random.uniform(0.6, 1)
    return replace(case, maps=maps, truth=replace(case.truth, foreground=np.ones(maps.shape, bool)))


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
@pytest.mark.parametrize("rising", [np.exp, np.cbrt, lambda scores: 3 * scores - 7])
def test_aucs_depend_on_the_order_of_scores_alone(seed: int, rising: Callable[[np.ndarray], np.ndarray]) -> None:
    random = np.random.default_rng(seed)
    truths = [case.truth for case in random_cases(seed)]
    scores = [random.integers(-8, 9, len(truth.labels)) / 4 for truth in truths]
    one, other = (
        numbers_of(
            join_measurements(
                [measure_scores(own, truth, protocol=Protocol()) for own, truth in zip(method, truths, strict=True)]
            )
        )
        for method in (scores, [rising(own) for own in scores])
    )
    for name in ("slices.auc", "slices.auc_position_matched", "patients.auc"):
        np.testing.assert_array_equal(other[name], one[name])


@settings(max_examples=10, deadline=None)
@given(seed=SEEDS)
def test_empty_healthy_slice_is_one_more_image_without_false_positives(seed: int) -> None:
    cases = random_cases(seed)
    before, after = (measure(own, Protocol()) for own in (cases, [with_empty_slice(cases[0]), *cases[1:]]))
    images = before.patient_images.sum()
    one, other = numbers_of(before), numbers_of(after)
    name = "lesions.false_positives_per_image"
    assert other[name] == pytest.approx(one[name] * images / (images + 1), rel=1e-12)
    np.testing.assert_array_equal(other["lesions.sensitivity"], one["lesions.sensitivity"])  # both may be undefined


def test_numbers_leave_measurements_alone() -> None:
    measured = measure(random_cases(0), Protocol())
    weights = patient_weights(measured.patients, resamples=3)
    before = [getattr(measured, field.name).copy() for field in fields(Measurements)]
    kept = weights.copy()
    compute_numbers(measured, SOME, Protocol(), weights)
    for field, copy in zip(fields(Measurements), before, strict=True):
        np.testing.assert_array_equal(getattr(measured, field.name), copy)
    np.testing.assert_array_equal(weights, kept)
