"""One patient from files to arrays: a pure function of its inputs and settings, safe in any process."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from data_prep.case import Case
from data_prep.errors import DataError
from data_prep.labels import patient_domain, slice_domains
from data_prep.preparation import Preparation, PreparedSlices, prepare_slices
from data_prep.readers.nifti import read_nifti
from data_prep.slicing import to_slices
from data_prep.splits import check_shares
from data_prep.volume import Volume, stack_channels


class CohortSettings(BaseModel):
    """What `fpgan prepare` was asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preparation: Preparation
    """What is done to every volume."""
    min_lesion_area_px: int = Field(default=10, ge=0)
    """A slice is diseased when it shows more lesion than this, in pixels of the prepared image."""
    split_shares: tuple[float, float, float] = (0.6, 0.15, 0.25)
    """Shares of training, validation and test patients."""
    split_seed: int = Field(default=0, ge=0)
    """Decides which patient goes where."""

    @field_validator("split_shares")
    @classmethod
    def _sum_to_one(cls, shares: tuple[float, float, float]) -> tuple[float, float, float]:
        check_shares(shares)
        return shares


@dataclass(frozen=True, kw_only=True)
class PreparedPatient:
    """What the cohort keeps of a patient.

    `images` is (S, C, H, W) float16 in [0, 1], `mask` (S, H, W) uint8 with the labels of the mask file, `patient` the
    patient's row and `slices` one row a slice.
    """

    images: np.ndarray
    mask: np.ndarray
    patient: dict[str, Any]
    slices: list[dict[str, Any]]


def prepare_patient(case: Case, settings: CohortSettings) -> PreparedPatient:
    """Read a patient's files, prepare its slices, label them from the mask.

    Raises:
        DataError: when a file cannot be used; the message names it.
    """
    volume, digests = read_channels(case)
    mask_volume = _read_mask(case, volume)
    prepared = prepare_slices(volume, settings.preparation)
    labels = to_slices(mask_volume.array[0].astype(np.uint8), settings.preparation.axis)[prepared.indices]
    mask = prepared.window.apply(labels, smooth=False)
    areas = (mask > 0).sum(axis=(1, 2))
    in_source = (labels > 0).any(axis=(1, 2))
    domains = slice_domains(areas, in_source, min_area_px=settings.min_lesion_area_px)
    rows = [
        {
            "patient": case.patient,
            "row": row,
            "slice_index": int(prepared.indices[row]),
            "height": round(float(prepared.heights[row]), 6),
            "domains": domains[row],
            "foreground_share": round(float(prepared.foreground_shares[row]), 6),
            "lesion_area_px": int(areas[row]),
        }
        for row in range(len(domains))
    ]
    return PreparedPatient(
        images=prepared.images.astype(np.float16),
        mask=mask,
        patient={
            "patient": case.patient,
            "domain": patient_domain(domains),
            "slices": len(rows),
            "mask_sha256": mask_volume.source.sha256,
            **_provenance(case, volume, prepared, digests),
        },
        slices=rows,
    )


def read_channels(case: Case) -> tuple[Volume, dict[str, str]]:
    """All channels of a patient as one volume, and the sha256 of each file by its name."""
    volumes = [read_nifti(path) for path in case.images.values()]
    return stack_channels(volumes), {v.source.path.name: v.source.sha256 for v in volumes}


def fingerprint(case: Case, settings: CohortSettings) -> str:
    """Changes whenever a source file or a setting that touches the patient does; opens no file."""
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in case.files]
    relevant = settings.model_dump(mode="json", exclude={"split_shares", "split_seed"})
    return hashlib.sha256(json.dumps([files, relevant], sort_keys=True).encode()).hexdigest()


def _read_mask(case: Case, volume: Volume) -> Volume:
    if case.mask is None:
        raise DataError("a mask is needed to label slices", path=volume.paths[0].parent)
    mask = read_nifti(case.mask)
    difference = mask.source.difference_from(volume.source)
    if difference:
        raise DataError(f"the mask has {difference}; a mask must lie on its image's grid", path=case.mask)
    values = np.unique(mask.array)
    if values.min() < 0 or values.max() > 255 or (values != np.round(values)).any():
        raise DataError("a mask must hold whole labels from 0 to 255", path=case.mask)
    return mask


def _provenance(case: Case, volume: Volume, prepared: PreparedSlices, digests: dict[str, str]) -> dict[str, Any]:
    window = prepared.window
    return {
        "sources": {name: os.fspath(path) for name, path in case.images.items()},
        "sha256": list(digests.values()),
        "mask": os.fspath(case.mask) if case.mask else None,
        "source_shape": list(volume.source.shape),
        "source_affine": volume.source.affine.round(6).tolist(),
        "crop_box": [window.top, window.left, window.height, window.width],
        "pixels_cut_off": prepared.pixels_cut_off,
        "blank_slices": prepared.blank_slices,
        "scales": [asdict(scale) for scale in prepared.scales],
    }
