"""Folders and table columns that name domains: which is the healthy one, and in which order they stand."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path

from pydantic import ValidationError

from data_prep.errors import DataError
from data_prep.labels import SEPARATOR, DomainNames
from data_prep.layouts.walk import walk

HEALTHY_WORDS = ("healthy", "control", "controls", "normal", "hc", "cn", "negative", "0")
"""Values that mean healthy, in any case; of several, the first of this list is taken."""
HEALTHY_FOLDERS = ("healthy", "normal", "control", "controls", "negative")
"""Names of folders that are clear enough to take their siblings for domains, too."""
NO_DOMAINS = ("images", "masks", "labels")
"""Sub-folders of these names are never domains."""


def domain_names(values: Iterable[str], *, path: Path | None = None) -> DomainNames:
    """Exclusive domains from the values of a column or the names of folders: the healthy one first, others sorted.

    `healthy` is None where no value is one of `HEALTHY_WORDS`. `path` is what messages name.

    Raises:
        DataError: when there is no value, or one that tables of slices could not hold.
    """
    names = sorted(set(values))
    unusable = [name for name in names if SEPARATOR in name or not name.strip()]
    if unusable or not names:
        raise DataError(f"needs domains with names that have no {SEPARATOR!r}; got {unusable or 'none'}", path=path)
    words: dict[str, str] = {}
    for name in names:
        twin = words.setdefault(name.strip().lower(), name)
        if twin != name:
            raise DataError(f"one domain is written {twin!r} and {name!r}; write it one way", path=path)
    healthy = next((words[word] for word in HEALTHY_WORDS if word in words), None)
    return DomainNames(names=tuple(sorted(names, key=lambda name: (name != healthy, name))), healthy=healthy)


def attribute_names(names: Iterable[str], *, path: Path) -> DomainNames:
    """Attributes from the columns of a table.

    Raises:
        DataError: when one could not be told from others, or from none at all, in tables of slices.
    """
    try:
        return DomainNames(names=tuple(names), exclusive=False, healthy=None)
    except ValidationError as error:
        raise DataError(f"has a column that can be no attribute: {error.errors()[0]['msg']}", path=path) from error


def domain_folders(root: Path) -> list[tuple[str, Path]]:
    """The sub-folders of `root`, each with its name in lower case, when they look like domains; otherwise none.

    They do when there are 2 to 10 and one of them is named like `HEALTHY_FOLDERS`. What they hold is not looked at.
    """
    folders = [folder for folder in sub_folders(root) if folder.name.lower() not in NO_DOMAINS]
    if 2 <= len(folders) <= 10 and any(folder.name.lower() in HEALTHY_FOLDERS for folder in folders):
        return [(folder.name.lower(), folder) for folder in folders]
    return []


def sub_folders(root: Path, *, named: Collection[str] | None = None) -> list[Path]:
    """Folders directly below `root`, sorted, without hidden ones and our own results; none where it cannot be read.

    With `named`, only those whose name in lower case is one of these.
    """
    _, names, _ = next(os.walk(root), ("", [], []))
    wanted = [name for name in names if not name.startswith(".") and (named is None or name.lower() in named)]
    return [root / name for name in sorted(wanted) if next(walk(root / name), None) is not None]
