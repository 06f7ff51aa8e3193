"""Which pixels show the patient."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations, product

import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.foreground import Foreground, bounding_box, find_foreground, surrounding_value

SHAPE = (20, 24, 10)


@pytest.mark.parametrize("outside", [0.0, -3.62, 1000.0, 1.5])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_a_constant_background_is_found_whatever_its_value(
    head: Callable[..., np.ndarray], outside: float, dtype: type
) -> None:
    tissue = head(SHAPE, outside=0)
    volume = np.where(tissue, 100 * tissue, outside).astype(dtype)
    assert surrounding_value(volume) == (dtype(outside), 1)
    found = find_foreground(volume, "constant")
    assert found.background == dtype(outside)
    np.testing.assert_array_equal(found.whole(), tissue != 0)


@pytest.mark.parametrize("outside", [-3.62, 1.5, 1000.0])
def test_a_head_that_touches_the_faces_does_not_hide_the_background(
    head: Callable[..., np.ndarray], outside: float
) -> None:
    cropped = head(SHAPE, outside=outside)[3:-3, 4:-4, 2:-2]
    assert (cropped[0] != np.float32(outside)).any()
    value, share = surrounding_value(cropped)
    assert value == np.float32(outside)
    assert 0.3 < share < 1


def test_zero_takes_all_but_zero_whatever_surrounds_the_patient() -> None:
    volume = np.full(SHAPE, 5, np.float32)
    volume[3:5, 4:8, 2:3] = 0
    np.testing.assert_array_equal(find_foreground(volume, "zero").whole(), volume != 0)


def test_all_is_everything() -> None:
    assert find_foreground(np.zeros(SHAPE, np.uint8), "all").whole().all()


def test_otsu_takes_the_body_out_of_noise_fills_the_lungs_and_leaves_the_table() -> None:
    random = np.random.default_rng(0)
    s, r, c = np.indices((8, 60, 60))
    body = (r - 28) ** 2 + (c - 30) ** 2 < 20**2
    lung = (r - 28) ** 2 + (c - 24) ** 2 < 6**2
    table = (r > 54) & (s >= 0)
    volume = np.where((body & ~lung) | table, 40, -1000) + random.normal(0, 30, body.shape)
    np.testing.assert_array_equal(find_foreground(volume.astype(np.float32), "otsu").whole(), body)


@pytest.mark.parametrize("rule", ["constant", "zero", "otsu"])
def test_a_volume_without_contrast_is_an_error(rule: str) -> None:
    with pytest.raises(DataError, match="every voxel is 0"):
        find_foreground(np.zeros(SHAPE, np.float32), rule)  # type: ignore[arg-type]


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("dtype", [bool, np.int16, np.uint8, np.int32])
def test_a_box_is_found_in_every_memory_order(order: tuple[int, ...], dtype: type) -> None:
    base = np.zeros((9, 11, 13), dtype)
    base[2:4, 5:9, 7] = 1
    base[3, 8, 10] = 1
    for signs in product((1, -1), repeat=3):
        view = base.transpose(order)[tuple(slice(None, None, sign) for sign in signs)]
        used = [np.flatnonzero((view != 0).any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
        assert bounding_box(view) == tuple(slice(int(u[0]), int(u[-1]) + 1) for u in used)


def test_negative_values_are_no_background_for_the_box() -> None:
    volume = np.zeros((4, 5, 6), np.int16)
    volume[1, 2, 3] = -32768
    assert bounding_box(volume) == (slice(1, 2), slice(2, 3), slice(3, 4))
    assert bounding_box(np.zeros((4, 5, 6), np.int16)) is None


def test_the_union_holds_what_either_holds() -> None:
    random = np.random.default_rng(0)
    one, other = np.zeros((2, *SHAPE), bool)
    one[2:5, 3:9, 1:4], other[4:12, 1:4, 3:9] = random.random((3, 6, 3)) > 0.3, random.random((8, 3, 6)) > 0.3
    union = Foreground.of(one).union(Foreground.of(other))
    np.testing.assert_array_equal(union.whole(), one | other)


def test_an_empty_mask_is_no_foreground() -> None:
    with pytest.raises(DataError, match="no voxel is foreground"):
        Foreground.of(np.zeros(SHAPE, bool))


def test_noise_around_the_patient_is_told_by_its_share() -> None:
    noise = np.random.default_rng(0).integers(0, 20, SHAPE).astype(np.int16)
    assert find_foreground(noise, "constant").background_share < 0.2
