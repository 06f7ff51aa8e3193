"""What patients are called in reports: like their folder or file, or by a salted hash."""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import typer

from data_prep.archive import archive_of
from data_prep.case import Case, Failure
from data_prep.cohort import UNDECODABLE
from data_prep.errors import without_private_text
from data_prep.layouts.walk import stem
from pipelines.pseudonym_files import read_salt
from pipelines.reporting.settings import Naming

_QUOTED = re.compile(r"""(?<!\w)(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""What `repr` makes of a text; an apostrophe within a word quotes nothing."""
HASH_DIGITS = 12
"""48 bits: among ten thousand patients, two share a pseudonym with a probability of one in five million."""


@dataclass(frozen=True, kw_only=True)
class NamedCase:
    """A case under the name that outputs call it by. `is_hidden`: neither its path nor its name may stand there."""

    name: str
    case: Case
    is_hidden: bool = False


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

    def name_all(self, cases: Iterable[Case], root: Path, layout: str) -> list[NamedCase]:
        """Cases found at or below `root` in a layout, under the names that outputs may show."""
        named = []
        for case in cases:
            place = os.fspath(case.first.name)
            if self.hides(layout):
                name = self._hash(case.patient)
            else:
                name = _folder_of(case, root) if layout == "dicom" else case.patient
            self.key.append((name, case.patient, place))
            named.append(NamedCase(name=name, case=case, is_hidden=self.hides(layout)))
        return named

    def without_names(self, failure: Failure, layout: str) -> Failure:
        """A failure as outputs may show it."""
        if not self.hides(layout):
            return replace(failure, reason=without_private_text(failure.reason))
        name = self._hash(failure.patient)
        self.key.append((name, failure.patient, ""))
        return Failure(patient=name, reason=without_names(failure.problem))

    def hides(self, layout: str) -> bool:
        """Whether patients of a layout are hashed."""
        return self.naming == "hash" or (self.naming == "auto" and layout == "dicom")

    def _hash(self, patient: str) -> str:
        digest = hmac.new(self.salt, patient.encode(errors=UNDECODABLE), hashlib.sha256)
        return digest.hexdigest()[:HASH_DIGITS]


def without_names(problem: str) -> str:
    """A message without what it quotes, be it of headers or of file names."""
    return _QUOTED.sub("…", without_private_text(problem))


def _folder_of(case: Case, root: Path) -> str:
    """The folder right below `root` that holds the case, or else the archive, or `root` itself."""
    place = case.first.name
    archive = archive_of(place)
    inside = (archive or place).relative_to(root)
    if archive is not None:
        return inside.parts[0] if len(inside.parts) > 1 else archive.stem
    if place.is_dir():
        return inside.parts[0] if inside.parts else root.resolve().name
    return inside.parts[0] if len(inside.parts) > 1 else stem(place.name)
