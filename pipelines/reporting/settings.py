"""What a user may choose of reports."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Naming = Literal["auto", "folder", "hash"]


class ReportSettings(BaseModel):
    """What reports hold beside the standard files, and what they may tell."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pdf: bool = False
    """The page also as PDF."""
    bids: bool = False
    """Names and folders of a BIDS derivatives dataset."""
    keep_dates: bool = False
    """Dates of the study may stand in outputs."""
    skull_strip: str | None = None
    """The command that makes the foreground mask, for a model trained with one."""
    naming: Naming = "auto"
    """How patients are called."""
