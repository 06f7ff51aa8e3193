"""The labeled slices of a cohort as a training wants them."""

from __future__ import annotations

import numpy as np

from data_prep.cohort import Cohort
from data_prep.neighbors import neighbors_in


class CohortDataset:
    """The labeled slices of one split: item `n` is an image (C, H, W) float16 in [0, 1] and its label (K,) float32.

    With a distance to neighbors, C counts the channels of three slices: the one before, the labeled one, the one after.

    `domains` holds the labels of all items (N, K), `patients` whose image each item is (N,), `heights` where along its
    patient it lies (N,), from 0 to 1, `rows` the items' rows of the cohort's slice table.

    Args:
        cohort: whose slices they are.
        split: train, validation or test.
        neighbor_mm: distance of the slices before and after, as in `neighbor_rows`.

    Raises:
        DataError: when the cohort's tables are damaged.
    """

    def __init__(self, cohort: Cohort, split: str, *, neighbor_mm: float = 0.0) -> None:
        self.cohort = cohort
        rows = cohort.split(split)
        self.rows = rows[rows["domains"] != ""].reset_index(drop=True)
        self.domains = cohort.settings.domains.encode(self.rows["domains"])
        self.patients = self.rows["patient"].to_numpy(str)
        self.heights = self.rows["height"].to_numpy(float)
        self._seen = np.tile(self.rows["row"].to_numpy()[:, None], 3 if neighbor_mm else 1)
        if neighbor_mm:
            for patient, own in self.rows.groupby("patient"):
                self._seen[own.index] = neighbors_in(cohort, str(patient), neighbor_mm)[own["row"]]

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        # A copy, so that the file is closed again.
        images = np.array(self.cohort.images(self.patients[index])[self._seen[index]])
        return images.reshape(-1, *images.shape[2:]), self.domains[index]
