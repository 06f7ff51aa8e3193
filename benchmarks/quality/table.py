"""The page of results, from result files alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from benchmarks.quality.configurations import REFERENCE
from benchmarks.quality.data import DATA_SETS, DataSet
from benchmarks.quality.groups import CONFIGURATIONS
from benchmarks.quality.summary import HINDSIGHT, RULES, Result, Summary, choices, over_seeds
from pipelines.screen import counted, duration

_HEAD = """# Detection quality

Written by `python -m benchmarks.quality` (`make quality`).

- Training sees labels of slices, never masks. Thresholds and the reported model are chosen on validation patients,
  which do not train. Settings were compared on the test patients shown here, so expect somewhat less on others.
- Cells are the mean over seeds [lowest–highest]. Each real patient is held out once, and a seed's number is the mean
  over held-out patients. A dash stands for what is undefined. Baselines need no training and no seed.
- *Matched AUC* compares only slices at the same height, *pairs* says how many; where height tells what is diseased, the
  slice AUC means little. *Peak hit* is the share of diseased slices whose highest map pixel lies in a lesion.
- *Found at 0.5 FP* and *at 1 FP* are points of the test patients' own curve of lesions found against false positives an
  image; *found*, *FP* and *Dice* are at thresholds from validation.
"""

_SCORES = {
    "slice AUC": "slices.auc",
    "matched AUC": "slices.auc_position_matched",
    "pairs": "slices.matched_pairs",
    "patient AUC": "patients.auc",
    "peak hit": "slices.peak_hit",
    "pixel AP": "pixels.average_precision",
    "Dice": "pixels.dice",
}
_AT_FALSE_POSITIVES = {
    "found at 0.5 FP": "lesions.sensitivity_at_0.5",
    "found at 1 FP": "lesions.sensitivity_at_1",
}
_LESIONS = {
    **_AT_FALSE_POSITIVES,
    "found": "lesions.sensitivity",
    "FP": "lesions.false_positives_per_image",
    "same-domain L1": "fixed_point.same_domain_l1",
    "collateral change": "fixed_point.collateral_change",
    "iterations": "iterations",
    "training, s": "seconds",
}
_SHORT = _SCORES | _AT_FALSE_POSITIVES
_COMPARED = {title: key for title, key in _SHORT.items() if title not in ("pairs", "patient AUC")}
_WHOLE = {"slices.matched_pairs", "iterations", "seconds"}
_DASH = "–"


def render(results: Sequence[Result]) -> str:
    """The page. Results of data sets and configurations that there are no more are left out."""
    configurations, data_sets = [own.name for own in CONFIGURATIONS], [data.name for data in DATA_SETS]
    kept = [own for own in results if own["configuration"] in configurations and own["data"] in data_sets]
    kept.sort(key=lambda own: (configurations.index(own["configuration"]), own["seed"], own["fold"]))
    if not kept:
        return f"{_HEAD}\nNothing has been measured yet.\n"
    found = {data: own for data in DATA_SETS if (own := [result for result in kept if result["data"] == data.name])}
    sections = [f"{_HEAD}\n{_circumstances(kept)}"]
    for data, own in found.items():
        if data.training_patients is None:
            sections += _of_data(data, own)
    sections += _learning_curve(found) + _checkpoints(found)
    return "\n\n".join(sections) + "\n"


def _circumstances(results: Sequence[Result]) -> str:
    trainings = {name: own for result in results for name, own in result["trainings"].items()}
    seconds = sum(own["seconds"] + own["milestone_seconds"] for own in trainings.values())
    seconds += sum(own["measuring_seconds"] for own in results)
    days = sorted({own["finished"][:10] for own in results})
    hardware = sorted({own["hardware"] for own in results})
    versions = sorted({f"{name} {number}" for own in results for name, number in own["versions"].items()})
    return (
        f"{' to '.join(dict.fromkeys((days[0], days[-1])))}; each run on {' or '.join(hardware)}; "
        f"{', '.join(versions)}.\n{counted(len(results), 'run')} on {counted(len(trainings), 'training')} took "
        f"{duration(seconds)}, those side by side added up."
    )


def _of_data(data: DataSet, results: Sequence[Result]) -> list[str]:
    by_name = _by(results, "configuration")
    patients = len({name for own in results for name in own["test_patients"]})
    scaled = "" if data.intensity == "percentile" else f" scaled by {data.intensity}"
    size = f"{' and '.join(data.channels)}{scaled}, {data.side} × {data.side}, {counted(patients, 'test patient')}"
    scores = [[f"**{name}**: {own[0]['words']}", *_cells(own, _SCORES), str(len(own))] for name, own in by_name.items()]
    lesions = [[f"**{name}**", *_cells(own, _LESIONS)] for name, own in by_name.items()]
    reference = REFERENCE.name if REFERENCE.name in by_name else next(iter(by_name))
    compared_with = by_name[reference]
    once = _one_seed(compared_with)
    for baseline in dict.fromkeys(name for own in once for name in own["baselines"]):
        title = f"*{baseline}*"
        scores.append([title, *_cells(once, _SCORES, baseline), ""])
        lesions.append([title, *_cells(once, _LESIONS, baseline)])
    lesions = [row for row in lesions if set(row[1:]) != {_DASH}]
    sections = [f"## {data.name}\n\n{size}.", _table(["", *_SCORES, "runs"], scores), _table(["", *_LESIONS], lesions)]
    rows = _other_baselines(by_name, reference)
    if rows:
        text = "Baselines evaluated as these configurations are, where that makes a difference:"
        sections += [text, _table(["", *_COMPARED], rows)]
    if data.variant is None:
        rows = [
            [", ".join(own[0]["test_patients"]), *_cells(own, _SHORT)] for own in _by(compared_with, "fold").values()
        ]
        sections += [f"Patients by themselves, {reference}:", _table(["", *_SHORT], rows)]
    others = {name: own for name, own in by_name.items() if name != reference}
    if others:
        rows = [[name, *_differences(own, compared_with)] for name, own in others.items()]
        text = f"Difference from {reference}, bold where it is larger than the range over seeds of both:"
        sections += [text, _table(["", *_COMPARED], rows)]
    return sections


def _other_baselines(by_name: Mapping[str, Sequence[Result]], reference: str) -> list[list[str]]:
    """Rows of baselines under protocols other than the reference's."""
    shown: set[tuple[str, ...]] = set()
    rows = []
    for name in dict.fromkeys((reference, *by_name)):
        once = _one_seed(by_name[name])
        for baseline in dict.fromkeys(own for result in once for own in result["baselines"]):
            cells = _cells(once, _COMPARED, baseline)
            if (baseline, *cells) not in shown and name != reference:
                rows.append([f"*{baseline}*, {name}", *cells])
            shown.add((baseline, *cells))
    return rows


def _one_seed(results: Sequence[Result]) -> list[Result]:
    """Of the first seed alone: none changes a baseline."""
    return [own for own in results if own["seed"] == results[0]["seed"]]


def _differences(ours: Sequence[Result], theirs: Sequence[Result]) -> list[str]:
    return [_difference(over_seeds(ours, key), over_seeds(theirs, key)) for key in _COMPARED.values()]


def _difference(ours: Summary, theirs: Summary) -> str:
    difference = ours.mean - theirs.mean
    if math.isnan(difference):
        return _DASH
    text = f"{difference:+.3f}".replace("-", "−")
    return f"**{text}**" if abs(difference) > ours.range and abs(difference) > theirs.range else text


def _learning_curve(found: Mapping[DataSet, Sequence[Result]]) -> list[str]:
    rows = [
        [str(data.variant), str(data.training_patients), name, *_cells(own, _SHORT)]
        for data, results in found.items()
        if data.training_patients is not None
        for name, own in _by(results, "configuration").items()
    ]
    text = "## Learning curve\n\nEmbedded patients; those of validation and test are the same in each row of a cohort."
    return [text, _table(["cohort", "training patients", "configuration", *_SHORT], rows)] if rows else []


def _checkpoints(found: Mapping[DataSet, Sequence[Result]]) -> list[str]:
    sections = [
        "## Which checkpoint is kept\n\n"
        "Test numbers of the models that each rule would choose, mean over all trainings on the data. The label-free\n"
        "score is the AUC of healthy training slices against all validation slices, whose labels it does not see.\n"
        "Hindsight looks at the test patients, so nothing reported is chosen by it."
    ]
    for title, number in (("slice AUC", "test_auc"), ("pixel AP", "test_average_precision")):
        rows = []
        for data, results in found.items():
            choice = choices(results, number)
            if choice.trainings:
                cells = [f"{value:.3f}" for value in (*choice.by_rule.values(), choice.last_below_best)]
                rows.append([data.name, str(choice.trainings), *cells])
        sections.append(_table([title, "trainings", *RULES, HINDSIGHT, "last below best, at most"], rows))
    return sections


def _cells(results: Sequence[Result], columns: Mapping[str, str], baseline: str | None = None) -> list[str]:
    cells = []
    for key in columns.values():
        summary = over_seeds(results, key, baseline=baseline)
        digits = 0 if key in _WHOLE else 3
        mean, low, high = (f"{value:,.{digits}f}" for value in (summary.mean, summary.low, summary.high))
        cells.append(_DASH if not summary.seeds else mean if low == high else f"{mean} [{low}–{high}]")
    return cells


def _by(results: Iterable[Result], key: str) -> dict[str, list[Result]]:
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result[key], []).append(result)
    return groups


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
