"""`participants.tsv` of a BIDS data set: who is healthy and who has which disease."""

from __future__ import annotations

import re
from pathlib import Path

from data_prep.errors import DataError
from data_prep.layouts.walk import exists

COLUMNS = ("diagnosis", "group", "status", "dx", "domain", "disease")
"""The first of these that exists tells the domain."""


class Participants:
    """The domain of each subject, as far as the table knows it.

    Raises:
        DataError: when the table exists and is no text.
    """

    def __init__(self, root: Path) -> None:
        self.path = root / "participants.tsv"
        self._domains: dict[str, set[str]] = {}
        rows = _rows(self.path) if exists(self.path) else [[]]
        header = [name.lower() for name in rows[0]]
        column = next((header.index(name) for name in COLUMNS if name in header), None)
        if column is None or "participant_id" not in header:
            return
        subject_column = header.index("participant_id")
        for row in rows[1:]:
            if len(row) > max(column, subject_column) and row[column].lower() not in ("", "n/a"):
                subject = "sub-" + row[subject_column].removeprefix("sub-")
                self._domains.setdefault(subject, set()).add(row[column])

    def domains_of(self, subject: str) -> tuple[str, ...] | None:
        """Its one domain; None where it is unknown.

        Raises:
            DataError: when lines contradict each other.
        """
        found = sorted(self._domains.get(subject, ()))
        if len(found) > 1:
            raise DataError(f"says both {' and '.join(map(repr, found))} of {subject}; correct it", path=self.path)
        return tuple(found) or None


def _rows(path: Path) -> list[list[str]]:
    """Cells without surrounding spaces and quotation marks, which some programs write."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror}); check its permissions", path=path) from error
    except UnicodeDecodeError as error:
        raise DataError(f"is no UTF-8 text ({error.reason}); save it as UTF-8", path=path) from error
    lines = [line for line in re.split(r"\r\n|\r|\n", text) if line.strip()]
    return [[cell.strip().strip('"').strip() for cell in line.split("\t")] for line in lines] or [[]]
