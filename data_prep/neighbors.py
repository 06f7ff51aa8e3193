"""Which slices are seen beside a slice: those at a distance in mm, however far apart a scan's slices are."""

from __future__ import annotations

import numpy as np

from data_prep.cohort import Cohort
from data_prep.regrid import slice_spacing_mm_of


def neighbor_rows(places: np.ndarray, spacing_mm: float | None, distance_mm: float) -> np.ndarray:
    """Each of S slices between the one before and the one after at about a distance.

    These are the nearest to it, but never the slice itself while there is another on that side; where there is none,
    they are the slice itself.

    Args:
        places: (S,) rising whole numbers along the slice axis; blank slices may be missing.
        spacing_mm: between places; None where it is unknown, as of pictures, and slices then have no neighbors.
        distance_mm: how far away neighbors lie; 0 for none at all.

    Returns:
        (S, 3) int of rows in `places`: before, the slice's own, after; (S, 1), its own, without a distance.
    """
    own = np.arange(len(places))
    if not distance_mm:
        return own[:, None]
    if spacing_mm is None:
        return np.stack([own, own, own], 1)
    step = distance_mm / spacing_mm
    before = np.clip(_nearest(places, places - step), 0, np.maximum(own - 1, 0))
    after = np.clip(_nearest(places, places + step), np.minimum(own + 1, len(places) - 1), None)
    return np.stack([before, own, after], 1)


def neighbors_in(cohort: Cohort, patient: str, distance_mm: float) -> np.ndarray:
    """`neighbor_rows` of a patient's slices, in the order of `cohort.images(patient)`.

    Raises:
        DataError: when the cohort's tables are damaged.
    """
    rows = cohort.slices[cohort.slices["patient"] == patient].sort_values("row")
    spacing = slice_spacing_mm_of(cohort, patient) if distance_mm else None
    return neighbor_rows(rows["slice_index"].to_numpy(), spacing and spacing[0], distance_mm)


def _nearest(places: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The row of the place nearest to each wanted one; of two as near, the lower."""
    after = np.clip(np.searchsorted(places, wanted), 1, max(1, len(places) - 1))
    if len(places) == 1:
        return np.zeros(len(wanted), int)
    return np.where(wanted - places[after - 1] <= places[after] - wanted, after - 1, after)
