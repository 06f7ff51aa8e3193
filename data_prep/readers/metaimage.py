"""Headers of MetaImage (`.mha`, `.mhd`): lines of `Key = value`, the last of them `ElementDataFile`."""

from __future__ import annotations

import numpy as np

from data_prep.readers.itk_header import MAX_DIMENSIONS, ItkHeader, need, real_numbers, whole_numbers

_TYPES = {
    "MET_CHAR": "i1", "MET_ASCII_CHAR": "i1", "MET_UCHAR": "u1", "MET_SHORT": "i2", "MET_USHORT": "u2",
    "MET_INT": "i4", "MET_UINT": "u4", "MET_LONG": "i4", "MET_ULONG": "u4", "MET_LONG_LONG": "i8",
    "MET_ULONG_LONG": "u8", "MET_FLOAT": "f4", "MET_DOUBLE": "f8",
}  # fmt: skip
"""`long` is 32 bits wide on every machine."""


def parse_metaimage(text: str) -> tuple[ItkHeader, int]:
    """The header at the start of `text`, and how many characters it takes.

    Raises:
        ValueError: when it is no such header, or says what cannot be.
    """
    fields, length = _fields(text)
    (dimensions,) = whole_numbers(need(fields, "NDims"), least=1, count=1)
    if dimensions > MAX_DIMENSIONS:
        raise ValueError(f"it has {dimensions} dimensions")
    sizes = whole_numbers(need(fields, "DimSize"), least=1, count=dimensions)
    spacing = fields.get("ElementSpacing", fields.get("ElementSize", "1 " * dimensions))
    identity = " ".join(map(str, np.eye(dimensions, dtype=int).ravel()))
    matrix = _first(fields, ("TransformMatrix", "Rotation", "Orientation"), identity)
    origin = _first(fields, ("Offset", "Position", "Origin"), "0 " * dimensions)
    # A row of the matrix in the file is the direction of one axis.
    directions = real_numbers(matrix.split(), dimensions**2).reshape(dimensions, dimensions).T
    axes = directions * real_numbers(spacing.split(), dimensions)
    if not _is_true(fields.get("BinaryData", "True")):
        raise ValueError("its voxels are written as text; save it with binary data")
    (channels,) = whole_numbers(fields.get("ElementNumberOfChannels", "1"), least=1, count=1)
    channel_axis, sizes = _channel_axis(sizes, channels)
    name = fields["ElementDataFile"]
    is_local = name.lower() == "local"
    is_compressed = _is_true(fields.get("CompressedData", "False"))
    (start,) = whole_numbers(fields.get("HeaderSize", "0"), least=-1, count=1)
    if (start and is_compressed) or (start > 0 and is_local):
        raise ValueError(f"its HeaderSize {start} does not go with its other fields")
    header = ItkHeader(
        dtype=_type(fields),
        sizes=tuple(sizes),
        channel_axis=channel_axis,
        axes=axes[:3, :3],
        origin=real_numbers(origin.split(), dimensions)[:3],
        to_ras=(-1, -1, 1),
        data_file=None if is_local else name,
        data_start=start,
        is_compressed=is_compressed,
    )
    return header, length


def _fields(text: str) -> tuple[dict[str, str], int]:
    fields: dict[str, str] = {}
    length = 0
    for line in text.split("\n"):
        length += len(line) + 1
        key, equals, value = (part.strip() for part in line.partition("="))
        if line.strip() and not equals:
            break
        fields[key] = value
        if key == "ElementDataFile":
            return fields, length
    raise ValueError("it has no line ElementDataFile")


def _first(fields: dict[str, str], keys: tuple[str, ...], default: str) -> str:
    return next((fields[key] for key in keys if key in fields), default)


def _is_true(text: str) -> bool:
    return text[:1].lower() in ("t", "y", "1")


def _channel_axis(sizes: list[int], channels: int) -> tuple[int | None, list[int]]:
    """The axis of channels and all sizes; several numbers a voxel stand together, further images follow the first."""
    while len(sizes) > 3 and sizes[-1] == 1:
        sizes = sizes[:-1]
    if channels > 1:
        return 0, [channels, *sizes]
    return (3 if len(sizes) == 4 else None), sizes


def _type(fields: dict[str, str]) -> np.dtype:
    name = need(fields, "ElementType")
    known = _TYPES.get(name.removesuffix("_ARRAY"))
    if known is None:
        raise ValueError(f"its ElementType {name} is no real number")
    is_big = _is_true(_first(fields, ("BinaryDataByteOrderMSB", "ElementByteOrderMSB"), "False"))
    return np.dtype(known).newbyteorder(">" if is_big else "<")
