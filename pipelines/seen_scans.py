"""Whether a scan was among those that a model was made with: its result would say nothing of new patients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from anomaly_fpgan.training.trainer import STARTED_FROM
from data_prep.cohort import Cohort

SEEN_SCANS = "seen_scans"
"""Where a model's metadata holds `describe_scans`."""
COMBINED = "combined"
"""Where that of a mean of models holds the `sha256` of each one's file, and its `metadata`."""

_DIGITS = 16
_VERBS = {"train": "trained", "validation": "chosen"}
_NAMED_PATIENTS = 3


def describe_scans(cohort: Cohort, also: Sequence[Cohort] = ()) -> dict[str, list[str]]:
    """For the training and the validation patients the beginnings of the sha256 of all their files, sorted.

    Of the cohorts `also` the training patients alone: others are not looked at.
    """
    cohorts = {"train": (cohort, *also), "validation": (cohort,)}
    return {
        split: sorted({scan for own in cohorts[split] for scans in _scans_of(own, split).values() for scan in scans})
        for split in _VERBS
    }


def held_out_but_seen(cohort: Cohort, metadata: Mapping[str, Any]) -> list[str]:
    """Validation and test patients of a cohort who would not be new to a model that starts from one with this metadata.

    The latter, or one before it, was trained on a scan of theirs or, of test patients, chosen on one.
    """
    seen = _seen(metadata)
    spoiled = {"validation": seen["train"], "test": seen["train"] | seen["validation"]}
    return [
        patient
        for split, scans in spoiled.items()
        for patient, own in _scans_of(cohort, split).items()
        if not scans.isdisjoint(own)
    ]


def some_of(patients: Sequence[str]) -> str:
    """The first patients' names for a message, and that there are more."""
    return ", ".join([*patients[:_NAMED_PATIENTS], *(["…"] if len(patients) > _NAMED_PATIENTS else [])])


def seen_before(sha256: Sequence[str], metadata: Mapping[str, Any]) -> list[str]:
    """What to warn of when a file of a patient was among those of a model's training or validation patients."""
    seen = _seen(metadata)
    return [
        f"The model was {verb} on this scan; its result says nothing of how well it does on others."
        for split, verb in _VERBS.items()
        if not seen[split].isdisjoint(digest[:_DIGITS] for digest in sha256)
    ]


def _seen(metadata: Mapping[str, Any]) -> dict[str, set[str]]:
    """By split the scans of a model, of those that it started from or is the mean of, and so on."""
    origins = [*([metadata[STARTED_FROM]] if STARTED_FROM in metadata else []), *metadata.get(COMBINED, ())]
    before = [_seen(origin["metadata"]) for origin in origins]
    own = metadata.get(SEEN_SCANS, {})
    return {split: set(own.get(split, ())).union(*(scans[split] for scans in before)) for split in _VERBS}


def _scans_of(cohort: Cohort, split: str) -> dict[str, list[str]]:
    """By patient of a split the beginnings of the sha256 of all its files."""
    rows = cohort.patients[cohort.patients["split"] == split]
    return {
        patient: [digest[:_DIGITS] for digest in json.loads(text)]
        for patient, text in zip(rows["patient"], rows["sha256"], strict=True)
    }
