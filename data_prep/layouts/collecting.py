"""Cases as a layout finds them: what cannot be used is set aside with its reason, and the others go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from data_prep.case import Case, Failure
from data_prep.errors import DataError, quote_private
from data_prep.labels import DomainNames
from data_prep.layouts.channels import Channel, choose, quoting
from data_prep.layouts.finding import Finding

T = TypeVar("T")


class Collection:
    """Cases and failures so far. No two cases share a name: a second one becomes a failure that names both places."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._places: dict[str, str] = {}
        self._failures: list[Failure] = []

    def add(self, patient: str, place: Path | str, build: Callable[[], Case]) -> None:
        """Add the case that `build` returns, or a failure where it raises a `DataError`.

        `place` tells where the patient was found: a path, or the line of a table.
        """
        try:
            if patient != _as_text(patient):
                raise DataError("has a name that is no valid UTF-8 text; rename it", path=place)
            if patient in self._cases:
                raise DataError(f"has the same name as {quote_private(self._places[patient])}; rename one", path=place)
            self._cases[patient] = build()
            self._places[patient] = str(place)
        except DataError as error:
            self._failures.append(Failure.of(_as_text(patient), error))

    def finding(self, layout: str, why: str, *, domains: DomainNames | None = None) -> Finding:
        """All of it, cases sorted by patient."""
        cases = [self._cases[patient] for patient in sorted(self._cases)]
        return Finding(layout=layout, why=why, cases=cases, failures=self._failures, domains=domains)

    def __bool__(self) -> bool:
        return bool(self._cases or self._failures)

    @property
    def domains(self) -> set[str]:
        """All domains that cases name."""
        return {name for case in self._cases.values() for name in case.domains or ()}


def _as_text(name: str) -> str:
    """A name that files in UTF-8 can hold; names of files may be any bytes."""
    return name.encode(errors="backslashreplace").decode()


def unless_unclear(choose: Callable[[], T | None]) -> tuple[T | None, str | None]:
    """What `choose` returns, or why it could not choose, for files that not everybody needs."""
    try:
        return choose(), None
    except DataError as error:
        return None, str(error)


def choose_each(
    channels: Iterable[Channel], candidates: Sequence[tuple[str, T]], *, place: Path | str, kind: str = "file"
) -> dict[str, T]:
    """The candidate of each channel, by name. A label that is the very name of a channel goes before all others.

    Raises:
        DataError: when none or several fit a channel, or one fits two channels; the message starts with `place`.
    """
    numbered = [(label, number) for number, (label, _) in enumerate(candidates)]
    chosen: dict[str, int] = {}
    for channel in channels:
        same = [number for label, number in numbered if channel.pattern is None and label == channel.name]
        try:
            number = same[0] if len(same) == 1 else choose(channel, numbered, kind=kind)
        except DataError as error:
            raise DataError(str(error), path=place) from None
        twin = next((name for name, other in chosen.items() if other == number), None)
        if twin is not None:
            problem = f"the {kind} {quoting(kind)(candidates[number][0])} would be both {twin} and {channel.name}"
            raise DataError(f"{problem}; say which is which, as in {channel.name}=*word*", path=place)
        chosen[channel.name] = number
    return {name: candidates[number][1] for name, number in chosen.items()}
