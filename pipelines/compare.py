"""`fpgan compare`: several evaluations on the same patients side by side, differences with paired intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from anomaly_fpgan.atomic import write_text_atomically
from evaluation.measurements import select_patients
from evaluation.numbers import Numbers, check_same_cases, measure_numbers
from evaluation.protocol import Protocol
from pipelines.errors import UsageError
from pipelines.measurements_file import MEASUREMENTS_FILE, StoredMeasurements, load_measurements
from pipelines.metrics import nested, person_numbers
from pipelines.output import Existing, claim_output
from pipelines.plain_json import to_json
from pipelines.screen import Screen


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Evaluations by name, the first being what the others are compared with, and each other one minus the first."""

    numbers: dict[str, Numbers]
    differences: dict[str, Numbers]


def compare(evaluations: Sequence[Path], *, screen: Screen) -> Comparison:
    """Compare evaluations, each a folder that `fpgan evaluate` wrote or a file in it, on the patients common to all.

    Each keeps its own thresholds, from its own validation patients. Patients are resampled as the first evaluation's
    protocol says, the same for all.

    Raises:
        UsageError: for less than two, one that is missing or damaged, or when they have no test patient in common.
    """
    if len(evaluations) < 2:
        raise UsageError("give at least two evaluations to compare")
    folders = [path.parent if path.is_file() else path for path in evaluations]
    stored = [load_measurements(folder / MEASUREMENTS_FILE) for folder in folders]
    names = short_names(folders)
    stored = _on_common_patients(stored, names, screen)
    first = stored[0]
    for name, other in zip(names[1:], stored[1:], strict=True):
        try:
            check_same_cases(first.measurements, other.measurements)
        except ValueError:
            screen.warn(f"{name} was measured on other slices or lesions of the patients than {names[0]}")
        if differing := _differing(first.protocol, other.protocol):
            screen.warn(f"{name} was measured by other choices than {names[0]}: {', '.join(differing)}")
    numbers = {name: _numbers(own, first) for name, own in zip(names, stored, strict=True)}
    reference = numbers[names[0]]
    return Comparison(numbers=numbers, differences={name: numbers[name].minus(reference) for name in names[1:]})


def write_comparison(comparison: Comparison, output: Path, existing: Existing, *, inputs: Sequence[Path]) -> None:
    """Write `comparison.json` and `comparison.csv`, a row a number and method."""
    claim_output(output, existing, command="compare", inputs=inputs)
    differences = {
        (name, number): (value, interval.low, interval.high)
        for name, own in comparison.differences.items()
        for number, value, interval in own
    }
    rows = [
        (number, name, value, interval.low, interval.high, *differences.get((name, number), ()))
        for name, own in comparison.numbers.items()
        for number, value, interval in own
    ]
    columns = ["number", "method", "value", "low", "high", "difference", "difference_low", "difference_high"]
    table = pd.DataFrame(rows, columns=columns)
    order = {number: place for place, number in enumerate(table["number"].unique())}
    table.sort_values("number", key=lambda names: names.map(order), kind="stable").to_csv(
        output / "comparison.csv", index=False
    )
    by_method = {
        "reference": next(iter(comparison.numbers)),
        "numbers": {name: nested(own) for name, own in comparison.numbers.items()},
        "differences": {name: nested(own) for name, own in comparison.differences.items()},
    }
    write_text_atomically(output / "comparison.json", to_json(by_method))


def short_names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that tell the folders apart, of one length for all."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise UsageError("the same evaluation was given twice")
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-length:]) for part in parts]
        if len(set(names)) == len(names):
            break
    return names


def _on_common_patients(
    stored: list[StoredMeasurements], names: Sequence[str], screen: Screen
) -> list[StoredMeasurements]:
    """The evaluations on the patients that all of them have, in one order."""
    common = [name for name in stored[0].patients if all(name in own.patients for own in stored)]
    if not common:
        raise UsageError(f"{names[0]} and the others have no test patient in common")
    chosen = []
    for name, own in zip(names, stored, strict=True):
        if len(own.patients) > len(common):
            screen.warn(
                f"{name}: {len(own.patients) - len(common)} of its patients are not in all evaluations, left out"
            )
        places = [own.patients.index(patient) for patient in common]
        chosen.append(
            replace(
                own,
                patients=tuple(common),
                subjects=tuple(own.subjects[place] for place in places),
                measurements=select_patients(own.measurements, places),
            )
        )
    return chosen


def _numbers(own: StoredMeasurements, first: StoredMeasurements) -> Numbers:
    resampling = {"resamples": first.protocol.resamples, "seed": first.protocol.seed}
    return measure_numbers(
        own.measurements,
        own.thresholds,
        own.protocol.model_copy(update=resampling),
        persons=person_numbers(first.subjects),
    )


def _differing(first: Protocol, other: Protocol) -> list[str]:
    """Choices that define numbers, and that two protocols made differently."""
    own, others = first.model_dump(exclude={"resamples", "seed"}), other.model_dump()
    return [name for name, value in own.items() if others[name] != value]
