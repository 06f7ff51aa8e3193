"""Headers of NRRD (`.nrrd`, `.nhdr`): lines of `field: value` up to an empty one."""

from __future__ import annotations

import re

import numpy as np

from data_prep.readers.itk_header import MAX_DIMENSIONS, ItkHeader, need, real_numbers, whole_numbers

NRRD_MARK = b"NRRD000"

_TYPES = {
    "i1": "signed char, int8, int8_t",
    "u1": "uchar, unsigned char, uint8, uint8_t",
    "i2": "short, short int, signed short, signed short int, int16, int16_t",
    "u2": "ushort, unsigned short, unsigned short int, uint16, uint16_t",
    "i4": "int, signed int, int32, int32_t",
    "u4": "uint, unsigned int, uint32, uint32_t",
    "i8": "longlong, long long, long long int, signed long long, signed long long int, int64, int64_t",
    "u8": "ulonglong, unsigned long long, unsigned long long int, uint64, uint64_t",
    "f4": "float",
    "f8": "double",
}
_SPACES = {
    "right-anterior-superior": (1, 1, 1),
    "ras": (1, 1, 1),
    "left-anterior-superior": (-1, 1, 1),
    "las": (-1, 1, 1),
}
"""Signs that lead to RAS+. All other spaces are taken for left, posterior, superior, as ITK does."""
_KINDS_OF_SPACE = ("domain", "space", "time", "???", "none")
_NO_DIRECTION = "none"


def parse_nrrd(text: str) -> tuple[ItkHeader, int]:
    """The header at the start of `text`, and how many characters it takes.

    Raises:
        ValueError: when it is no such header, or says what cannot be.
    """
    fields, length = _fields(text)
    (dimensions,) = whole_numbers(need(fields, "dimension"), least=1, count=1)
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"it has {dimensions} dimensions")
    sizes = whole_numbers(need(fields, "sizes"), least=1, count=dimensions)
    encoding = need(fields, "encoding").lower()
    if encoding not in ("raw", "gzip", "gz"):
        raise ValueError(f"its encoding {encoding!r} is not supported; save it as raw or gzip")
    (lines,) = whole_numbers(fields.get("lineskip", "0"), least=0, count=1)
    (start,) = whole_numbers(fields.get("byteskip", "0"), least=-1, count=1)
    if lines or (start < 0 and encoding != "raw"):
        raise ValueError("it skips lines or bytes in a way that is not supported; save it again")
    channel_axis = _channel_axis(fields, dimensions)
    axes, origin = _geometry(fields, [axis for axis in range(dimensions) if axis != channel_axis], dimensions)
    space = fields.get("space", "").lower().removesuffix("-time").removesuffix("t")
    header = ItkHeader(
        dtype=_type(fields),
        sizes=tuple(sizes),
        channel_axis=channel_axis,
        axes=axes,
        origin=origin,
        to_ras=_SPACES.get(space, (-1, -1, 1)),
        data_file=fields.get("datafile"),
        data_start=start,
        is_compressed=encoding != "raw",
    )
    return header, length


def _fields(text: str) -> tuple[dict[str, str], int]:
    """Fields by their names without spaces, in lower case; comments and free `key:=value` pairs are left out."""
    lines = text.split("\n")
    fields: dict[str, str] = {}
    length = len(lines[0]) + 1
    for line in lines[1:]:
        length += len(line) + 1
        if not line.strip():
            return fields, length
        name, colon, value = line.partition(":")
        if line.startswith("#") or value.startswith("="):
            continue
        if not colon:
            break
        fields[name.replace(" ", "").lower()] = value.strip()
    if "datafile" in fields:
        return fields, length
    raise ValueError("no empty line ends its header")


def _channel_axis(fields: dict[str, str], dimensions: int) -> int | None:
    """The axis that has no direction in space, or is of a kind that has none; the fourth where all lie in space."""
    kinds = fields.get("kinds", "").lower().split() or ["domain"] * dimensions
    vectors = _vectors(fields, dimensions)
    if len(kinds) != dimensions:
        raise ValueError(f"it has {len(kinds)} kinds for {dimensions} dimensions")
    if "complex" in kinds:
        raise ValueError("it holds complex numbers; save their magnitude")
    free = [axis for axis in range(dimensions) if kinds[axis] not in _KINDS_OF_SPACE or vectors[axis] == _NO_DIRECTION]
    if len(free) > 1:
        raise ValueError(f"{len(free)} of its axes do not lie in space")
    return free[0] if free else 3 if dimensions == 4 else None


def _vectors(fields: dict[str, str], dimensions: int) -> list[str]:
    vectors = re.findall(r"\([^()]*\)|none", fields.get("spacedirections", "").lower())
    if vectors and len(vectors) != dimensions:
        raise ValueError(f"it has {len(vectors)} space directions for {dimensions} dimensions")
    return vectors or ["("] * dimensions


def _geometry(fields: dict[str, str], spatial: list[int], dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns of voxel steps (3, 3), and the origin (3,); the identity and 0 where the header has none."""
    if len(spatial) != 3:
        raise ValueError(f"{len(spatial)} of its {dimensions} axes lie in space, not three")
    if "spacedirections" not in fields:
        spacings = fields.get("spacings", "1 " * dimensions).split()
        if len(spacings) != dimensions:
            raise ValueError(f"it has {len(spacings)} spacings for {dimensions} dimensions")
        return np.diag(real_numbers([spacings[axis] for axis in spatial], 3)), np.zeros(3)
    vectors = _vectors(fields, dimensions)
    # A fourth component belongs to the axis of channels.
    components = len(vectors[spatial[0]].split(","))
    columns = [_numbers(vectors[axis], components)[:3] for axis in spatial]
    origin = _numbers(fields.get("spaceorigin", "(" + ",".join("0" * components) + ")"), components)[:3]
    return np.stack(columns, axis=1), origin


def _numbers(vector: str, count: int) -> np.ndarray:
    return real_numbers(vector.strip(" ()").split(","), count)


def _type(fields: dict[str, str]) -> np.dtype:
    name = " ".join(need(fields, "type").lower().split())
    known = next((dtype for dtype, names in _TYPES.items() if name in names.split(", ")), None)
    if known is None:
        raise ValueError(f"its type {name!r} is no real number")
    endian = fields.get("endian", "").lower()
    if known[1] != "1" and endian not in ("little", "big"):
        raise ValueError(f"its endian is {endian!r}, not little or big")
    return np.dtype(known).newbyteorder(">" if endian == "big" else "<")
