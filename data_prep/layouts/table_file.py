"""Reading a table of patients: CSV with commas, semicolons or tabs, each row with its line number."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import NamedTuple

from data_prep.errors import DataError


class Row(NamedTuple):
    line: int
    """Where it begins in the file, from 1."""
    cells: dict[str, str]
    """By column, without surrounding spaces; empty where the row has none."""
    problem: str | None = None


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Names of the columns, in lower case, and all rows that are not blank.

    Raises:
        DataError: when the file cannot be read, is no UTF-8 text, has no header, or has one column twice.
    """
    text = _text(path)
    header_line = text.split("\n", 1)[0]
    delimiter = "\t" if "\t" in header_line else max(",;", key=header_line.count)
    # Not strict, the reader would take a stray quotation mark for the start of a cell that swallows all later rows.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    lines: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for cells in reader:
            lines.append((line, [cell.strip() for cell in cells]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"line {line} is not written as CSV ({error}); check its quotation marks", path=path) from error
    lines = [(number, cells) for number, cells in lines if any(cells)]
    if not lines:
        raise DataError("is empty; the first line must name columns, such as patient,flair,mask", path=path)
    columns = [name.lower() for name in lines[0][1]]
    twice = sorted({name for name in columns if name and columns.count(name) > 1})
    if twice:
        raise DataError(f"line {lines[0][0]} names columns twice: {', '.join(twice)}", path=path)
    return [name for name in columns if name], [_row(number, cells, columns) for number, cells in lines[1:]]


def _row(line: int, cells: list[str], columns: list[str]) -> Row:
    problem = f"has {len(cells)} cells for {len(columns)} columns" if any(cells[len(columns) :]) else None
    padded = cells + [""] * (len(columns) - len(cells))
    return Row(line, {name: cell for name, cell in zip(columns, padded, strict=False) if name}, problem)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except IsADirectoryError as error:
        raise DataError("is a folder, not a table", path=path) from error
    except FileNotFoundError as error:
        raise DataError("does not exist; check the path", path=path) from error
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error}); check path and permissions", path=path) from error
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise DataError(f"line {line} is no UTF-8 text; save the table as CSV in UTF-8", path=path) from error
