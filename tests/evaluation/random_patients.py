"""Small patients of every kind, drawn at random, to try evaluations on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from evaluation.measure import PatientTruth, measure_patient
from evaluation.measurements import ABNORMAL, NORMAL, UNKNOWN, Measurements, join_measurements
from evaluation.protocol import Protocol
from tests.evaluation.slow_maps import Case

SIDE = 24
PIXEL_THRESHOLD = 0.3
"""Between noise and most blobs."""
KINDS = ("diseased", "healthy", "undrawn", "diseased", "unknown", "healthy")


def random_cases(seed: int, *, patients: int | None = None, coarse: bool = False) -> list[Case]:
    """3 to 6 patients of 3 to 8 slices, some of whom are healthy, unlabeled, or have lesions that nobody drew.

    Places have gaps; maps hold blobs on lesions and elsewhere, and large values outside the foreground; lesions may be
    small, or reach out of the foreground. All arrays are read-only.

    Args:
        seed: decides everything.
        patients: how many.
        coarse: make map values multiples of 1/32, so that many are equal.
    """
    random = np.random.default_rng(seed)
    count = int(random.integers(3, 7)) if patients is None else patients
    return [_random_case(random, KINDS[number % len(KINDS)], coarse) for number in range(count)]


def with_other_maps(cases: list[Case], seed: int) -> list[Case]:
    """Another method on the same patients: half of its map is noise of its own."""
    random = np.random.default_rng(seed)
    others = []
    for case in cases:
        maps = ((case.maps + random.random(case.maps.shape)) / 2).astype(np.float32)
        others.append(replace(case, maps=_read_only(maps), same_l1=_read_only(case.same_l1 / 2)))
    return others


def measure(
    cases: Sequence[Case], protocol: Protocol, *, pixel_threshold: float | None = PIXEL_THRESHOLD
) -> Measurements:
    """All patients, joined."""
    return join_measurements(
        [
            measure_patient(
                case.maps, case.truth, protocol=protocol, same_l1=case.same_l1, pixel_threshold=pixel_threshold
            )
            for case in cases
        ]
    )


def _random_case(random: np.random.Generator, kind: str, coarse: bool) -> Case:
    places = np.cumsum(random.choice([1, 1, 1, 2, 3], int(random.integers(3, 9))))
    shape = (len(places), SIDE, SIDE)
    z, row, column = np.meshgrid(places, np.arange(SIDE), np.arange(SIDE), indexing="ij")
    radii = random.uniform(7, 12, (len(places), 1, 1))
    foreground = (row - 11.5) ** 2 + (column - 12) ** 2 < radii**2
    if random.random() < 0.3:
        foreground[int(random.integers(len(places)))] = False
    noise = random.uniform(0, 0.3, shape)
    maps, lesions = noise.copy(), np.zeros(shape, np.uint8)

    def ball(at: np.ndarray, radius: float) -> np.ndarray:
        return ((z - at[0]) * 1.5) ** 2 + (row - at[1]) ** 2 + (column - at[2]) ** 2 < radius**2

    def place() -> np.ndarray:
        return np.array([random.choice(places), *random.uniform(4, 19, 2)])

    for _ in range(0 if kind == "healthy" else int(random.integers(1, 4))):
        at, radius = place(), random.uniform(1.5, 5)
        lesions[ball(at, radius)] = random.integers(1, 4)
        if random.random() < 0.8:
            hit = ball(at + random.normal(0, 1.2, 3), radius * random.uniform(0.6, 1.3))
            maps[hit] = random.uniform(0.3, 1) + noise[hit]
    for _ in range(int(random.integers(0, 4))):
        false = ball(place(), random.uniform(1.5, 4))
        maps[false] = random.uniform(0.3, 1) + noise[false]
    maps[~foreground & (random.random(shape) < 0.1)] = 3
    sizes = np.count_nonzero(lesions, axis=(1, 2))
    labels = np.where(sizes > 10, ABNORMAL, np.where(sizes == 0, NORMAL, UNKNOWN))
    labels[random.random(len(places)) < 0.1] = UNKNOWN
    truth = PatientTruth(
        foreground=_read_only(foreground),
        lesions=None if kind == "undrawn" else _read_only(lesions),
        labels=_read_only(labels),
        heights=_read_only((places - places[0]) / max(1, places[-1] - places[0])),
        places=_read_only(places),
        label={"healthy": NORMAL, "unknown": UNKNOWN}.get(kind, ABNORMAL),
        spacing_mm=(3.0, 1.0, 1.25),
    )
    shown = np.round(maps * 32) / 32 if coarse else maps
    return Case(maps=_read_only(shown.astype(np.float32)), truth=truth, same_l1=_read_only(random.random(len(places))))


def _read_only(array: np.ndarray) -> np.ndarray:
    array.setflags(write=False)
    return array
