"""A cohort of synthetic patients who are made when they are asked for, so that one is in memory at a time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import ndimage

from data_prep.cohort import Cohort
from data_prep.preparation import Preparation
from data_prep.settings import CohortSettings
from pipelines.methods import MethodMaps

VALIDATION, TRAINING = 5, 4
"""Patients besides those of the test."""


@dataclass(frozen=True, kw_only=True)
class SyntheticCohort(Cohort):
    """A cohort whose arrays are made anew at each use, the same ones each time.

    `grid` is the number of slices and the pixels of a side; `clock` is paused while an array is made.
    """

    grid: tuple[int, int]
    clock: Stopwatch

    @classmethod
    def make(cls, patients: int, slices: int, side: int) -> SyntheticCohort:
        """Test patients with `slices` slices of `side` × `side` pixels, and the few others that evaluation needs."""
        splits = ["test"] * patients + ["validation"] * VALIDATION + ["train"] * TRAINING
        names = [f"P{number:04d}" for number in range(len(splits))]
        areas = [[int(np.count_nonzero(d < 1)) for _, d in _shapes(name, slices, side)] for name in names]
        source = {
            "mask": "drawn",
            "sources": '{"flair": "flair.nii.gz"}',
            "sha256": '[""]',
            "source_shape": f"[{side}, {side}, {slices}]",
            "source_affine": json.dumps(np.eye(4).tolist()),
            "crop_box": f"[0, 0, {side}, {side}]",
        }
        table = pd.DataFrame(
            {
                "patient": np.repeat(names, slices),
                "split": np.repeat(splits, slices),
                "row": np.tile(np.arange(slices), len(names)),
                "slice_index": np.tile(np.arange(slices), len(names)),
                "height": np.tile(np.linspace(0, 1, slices), len(names)),
                "domains": [_domain_of(area) for own in areas for area in own],
            }
        )
        domains = [_domain_of(max(own)) for own in areas]
        return cls(
            path=Path("synthetic"),
            settings=CohortSettings(
                preparation=Preparation(channels=("flair",), size=(side, side), field_of_view_mm="crop")
            ),
            patients=pd.DataFrame({"patient": names, "subject": names, "split": splits, "domain": domains}).assign(
                **source
            ),
            slices=table,
            grid=(slices, side),
            clock=Stopwatch(),
        )

    @property
    def test_patients(self) -> list[str]:
        return list(self.split("test")["patient"].unique())

    def images(self, patient: str) -> np.ndarray:
        with self.clock.paused():
            random, (slices, side) = np.random.default_rng([1, int(patient[1:])]), self.grid
            images = np.zeros((slices, 1, side, side), np.float16)
            for image, (head, distance) in zip(images, _shapes(patient, slices, side), strict=True):
                texture = 0.4 + 0.07 * random.standard_normal((side, side), np.float32)
                image[0] = np.where(head, np.clip(texture + 0.3 * (distance < 1), 0.01, 1), 0)
            return images

    def masks(self, patient: str) -> np.ndarray:
        with self.clock.paused():
            return np.stack([distance < 1 for _, distance in _shapes(patient, *self.grid)]).astype(np.uint8)

    def maps(self, patient: str) -> np.ndarray:
        """Smooth noise, and what answers to the lesion: strongest at its center, some of it beyond its edge."""
        with self.clock.paused():
            random, (slices, side) = np.random.default_rng([2, int(patient[1:])]), self.grid
            maps = np.empty((slices, side, side), np.float32)
            for own, (_, distance) in zip(maps, _shapes(patient, slices, side), strict=True):
                noise = ndimage.gaussian_filter(random.standard_normal((side, side), np.float32), 1.5)
                own[:] = np.abs(0.25 * noise + 0.35 * np.exp(-(distance**2)))
            return maps


@dataclass(frozen=True)
class SyntheticMaps:
    """What is evaluated. Nothing was translated, so the fixed point's error is made up."""

    cohort: SyntheticCohort

    def maps_of(self, patient: str, images: np.ndarray, texts: pd.Series) -> MethodMaps:
        return MethodMaps(anomaly=self.cohort.maps(patient), same_l1=np.full(len(images), 0.01))


class Stopwatch:
    """Seconds of wall and of processor time, (2,), of work between laps, without what was `paused`."""

    def __init__(self) -> None:
        self.paused_seconds = np.zeros(2)
        self._lap_started = _now()

    def lap(self) -> np.ndarray:
        ended = _now() - self.paused_seconds
        worked, self._lap_started = ended - self._lap_started, ended
        return worked

    @contextmanager
    def paused(self) -> Iterator[None]:
        started = _now()
        yield
        self.paused_seconds += _now() - started


def _shapes(patient: str, slices: int, side: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Of each slice the head, an ellipse as bool, and the distance from the lesion's center, 1 at its rim.

    Every fifth patient has no lesion, and a distance of infinity.
    """
    number = int(patient[1:])
    random = np.random.default_rng([0, number])
    head_radii = random.uniform((0.52, 0.4, 0.32), (0.55, 0.45, 0.38))
    center, radii = random.uniform(-0.15, 0.15, 3), random.uniform(0.04, 0.16, 3)
    waves, phase = random.integers(2, 6), random.uniform(0, 2 * np.pi)
    across = np.linspace(-0.5, 0.5, side, dtype=np.float32)
    row, column = across[:, None], across[None]
    angle = np.arctan2(row - center[1], column - center[2])
    wobble = 1 + 0.2 * np.sin(waves * angle + phase)
    for place in np.linspace(-0.5, 0.5, slices, dtype=np.float32):
        head = sum((at / radius) ** 2 for at, radius in zip((place, row, column), head_radii, strict=True)) < 1
        offsets = (
            (at - middle) / radius for at, middle, radius in zip((place, row, column), center, radii, strict=True)
        )
        distance = np.sqrt(sum(offset**2 for offset in offsets)) * wobble
        yield head, np.full_like(distance, np.inf) if number % 5 == 4 else distance


def _domain_of(lesion_area: int) -> str:
    return "diseased" if lesion_area > 10 else "" if lesion_area else "healthy"


def _now() -> np.ndarray:
    return np.array([time.perf_counter(), time.process_time()])
