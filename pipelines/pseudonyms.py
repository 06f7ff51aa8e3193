"""What patients are called in reports: like their folder or file, or by a salted hash."""

from __future__ import annotations

import csv
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import typer

from data_prep.archive import archive_of
from data_prep.atomic import atomic_path
from data_prep.case import Case, Failure
from data_prep.cohort import UNDECODABLE
from data_prep.layouts.finding import Finding
from data_prep.layouts.walk import stem
from pipelines.errors import UsageError

Naming = Literal["auto", "folder", "hash"]
SALT_VARIABLE = "FPGAN_SALT"
HASH_DIGITS = 12
"""48 bits: among ten thousand patients, two share a pseudonym with a probability of one in five million."""


@dataclass(frozen=True, kw_only=True)
class NamedCase:
    """A case under the name that outputs call it by."""

    name: str
    case: Case


@dataclass(kw_only=True)
class Pseudonyms:
    """Names for what layouts found.

    `naming`: `folder` names all patients like their folder or file, `hash` by a salted hash of that or of their
    PatientID; `auto` hashes what comes from DICOM headers and leaves the names of folders. `salt` is the key of the
    hashes: who has it can tell whose a pseudonym is by trying PatientIDs. `key` grows by (pseudonym, patient, place).
    """

    naming: Naming
    key: list[tuple[str, str, str]] = field(default_factory=list)

    @cached_property
    def salt(self) -> bytes:
        """Of the environment, or of this user; asked for, and made, when the first name is hashed."""
        return read_salt(Path(typer.get_app_dir("fpgan")) / "salt")

    def name_all(self, finding: Finding, root: Path) -> tuple[list[NamedCase], list[Failure]]:
        """The cases and failures found at or below `root`, under the names that outputs may show.

        Failures of hashed patients lose their path, and every reason what it quotes of headers.
        """
        in_headers = finding.layout == "dicom"
        hashed = self.naming == "hash" or (self.naming == "auto" and in_headers)
        cases = []
        for case in finding.cases:
            own = _folder_of(case, root) if in_headers and not hashed else case.patient
            name = self._hash(case.patient) if hashed else own
            self.key.append((name, case.patient, os.fspath(next(iter(case.images.values())).name)))
            cases.append(NamedCase(name=name, case=case))
        failures = []
        for failure in finding.failures:
            name = self._hash(failure.patient) if hashed else failure.patient
            self.key.append((name, failure.patient, ""))
            failures.append(Failure(patient=name, reason=failure.problem if hashed else failure.reason))
        return cases, failures

    @property
    def hides(self) -> bool:
        """Whether a name given so far is not the patient's own."""
        return any(name != patient for name, patient, _ in self.key)

    def _hash(self, patient: str) -> str:
        digest = hmac.new(self.salt, patient.encode(errors=UNDECODABLE), hashlib.sha256)
        return digest.hexdigest()[:HASH_DIGITS]


def write_key(path: Path, key: Iterable[tuple[str, str, str]]) -> None:
    """Write who is who: a CSV file of pseudonym, patient and place, readable by its owner alone."""
    with atomic_path(path) as temporary:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "w", newline="", encoding="utf-8", errors=UNDECODABLE) as file:  # noqa: PTH123  (no path)
            writer = csv.writer(file)
            writer.writerow(["pseudonym", "patient", "place"])
            writer.writerows(key)


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


def _folder_of(case: Case, root: Path) -> str:
    """The folder right below `root` that holds the case, or else the archive, or `root` itself."""
    place = next(iter(case.images.values())).name
    archive = archive_of(place)
    inside = (archive or place).relative_to(root)
    if archive is not None:
        return inside.parts[0] if len(inside.parts) > 1 else archive.stem
    if place.is_dir():
        return inside.parts[0] if inside.parts else root.resolve().name
    return inside.parts[0] if len(inside.parts) > 1 else stem(place.name)
