"""The history of a training: loss terms averaged over some iterations become a row of `history.csv`."""

from __future__ import annotations

import csv
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import torch
from torch import Tensor

from anomaly_fpgan.atomic import write_atomically
from anomaly_fpgan.training.optimizer import Update

HISTORY_FILE = "history.csv"

Row = dict[str, float]
"""Numbers by name, `iteration` first."""


class Window:
    """Sums the terms of updates on the device until a row takes them."""

    def __init__(self) -> None:
        self._sums: dict[tuple[str, ...], Tensor] = {}
        self.start_clock()

    def start_clock(self) -> None:
        """Images a second are counted from here; what went before, a validation for example, is not training."""
        self._started, self._iterations = time.perf_counter(), 0

    def add(self, updates: Sequence[Update]) -> None:
        """Count an iteration. Updates that were left out count as such, their terms do not."""
        self._iterations += 1
        for update in updates:
            values = torch.stack(list(update.terms.values()))
            # One vector an update: terms, how often they were counted, how often not.
            vector = torch.cat([torch.where(update.finite, values, 0), update.finite[None], ~update.finite[None]])
            names = tuple(update.terms)  # those of a critic's update are fewer in its warm-up
            self._sums[names] = self._sums[names] + vector if names in self._sums else vector

    def take(self, *, batch_size: int) -> Row:
        """Mean terms since the last call, updates left out, and images a second. Waits for the device.

        A term that was never finite is left out.
        """
        row: Row = {}
        skipped = 0
        for names, vector in self._sums.items():
            *sums, counted, left_out = vector.tolist()
            skipped += int(left_out)
            if counted:
                row |= {name: total / counted for name, total in zip(names, sums, strict=True)}
        rate = self._iterations * batch_size / (time.perf_counter() - self._started)
        self._sums = {}
        self.start_clock()
        return row | {"skipped_steps": skipped, "images_per_second": rate}

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs so that the row it falls into comes out the same."""
        return {"names": dict(enumerate(map(list, self._sums))), "sums": dict(enumerate(self._sums.values()))}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Go on where `state_dict` was taken."""
        self._sums = {tuple(state["names"][place]): sums.to(device) for place, sums in state["sums"].items()}


class History:
    """Rows as they come, in a file that can be read at any time."""

    def __init__(self, path: Path, *, resume_at: int = 0) -> None:
        """Forget rows that are newer than the iteration a run resumes at: they will come again."""
        self.path = path
        self._rows = [row for row in _read(path) if int(row["iteration"]) <= resume_at] if resume_at else []
        self._rewrite()

    def add(self, row: Row) -> None:
        """Append a row; the file is written anew only when a name comes up for the first time."""
        self._rows.append({name: str(value) for name, value in row.items()})
        if set(row) <= set(self._columns):
            with self.path.open("a", newline="") as file:
                self._write(file, self._rows[-1:])
        else:
            self._rewrite()

    def _rewrite(self) -> None:
        self._columns = list(dict.fromkeys(name for row in self._rows for name in row))
        write_atomically(self.path, self._write_all)

    def _write_all(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            csv.writer(file).writerow(self._columns)
            self._write(file, self._rows)

    def _write(self, file: TextIO, rows: Sequence[dict[str, str]]) -> None:
        csv.DictWriter(file, self._columns).writerows(rows)


def _read(path: Path) -> list[dict[str, str]]:
    """Rows as they were written, to the digit."""
    if not path.is_file():
        return []
    with path.open(newline="", errors="replace") as file:
        table = list(csv.DictReader(file))
    # A row that a killed run left half-written is newer than its checkpoint, unless the number itself is cut.
    whole = [row for row in table if None not in row.values() and row.get("iteration", "").isdecimal()]
    return [{name: value for name, value in row.items() if value} for row in whole]
