"""Every number, threshold and difference against its definition on whole maps (`slow_evaluation.py`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple, replace
from itertools import pairwise

import numpy as np
import pytest

from evaluation.bootstrap import patient_weights
from evaluation.measure import measure_scores
from evaluation.measurements import Measurements, join_measurements, select_patients
from evaluation.numbers import (
    UNDEFINED_BECAUSE,
    Numbers,
    check_same_cases,
    compute_numbers,
    dice_sums,
    measure_numbers,
    sensitivity_by_size,
)
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds, choose_thresholds
from tests.evaluation.random_patients import PIXEL_THRESHOLD, measure, random_cases, with_other_maps
from tests.evaluation.slow_evaluation import resampled, slow_numbers, slow_thresholds
from tests.evaluation.slow_maps import Case, Seen, look_at

PROTOCOLS = (
    Protocol(),
    Protocol(connectivity=1, hit="overlap", patient_top=2, score="mean", operating_point="sensitivity"),
    Protocol(
        hit="iou",
        score="candidates",
        binarization="percentile",
        binarization_percentile=90,
        height_tolerance=0.2,
        operating_point="false_positive_rate",
        operating_false_positive_rate=0.2,
        false_positives_per_image=0.1,
    ),
    Protocol(
        min_size_px=0,
        score="percentile",
        score_percentile=95,
        binarization="fixed",
        binarization_threshold=0.4,
        false_positives_per_patient=3,
    ),
)
UNPAIRED = "pixels.hausdorff95_mm"
SOME = Thresholds(slices=0.6, patients=0.7, lesions=0.6, lesions_3d=0.5, pixels=0.25)
LOWEST, NONE = (
    Thresholds(slices=value, patients=value, lesions=value, lesions_3d=value, pixels=value)
    for value in (-np.inf, np.nan)
)


def look(cases: list[Case], protocol: Protocol) -> list[Seen]:
    return [look_at(case, protocol, pixel_threshold=PIXEL_THRESHOLD) for case in cases]


def at_scores(measured: Measurements) -> Thresholds:
    """Thresholds that some case, false candidate or pixel meets exactly."""

    def middle(scores: np.ndarray) -> float:
        return float(np.sort(scores)[len(scores) // 2]) if len(scores) else 0.5

    return Thresholds(
        slices=middle(measured.slice_score),
        patients=middle(measured.patient_score),
        lesions=middle(measured.false_score),
        lesions_3d=middle(measured.false3d_score),
        pixels=middle(measured.pixel_level),
    )


def assert_equal(fast: Mapping[str, float], slow: Mapping[str, float]) -> None:
    assert fast.keys() == slow.keys() == UNDEFINED_BECAUSE.keys()
    for name, expected in slow.items():
        # Surface distances are MONAI's, in float32.
        tolerance = 1e-5 if name == "pixels.hausdorff95_mm" else 1e-12
        np.testing.assert_allclose(fast[name], expected, rtol=tolerance, atol=1e-15, err_msg=name)


@pytest.mark.parametrize("seed", range(16))
def test_numbers_of_weights_are_those_of_repeated_patients(seed: int) -> None:
    protocol = PROTOCOLS[seed % len(PROTOCOLS)]
    cases = random_cases(seed, coarse=seed // len(PROTOCOLS) % 2 == 1)
    measured, seen = measure(cases, protocol), look(cases, protocol)
    weights = np.concatenate([np.ones((1, len(cases))), patient_weights(len(cases), resamples=4, seed=seed)])
    chosen = choose_thresholds(measure(random_cases(seed + 100), protocol), protocol)
    # A mean or a sum is rounded, and not always met exactly.
    met = [at_scores(measured)] if protocol.score in ("max", "percentile") else []
    for thresholds in (chosen, *met, LOWEST, NONE):
        fast = compute_numbers(measured, thresholds, protocol, weights)
        for row, weight in enumerate(weights):
            own = {name: values[row] for name, values in fast.items()}
            assert_equal(own, slow_numbers(resampled(seen, weight), thresholds, protocol))


@pytest.mark.parametrize("change", [lambda maps: maps - 0.5, lambda maps: maps - 5, lambda maps: maps.astype(float)])
def test_negative_maps_and_double_precision_change_nothing_about_the_definitions(
    change: Callable[[np.ndarray], np.ndarray],
) -> None:
    cases = [replace(case, maps=change(case.maps)) for case in random_cases(3)]
    measured, seen = measure(cases, Protocol()), look(cases, Protocol())
    thresholds = choose_thresholds(measured, Protocol())
    assert astuple(thresholds) == pytest.approx(astuple(slow_thresholds(seen, Protocol())), rel=1e-12)
    fast = compute_numbers(measured, thresholds, Protocol(), np.ones((1, len(cases))))
    assert_equal({name: value[0] for name, value in fast.items()}, slow_numbers(seen, thresholds, Protocol()))


@pytest.mark.parametrize("seed", range(16))
def test_thresholds_are_the_best_of_all(seed: int) -> None:
    protocol = PROTOCOLS[seed % len(PROTOCOLS)]
    cases = random_cases(seed, coarse=seed // len(PROTOCOLS) % 2 == 1)
    chosen, slow = (
        choose_thresholds(measure(cases, protocol), protocol),
        slow_thresholds(look(cases, protocol), protocol),
    )
    np.testing.assert_allclose(astuple(chosen), astuple(slow), rtol=1e-12)


def test_intervals_are_of_repeated_patients_and_differences_are_paired() -> None:
    protocol = Protocol(resamples=20, seed=5)
    cases = random_cases(6, patients=5)
    others = with_other_maps(cases, 7)
    one, other = (measure_numbers(measure(own, protocol), SOME, protocol) for own in (cases, others))
    difference = one.minus(other)
    seen, seen_others = look(cases, protocol), look(others, protocol)
    rows = [
        [
            slow_numbers(resampled(patients, weight), SOME, protocol)
            for weight in patient_weights(5, resamples=20, seed=5)
        ]
        for patients in (seen, seen_others)
    ]
    assert_equal(one.values, slow_numbers(seen, SOME, protocol))
    for name in UNDEFINED_BECAUSE:
        own, others_own = (np.array([numbers[name] for numbers in method]) for method in rows)
        tolerance = 1e-5 if name == UNPAIRED else 1e-9
        for numbers, slow in ((one, own), (difference, own - others_own)):
            if numbers is difference and name == UNPAIRED:
                assert np.isnan(difference.values[name])
                assert np.isnan(difference.resampled[name]).all()
                continue
            np.testing.assert_allclose(numbers.resampled[name], slow, rtol=tolerance, atol=1e-12, err_msg=name)
            # Where a person alone decides a number, it is undefined without that one.
            low, high = np.nanquantile(slow, [0.025, 0.975]) if np.isnan(slow).mean() <= 0.2 else (np.nan, np.nan)
            interval = numbers.interval(name)
            assert (interval.low, interval.high) == pytest.approx((low, high), rel=tolerance, abs=1e-12, nan_ok=True)
        assert name == UNPAIRED or difference.values[name] == one.values[name] - other.values[name]
    assert sum(value != 0 for value in difference.values.values()) > 15  # the methods do differ


def test_identical_methods_differ_by_nothing() -> None:
    protocol = Protocol(resamples=30)
    cases = random_cases(6, patients=5)
    one, other = (measure_numbers(measure(cases, protocol), SOME, protocol) for _ in range(2))
    difference = one.minus(other)
    for name, value, interval in difference:
        if name != UNPAIRED:
            assert value == 0, name
            # One patient alone is healthy.
            assert {interval.low, interval.high} == {0} or name in ("patients.auc", "patients.specificity"), name


def test_one_patient_has_numbers_and_no_interval() -> None:
    numbers = measure_numbers(measure(random_cases(6, patients=1), Protocol()), SOME, Protocol(resamples=10))
    assert numbers.values["slices.auc"] >= 0
    assert np.isnan(numbers.interval("slices.auc").low)
    assert np.isnan(numbers.interval("slices.auc").high)


def test_resamples_of_a_number_that_is_undefined_on_some_have_an_interval() -> None:
    resampled_auc = np.array([np.nan, *np.arange(41) / 40])
    interval = Numbers(values={"auc": 0.5}, resampled={"auc": resampled_auc}, persons=3).interval("auc")
    assert (interval.low, interval.high) == pytest.approx((1 / 40, 39 / 40))


def test_visits_of_one_person_are_resampled_together() -> None:
    protocol = Protocol(resamples=50, seed=3)
    cases = random_cases(8, patients=4)
    numbers = measure_numbers(measure(cases, protocol), SOME, protocol, persons=np.array([1, 0, 1, 0]))
    assert numbers.persons == 2
    seen = look(cases, protocol)
    for row, (second, first) in enumerate(patient_weights(2, resamples=50, seed=3)):
        expected = slow_numbers(resampled(seen, np.array([first, second, first, second])), SOME, protocol)
        for name in ("slices.auc", "lesions.sensitivity", "pixels.dice"):
            np.testing.assert_allclose(numbers.resampled[name][row], expected[name], rtol=1e-12, err_msg=name)


@pytest.mark.parametrize("shape", [(3,), (1, 4), (3, 1)])
def test_weights_must_be_of_the_patients(shape: tuple[int, ...]) -> None:
    measured = measure(random_cases(0, patients=3), Protocol())
    with pytest.raises(ValueError, match=r"`weights` must be \(R, 3\), got "):
        compute_numbers(measured, SOME, Protocol(), np.ones(shape))


@pytest.mark.parametrize(
    "field",
    ["slice_patient", "slice_row", "slice_label", "patient_label", "patient_images", "lesion_patient", "lesion_size"],
)
def test_methods_must_be_measured_on_the_same_cases(field: str) -> None:
    measured = measure(random_cases(0), Protocol())
    check_same_cases(measured, measure(with_other_maps(random_cases(0), 1), Protocol()))
    other = replace(measured, **{field: getattr(measured, field) + 1})
    with pytest.raises(ValueError, match=f"`{field}` differs"):
        check_same_cases(measured, other)


def test_methods_must_be_measured_on_as_many_patients() -> None:
    measured = measure(random_cases(0, patients=4), Protocol())
    with pytest.raises(ValueError, match="`slice_patient` differs"):
        check_same_cases(measured, select_patients(measured, [0, 1, 2]))


def test_method_without_maps_is_compared_by_its_slices_alone() -> None:
    cases = random_cases(0)
    measured = measure(cases, Protocol())
    scores = join_measurements([measure_scores(case.truth.heights, case.truth, protocol=Protocol()) for case in cases])
    check_same_cases(measured, scores)
    check_same_cases(scores, measured)
    with pytest.raises(ValueError, match="`slice_label` differs"):
        check_same_cases(replace(scores, slice_label=-scores.slice_label), measured)


@pytest.mark.parametrize("threshold", [0.5, 0.7, np.inf, np.nan])
def test_sensitivity_by_size_counts_lesions_between_edges(threshold: float) -> None:
    cases = random_cases(2, patients=6)
    flat = [patient.flat for patient in look(cases, Protocol())]
    lesions = [(size, scores) for own in flat for size, scores in zip(own.sizes, own.hits, strict=True)]
    sizes = sorted(size for size, _ in lesions)
    edges = (sizes[0], sizes[len(sizes) // 2], sizes[-1])  # a range holds its lower edge, and not its upper one
    rows = sensitivity_by_size(measure(cases, Protocol()), threshold, edges)
    ranges = [*pairwise(edges), (edges[-1], np.inf)]
    assert [(row["from_px"], row["to_px"]) for row in rows] == ranges
    assert [row["lesions"] for row in rows] == [sum(low <= size < high for size in sizes) for low, high in ranges]
    assert rows[0]["lesions"] > 0
    assert sum(row["lesions"] for row in rows) == len(lesions)
    for row in rows:
        inside = [any(s >= threshold for s in scores) for n, scores in lesions if row["from_px"] <= n < row["to_px"]]
        expected = np.mean(inside) if inside and not np.isnan(threshold) else np.nan
        np.testing.assert_equal(row["sensitivity"], expected)


@pytest.mark.parametrize("threshold", [0.25, 0.5, -np.inf, np.inf])
def test_dice_sums_are_twice_the_overlap_and_both_sizes_of_each_patient(threshold: float) -> None:
    cases = random_cases(4, patients=6)
    overlaps, sizes = dice_sums(measure(cases, Protocol()), threshold)
    assert overlaps.sum() + sizes.sum() > 0
    for patient, overlap, size in zip(look(cases, Protocol()), overlaps, sizes, strict=True):
        called = [lesion for level, lesion in patient.pixels if level >= threshold]
        lesions = sum(lesion for _, lesion in patient.pixels) + patient.missed
        assert (overlap, size) == (2 * sum(called), len(called) + lesions)


def test_dice_sums_without_a_threshold_are_0() -> None:
    assert not np.any(dice_sums(measure(random_cases(4), Protocol()), np.nan))
