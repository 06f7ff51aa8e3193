"""Where numbers are undefined: NaN with a warning that names the number, and never an exception."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest

from evaluation.measure import measure_scores
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements, join_measurements
from evaluation.numbers import UNDEFINED_BECAUSE, measure_numbers, warn_of_undefined
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds, choose_thresholds
from evaluation.undefined import UndefinedMetricWarning
from tests.evaluation.random_patients import measure, random_cases
from tests.evaluation.slow_evaluation import slow_numbers, slow_thresholds
from tests.evaluation.slow_maps import Case, look_at

PROTOCOL = Protocol(resamples=5)
SOME = Thresholds(slices=0.6, patients=0.7, lesions=0.6, lesions_3d=0.5, pixels=0.25)
NONE = Thresholds(**dict.fromkeys(("slices", "patients", "lesions", "lesions_3d", "pixels"), float("nan")))
OF_LESIONS = {name for name in UNDEFINED_BECAUSE if name.startswith(("lesions", "pixels"))}
OF_THRESHOLDS = {name for name in UNDEFINED_BECAUSE if "sensitivity" in name or "specificity" in name} | {
    "lesions.false_positives_per_image",
    "lesions_3d.false_positives_per_patient",
    "pixels.dice",
}


def all_slices(case: Case, label: int) -> np.ndarray:
    return np.full(len(case.truth.labels), label)


def as_it_is(case: Case) -> Case:
    return case


def without_drawn_lesions(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, lesions=None))


def healthy(case: Case) -> Case:
    none = np.zeros_like(case.truth.foreground)
    return replace(case, truth=replace(case.truth, lesions=none, labels=all_slices(case, NORMAL), label=NORMAL))


def without_healthy_slice(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, labels=all_slices(case, ABNORMAL)))


def without_labels(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, labels=all_slices(case, UNKNOWN), label=UNKNOWN))


def diseased(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, label=ABNORMAL))


def at_different_heights(case: Case) -> Case:
    heights = np.where(case.truth.labels == NORMAL, case.truth.heights / 3, 0.5 + case.truth.heights / 3)
    return replace(case, truth=replace(case.truth, heights=heights))


def without_foreground(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, foreground=np.zeros_like(case.truth.foreground)))


def with_lesions_everywhere(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, lesions=np.ones_like(case.truth.foreground)))


def of_one_value(case: Case) -> Case:
    return replace(case, maps=np.zeros_like(case.maps))


def without_spacing(case: Case) -> Case:
    return replace(case, truth=replace(case.truth, spacing_mm=None))


CHANGES: list[tuple[Callable[[Case], Case], set[str]]] = [
    (as_it_is, set()),
    (without_drawn_lesions, OF_LESIONS | {"slices.peak_hit", "fixed_point.collateral_change"}),
    (
        healthy,
        {
            "slices.auc",
            "slices.auc_position_matched",
            "slices.peak_hit",
            "slices.sensitivity",
            "patients.auc",
            "patients.sensitivity",
            "lesions.sensitivity",
            "lesions.froc_score",
            "lesions.froc_area",
            "lesions_3d.sensitivity",
            "lesions_3d.froc_score",
            "pixels.average_precision",
            "pixels.dice_oracle",
            "pixels.hausdorff95_mm",
            "fixed_point.collateral_change",
        },
    ),
    (without_healthy_slice, {"slices.auc", "slices.auc_position_matched", "slices.specificity"}),
    (
        without_labels,
        {name for name in UNDEFINED_BECAUSE if name.startswith(("slices", "patients", "fixed_point"))},
    ),
    (diseased, {"patients.auc", "patients.specificity"}),
    (at_different_heights, {"slices.auc_position_matched"}),
    (
        without_foreground,
        {"pixels.average_precision", "pixels.hausdorff95_mm", "fixed_point.collateral_change"},
    ),
    (with_lesions_everywhere, {"fixed_point.collateral_change"}),
    (of_one_value, {"pixels.hausdorff95_mm"}),
    (without_spacing, {"pixels.hausdorff95_mm"}),
]


def warned_of(measured: Measurements, thresholds: Thresholds) -> set[str]:
    """The numbers that are NaN, each of which has one warning with its name and reason."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        numbers = measure_numbers(measured, thresholds, PROTOCOL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_undefined(numbers)
    names = {name for name, value in numbers.values.items() if np.isnan(value)}
    assert all(issubclass(warning.category, UndefinedMetricWarning) for warning in caught)
    messages = sorted(str(warning.message) for warning in caught)
    assert messages == sorted(f"{name} is undefined: {UNDEFINED_BECAUSE[name]}" for name in names)
    for name in UNDEFINED_BECAUSE:
        interval = numbers.interval(name)
        assert name not in names or np.isnan([interval.low, interval.high]).all()
    return names


@pytest.mark.parametrize(("change", "expected"), CHANGES, ids=lambda value: getattr(value, "__name__", ""))
def test_undefined_numbers_are_named(change: Callable[[Case], Case], expected: set[str]) -> None:
    cases = [change(case) for case in random_cases(6, patients=6)]
    measured = measure(cases, PROTOCOL)
    assert warned_of(measured, SOME) == expected
    assert warned_of(measured, NONE) == expected | OF_THRESHOLDS


@pytest.mark.parametrize("operating_point", ["youden", "sensitivity", "false_positive_rate"])
@pytest.mark.parametrize("change", [change for change, _ in CHANGES], ids=lambda change: change.__name__)
@pytest.mark.filterwarnings("ignore::evaluation.undefined.UndefinedMetricWarning")
def test_thresholds_of_patients_who_cannot_say_are_nan(change: Callable[[Case], Case], operating_point: str) -> None:
    protocol = Protocol(operating_point=operating_point)
    cases = [change(case) for case in random_cases(6, patients=6)]
    seen = [look_at(case, protocol) for case in cases]
    thresholds = slow_thresholds(seen, protocol)
    measured = measure(cases, protocol, pixel_threshold=None)
    # Half-way between two scores is rounded as scores are, to float32.
    np.testing.assert_allclose(astuple(choose_thresholds(measured, protocol)), astuple(thresholds), rtol=1e-6)
    values = measure_numbers(measured, thresholds, PROTOCOL).values
    undefined = {name for name, value in slow_numbers(seen, thresholds, protocol).items() if np.isnan(value)}
    assert {name for name, value in values.items() if np.isnan(value)} == undefined


def test_missing_thresholds_are_named_when_they_are_chosen() -> None:
    measured = measure([healthy(case) for case in random_cases(6, patients=3)], PROTOCOL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        thresholds = choose_thresholds(measured, PROTOCOL)
    assert np.isnan(astuple(thresholds)).all()
    messages = " ".join(str(warning.message) for warning in caught)
    assert all(name in messages for name in ("Youden threshold", "lesion threshold", "best Dice"))


def test_numbers_nobody_expects_are_undefined_without_a_word() -> None:
    measured = measure([without_spacing(diseased(case)) for case in random_cases(6, patients=6)], PROTOCOL)
    numbers = measure_numbers(measured, SOME, PROTOCOL)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_undefined(numbers, unless=["pixels.hausdorff95_mm", "patients.auc"])
    (warning,) = caught
    assert str(warning.message).startswith("patients.specificity is undefined")


def test_method_without_maps_has_numbers_of_scores_alone() -> None:
    cases = random_cases(6, patients=6)
    measured = join_measurements([measure_scores(case.truth.heights, case.truth, protocol=PROTOCOL) for case in cases])
    of_maps = {"slices.peak_hit", "fixed_point.same_domain_l1", "fixed_point.collateral_change"}
    assert warned_of(measured, SOME) == OF_LESIONS | of_maps


def test_equal_scores_separate_nothing() -> None:
    measured = measure([of_one_value(case) for case in random_cases(6, patients=6)], PROTOCOL)
    thresholds = choose_thresholds(measured, PROTOCOL)
    assert (thresholds.slices, thresholds.patients) == (np.inf, np.inf)
    numbers = measure_numbers(measured, thresholds, PROTOCOL).values
    expected = {"auc": 0.5, "sensitivity": 0, "specificity": 1}
    for name, value in expected.items():
        assert (numbers[f"slices.{name}"], numbers[f"patients.{name}"]) == (value, value)
    assert numbers["slices.peak_hit"] == 0
