"""What `fpgan prepare` was asked for, as it is kept in `cohort.json`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from data_prep.labels import DomainNames
from data_prep.preparation import Preparation
from data_prep.splits import check_shares


class CohortSettings(BaseModel):
    """Everything that decides what a cohort holds, but for the images themselves."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preparation: Preparation
    """What is done to every volume."""
    domains: DomainNames = DomainNames()
    """What a slice can be."""
    label_values: dict[str, tuple[int, ...]] = {}
    """The mask labels that each attribute stands for; empty: every label is lesion, a slice is healthy or diseased."""
    min_lesion_area_px: int = Field(default=10, ge=0)
    """A slice is diseased when it shows more lesion than this, in pixels of the prepared image."""
    skull_strip: str | None = None
    """Command that strips the skull of `{input}` to `{output}`. It stays here: a model carries no command."""
    split_shares: tuple[float, float, float] = (0.6, 0.15, 0.25)
    """Shares of training, validation and test patients."""
    split_seed: int = Field(default=0, ge=0)
    """Decides which patient goes where."""
    folds: int | None = Field(default=None, ge=3)
    """Divide into so many folds instead: one is tested on, the next validates, the others train."""
    fold: int = Field(default=0, ge=0)
    """The fold that is tested on."""

    @field_validator("split_shares")
    @classmethod
    def _sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        check_shares(shares)
        return shares

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.fold and not self.folds:
            raise ValueError(f"`fold` {self.fold} needs `folds`, how many there are")
        if self.folds and self.fold >= self.folds:
            raise ValueError(f"`fold` must be less than `folds` ({self.folds}), got {self.fold}")
        if self.label_values and set(self.label_values) != set(self.domains.names):
            raise ValueError("`label_values` must name the attributes that `domains` names")
        used = [value for values in self.label_values.values() for value in values]
        if any(not 1 <= value <= 255 for value in used):
            raise ValueError(f"`label_values` must be labels from 1 to 255, got {sorted(set(used))}")
        if self.skull_strip and self.preparation.foreground != "mask":
            raise ValueError("`skull_strip` needs the foreground rule `mask`, as its result is one")
        return self
