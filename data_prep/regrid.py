"""A volume that lies on a patient's source grid, onto the slices that a cohort keeps of the patient."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np

from data_prep.centering import Window
from data_prep.cohort import Cohort
from data_prep.errors import DataError
from data_prep.grid import Grid
from data_prep.resampling import resample
from data_prep.slicing import slice_spacing_mm, to_slices
from data_prep.volume import SourceGrid, Volume


def slices_on_cohort_grid(volume: Volume, cohort: Cohort, patient: str) -> np.ndarray:
    """The way that the patient's images went, for any other volume of one channel: resampled and seen through the
    window alike, by linear interpolation, but not normalized.

    Args:
        volume: on the grid of the patient's source; in which order its file stores the voxels does not matter.
        cohort: what the patient was prepared for.
        patient: one of the cohort's.

    Returns:
        (S, H, W) float32 in the order of `cohort.images(patient)`; 0 beyond the source's edge.

    Raises:
        DataError: when the volume lies on another grid than the source, or the cohort's tables are damaged.
    """
    preparation = cohort.settings.preparation
    source, grid, crop_box = _recorded(cohort, patient)
    volume = _in_order_of(source, volume)
    difference = volume.difference_from(source)
    if difference:
        raise DataError(f"has {difference}; write it on the source's grid", path=volume.paths[0])
    (values,) = volume.channels
    slices = to_slices(resample(values, source.grid, grid), preparation.axis)
    _, rows, columns = slices.shape
    top, left, height, width = crop_box
    window = Window(top=top, left=left, height=height, width=width, source_shape=(rows, columns), size=preparation.size)
    kept = cohort.slices[cohort.slices["patient"] == patient].sort_values("row")
    indices = kept["slice_index"].tolist()
    on_cohort_grid = np.zeros((len(indices), *preparation.size), np.float32)
    for place, part in window.apply([slices[index] for index in indices], (slice(0, rows), slice(0, columns))):
        on_cohort_grid[place] = part
    return on_cohort_grid


def slice_spacing_mm_of(cohort: Cohort, patient: str) -> tuple[float, float, float] | None:
    """Distance in mm between a patient's slices before any was left out, and between their rows and columns.

    None where the source says nothing of its size.

    Raises:
        DataError: when the cohort's tables are damaged.
    """
    preparation = cohort.settings.preparation
    source, grid, (_, _, height, width) = _recorded(cohort, patient)
    if not source.source.is_sized:
        return None
    slices, rows, columns = slice_spacing_mm(grid.spacing_mm, preparation.axis)
    return slices, rows * height / preparation.size[0], columns * width / preparation.size[1]


def _recorded(cohort: Cohort, patient: str) -> tuple[Volume, Grid, tuple[int, int, int, int]]:
    """What the table says of a patient: the source as a volume of zeros, the grid its slices were cut from, and the
    crop box.
    """
    spacing_mm = cohort.settings.preparation.spacing_mm
    try:
        (row,) = cohort.patients[cohort.patients["patient"] == patient].to_dict("records")
        i, j, k = json.loads(row["source_shape"])
        file_grid = SourceGrid(
            path=Path(next(iter(json.loads(row["sources"]).values()))),
            sha256=json.loads(row["sha256"])[0],
            shape=(i, j, k),
            affine=np.array(json.loads(row["source_affine"]), float).reshape(4, 4),
        )
        top, left, height, width = json.loads(row["crop_box"])
    except (KeyError, TypeError, ValueError) as error:
        problem = f"its tables are damaged where they tell of {patient}; prepare it again with `--overwrite`"
        raise DataError(problem, path=cohort.path) from error
    zeros = np.broadcast_to(np.uint8(0), (1, *file_grid.shape))  # takes no memory
    source = Volume.from_file_order(zeros, file_grid)
    grid = source.grid.with_spacing(spacing_mm) if spacing_mm else source.grid
    return source, grid, (top, left, height, width)


def _in_order_of(other: Volume, volume: Volume) -> Volume:
    """The volume with its axes as those of another one run.

    Both run right, anterior, superior as nearly as they can; at 45 degrees two orders are equally near.
    """
    order = nib.orientations.io_orientation(np.linalg.inv(other.affine) @ volume.affine)
    return replace(
        volume,
        channels=tuple(nib.orientations.apply_orientation(channel, order) for channel in volume.channels),
        affine=volume.affine @ nib.orientations.inv_ornt_aff(order, volume.shape),
    )
