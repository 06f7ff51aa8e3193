"""Names of BIDS files: `sub-01_ses-2_acq-iso_T1w.nii.gz` is a subject, a session, other entities and a suffix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from data_prep.layouts.domain_folders import sub_folders
from data_prep.layouts.walk import is_folder, stem, walk

_NO_IMAGES = ("brainmask", "defacemask", "dseg", "mask", "probseg", "roi")


@dataclass(frozen=True, kw_only=True)
class BidsFile:
    """One NIfTI file.

    Attributes:
        path: where it lies.
        subject, session: `sub-01`, `ses-2`; the session is empty where there are none.
        datatype: name of its folder, such as `anat`.
        entities: what its name says between subject, session and suffix, as in `acq-iso_run-1`.
        suffix: the last word of its name, as written: `T1w`.
        pipeline: the folder below `derivatives` it comes from; None for original data.
    """

    path: Path
    subject: str
    session: str
    datatype: str
    entities: str
    suffix: str
    pipeline: str | None = None

    @property
    def channel(self) -> str:
        """What it is as a channel: `t1` for `T1w`, `t1ce` for `ce-…_T1w`, `flair`; empty for masks."""
        suffix = self.suffix.lower()
        if suffix in _NO_IMAGES or not suffix.isalnum():
            return ""
        return "t1ce" if suffix == "t1w" and self.entity("ce") else suffix.removesuffix("w")

    def entity(self, key: str) -> str:
        """`iso` for the key `acq`; empty where the name has no such entity."""
        return next((part.partition("-")[2] for part in self.entities.split("_") if part.startswith(f"{key}-")), "")


def original_files(root: Path) -> dict[Path, list[BidsFile]]:
    """The folders `sub-*` of a data set, and the files of each."""
    folders = [folder for folder in sub_folders(root) if folder.name.startswith("sub-")]
    return {folder: [file for file in _files(folder) if file.subject == folder.name] for folder in folders}


def derived_files(root: Path) -> list[BidsFile]:
    """The files below `derivatives`, whatever their pipelines."""
    return _files(root / "derivatives", derived=True)


def _files(top: Path, *, derived: bool = False) -> list[BidsFile]:
    found = []
    for folder, names in walk(top) if is_folder(top) else ():
        parts = folder.relative_to(top).parts
        pipeline = "".join(parts[:1]) if derived else None
        session = next((part for part in parts if part.startswith("ses-")), "")
        for name in names:
            words = stem(name).split("_")
            if not name.lower().endswith((".nii", ".nii.gz")) or not words[0].startswith("sub-") or len(words) < 2:
                continue
            named_session = next((word for word in words if word.startswith("ses-")), "")
            found.append(
                BidsFile(
                    path=folder / name,
                    subject=words[0],
                    session=session or named_session,
                    datatype=folder.name,
                    entities="_".join(word for word in words[1:-1] if word != named_session),
                    suffix=words[-1],
                    pipeline=pipeline,
                )
            )
    return found
