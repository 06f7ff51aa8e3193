"""The data sets: patients of the embedded cohort, real ones, and few of the former for the learning curve."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from data_prep.cohort import Cohort, open_cohort
from data_prep.errors import DataError
from data_prep.intensity import IntensityRule
from data_prep.layouts.channels import Channel
from data_prep.layouts.walk import OUTPUT_MARKER
from data_prep.splits import fold_split, split_folds, split_subjects
from data_prep.synthetic import Variant
from pipelines.output import Existing
from pipelines.plan import PrepareRequest
from pipelines.prepare import prepare
from pipelines.screen import Screen
from pipelines.synthesize import synthesize

PATIENTS = 64
"""Of the embedded cohort; those of `fpgan demo`."""
PRETRAINING_PATIENTS = 256
"""Of the embedded cohort that real patients' models begin with."""
LEARNING_PATIENTS = 128
"""Enough for the longest of the `LEARNING` steps."""
LEARNING = (5, 20, 100)
"""Training patients of the learning curve."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """What is trained and measured on.

    Attributes:
        name: of it.
        channels: contrasts.
        side: of the square images, in pixels.
        intensity: how images are scaled.
        variant: of the embedded cohort; None for real patients, each of whom is tested on once.
        patients: how many the embedded cohort has.
        training_patients: so many of a larger cohort train; test and validation patients are those of the smaller one.
    """

    name: str
    channels: tuple[str, ...]
    side: int
    variant: Variant | None
    intensity: IntensityRule = "percentile"
    patients: int = PATIENTS
    training_patients: int | None = None


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A data set under one of its divisions into training, validation and test patients."""

    data: DataSet
    number: int
    cohort: Cohort


_EMBEDDED = {
    "embedded-default": DataSet(name="embedded-default", channels=("flair",), side=64, variant="default"),
    "embedded-hard": DataSet(name="embedded-hard", channels=("t2",), side=128, variant="hard"),
}
_MEDIAN = replace(_EMBEDDED["embedded-default"], name="embedded-median", intensity="median")
_BOTH = replace(_EMBEDDED["embedded-default"], name="embedded-both", channels=("flair", "t1ce"))
_CHANNELS = {"flair": ("flair",), "t1ce": ("t1ce",), "both": _BOTH.channels}
DATA_SETS = (
    *_EMBEDDED.values(),
    _MEDIAN,
    _BOTH,
    *(
        DataSet(name=f"many-{name}", channels=channels, side=64, variant="default", patients=PRETRAINING_PATIENTS)
        for name, channels in _CHANNELS.items()
    ),
    *(DataSet(name=f"real-{name}", channels=channels, side=64, variant=None) for name, channels in _CHANNELS.items()),
    replace(_MEDIAN, name="real-flair-median", variant=None),
    *(
        replace(
            data,
            name=f"learning-{count}-{data.variant}",
            patients=LEARNING_PATIENTS,
            training_patients=count,
        )
        for data in _EMBEDDED.values()
        for count in LEARNING
    ),
)
"""All of them, in the order of the tables."""


def prepare_data(data: DataSet, output: Path, *, real: Path | None, screen: Screen, workers: int) -> Cohort:
    """Build and prepare what is not there yet below `output`.

    Raises:
        DataError: when the patients cannot be used.
    """
    channels = "-".join(data.channels)
    request = PrepareRequest(
        layout="brats",
        channels=tuple(Channel(name=name) for name in data.channels),
        preparation={"size": (data.side, data.side), "intensity": data.intensity},
    )
    name = f"{channels}-{data.side}" + ("" if data.intensity == "percentile" else f"-{data.intensity}")
    if data.variant is None:
        if real is None:
            raise DataError(f"{data.name} needs patients: give --real FOLDER")
        folder = output / "cohorts" / f"real-{name}"
        prepare(real, folder, request, screen=screen, existing=Existing.RESUME, workers=workers)
        return open_cohort(folder)
    brats = output / "patients" / f"{data.variant}-{data.patients}"
    folder = output / "cohorts" / f"{data.variant}-{data.patients}-{name}"
    try:
        return open_cohort(folder)
    except DataError:  # not there, or not complete
        if not brats.is_dir() or (brats / OUTPUT_MARKER).exists():
            synthesize(
                brats,
                patients=data.patients,
                variant=data.variant,
                screen=screen,
                existing=Existing.OVERWRITE,
                workers=workers,
            )
        prepare(brats, folder, request, screen=screen, existing=Existing.RESUME, workers=workers)
        return open_cohort(folder)


def folds_of(data: DataSet, cohort: Cohort, *, folds: int | None) -> list[Fold]:
    """The divisions of a prepared cohort: one, or `folds` of real patients, by default as many as there are."""
    if data.training_patients is not None:
        return [Fold(data=data, number=0, cohort=_with_few(cohort, data.training_patients))]
    if data.variant is not None:
        return [Fold(data=data, number=0, cohort=cohort)]
    strata = dict(zip(cohort.patients["subject"], cohort.patients["domain"], strict=True))
    count = folds or len(strata)
    fold_of = split_folds(strata, folds=count, seed=0)
    return [
        Fold(
            data=data,
            number=number,
            cohort=with_splits(
                cohort, {name: fold_split(own, test_fold=number, folds=count) for name, own in fold_of.items()}
            ),
        )
        for number in range(count)
    ]


def with_splits(cohort: Cohort, split_of: dict[str, str]) -> Cohort:
    """The cohort with other splits of its subjects; who has none is left out."""
    patients = cohort.patients[cohort.patients["subject"].isin(list(split_of))].reset_index(drop=True)
    patients["split"] = patients["subject"].map(split_of)
    slices = cohort.slices[cohort.slices["patient"].isin(patients["patient"])].reset_index(drop=True)
    slices["split"] = slices["patient"].map(patients.set_index("patient")["split"])
    return replace(cohort, patients=patients, slices=slices)


def _with_few(cohort: Cohort, training_patients: int) -> Cohort:
    """The first `PATIENTS` give those for validation and test, as they do by themselves; more patients only train."""
    table = cohort.patients.sort_values("patient")
    strata = dict(zip(table["subject"], table["domain"], strict=True))
    names = list(strata)
    settings = cohort.settings
    split_of = split_subjects(
        {name: strata[name] for name in names[:PATIENTS]}, shares=settings.split_shares, seed=settings.split_seed
    )
    for_training = [name for name in names if split_of.get(name, "train") == "train"][:training_patients]
    held_out = {name: split for name, split in split_of.items() if split != "train"}
    return with_splits(cohort, held_out | dict.fromkeys(for_training, "train"))


def evenly(count: int, most: int) -> np.ndarray:
    """At most `most` of the numbers from 0 to `count` - 1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int))


def known(names: Collection[str]) -> list[DataSet]:
    """The data sets of these names, in the order of the tables."""
    return [data for data in DATA_SETS if data.name in names]
