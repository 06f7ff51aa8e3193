"""Domains of slices and patients: from lesion masks, or as folders and tables give them.

In tables a slice's domains are one text: the name of its domain, or its attributes joined by `;`, or `none` where no
attribute holds. An empty text says that nothing is known; such a slice is not trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

HEALTHY = "healthy"
DISEASED = "diseased"
SEPARATOR = ";"
NO_ATTRIBUTE = "none"


class DomainNames(BaseModel):
    """What a slice of a cohort can be.

    Exclusive domains (healthy | diseased): a slice is exactly one of them. Attributes (edema, enhancing, …): any number
    of them may hold, none means healthy.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    names: tuple[str, ...] = Field(default=(HEALTHY, DISEASED), min_length=1)
    """In the order of label vectors."""
    exclusive: bool = True
    """True: one of them holds; False: attributes that may co-occur."""
    healthy: str | None = HEALTHY
    """Which of the exclusive domains is the healthy one; None where none is. Attributes ignore it."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        for name in self.names:
            if not name.strip() or SEPARATOR in name or (not self.exclusive and name == NO_ATTRIBUTE):
                raise ValueError(
                    f"a domain must have a name other than {NO_ATTRIBUTE!r}, without {SEPARATOR!r}: {name!r}"
                )
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"domains must differ, got {', '.join(self.names)}")
        return self

    @property
    def healthy_text(self) -> str | None:
        """How a table writes a healthy slice; None where no domain is healthy."""
        return self.healthy if self.exclusive else NO_ATTRIBUTE

    def to_text(self, domains: Iterable[str]) -> str:
        """The domains of one slice as a table writes them."""
        held = set(domains)
        return SEPARATOR.join(name for name in self.names if name in held) or ("" if self.exclusive else NO_ATTRIBUTE)

    def is_diseased(self, texts: Iterable[str]) -> np.ndarray:
        """(N,) bool: known, and not healthy."""
        return np.array([text not in ("", self.healthy_text) for text in texts], bool)

    def encode(self, texts: Iterable[str]) -> np.ndarray:
        """Label vectors (N, K) float32; all zero where no attribute holds and where nothing is known."""
        rows = [[name in text.split(SEPARATOR) for name in self.names] for text in texts]
        return np.array(rows, np.float32).reshape(-1, len(self.names))


def domains_from_mask(
    prepared: np.ndarray,
    in_source: Mapping[int, np.ndarray],
    domains: DomainNames,
    label_values: Mapping[str, Sequence[int]],
    *,
    min_area_px: int,
) -> list[str]:
    """Domains of each of S slices from the labels of a lesion mask.

    Args:
        prepared: (S, H, W) labels of the prepared slices, 0 where there is no lesion.
        in_source: for each label but 0, (S,) whether the slice shows it in the source; a small lesion may be lost when
            the mask is resampled, or lie outside the window.
        domains: healthy and diseased, or attributes.
        label_values: which labels each attribute stands for; empty for healthy and diseased.
        min_area_px: more lesion than this, in pixels of the prepared slice, makes it diseased, or an attribute hold.

    A slice is healthy only when its source shows no lesion at all. With a lesion of at most `min_area_px`, or one of a
    label that no attribute stands for, its text is empty: training on it would teach the wrong lesson either way.
    """
    wanted = dict(label_values) or {DISEASED: tuple(in_source)}
    unlisted = [value for value in in_source if not any(value in values for values in wanted.values())]
    nowhere = np.zeros(len(prepared), bool)
    uncertain = np.any([in_source[value] for value in unlisted] or [nowhere], axis=0)
    held: dict[str, np.ndarray] = {}
    for name, values in wanted.items():
        held[name] = np.isin(prepared, list(values)).sum(axis=(1, 2)) > min_area_px
        uncertain = uncertain | (np.any([in_source.get(v, nowhere) for v in values] or [nowhere], axis=0) & ~held[name])
    texts = []
    for index in range(len(prepared)):
        names = [name for name in wanted if held[name][index]]
        if domains.exclusive:
            texts.append(DISEASED if names else "" if uncertain[index] else HEALTHY)
        else:
            texts.append("" if uncertain[index] else domains.to_text(names))
    return texts


def patient_domains(texts: Iterable[str], domains: DomainNames) -> str:
    """What a patient is, by its slices: all domains but the healthy one that any slice shows.

    Healthy when all slices are; otherwise empty: nothing is known.
    """
    seen = list(texts)
    names = {name for text in seen for name in text.split(SEPARATOR)}
    found = [name for name in domains.names if name in names and name != domains.healthy_text]
    if found:
        return SEPARATOR.join(found)
    return domains.healthy_text or "" if seen and all(text == domains.healthy_text for text in seen) else ""
