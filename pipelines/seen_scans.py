"""Whether a scan was among those that a model was made with: its result would say nothing of new patients."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from data_prep.cohort import Cohort

SEEN_SCANS = "seen_scans"
"""Where a model's metadata holds `describe_scans`."""

_DIGITS = 16
_VERBS = {"train": "trained", "validation": "chosen"}


def describe_scans(cohort: Cohort) -> dict[str, list[str]]:
    """For the training and the validation patients the beginnings of the sha256 of all their files, sorted."""
    patients = cohort.patients
    return {
        split: sorted(
            {
                digest[:_DIGITS]
                for text in patients.loc[patients["split"] == split, "sha256"]
                for digest in json.loads(text)
            }
        )
        for split in _VERBS
    }


def seen_before(sha256: Sequence[str], metadata: Mapping[str, Any]) -> list[str]:
    """What to warn of when a file of a patient was among those of a model's training or validation patients."""
    seen = metadata.get(SEEN_SCANS, {})
    return [
        f"The model was {verb} on this scan; its result says nothing of how well it does on others."
        for split, verb in _VERBS.items()
        if not {digest[:_DIGITS] for digest in sha256}.isdisjoint(seen.get(split, ()))
    ]
