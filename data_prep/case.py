"""`Case`: the files of one patient, before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Case:
    """One patient. `images` maps each channel, in order, to its file; `mask` is the lesion mask, where one exists."""

    patient: str
    images: dict[str, Path]
    mask: Path | None

    @property
    def files(self) -> list[Path]:
        """All files in a fixed order."""
        return [*self.images.values(), *([self.mask] if self.mask else [])]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An input that could not be used, and why. `reason` starts with the path where a file is to blame."""

    patient: str
    reason: str
