"""What the head of a JPEG, JPEG-LS or JPEG 2000 stream says of its size, read before a decoder trusts it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

JPEG_2000_START = b"\xff\x4f\xff\x51"
END = b"\xff\xd9"
"""Ends a stream of each kind, and occurs nowhere else among its pixels."""
START_OF_FRAME = (*range(0xC0, 0xC4), *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0), 0xF7)


@dataclass(frozen=True, slots=True)
class Codestream:
    """`bits` is the precision of a sample; `is_whole` says whether the stream reaches its end mark."""

    rows: int
    columns: int
    components: int
    bits: int
    is_whole: bool


def read_codestream(stream: bytes) -> Codestream | None:
    """The head of one compressed frame; None where it is no such stream."""
    try:
        start = stream.find(JPEG_2000_START)
        if start >= 0:
            return _jpeg_2000(stream, start + len(JPEG_2000_START))
        return _jpeg(stream) if stream.startswith(b"\xff\xd8") else None
    except (struct.error, IndexError):
        return None


def _jpeg_2000(stream: bytes, segment: int) -> Codestream:
    # Length (2), capabilities (2), size (4, 4), offset (4, 4), tiles (4 × 4), components (2), bits of the first (1).
    width, height, left, top = struct.unpack_from(">4I", stream, segment + 4)
    (components,) = struct.unpack_from(">H", stream, segment + 36)
    bits = (stream[segment + 38] & 0x7F) + 1
    return Codestream(height - top, width - left, components, bits, END in stream[segment:])


def _jpeg(stream: bytes) -> Codestream | None:
    offset = 2
    while stream[offset] == 0xFF:
        marker = stream[offset + 1]
        if marker == 0xFF:  # a fill byte
            offset += 1
            continue
        (length,) = struct.unpack_from(">H", stream, offset + 2)
        if marker in START_OF_FRAME:
            bits, rows, columns, components = struct.unpack_from(">BHHB", stream, offset + 4)
            return Codestream(rows, columns, components, bits, END in stream[offset:])
        offset += 2 + length
    return None
