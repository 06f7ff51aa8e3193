"""The prepared cohort on disk: its files, opened for reading.

::

    cohort.json           settings, counts and versions; says whether the cohort is complete
    patients.csv          one row a patient
    slices.csv            one row a slice of the source, kept or not; `reason` says why one is not trained on
    failures.csv          inputs that could not be used, and why
    images/<patient>.npy  float16 (S, C, H, W) in [0, 1], background exactly 0
    masks/<patient>.npy   uint8 (S, H, W), read by evaluation only; absent without a lesion mask
    records/<patient>.json  what the tables are assembled from; lets an interrupted run go on

Characters of a patient's name that no file name can hold are written there as `%` and their hexadecimal code.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from data_prep.errors import DataError
from data_prep.settings import CohortSettings

if TYPE_CHECKING:
    import pandas as pd

COHORT_FORMAT = 2
COHORT_FILE = "cohort.json"
UNDECODABLE = "surrogateescape"
"""How tables keep file names that are no UTF-8."""


@dataclass(frozen=True, kw_only=True)
class Cohort:
    """An opened cohort. Arrays are read when asked for.

    `patients` is its table of patients; `slices` that of the slices that have an image.
    """

    path: Path
    settings: CohortSettings
    patients: pd.DataFrame
    slices: pd.DataFrame

    def images(self, patient: str) -> np.ndarray:
        """Memory-mapped slices (S, C, H, W), float16 in [0, 1]."""
        return _open_array(self.path / "images" / f"{file_stem(patient)}.npy")

    def masks(self, patient: str) -> np.ndarray:
        """Memory-mapped lesion labels (S, H, W), uint8. For evaluation; training never calls this.

        Raises:
            DataError: when the patient came without a lesion mask.
        """
        path = self.path / "masks" / f"{file_stem(patient)}.npy"
        if not path.exists():
            raise DataError(f"{patient} has no lesion mask, which measuring localization needs", path=self.path)
        return _open_array(path)

    def split(self, name: str) -> pd.DataFrame:
        """The rows of `slices` of one split: `train`, `validation` or `test`."""
        return self.slices[self.slices["split"] == name]

    def failures(self) -> pd.DataFrame:
        """Inputs that could not be used: `patient` and `reason`."""
        return _read_table(self.path / "failures.csv")

    def digest(self) -> str:
        """Changes with the patients, their images, their split and how they were prepared."""
        columns = self.patients[["patient", "sha256", "split"]].sort_values("patient")
        settings = (self.settings.preparation, self.settings.domains)
        text = columns.to_csv(index=False) + "".join(part.model_dump_json() for part in settings)
        return hashlib.sha256(text.encode(errors=UNDECODABLE)).hexdigest()


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
            problem = f"has format {header['format']}, this version reads {COHORT_FORMAT}"
            raise DataError(f"{problem}; prepare it again with `--resume`", path=path)
        if not header["complete"]:
            raise DataError("is not complete; finish it with `fpgan prepare … --resume`", path=path)
        settings = CohortSettings(**header["settings"])
        slices, patients = _read_table(path / "slices.csv"), _read_table(path / "patients.csv")
        slices = slices[slices["row"] != ""].reset_index(drop=True)
        slices = slices.astype({"row": int, "height": float, "lesion_area_px": int})
    except DataError:
        raise
    except (KeyError, TypeError, ValueError, ValidationError, OSError) as error:
        raise DataError("is damaged; prepare it again with `--overwrite`", path=path) from error
    return Cohort(path=path, settings=settings, patients=patients, slices=slices)


def file_stem(patient: str) -> str:
    """A patient's name as a file name, the same where it can be; no two names share one."""
    name = "".join(f"%{ord(c):02X}" if c in "%/\\:\0" else c for c in patient)
    return f"%2E{name[1:]}" if name.startswith(".") else name


def _read_table(path: Path) -> pd.DataFrame:
    import pandas as pd  # workers that prepare patients share this module, and never open a table

    text = dict.fromkeys(("patient", "subject", "domains", "domain", "split", "mask", "reason", "row"), str)
    return pd.read_csv(path, dtype=text, keep_default_na=False, encoding_errors=UNDECODABLE)


def _open_array(path: Path) -> np.ndarray:
    # Opened anew at each use: a cohort of a thousand patients would otherwise hold a thousand files open.
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot be read ({error}); prepare the cohort again", path=path) from error
