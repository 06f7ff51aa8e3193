"""What a layout finds below a folder."""

from __future__ import annotations

from dataclasses import dataclass, field

from data_prep.case import Case, Failure
from data_prep.labels import DomainNames


@dataclass(frozen=True, kw_only=True)
class Finding:
    """The patients of a folder.

    Attributes:
        layout: name of the layout that was taken: brats, bids, …
        why: what it was recognized by, one line.
        cases: what can be prepared, sorted by patient; no two share a name.
        failures: patients that lack a file, or have one twice, and why.
        domains: the domains that folders or tables name; None where slices are labeled from masks.
    """

    layout: str
    why: str
    cases: list[Case]
    failures: list[Failure] = field(default_factory=list)
    domains: DomainNames | None = None
