"""`Case`: where the images of one patient lie, before any of them is opened."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from data_prep.errors import DataError

Format = Literal["nifti", "itk", "dicom", "picture", "video"]
"""What reads a file: nibabel, SimpleITK, pydicom, Pillow, PyAV."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """Where one volume comes from.

    Attributes:
        format: what reads it.
        files: one file; the header and the data of a `.hdr`/`.img` pair; all files of a DICOM series; the pictures that
            become the slices of one volume. A member of a zip archive is written `<archive>.zip/<member>`.
        channel: which of several channels is meant, from 0; None where the file has one (pictures: as gray values).
        frames_per_second: how many frames of a video become slices.
    """

    format: Format
    files: tuple[Path, ...]
    channel: int | None = None
    frames_per_second: float | None = None

    @property
    def name(self) -> Path:
        """The path that messages name: the file, or the folder where there are several."""
        if len(self.files) == 1 or self.format == "nifti":
            return self.files[0]
        return Path(os.path.commonpath([path.parent for path in self.files]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One scan of one person, the unit that is prepared.

    Attributes:
        patient: identifies the case within its cohort.
        subject: who was scanned; all cases of a subject belong into one split. Mostly the same as `patient`.
        images: each channel, in order, and where it comes from.
        mask: the lesion mask, where one exists.
        mask_problem: why none could be taken, where several may be meant; a report needs none.
        foreground: a mask of the brain or body, where one exists.
        domains: names of the domains or attributes that hold for all slices; None where nothing is known of them all.
        slice_domains: the same for single slices, by their index in the file along the slice axis ("0", "1", …) or by
            the name of the slice's own file; None where nothing is known of one.
        split: train, validation or test, where the data come divided.
    """

    patient: str
    images: dict[str, Source]
    subject: str = ""
    mask: Source | None = None
    mask_problem: str | None = None
    foreground: Source | None = None
    domains: tuple[str, ...] | None = None
    slice_domains: dict[str, tuple[str, ...] | None] | None = None
    split: str | None = None

    def __post_init__(self) -> None:
        if not self.subject:
            object.__setattr__(self, "subject", self.patient)

    @property
    def first(self) -> Source:
        """Where the first channel comes from; messages name the patient's files by it."""
        return next(iter(self.images.values()))

    @property
    def sources(self) -> list[Source]:
        """All sources in a fixed order."""
        return [*self.images.values(), *(extra for extra in (self.mask, self.foreground) if extra)]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that could not be used, and why.

    `reason` starts with the path where a file is to blame; `problem` is the same without that path.
    """

    patient: str
    reason: str
    problem: str = ""

    def __post_init__(self) -> None:
        if not self.problem:
            object.__setattr__(self, "problem", self.reason)

    @classmethod
    def of(cls, patient: str, error: DataError) -> Failure:
        """Of an input that an error speaks of."""
        return cls(patient=patient, reason=str(error), problem=error.problem)
