"""gzip and zlib with a bound: never more bytes in memory than were asked for."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from isal import igzip, igzip_lib

from data_prep.errors import DataError
from data_prep.readers.foreign import HEAD_BYTES

GZIP_MARK = b"\x1f\x8b"
MAX_RATIO = 1032
"""Deflate cannot pack more bytes than this into one."""
_PIECE = 2**18
"""Bytes at a time; pieces that fit the processor's cache are inflated fastest."""
_ERRORS = (EOFError, OSError, zlib.error, igzip_lib.IsalError)


def head_of(file: BinaryIO, path: Path) -> bytes:
    """The first bytes of a file, inflated where it is a gzip; the file is left at its start.

    Raises:
        DataError: when it is a gzip and damaged.
    """
    head = file.read(HEAD_BYTES)
    file.seek(0)
    if head.startswith(GZIP_MARK):
        try:
            head = igzip.IGzipFile(fileobj=file).read(HEAD_BYTES)
        except _ERRORS as error:  # type: ignore[misc]  # a stub does not call IsalError an exception
            raise _damaged(path, error) from error
        file.seek(0)
    return head


def inflate(packed: bytes | memoryview, start: int, size: int, path: Path) -> np.ndarray:
    """(size,) uint8: what compressed bytes hold from byte `start` on; the rest is checked and dropped.

    A gzip may have any number of members; what does not begin like one is taken for zlib's format.

    Raises:
        DataError: when the bytes are damaged, fail their checksum, or hold less.
    """
    if start + size > MAX_RATIO * len(packed):
        problem = f"its header promises {start + size} bytes, which {len(packed)} compressed ones cannot hold"
        raise DataError(f"is cut short: {problem}; copy it again", path=path)
    result = np.empty(size, np.uint8)
    position = 0
    pieces = _gzip_pieces if packed[:2] == GZIP_MARK else _zlib_pieces
    try:
        for piece in pieces(packed):
            first, end = max(start - position, 0), min(start + size - position, len(piece))
            if first < end:
                at = position + first - start
                result[at : at + end - first] = np.frombuffer(piece, np.uint8)[first:end]
            position += len(piece)
    except _ERRORS as error:  # type: ignore[misc]
        raise _damaged(path, error) from error
    if position < start + size:
        problem = f"its header promises {start + size} bytes, it has {position}"
        raise DataError(f"is cut short: {problem}; copy it again", path=path)
    return result


def _gzip_pieces(packed: bytes | memoryview) -> Iterator[bytes]:
    with igzip.IGzipFile(fileobj=BytesIO(packed)) as stream:
        while piece := stream.read(_PIECE):
            yield piece


def _zlib_pieces(packed: bytes | memoryview) -> Iterator[bytes]:
    stream = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_ZLIB)
    yield stream.decompress(packed, _PIECE)
    while not stream.eof:
        if stream.needs_input:
            raise EOFError("it ends before its end mark")
        yield stream.decompress(b"", _PIECE)


def _damaged(path: Path, error: BaseException) -> DataError:
    return DataError(f"holds damaged or truncated compressed data ({error}); copy it again", path=path)
