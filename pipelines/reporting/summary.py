"""The numbers of evaluations in the terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape
from rich.table import Table

from evaluation.numbers import Numbers
from pipelines.reporting.page import format_number as number
from pipelines.reporting.titles import COMPARED, NUMBER_TITLES, digits_of
from pipelines.screen import Screen

_BASELINES = {
    "intensity": "brightest pixel",
    "intensity_threshold": "intensity threshold",
    "slice_position": "slice position",
}
"""Those that stand in the terminal; `metrics.json` and the page have all."""


def print_metrics(metrics: Mapping[str, Any], screen: Screen, *, title: str = "model") -> None:
    """Print the most important numbers of an evaluation under its `title`, beside what no training reaches."""
    methods = {title: metrics} | {
        title: metrics["baselines"][name] for name, title in _BASELINES.items() if name in metrics["baselines"]
    }
    table = _table("test patients", list(methods))
    for name in COMPARED:
        group, _, key = name.partition(".")
        values = [own.get(group, {}).get(key, math.nan) for own in methods.values()]
        table.add_row(NUMBER_TITLES[name], *(number(value, digits_of(name)) for value in values))
    if not screen.quiet:
        screen.console.print(table)


def print_comparison(numbers: Mapping[str, Numbers], differences: Mapping[str, Numbers], screen: Screen) -> None:
    """Print numbers of several methods, and below each how much more than the first method's it is.

    A difference whose interval does not hold 0 is marked by `*`.
    """
    names = list(numbers)
    table = _table(f"below each number: minus that of {names[0]}, with 95 % interval", names)
    for name, title in NUMBER_TITLES.items():
        digits = digits_of(name)
        if all(math.isnan(own.values[name]) for own in numbers.values()):
            continue
        table.add_row(title, *(number(own.values[name], digits) for own in numbers.values()))
        table.add_row("", "", *(_difference(differences[other], name, digits) for other in names[1:]))
    screen.console.print(table)


def _difference(difference: Numbers, name: str, digits: int) -> str:
    value, interval = difference.values[name], difference.interval(name)
    if math.isnan(value):
        return "–"
    if math.isnan(interval.low):
        return f"{value:+.{digits}f}"
    mark = "*" if interval.low > 0 or interval.high < 0 else " "
    return f"{value:+.{digits}f} ({interval.low:+.{digits}f} to {interval.high:+.{digits}f}){mark}"


def _table(title: str, columns: Sequence[str]) -> Table:
    table = Table(escape(title), box=None, pad_edge=False)
    for column in columns:
        table.add_column(escape(column), justify="right")  # names of folders may have brackets
    return table
