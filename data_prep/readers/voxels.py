"""Bytes of a file to voxels, as all formats of plain arrays need it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_prep.errors import DataError
from data_prep.readers.inflate import inflate


def stored_voxels(
    path: Path, raw: bytes | memoryview, start: int, count: int, dtype: np.dtype, *, is_compressed: bool
) -> np.ndarray:
    """(count,) as on disk, from byte `start` of what `raw` holds; a view of it where it is not compressed.

    Raises:
        DataError: when there are fewer bytes than that needs, or compressed ones are damaged.
    """
    size = count * dtype.itemsize
    if is_compressed:
        return inflate(raw, start, size, path).view(dtype)
    if len(raw) < start + size:
        problem = f"its header promises {start + size} bytes, it has {len(raw)}"
        raise DataError(f"is cut short: {problem}; copy it again", path=path)
    return np.frombuffer(raw, dtype, count, start)


def real_values(path: Path, stored: np.ndarray) -> np.ndarray:
    """Integers in the machine's byte order, or finite float32; no copy where `stored` is that already.

    Raises:
        DataError: when a value is no finite float32.
    """
    if stored.dtype.kind != "f":
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)
    with np.errstate(all="ignore"):
        values = stored.astype(np.float32, copy=False)
        # The minimum of an array is NaN where any value is.
        is_finite = np.isfinite(values.min()) and np.isfinite(values.max())
    if not is_finite:
        raise DataError("holds NaN or infinite voxels; replace them before use", path=path)
    return values
