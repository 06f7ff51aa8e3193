"""From images and their healthy translations to maps, with the choices that belong to a model."""

from __future__ import annotations

from typing import Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from evaluation.difference import Reduction, clean_map, difference_map, foreground_of, signed_difference_map


class MapSettings(BaseModel):
    """How differences become maps, and maps candidates. The defaults are the patent's and the paper's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reduction: Reduction = "max"
    """Of the difference over channels: `max`, `mean`, or the number of one channel, from 0."""
    rim_px: int = Field(default=0, ge=0)
    """Pixels of the foreground's rim where maps are set to 0. Outside the patent."""
    median_px: int = Field(default=1, ge=1)
    """Size of a median filter of maps, odd; 1 is none. Outside the patent."""
    gaussian_px: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Standard deviation of a Gaussian filter of maps; 0 is none. Outside the patent."""
    quantization_levels: int = Field(default=2, ge=2, le=16)
    """Levels of the quantization; pixels of the highest make candidates. The patent has two."""

    @model_validator(mode="after")
    def _is_odd(self) -> Self:
        if self.median_px % 2 == 0:
            raise ValueError(f"`median_px` must be odd, got {self.median_px}")
        return self

    def clean(self, maps: np.ndarray, foreground: np.ndarray) -> np.ndarray:
        """Maps (S, H, W), 0 outside the foreground, without their rim and through the filters; see `clean_map`."""
        if not self.rim_px and self.median_px == 1 and not self.gaussian_px:
            return maps
        return clean_map(maps, foreground, rim_px=self.rim_px, median_px=self.median_px, gaussian_px=self.gaussian_px)


def anomaly_map(images: np.ndarray, healthy: np.ndarray, settings: MapSettings) -> np.ndarray:
    """|x − G(x, healthy)| of images (S, C, H, W) over channels, cleaned: (S, H, W), higher = more abnormal.

    Raises:
        ValueError: for arrays of other or different shapes, or a channel that the images lack.
    """
    return settings.clean(difference_map(images, healthy, reduction=settings.reduction), foreground_of(images))


def signed_anomaly_map(images: np.ndarray, healthy: np.ndarray, settings: MapSettings) -> np.ndarray:
    """The anomaly map with the sign of the change that prevails: positive where brighter than healthy.

    Filters let neighbors of both signs cancel, so a filtered change alone would hide what flickers.

    Raises:
        ValueError: as `anomaly_map`.
    """
    signed = settings.clean(signed_difference_map(images, healthy, reduction=settings.reduction), foreground_of(images))
    return np.copysign(anomaly_map(images, healthy, settings), signed)
