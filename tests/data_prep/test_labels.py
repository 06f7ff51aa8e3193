"""Domains of slices and patients."""

from __future__ import annotations

import numpy as np
import pytest

from data_prep.labels import encode_domains, patient_domain, slice_domains


def test_a_slice_is_healthy_without_lesion_and_diseased_above_the_limit() -> None:
    areas = np.array([0, 1, 10, 11, 500])
    assert slice_domains(areas, areas > 0, min_area_px=10) == ["healthy", "", "", "diseased", "diseased"]


def test_a_lesion_that_only_the_source_shows_makes_a_slice_neither() -> None:
    areas, in_source = np.array([0, 0]), np.array([True, False])
    assert slice_domains(areas, in_source, min_area_px=10) == ["", "healthy"]


def test_without_a_limit_every_slice_has_a_domain() -> None:
    assert slice_domains(np.array([0, 1]), np.array([False, True]), min_area_px=0) == ["healthy", "diseased"]


def test_no_slices_have_no_domains() -> None:
    assert slice_domains(np.array([], int), np.array([], bool), min_area_px=10) == []


def test_domains_are_encoded_one_column_each() -> None:
    assert encode_domains(["diseased", "", "healthy"]).tolist() == [[0, 1], [0, 0], [1, 0]]
    assert encode_domains([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("domains", "expected"),
    [
        (["healthy", "", "diseased"], "diseased"),
        (["healthy", "healthy"], "healthy"),
        (["healthy", ""], ""),
        ([""], ""),
        ([], ""),
    ],
)
def test_a_patient_is_healthy_only_when_every_slice_is(domains: list[str], expected: str) -> None:
    assert patient_domain(domains) == expected
