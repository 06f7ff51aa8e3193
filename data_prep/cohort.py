"""The prepared cohort on disk: its files, opened for reading.

::

    cohort.json           settings, counts and versions; says whether the cohort is complete
    patients.csv          one row a patient
    slices.csv            one row a slice
    failures.csv          inputs that could not be used, and why
    images/<patient>.npy  float16 (S, C, H, W) in [0, 1], background exactly 0
    masks/<patient>.npy   uint8 (S, H, W), read by evaluation only
    records/<patient>.json  what the tables are assembled from; lets an interrupted run go on
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError

from data_prep.errors import DataError
from data_prep.labels import encode_domains
from data_prep.patient import CohortSettings

COHORT_FORMAT = 1
COHORT_FILE = "cohort.json"


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """An opened cohort. `patients` and `slices` are its tables; arrays are read when asked for."""

    path: Path
    settings: CohortSettings
    patients: pd.DataFrame
    slices: pd.DataFrame

    def images(self, patient: str) -> np.ndarray:
        """Memory-mapped slices (S, C, H, W), float16 in [0, 1]."""
        return _open_array(self.path / "images" / f"{patient}.npy")

    def masks(self, patient: str) -> np.ndarray:
        """Memory-mapped lesion labels (S, H, W), uint8. For evaluation; training never calls this."""
        return _open_array(self.path / "masks" / f"{patient}.npy")

    def split(self, name: str) -> pd.DataFrame:
        """The rows of `slices` of one split: `train`, `validation` or `test`."""
        return self.slices[self.slices["split"] == name]

    def digest(self) -> str:
        """Changes with the patients, their images, their split and how they were prepared."""
        columns = self.patients[["patient", "sha256", "split"]].sort_values("patient")
        text = columns.to_csv(index=False) + self.settings.preparation.model_dump_json()
        return hashlib.sha256(text.encode()).hexdigest()


class CohortDataset:
    """The labeled slices of one split: item `n` is an image (C, H, W) float32 in [0, 1] and its label (K,) float32.

    `domains` holds the labels of all items (N, K); `rows` the items' rows of the cohort's slice table.
    """

    def __init__(self, cohort: Cohort, split: str) -> None:
        self.cohort = cohort
        rows = cohort.split(split)
        self.rows = rows[rows["domains"] != ""].reset_index(drop=True)
        self.domains = encode_domains(self.rows["domains"])
        self._items = list(zip(self.rows["patient"], self.rows["row"], strict=True))

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        patient, row = self._items[index]
        return self.cohort.images(patient)[row].astype(np.float32), self.domains[index]


def open_cohort(path: Path | str) -> Cohort:
    """Open what `fpgan prepare` wrote.

    Raises:
        DataError: when the folder is no cohort, is incomplete or of another format.
    """
    path = Path(path)
    if not path.is_dir():
        raise DataError("is not a folder; give one that `fpgan prepare` wrote", path=path)
    if not (path / COHORT_FILE).is_file():
        raise DataError(f"holds no {COHORT_FILE}; give a folder that `fpgan prepare` wrote", path=path)
    try:
        header = json.loads((path / COHORT_FILE).read_text())
        if header["format"] != COHORT_FORMAT:
            raise DataError(f"has format {header['format']}, this version reads {COHORT_FORMAT}", path=path)
        if not header["complete"]:
            raise DataError("is not complete; finish it with `fpgan prepare … --resume`", path=path)
        settings = CohortSettings(**header["settings"])
        slices = pd.read_csv(path / "slices.csv", dtype={"patient": str}, keep_default_na=False)
        patients = pd.read_csv(path / "patients.csv", dtype={"patient": str}, keep_default_na=False)
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, ValidationError, OSError) as error:
        raise DataError("is damaged; prepare it again with `--overwrite`", path=path) from error
    return Cohort(path=path, settings=settings, patients=patients, slices=slices)


def _open_array(path: Path) -> np.ndarray:
    # Opened anew at each use: a cohort of a thousand patients would otherwise hold a thousand files open.
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error}); prepare the cohort again", path=path) from error
