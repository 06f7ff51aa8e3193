"""Whatever bytes a DICOM file holds, only `DataError` may leave the reader and the search for cases."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.dicom_tree import find_dicom_cases, recognize
from data_prep.readers.dicom import read_dicom_series
from data_prep.volume import Volume
from tests.data_prep.dicom_writing import WRITTEN_BY_GDCM, WRITTEN_BY_PYDICOM, write_enhanced, write_series

ENCODINGS = [*WRITTEN_BY_PYDICOM, *WRITTEN_BY_GDCM]
EXAMPLES = int(os.environ.get("FPGAN_DAMAGED_EXAMPLES", "150"))
HEAD = 1200
"""Bytes in which headers lie. Half of all damage is done there: elsewhere are only pixels."""

TELLING = [b"\xff\xff\xff\xff", bytes(4), b"\xfe\xff\xdd\xe0", b"\xff\xd9", b"SQ\0\0", b"\xff\x7f", b"nan ", b"-"]
"""Lengths without end, delimiters, end marks, types, signs: where parsers stumble."""

byte_strings = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from(TELLING))
places = st.one_of(st.integers(0, HEAD), st.integers(0, 10**6))
edits = st.lists(
    st.tuples(st.sampled_from(["set", "cut", "insert"]), places, byte_strings, st.integers(1, 300)),
    min_size=1,
    max_size=5,
)


def damaged(raw: bytes, changes: list[tuple[str, int, bytes, int]]) -> bytes:
    """`raw` with bytes overwritten, cut out or inserted, at places that are taken modulo its length."""
    result = bytearray(raw)
    for kind, place, values, length in changes:
        start = place % max(1, len(result))
        if kind == "set":
            result[start : start + len(values)] = values
        elif kind == "cut":
            del result[start : start + length]
        else:
            result[start:start] = values
    return bytes(result)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], list[Path]]:
    """Two slices of a classic series, and an enhanced file, in every encoding."""
    root = tmp_path_factory.mktemp("sound")
    stored = np.random.default_rng(0).integers(0, 4000, (2, 33, 35)).astype(np.uint16)
    files = {}
    for syntax in ENCODINGS:
        files["classic", syntax] = list(write_series(root / f"classic {syntax}", stored, syntax=syntax))
        files["enhanced", syntax] = [write_enhanced(root / f"enhanced {syntax}" / "IM1", stored, syntax=syntax)]
    return files


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True)
@given(kind=st.sampled_from(["classic", "enhanced"]), syntax=st.sampled_from(ENCODINGS), changes=edits)
def test_damaged_files_raise_nothing_but_data_errors(
    sound: dict[tuple[str, str], list[Path]],
    tmp_path_factory: pytest.TempPathFactory,
    kind: str,
    syntax: str,
    changes: list[tuple[str, int, bytes, int]],
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    files = []
    for number, file in enumerate(sound[kind, syntax]):
        files.append(folder / file.name)
        files[-1].write_bytes(file.read_bytes() if number else damaged(file.read_bytes(), changes))
    recognize(folder)
    try:
        finding = find_dicom_cases(folder, parse_channels("image"))
        assert finding.cases or finding.failures
    except DataError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017 - both outcomes are right
    try:
        volume = read_dicom_series(files)
    except DataError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017
        assert str(error).isprintable()  # noqa: PT017
    else:
        assert isinstance(volume, Volume)
        assert volume.source.from_ras(volume.array[0]).shape == volume.source.shape
        assert np.isfinite(volume.array).all()
        assert np.isfinite(volume.affine).all()
