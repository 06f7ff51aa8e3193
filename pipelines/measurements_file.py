"""The measurements of an evaluated method on disk, so that `fpgan compare` needs no map again."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from anomaly_fpgan.atomic import write_atomically
from evaluation.measurements import Measurements
from evaluation.protocol import Protocol
from evaluation.thresholds import Thresholds
from pipelines.errors import UsageError

MEASUREMENTS_FILE = "measurements.npz"
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class StoredMeasurements:
    """What an evaluation keeps of the method it evaluated: `subjects` are the persons that `patients` are."""

    patients: tuple[str, ...]
    subjects: tuple[str, ...]
    measurements: Measurements
    thresholds: Thresholds
    protocol: Protocol


def save_measurements(path: Path, stored: StoredMeasurements) -> None:
    """Write one compressed file, whole or not at all; the same bytes for the same measurements."""
    arrays = {field.name: getattr(stored.measurements, field.name) for field in fields(Measurements)}
    arrays |= {
        "format": np.array(_FORMAT),
        "patients": np.array(stored.patients, str),
        "subjects": np.array(stored.subjects, str),
        "thresholds": np.array(list(asdict(stored.thresholds).values())),
        "protocol": np.array(stored.protocol.model_dump_json()),
    }

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            np.savez_compressed(file, **arrays)

    write_atomically(path, write)


def load_measurements(path: Path) -> StoredMeasurements:
    """Read what `save_measurements` wrote.

    Raises:
        UsageError: when the file is missing, damaged or of another format.
    """
    if not path.is_file():
        raise UsageError(f"{path.parent}: holds no {path.name}; give a folder that `fpgan evaluate` wrote")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if int(arrays["format"]) != _FORMAT:
                raise UsageError(f"{path}: has another format than this version reads; evaluate again")
            names = [field.name for field in fields(Thresholds)]
            return StoredMeasurements(
                patients=tuple(arrays["patients"].tolist()),
                subjects=tuple(arrays["subjects"].tolist()),
                measurements=Measurements(**{field.name: arrays[field.name] for field in fields(Measurements)}),
                thresholds=Thresholds(**dict(zip(names, arrays["thresholds"].tolist(), strict=True))),
                protocol=Protocol.model_validate_json(str(arrays["protocol"])),
            )
    except UsageError:
        raise
    except Exception as error:  # whatever a damaged archive makes of itself
        raise UsageError(f"{path}: is damaged; evaluate again") from error
