"""One patient from files to arrays: a pure function of its inputs and settings, safe in any process."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from isal.isal_zlib import crc32

from data_prep.archive import stat_of
from data_prep.case import Case, Source
from data_prep.cohort import COHORT_FORMAT
from data_prep.errors import DataError
from data_prep.foreground import bounding_box
from data_prep.labels import domains_from_mask, patient_domains
from data_prep.preparation import Preparation, PreparedSlices, prepare_slices, slice_places, source_slices
from data_prep.readers import read_source
from data_prep.readers.foreign import bounded_by_memory
from data_prep.resampling import resample
from data_prep.settings import CohortSettings
from data_prep.skull_strip import strip_skull
from data_prep.slicing import slice_axis_of, to_slices
from data_prep.volume import Volume, stack_channels


@dataclass(frozen=True, kw_only=True)
class PreparedPatient:
    """What the cohort keeps of a patient.

    `images` is (S, C, H, W) float16 in [0, 1], `mask` (S, H, W) uint8 with the labels of the mask file, None without
    one; `patient` is the patient's row and `slices` one row a slice of the volume, kept or not.
    """

    images: np.ndarray
    mask: np.ndarray | None
    patient: dict[str, Any]
    slices: list[dict[str, Any]]


def prepare_patient(case: Case, settings: CohortSettings) -> PreparedPatient:
    """Read a patient's files, prepare its slices, label them.

    Raises:
        DataError: when a file cannot be used; the message names it.
    """
    volume, prepared = read_and_prepare(case, settings.preparation, skull_strip=settings.skull_strip)
    kept = prepared.indices
    mask, areas, mask_sha256 = None, np.zeros(len(kept), int), ""
    if case.mask:
        with bounded_by_memory(case.mask.name):
            mask_volume = read_labels(case.mask, volume, "mask")
            mask, in_source = _slice_labels(mask_volume, prepared, settings.preparation)
        areas, mask_sha256 = np.count_nonzero(mask, axis=(1, 2)), mask_volume.source.sha256
    if case.domains is not None or case.slice_domains is not None:
        texts = _given_domains(case, settings, volume, source_slices(prepared, volume, settings.preparation))
    elif mask is not None:
        texts = domains_from_mask(
            mask, in_source, settings.domains, settings.label_values, min_area_px=settings.min_lesion_area_px
        )
    else:
        raise DataError("has no lesion mask and no label; slice domains come from one", path=volume.paths[0])
    slices = _slice_rows(case, prepared, texts, areas)
    patient = {
        "patient": case.patient,
        "subject": case.subject,
        "domain": patient_domains(texts, settings.domains),
        "slices": len(kept),
        "blank_slices": len(slices) - len(kept),
        "image_digest": _digest(prepared.images),
        "mask_sha256": mask_sha256,
        **_provenance(case, volume, prepared),
    }
    return PreparedPatient(images=prepared.images, mask=mask, patient=patient, slices=slices)


def read_and_prepare(
    case: Case, preparation: Preparation, *, skull_strip: str | None = None
) -> tuple[Volume, PreparedSlices]:
    """The channels of a case and its prepared slices; lesion masks are not read.

    Raises:
        DataError: when a file cannot be used, or the skull stripping command failed.
    """
    with bounded_by_memory(case.first.name):
        volume = _read_channels(case, resample_to_first=preparation.resample_to_first)
        foreground = None
        if skull_strip:
            foreground = strip_skull(volume, skull_strip)
        elif preparation.foreground == "mask" and case.foreground:
            foreground = read_labels(case.foreground, volume, "foreground mask").channels[0] > 0
        return volume, prepare_slices(volume, preparation, foreground_mask=foreground)


def read_labels(source: Source, volume: Volume, what: str) -> Volume:
    """A mask of a patient, which must lie on the grid of the image; its labels as uint8.

    `what` is what messages call it.

    Raises:
        DataError: when it cannot be read, lies on another grid, or holds no whole labels from 0 to 255.
    """
    mask = read_source(source)
    difference = mask.difference_from(volume)
    if difference:
        raise DataError(f"the {what} has {difference}; a mask must lie on its image's grid", path=source.name)
    (values,) = mask.channels
    if source.format == "picture":  # pictures are read as shares of 255, labels are whole numbers
        values = np.round(values * 255)
    with np.errstate(invalid="ignore"):
        labels = values.astype(np.uint8, copy=False)
    if labels is not values and (labels != values).any():
        raise DataError(f"a {what} must hold whole labels from 0 to 255", path=source.name)
    return replace(mask, channels=(labels,))


def fingerprint(case: Case, settings: CohortSettings) -> str:
    """Changes whenever a source file, a label or a setting that touches the patient does, or what this program makes of
    them, told by the cohort's format; opens no file.

    Raises:
        OSError, DataError: when a file is gone.
    """
    roles = [*case.images.items(), ("mask", case.mask), ("foreground", case.foreground)]
    sources = [
        (
            (role, source.format, source.channel, source.frames_per_second),
            [(os.fspath(path.absolute()), *stat_of(path)) for path in source.files],
        )
        for role, source in roles
        if source
    ]
    given = (case.subject, case.domains, case.slice_domains)
    relevant = settings.model_dump(mode="json", exclude={"split_shares", "split_seed", "folds", "fold"})
    return hashlib.sha256(json.dumps([COHORT_FORMAT, sources, given, relevant], sort_keys=True).encode()).hexdigest()


def _read_channels(case: Case, *, resample_to_first: bool) -> Volume:
    read: dict[Source, Volume] = {}  # a file with several channels is read once
    volumes: list[Volume] = []
    for source in case.images.values():
        whole = replace(source, channel=None if source.channel is None else 0)
        if whole not in read:
            read[whole] = read_source(source)
        volume = _one_channel(read[whole], source)
        volumes.append(_onto(volume, volumes[0]) if volumes and resample_to_first else volume)
    return stack_channels(volumes)


def _one_channel(volume: Volume, source: Source) -> Volume:
    number = source.channel or 0
    if number >= len(volume.channels):
        raise DataError(f"has {len(volume.channels)} channels; number {number + 1} was asked for", path=source.name)
    chosen = slice(number, number + 1)
    return replace(volume, channels=volume.channels[chosen], paths=(source.name,), sha256=volume.sha256[chosen])


def _onto(volume: Volume, first: Volume) -> Volume:
    """The volume on the first one's grid; its own where both are the same."""
    if volume.difference_from(first) is None:
        return volume
    (channel,) = volume.channels
    moved = resample(channel, volume.grid, first.grid, outside=float(channel.min()))
    return replace(volume, channels=(moved,), affine=first.affine, source=first.source)


def _slice_labels(
    mask: Volume, prepared: PreparedSlices, preparation: Preparation
) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    """Labels of the kept slices (S, H, W), and for each label whether a slice shows it in the source, (S,) bool."""
    (labels,) = mask.channels
    own, axis = mask.grid, preparation.axis
    slices = to_slices(labels, axis)
    in_source: dict[int, np.ndarray] = {}
    box = bounding_box(slices)
    if box:
        # A prepared slice shows every slice of the source that it overlaps.
        places, span = slice_places(prepared, own, preparation)
        overlap: np.ndarray = np.abs(places[:, None] - np.arange(len(slices))) < (1 + span) / 2 - 1e-6
        for value in np.unique(slices[box][slices[box] > 0]).tolist():
            shown = np.zeros(len(slices), bool)
            shown[box[0]] = (slices[box] == value).any(axis=(1, 2))
            in_source[value] = np.any(overlap & shown, axis=1)
    on_grid = to_slices(resample(labels, own, prepared.grid, smooth=False), axis)
    return prepared.window.apply_to_labels([on_grid[index] for index in prepared.indices]), in_source


def _given_domains(case: Case, settings: CohortSettings, volume: Volume, indices: np.ndarray) -> list[str]:
    """What folders or tables say of slices, by index in the volume: a row of a slice goes before the patient's."""
    axis = slice_axis_of(settings.preparation.axis)
    given = case.slice_domains or {}
    names = volume.source.slice_names if volume.source.runs_along(axis) else ()
    known = {str(index) for index in range(volume.shape[axis])} | set(names)
    strangers = sorted(given.keys() - known)
    if strangers:
        raise DataError(
            f"labels name a slice {strangers[0]!r}; {settings.preparation.axis} slices are named 0 to "
            f"{volume.shape[axis] - 1}" + (f", or {names[0]} to {names[-1]}" if names else ""),
            path=volume.paths[0],
        )
    texts = []
    for index in indices:
        in_file = volume.index_in_file(axis, int(index))
        keys = [str(in_file), *names[in_file : in_file + 1]]
        domains = next((given[key] for key in keys if key in given), case.domains)
        texts.append("" if domains is None else settings.domains.to_text(domains))
    return texts


def _digest(images: np.ndarray) -> str:
    """The same for the same (S, C, H, W) images: sha256 of the checksums of all slices.

    Thirty times as fast as sha256 of all bytes. One checksum may be alike by chance, those of all slices are not.
    """
    return hashlib.sha256(np.array([crc32(image) for image in images], np.uint32).tobytes()).hexdigest()


def _slice_rows(case: Case, prepared: PreparedSlices, texts: list[str], areas: np.ndarray) -> list[dict[str, Any]]:
    rows = []
    is_given = case.domains is not None or case.slice_domains is not None
    row_of = {int(index): row for row, index in enumerate(prepared.indices)}
    for index, share in enumerate(prepared.foreground_shares):
        row = row_of.get(index)
        if row is None:
            reason = "nearly blank" if share else "blank"
        else:
            reason = "" if texts[row] else "no label" if is_given else "small or unlisted lesion"
        rows.append(
            {
                "patient": case.patient,
                "row": "" if row is None else row,
                "slice_index": index,
                "height": "" if row is None else round(float(prepared.heights[row]), 6),
                "domains": "" if row is None else texts[row],
                "foreground_share": round(float(share), 6),
                "lesion_area_px": "" if row is None else int(areas[row]),
                "reason": reason,
            }
        )
    return rows


def _provenance(case: Case, volume: Volume, prepared: PreparedSlices) -> dict[str, Any]:
    window = prepared.window
    return {
        "sources": {name: os.fspath(source.name.absolute()) for name, source in case.images.items()},
        "sha256": list(volume.sha256),
        "mask": os.fspath(case.mask.name.absolute()) if case.mask else "",
        "source_shape": list(volume.source.shape),
        "source_affine": volume.source.affine.tolist(),
        "crop_box": [window.top, window.left, window.height, window.width],
        "pixels_cut_off": prepared.pixels_cut_off,
        "background_share": round(prepared.background_share, 4),
        "scales": [asdict(scale) for scale in prepared.scales],
    }
