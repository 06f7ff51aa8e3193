"""Result files, and their numbers over seeds, held-out patients and checkpoints."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Result = dict[str, Any]
"""What a result file holds."""


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A number over seeds: NaN where it is undefined for all of them."""

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def range(self) -> float:
        """From the lowest to the highest seed; NaN for a single one, of which nothing is known."""
        return self.high - self.low if self.seeds > 1 else math.nan


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a rule that chooses checkpoints is worth: a test number, mean over trainings, by rule."""

    trainings: int
    by_rule: dict[str, float]
    last_below_best: float
    """The largest distance in a training."""


RULES = {
    "validation AUC": "validation_auc",
    "position-matched validation AUC": "validation_auc_matched",
    "label-free score": "label_free",
    "last": "iteration",
}
"""What chooses the checkpoint, and the column whose highest value does."""
HINDSIGHT = "best in hindsight"


def read_results(folder: Path) -> list[Result]:
    """All result files below a folder."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*/*.json"))]


def over_seeds(results: Iterable[Result], number: str, *, baseline: str | None = None) -> Summary:
    """A number of results of one configuration, or of a baseline: the mean over folds in each seed, then over seeds."""
    by_seed: dict[int, list[float]] = {}
    for result in results:
        value = (result["numbers"] if baseline is None else result["baselines"][baseline]).get(number)
        if value is not None:
            by_seed.setdefault(result["seed"], []).append(value)
    means = [float(np.mean(own)) for own in by_seed.values()]
    if not means:
        return Summary(mean=math.nan, low=math.nan, high=math.nan, seeds=0)
    return Summary(mean=float(np.mean(means)), low=min(means), high=max(means), seeds=len(means))


def choices(results: Iterable[Result], number: str) -> Choice:
    """How good on test patients (`number`, a column of checkpoints) the models are that each rule chooses.

    Trainings that several configurations evaluate count once.
    """
    trainings = {digest: own["checkpoints"] for result in results for digest, own in result["trainings"].items()}
    values: dict[str, list[float]] = {name: [] for name in (*RULES, HINDSIGHT)}
    distances = [0.0]
    for rows in trainings.values():
        defined = [row[number] for row in rows if row[number] is not None]
        if len(defined) < len(rows):
            continue
        for name, column in RULES.items():
            values[name].append(_chosen_by(rows, column)[number])
        values[HINDSIGHT].append(max(defined))
        distances.append(max(defined) - rows[-1][number])
    return Choice(
        trainings=len(values[HINDSIGHT]),
        by_rule={name: float(np.mean(own)) if own else math.nan for name, own in values.items()},
        last_below_best=max(distances),
    )


def _chosen_by(rows: Sequence[dict[str, Any]], column: str) -> dict[str, Any]:
    """The latest of the highest; the latest of all where the column is undefined throughout."""
    return max(rows, key=lambda row: (-math.inf if row[column] is None else row[column], row["iteration"]))
