"""What stays with the user: the salt of pseudonyms, and who is who."""

from __future__ import annotations

import csv
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from data_prep.atomic import atomic_path
from data_prep.cohort import UNDECODABLE
from pipelines.errors import UsageError

SALT_VARIABLE = "FPGAN_SALT"
_COLUMNS = ("pseudonym", "patient", "place")


def write_key(path: Path, key: Iterable[tuple[str, ...]]) -> None:
    """Write who is who, (pseudonym, patient, place), readable by its owner alone; rows that are there stay.

    Raises:
        UsageError: when `path` is there and no such file.
    """
    rows = list(dict.fromkeys([*read_key(path), *key]))
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file:  # noqa: PTH123  (no path)
            writer = csv.writer(file)
            writer.writerow(_COLUMNS)
            writer.writerows(rows)


def read_key(path: Path) -> list[tuple[str, ...]]:
    """The rows of a file that `write_key` wrote; none where it is not there.

    Raises:
        UsageError: when it is another file.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="", encoding="utf-8", errors=UNDECODABLE) as file:
            columns, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error):
        columns, rows = [], []
    if tuple(columns) != _COLUMNS:
        raise UsageError(f"{path}: is not what --key-file wrote; give another place, nothing is overwritten")
    return [tuple(row) for row in rows]


def read_salt(file: Path) -> bytes:
    """The salt of the environment variable `FPGAN_SALT`, or of a file of this user that is made when there is none.

    Raises:
        UsageError: when the file can neither be read nor made.
    """
    given = os.environ.get(SALT_VARIABLE)
    if given:
        return given.encode(errors=UNDECODABLE)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            salt = file.read_text(encoding="ascii").strip()
        else:
            salt = secrets.token_hex(32)
            with open(descriptor, "w", encoding="ascii") as written:  # noqa: PTH123  (no path)
                written.write(f"{salt}\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "is damaged"
        raise UsageError(f"{file}: the salt of pseudonyms {reason}; set {SALT_VARIABLE} instead") from error
    if not salt:
        raise UsageError(f"{file}: holds no salt; remove it, or set {SALT_VARIABLE} instead")
    return salt.encode()
