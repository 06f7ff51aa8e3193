"""What is kept of a patient, on hand-drawn maps, and how patients are joined and selected."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.binarize import Fixed
from evaluation.measure import PatientTruth, measure_patient, measure_scores
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements, join_measurements, select_patients
from evaluation.protocol import Protocol
from tests.evaluation.random_patients import measure, random_cases

SMALL = Protocol(min_size_px=1, binarization="fixed", binarization_threshold=0.25)
"""Drawings are small: candidates are 2 pixels and more above 0.25."""

Draw = Callable[..., np.ndarray]


def truth_of(lesions: np.ndarray | None, **changes: Any) -> PatientTruth:
    """A patient all of whose pixels are foreground, labeled by its lesions."""
    drawn = np.zeros((2, 3, 4)) if lesions is None else lesions
    count = len(drawn)
    values: dict[str, Any] = {
        "foreground": np.ones(drawn.shape, bool),
        "lesions": lesions,
        "labels": np.where((drawn > 0).any(axis=(1, 2)), ABNORMAL, NORMAL),
        "heights": np.linspace(0, 1, count),
        "places": np.arange(count),
        "label": ABNORMAL,
    }
    return PatientTruth(**(values | changes))


def assert_same(one: Measurements, other: Measurements) -> None:
    for field in fields(Measurements):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name), err_msg=field.name)


def test_everything_of_a_drawn_patient(draw: Draw) -> None:
    # A hit and a false candidate; a lesion that is missed; a slice that only its single pixel of 0.75 scores.
    maps = np.stack(
        [
            draw("aa.b.", "aa...", "...cc", a=0.5, b=0.125, c=1),
            draw("bbbbb", "bbbbb", "bbbbb", b=0.125),
            draw("d....", ".....", ".....", d=0.75),
        ]
    )
    lesions = np.stack(
        [draw("xx...", "xx...", "....."), draw(".....", "..xx.", "....."), draw(".....", ".....", ".....")]
    )
    measured = measure_patient(maps, truth_of(lesions), protocol=SMALL, same_l1=np.array([0.1, 0.2, 0.3]))
    expected = {
        "slice_patient": [0, 0, 0],
        "slice_row": [0, 1, 2],
        "slice_label": [ABNORMAL, ABNORMAL, NORMAL],
        "slice_height": [0, 0.5, 1],
        "slice_score": [1, 0.125, 0.75],
        "slice_peak_hit": [0, 0, np.nan],  # the false candidate is higher; all pixels are equal; a normal slice
        "slice_same_l1": [0.1, 0.2, 0.3],
        "lesion_patient": [0, 0],
        "lesion_row": [0, 1],
        "lesion_size": [4, 2],
        "lesion_score": [0.5, -np.inf],
        "false_patient": [0],
        "false_row": [0],
        "false_score": [1],
        "lesion3d_patient": [0],  # their corners touch through the slices
        "lesion3d_size": [6],
        "lesion3d_score": [0.5],
        "false3d_patient": [0],
        "false3d_score": [1],
        "pixel_patient": [0, 0, 0, 0, 0],
        "pixel_level": [0, 0.125, 0.5, 0.75, 1],
        "pixel_lesion": [0, 2, 4, 0, 0],
        "pixel_normal": [8 + 14, 1 + 13, 0, 1, 2],
        "patient_label": [ABNORMAL],
        "patient_score": [1],
        "patient_images": [3],
        "patient_missed": [0],
        "patient_collateral_sum": [0.125 + 2 + 13 * 0.125],  # of the two abnormal slices
        "patient_collateral_pixels": [11 + 13],
        "patient_hausdorff95_mm": [np.nan],
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(measured, name), values, err_msg=name)
    assert expected.keys() == {field.name for field in fields(Measurements)}
    assert measured.patients == 1


@pytest.mark.parametrize("beyond", [-9.0, 0.0, 9.0])
@pytest.mark.parametrize("offset", [0.0, -0.5, -5.0])
def test_only_the_foreground_is_looked_at(beyond: float, offset: float) -> None:
    (case,) = random_cases(1, patients=1)
    protocol = Protocol()
    maps = case.maps + np.float32(offset)
    measured = measure_patient(maps, case.truth, protocol=protocol, pixel_threshold=0.3)
    changed = np.where(case.truth.foreground, maps, np.float32(beyond))
    assert_same(measured, measure_patient(changed, case.truth, protocol=protocol, pixel_threshold=0.3))
    highest = [m[inside].max(initial=-np.inf) for m, inside in zip(maps, case.truth.foreground, strict=True)]
    assert measured.slice_score.tolist() == [value if value > -np.inf else 0 for value in highest]


def test_map_of_one_value_has_no_peak_even_where_background_and_other_slices_are_lower(draw: Draw) -> None:
    lesions = np.stack([draw("xx..", "....")] * 2)
    foreground = np.stack([draw("xxx.", "xxxx")] * 2) > 0
    maps = foreground * np.stack([draw("aaaa", "aaaa", a=0.5), draw("b...", "....", b=0.75)])
    measured = measure_patient(maps, truth_of(lesions, foreground=foreground), protocol=SMALL)
    assert measured.slice_peak_hit.tolist() == [0, 1]
    assert measured.slice_score.tolist() == [0.5, 0.75]


def test_lesion_pixels_outside_the_foreground_are_missed(draw: Draw) -> None:
    lesions, foreground = draw("xxx.", "....")[None], draw(".xxx", ".xxx")[None] > 0
    measured = measure_patient(np.ones((1, 2, 4)), truth_of(lesions, foreground=foreground), protocol=SMALL)
    assert measured.patient_missed.tolist() == [1]
    assert measured.pixel_lesion.tolist() == [2]
    assert measured.lesion_size.tolist() == [3]


@pytest.mark.parametrize(("places", "sizes"), [([4, 5], [4]), ([4, 6], [2, 2])])
def test_left_out_slices_part_what_lies_beside_them(draw: Draw, places: list[int], sizes: list[int]) -> None:
    lesion = np.stack([draw("xx..", "....")] * 2)
    maps = np.stack([draw("aa..", "....", a=0.5), draw("aa..", "....", a=0.75)])
    measured = measure_patient(maps, truth_of(lesion, places=np.array(places)), protocol=SMALL)
    assert measured.lesion3d_size.tolist() == sizes
    assert measured.lesion3d_score.tolist() == [0.5, 0.75][-len(sizes) :]
    assert measured.lesion_score.tolist() == [0.5, 0.75]
    assert len(measured.false3d_score) == 0


def test_faces_alone_join_volumes_when_edges_alone_join_areas(draw: Draw) -> None:
    lesion = np.stack([draw("xx..", "xx.."), draw("..xx", "..xx")])
    measured = [
        measure_patient(
            lesion * 0.5, truth_of(lesion), protocol=SMALL.model_copy(update={"connectivity": connectivity})
        )
        for connectivity in (1, 2, None)
    ]
    assert [own.lesion3d_size.tolist() for own in measured] == [[4, 4], [8], [8]]
    assert [own.lesion3d_score.tolist() for own in measured] == [[0.5, 0.5], [0.5], [0.5]]


@pytest.mark.parametrize(("places", "expected"), [([0, 1], 2.0), ([0, 3], 6.0)])
def test_surface_distance_is_in_mm_across_left_out_slices(draw: Draw, places: list[int], expected: float) -> None:
    lesions = np.stack([draw("xx..", "...."), draw("....", "....")])
    truth = truth_of(lesions, places=np.array(places), spacing_mm=(2.0, 1.0, 1.0))
    measured = measure_patient(lesions[::-1] * 0.5, truth, protocol=SMALL, pixel_threshold=0.5)
    assert measured.patient_hausdorff95_mm.tolist() == [expected]


def test_surface_of_what_is_called_ends_with_the_foreground(draw: Draw) -> None:
    foreground = draw(".xx.", ".xxx")[None] > 0
    truth = truth_of(foreground, foreground=foreground, spacing_mm=(1.0, 1.0, 1.0))
    measured = measure_patient(np.full((1, 2, 4), 0.5), truth, protocol=SMALL, pixel_threshold=0.5)
    assert measured.patient_hausdorff95_mm.tolist() == [0]


@pytest.mark.parametrize(
    ("spacing", "threshold"), [(None, 0.5), ((1.0, 1.0, 1.0), None), ((1.0, 1.0, 1.0), np.nan), ((1.0, 1.0, 1.0), 0.75)]
)
@pytest.mark.filterwarnings("error")
def test_surface_distance_needs_spacing_threshold_and_called_pixels(
    draw: Draw, spacing: tuple[float, float, float] | None, threshold: float | None
) -> None:
    lesions = draw("xx..", "....")[None]
    truth = truth_of(lesions, spacing_mm=spacing)
    measured = measure_patient(lesions * 0.5, truth, protocol=SMALL, pixel_threshold=threshold)
    assert np.isnan(measured.patient_hausdorff95_mm).tolist() == [True]


def test_slices_of_unknown_label_have_lesions_and_pixels_but_no_peak_or_collateral_change(draw: Draw) -> None:
    lesions = draw("xx..", "....")[None]
    known = measure_patient(lesions * 0.5, truth_of(lesions), protocol=SMALL)
    unknown = measure_patient(lesions * 0.5, truth_of(lesions, labels=np.array([UNKNOWN])), protocol=SMALL)
    assert (known.slice_peak_hit.tolist(), known.patient_collateral_pixels.tolist()) == ([1], [6])
    assert np.isnan(unknown.slice_peak_hit).all()
    assert unknown.patient_collateral_pixels.tolist() == [0]
    alike = ("lesion_score", "pixel_lesion", "patient_images")
    assert all(getattr(known, name).tolist() == getattr(unknown, name).tolist() for name in alike)


def test_lesions_nobody_drew_leave_scores_alone(draw: Draw) -> None:
    maps = np.stack([draw("aa..", "....", "....", a=0.5), draw("aa..", "....", "....", a=0.75)])
    measured = measure_patient(maps, truth_of(None), protocol=SMALL, pixel_threshold=0.5)
    assert measured.slice_score.tolist() == [0.5, 0.75]
    assert measured.patient_score.tolist() == [0.75]
    assert np.isnan(measured.slice_peak_hit).all()
    assert (measured.patient_images.tolist(), measured.patient_missed.tolist()) == ([0], [0])
    for name in ("lesion_score", "false_score", "lesion3d_score", "false3d_score", "pixel_level"):
        assert len(getattr(measured, name)) == 0


def test_given_scores_replace_those_of_maps() -> None:
    (case,) = random_cases(1, patients=1)
    scores = np.linspace(3, 5, len(case.maps))
    own = measure_patient(case.maps, case.truth, protocol=Protocol(patient_top=2))
    given_scores = measure_patient(case.maps, case.truth, protocol=Protocol(patient_top=2), scores=scores)
    assert given_scores.slice_score.tolist() == scores.tolist()
    assert given_scores.patient_score.tolist() == [np.mean(scores[-2:])]
    assert_same(replace(given_scores, slice_score=own.slice_score, patient_score=own.patient_score), own)


def test_method_without_maps_has_scores_alone() -> None:
    (case,) = random_cases(1, patients=1)
    scores = np.linspace(3, 5, len(case.maps))
    measured = measure_scores(scores, case.truth, protocol=Protocol(patient_top=2))
    undrawn = replace(case.truth, lesions=None)
    assert_same(measured, measure_patient(case.maps, undrawn, protocol=Protocol(patient_top=2), scores=scores))


def test_rule_replaces_the_protocols() -> None:
    (case,) = random_cases(1, patients=1)
    given_rule = measure_patient(case.maps, case.truth, protocol=Protocol(), rule=Fixed(threshold=0.25))
    chosen = Protocol(binarization="fixed", binarization_threshold=0.25)
    assert_same(given_rule, measure_patient(case.maps, case.truth, protocol=chosen))
    assert (
        given_rule.false_score.tolist()
        != measure_patient(case.maps, case.truth, protocol=Protocol()).false_score.tolist()
    )


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), cut=st.integers(0, 5))
def test_joining_in_parts_is_joining_at_once(seed: int, cut: int) -> None:
    cases = random_cases(seed)
    parts = [measure([case], Protocol(), pixel_threshold=None) for case in cases]
    joined = join_measurements(parts)
    split = [join_measurements(own) for own in (parts[:cut], parts[cut:]) if own]
    assert_same(join_measurements(split), joined)
    assert joined.patients == len(cases)
    for number, part in enumerate(parts):
        assert_same(select_patients(joined, [number]), part)
    order = np.random.default_rng(seed).permutation(len(parts))[:2].tolist()
    assert_same(select_patients(joined, order), join_measurements([parts[number] for number in order]))


def test_nothing_joined_is_nobody() -> None:
    nobody = join_measurements([])
    assert nobody.patients == 0
    assert_same(nobody, select_patients(measure(random_cases(0), Protocol()), []))


@pytest.mark.parametrize("numbers", [[0, 0], [3], [-1]])
def test_only_patients_who_are_there_can_be_selected_once(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="`numbers` must be different ones of 0 to 2"):
        select_patients(measure(random_cases(0, patients=3), Protocol()), numbers)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"foreground": np.ones((3, 4), bool)}, "`foreground` must be"),
        ({"lesions": np.zeros((2, 3, 5))}, "one shape"),
        ({"labels": np.zeros(3, int)}, "one shape"),
        ({"labels": np.zeros((2, 1), int)}, "`labels` must be"),
        ({"labels": np.array([0, 2])}, "labels must be ABNORMAL"),
        ({"label": 5}, "labels must be ABNORMAL"),
        ({"places": np.array([1, 1])}, "`places` must be whole numbers that rise"),
        ({"places": np.array([2, 1], np.uint8)}, "`places` must be whole numbers that rise"),
        ({"places": np.array([0, 1.5])}, "`places` must be whole numbers that rise"),
    ],
)
def test_truth_that_does_not_fit_is_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(truth_of(np.zeros((2, 3, 4))), **changes)


def test_patient_without_slices_is_named() -> None:
    with pytest.raises(ValueError, match="`labels` must be one a slice"):
        truth_of(np.zeros((0, 3, 4)))


@pytest.mark.parametrize(
    ("maps", "arrays", "error"),
    [
        (np.zeros((2, 3, 5)), {}, ValueError),
        (np.zeros((3, 4)), {}, ValueError),
        (np.full((2, 3, 4), np.nan), {}, ValueError),
        (np.zeros((2, 3, 4), complex), {}, TypeError),
        (np.zeros((2, 3, 4)), {"scores": np.zeros(3)}, ValueError),
        (np.zeros((2, 3, 4)), {"same_l1": np.zeros(3)}, ValueError),
        (np.zeros((2, 3, 4)), {"scores": [0.0, 0.0]}, TypeError),
    ],
)
def test_maps_and_scores_must_fit_the_patient(maps: np.ndarray, arrays: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        measure_patient(maps, truth_of(np.zeros((2, 3, 4))), protocol=SMALL, **arrays)


def test_scores_must_be_one_a_slice() -> None:
    with pytest.raises(ValueError, match="one shape"):
        measure_scores(np.zeros(3), truth_of(np.zeros((2, 3, 4))), protocol=SMALL)


def test_nothing_is_mutated(call_unmutated: Callable[..., Any]) -> None:
    (case,) = random_cases(1, patients=1)
    truth = case.truth
    arrays = [truth.foreground, truth.labels, truth.heights, truth.places, case.same_l1]
    assert truth.lesions is not None
    before = [array.copy() for array in (*arrays, truth.lesions)]
    measured = call_unmutated(measure_patient, [case.maps], truth=truth, protocol=Protocol(), same_l1=case.same_l1)
    for array, copy in zip((*arrays, truth.lesions), before, strict=True):
        np.testing.assert_array_equal(array, copy)
    kept = {field.name: getattr(measured, field.name).copy() for field in fields(Measurements)}
    join_measurements([measured, measured])
    select_patients(measured, [0])
    assert_same(measured, Measurements(**kept))
