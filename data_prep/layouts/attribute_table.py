"""Tables that CelebA and its kin come with: which attributes hold for a picture, and in which part of the data it is.

`list_attr_celeba.txt` begins with the count of pictures, then names the attributes, then has a line a picture, such as
`000001.jpg -1 1 1`; as CSV it begins with `image_id,5_o_Clock_Shadow,…`. `list_eval_partition` has 0, 1 or 2 a picture.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.errors import DataError
from data_prep.labels import SEPARATOR
from data_prep.layouts.domain_folders import sub_folders

ATTRIBUTES, PARTITION = "list_attr", "list_eval_partition"
"""What the names of the two tables begin with."""
_SPLITS = {"0": "train", "1": "validation", "2": "test"}
_HOLDS, _VALUES = "1", {"1", "-1", "0"}


@dataclass(frozen=True, kw_only=True)
class AttributeTable:
    """Attributes in lower case; `rows` gives those that hold by file name; `problems` are lines that cannot be used."""

    names: tuple[str, ...]
    rows: dict[str, tuple[str, ...]] = field(default_factory=dict)
    problems: list[tuple[str, str]] = field(default_factory=list)


def find_table(root: Path, begin: str) -> Path | None:
    """The text or CSV file whose name begins so: in `root`, directly below it, or beside it."""
    for folder in (root, *sub_folders(root), root.absolute().parent):
        _, _, names = next(os.walk(folder), ("", [], []))
        for name in sorted(names):
            if name.lower().startswith(begin) and name.lower().endswith((".txt", ".csv")):
                return folder / name
    return None


def read_attributes(path: Path) -> AttributeTable:
    """All rows of a table of attributes.

    Raises:
        DataError: when it cannot be read, or its first lines do not name attributes.
    """
    lines = _lines(path)
    _, first = next(lines, (0, []))
    promised = int(first[0]) if len(first) == 1 and first[0].isdecimal() and len(first[0]) < 19 else None
    header = first[1:] if promised is None else next(lines, (0, []))[1]
    names = tuple(name.lower() for name in header)
    if not names or len(set(names)) < len(names) or any(SEPARATOR in name or not name for name in names):
        raise DataError("does not name attributes, each once, in its first lines; download it again", path=path)
    table = AttributeTable(names=names)
    for number, (picture, *values) in lines:
        if len(values) != len(names) or not set(values) <= _VALUES:
            table.problems.append((picture, f"(line {number}) must have {len(names)} values, each 1, -1 or 0"))
        elif picture in table.rows:
            table.problems.append((picture, f"(line {number}) has had a line before"))
        else:
            table.rows[picture] = tuple(name for name, value in zip(names, values, strict=True) if value == _HOLDS)
    if promised is not None and promised != len(table.rows) + len(table.problems):
        count = len(table.rows) + len(table.problems)
        table.problems.append(
            (path.name, f"promises {promised} pictures in its first line, but has {count}; download it again")
        )
    return table


def read_partition(path: Path) -> dict[str, str]:
    """The split of each picture, by file name.

    Raises:
        DataError: when the table cannot be read, or a line has no split.
    """
    splits = {}
    for number, cells in _lines(path):
        if len(cells) == 2 and cells[1] in _SPLITS:
            splits[cells[0]] = _SPLITS[cells[1]]
        elif number > 1:  # the first may be a header
            raise DataError(f"line {number} must have a file name and 0, 1 or 2", path=path)
    return splits


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line numbers from 1 and cells of all lines that are not blank."""
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check its permissions", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError("is no UTF-8 text; save it as UTF-8", path=path) from error
    lines = text.split("\n")
    has_commas = any("," in line for line in lines[:2])
    for number, line in enumerate(lines, 1):
        cells = [cell.strip() for cell in line.split(",")] if has_commas else line.split()
        if any(cells):
            yield number, cells
