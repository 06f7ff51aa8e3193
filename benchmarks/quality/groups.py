"""Which configurations are run on which data sets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.quality.begun import BEGUN, BEGUN_MEAN_OF_CHANNELS
from benchmarks.quality.configuration import Configuration
from benchmarks.quality.configurations import ENSEMBLE, FREE, MEAN_OF_CHANNELS, REFERENCE, TRAINED
from benchmarks.quality.data import LEARNING

CONFIGURATIONS = (REFERENCE, *TRAINED, *FREE, MEAN_OF_CHANNELS, ENSEMBLE, *BEGUN, BEGUN_MEAN_OF_CHANNELS)
"""All of them, in the order of the tables."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Configurations on data sets, both by name."""

    data: tuple[str, ...]
    configurations: tuple[str, ...]


def _names(configurations: Iterable[Configuration]) -> tuple[str, ...]:
    return tuple(own.name for own in configurations)


GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=_names((REFERENCE, *TRAINED, *FREE, ENSEMBLE))),
    "median": Group(data=("embedded-median",), configurations=_names((REFERENCE, *FREE))),
    "hard": Group(data=("embedded-hard",), configurations=("base", "neighbors", *_names(FREE))),
    "real": Group(
        data=("real-flair", "real-flair-median", "real-t1ce", "real-both"),
        configurations=("base", "patent", "last", *_names(BEGUN)),
    ),
    "both-channels": Group(
        data=("embedded-both", "real-both"),
        configurations=_names((REFERENCE, MEAN_OF_CHANNELS, BEGUN_MEAN_OF_CHANNELS)),
    ),
    "learning": Group(
        data=tuple(f"learning-{count}-{variant}" for variant in ("default", "hard") for count in LEARNING),
        configurations=("base",),
    ),
}
SHORT_GROUPS = {
    "embedded": Group(data=("embedded-default",), configurations=("base", "patent", "patent-losses", *_names(FREE))),
    "real": Group(data=("real-flair",), configurations=("base", "last")),
}
