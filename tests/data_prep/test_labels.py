"""Domains of slices and patients."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from pydantic import ValidationError

from data_prep.labels import DomainNames, domains_from_mask, patient_domains

LESION = DomainNames()
ATTRIBUTES = DomainNames(names=("edema", "enhancing"), exclusive=False, healthy=None)
VALUES = {"edema": (2,), "enhancing": (1, 4)}


def masks(*slices: dict[int, int]) -> np.ndarray:
    """A slice an argument, each showing so many pixels of a label."""
    result = np.zeros((len(slices), 40, 40), np.uint8)
    for image, areas in zip(result, slices, strict=True):
        start = 0
        for label, area in areas.items():
            image.flat[start : start + area] = label
            start += area
    return result


def shown(prepared: np.ndarray, also: Iterable[tuple[int, int]] = ()) -> dict[int, np.ndarray]:
    """What the source shows: all that the prepared slices show, and (label, slice) pairs besides."""
    result = {int(v): (prepared == v).any(axis=(1, 2)) for v in np.unique(prepared) if v}
    for label, index in also:
        result.setdefault(label, np.zeros(len(prepared), bool))[index] = True
    return result


def label(prepared: np.ndarray, domains: DomainNames = LESION, min_area_px: int = 10, also: object = ()) -> list[str]:
    values = {} if domains.exclusive else VALUES
    return domains_from_mask(prepared, shown(prepared, also), domains, values, min_area_px=min_area_px)  # type: ignore[arg-type]


def test_a_slice_is_healthy_without_lesion_and_diseased_above_the_limit() -> None:
    slices = masks({}, {4: 1}, {4: 10}, {4: 11}, {1: 200, 2: 300})
    assert label(slices) == ["healthy", "", "", "diseased", "diseased"]


def test_all_labels_together_make_the_lesion() -> None:
    assert label(masks({1: 6, 2: 5})) == ["diseased"]


def test_a_lesion_that_only_the_source_shows_makes_a_slice_neither() -> None:
    assert label(masks({}, {}), also=[(2, 0)]) == ["", "healthy"]


def test_without_a_limit_every_slice_has_a_domain() -> None:
    assert label(masks({}, {1: 1}), min_area_px=0) == ["healthy", "diseased"]


def test_no_slices_have_no_domains() -> None:
    assert label(masks()) == []


def test_attributes_come_from_their_labels_and_may_hold_together() -> None:
    slices = masks({}, {2: 50}, {1: 6, 4: 6}, {2: 50, 4: 50})
    assert label(slices, ATTRIBUTES) == ["none", "edema", "enhancing", "edema;enhancing"]


def test_a_slice_with_too_little_of_one_attribute_is_not_trained_on() -> None:
    assert label(masks({2: 50, 4: 3}), ATTRIBUTES) == [""]
    assert label(masks({2: 50}), ATTRIBUTES, also=[(4, 0)]) == [""]


def test_a_lesion_that_no_attribute_stands_for_is_not_healthy() -> None:
    assert label(masks({3: 50}, {3: 50, 2: 50}, {}), ATTRIBUTES) == ["", "", "none"]


def test_domains_are_encoded_one_column_each() -> None:
    assert LESION.encode(["diseased", "", "healthy"]).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert LESION.encode([]).shape == (0, 2)
    assert ATTRIBUTES.encode(["none", "edema;enhancing", "enhancing"]).tolist() == [[0, 0], [1, 1], [0, 1]]


def test_names_are_written_in_their_order_whatever_order_they_come_in() -> None:
    assert ATTRIBUTES.to_text(["enhancing", "edema"]) == "edema;enhancing"
    assert (ATTRIBUTES.to_text([]), LESION.to_text([])) == ("none", "")


def test_diseased_is_what_is_known_and_not_healthy() -> None:
    assert LESION.is_diseased(["healthy", "diseased", ""]).tolist() == [False, True, False]
    assert ATTRIBUTES.is_diseased(["none", "edema", ""]).tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["healthy", "", "diseased"], "diseased"),
        (["healthy", "healthy"], "healthy"),
        (["healthy", ""], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_a_patient_is_healthy_only_when_every_slice_is(texts: list[str], expected: str) -> None:
    assert patient_domains(texts, LESION) == expected


def test_a_patient_has_every_attribute_that_a_slice_has() -> None:
    assert patient_domains(["none", "enhancing", "edema"], ATTRIBUTES) == "edema;enhancing"
    assert patient_domains(["none", "none"], ATTRIBUTES) == "none"


@pytest.mark.parametrize(
    ("names", "exclusive"), [((), True), (("a", " "), True), (("a;b",), False), (("none",), False), (("a", "a"), True)]
)
def test_domains_need_names_that_tables_can_hold(names: tuple[str, ...], exclusive: bool) -> None:
    with pytest.raises(ValidationError):
        DomainNames(names=names, exclusive=exclusive)
