"""Names of the files of one patient's report, in the plain layout and in that of a BIDS derivatives dataset."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_prep.cohort import UNDECODABLE, file_stem
from data_prep.layouts.brats import ALIASES

BIDS_SUFFIXES = {"flair": "FLAIR", "t1": "T1w", "t1ce": "T1w", "t2": "T2w", "t2star": "T2starw", "pd": "PDw"}
"""Channels that BIDS has a suffix for; it tells `t1ce` from `t1` by the entity `ce`."""
HEALTHY, DIFFERENCE, LESIONS = "healthy", "fpganDifference", "lesions"
"""What BIDS names say in the entity `desc`."""

_OF_ALL_PATIENTS = ("index.html", "patients.csv", "failures.csv")
"""Names that no folder beside these files may have."""
_HASH_DIGITS = 8
_LONGEST_NAME = 200
"""Bytes. File systems take 255; a name needs some more while its file or folder is being written."""
_LONGEST_LABEL = 48
"""Letters. The longest BIDS name holds three labels."""
_BIDS_CASE = re.compile(r"sub-([0-9A-Za-z]+)(?:_ses-([0-9A-Za-z]+))?")


@dataclass(frozen=True, kw_only=True)
class ReportFiles:
    """Where the files of one patient lie.

    Attributes:
        folder: the patient's folder, relative to the output folder, with `/` between its parts. It holds all files of
            the patient and nothing of others, so that it can be replaced as a whole.
        channels: the model's channels.
        healthy: the healthy volume of each channel. All files are relative to `folder`.
        page, record, lesion_table, preview, difference, lesions, segmentation, structured_report, pdf: the others.
    """

    folder: str
    channels: tuple[str, ...]
    healthy: tuple[str, ...]
    page: str = "report.html"
    record: str = "report.json"
    lesion_table: str = "lesions.csv"
    preview: str = "preview.png"
    difference: str = "difference.nii.gz"
    lesions: str = "lesions.nii.gz"
    segmentation: str = "lesions.dcm"
    structured_report: str = "report.dcm"
    pdf: str = "report.pdf"

    @classmethod
    def of(cls, name: str, channels: Sequence[str], *, bids: bool = False) -> ReportFiles:
        """The files of the patient called `name`.

        With `bids`, only a name that is `sub-` and a label can share a folder with another: with that label.
        """
        return _bids(name, tuple(channels)) if bids else _plain(name, tuple(channels))

    @property
    def by_name(self) -> dict[str, str]:
        """All files by what they are; the healthy volumes as `healthy`, of several channels as `<channel>_healthy`."""
        several = len(self.channels) > 1
        return {
            "page": self.page,
            "record": self.record,
            "lesion_table": self.lesion_table,
            "preview": self.preview,
            **{
                f"{c}_healthy" if several else "healthy": path
                for c, path in zip(self.channels, self.healthy, strict=True)
            },
            "difference": self.difference,
            "lesions": self.lesions,
            "segmentation": self.segmentation,
            "structured_report": self.structured_report,
            "pdf": self.pdf,
        }


def _plain(name: str, channels: tuple[str, ...]) -> ReportFiles:
    several = len(channels) > 1
    healthy = tuple(f"{_file_name(c)}_healthy.nii.gz" if several else "healthy.nii.gz" for c in channels)
    folder = _file_name(name)
    if folder.lower() in _OF_ALL_PATIENTS:
        folder = folder.replace(".", "%2E")
    return ReportFiles(folder=folder, channels=channels, healthy=healthy)


def _bids(name: str, channels: tuple[str, ...]) -> ReportFiles:
    match = _BIDS_CASE.fullmatch(name)
    subject, session = match.groups() if match else (name, None)
    parts = [f"sub-{_label(subject)}", *([f"ses-{_label(session)}"] if session else [])]
    prefix = "_".join(parts)
    ends = _bids_ends(channels)
    # The difference is one volume of all channels, so that of several has no suffix that BIDS knows.
    entities, suffix = ends[0] if len(ends) == 1 else ("", "map")
    return ReportFiles(
        # A subject's folder may hold sessions, each a patient of its own here; the folder of a datatype holds but one.
        folder="/".join([*parts, "anat"]),
        channels=channels,
        healthy=tuple(f"{prefix}{entities}_desc-{HEALTHY}_{suffix}.nii.gz" for entities, suffix in ends),
        page=f"{prefix}_report.html",
        record=f"{prefix}_report.json",
        lesion_table=f"{prefix}_lesions.csv",
        preview=f"{prefix}_preview.png",
        difference=f"{prefix}{entities}_desc-{DIFFERENCE}_{suffix}.nii.gz",
        lesions=f"{prefix}_desc-{LESIONS}_dseg.nii.gz",
        segmentation=f"{prefix}_lesions.dcm",
        structured_report=f"{prefix}_report.dcm",
        pdf=f"{prefix}_report.pdf",
    )


def _bids_ends(channels: tuple[str, ...]) -> list[tuple[str, str]]:
    """Entities and suffix of each channel; a channel that BIDS does not know is its own suffix."""
    kinds = [_kind(channel) for channel in channels]
    count = Counter(kinds)
    ends = []
    for channel, kind in zip(channels, kinds, strict=True):
        acquisition = f"_acq-{_label(channel)}" if count[kind] > 1 else ""
        contrast_agent = "_ce-gadolinium" if kind == "t1ce" else ""
        ends.append((acquisition + contrast_agent, BIDS_SUFFIXES.get(kind) or _label(channel)))
    return ends


def _kind(channel: str) -> str:
    """A key of `BIDS_SUFFIXES`, for others the channel itself."""
    key = "".join(re.findall("[0-9a-z]", channel.lower()))
    key = ALIASES.get(key, key.removesuffix("w"))
    return key if key in BIDS_SUFFIXES else channel


def _label(text: str) -> str:
    """`text` in letters and digits; with a hash of it where that changes something."""
    kept = "".join(re.findall("[0-9A-Za-z]", text))
    if kept == text and 0 < len(text) <= _LONGEST_LABEL:
        return text
    return kept[: _LONGEST_LABEL - _HASH_DIGITS] + _hash(text)


def _file_name(text: str) -> str:
    """`text` as a file name; the end of one that is too long is replaced by a hash."""
    name = file_stem(text)
    encoded = name.encode(errors=UNDECODABLE)
    if len(encoded) <= _LONGEST_NAME:
        return name
    start = encoded[: _LONGEST_NAME - _HASH_DIGITS - 1].decode(errors="ignore")
    return f"{start}-{_hash(text)}"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors=UNDECODABLE)).hexdigest()[:_HASH_DIGITS]
