"""Files inside zip archives: `Path("scans.zip/series/IM1")` is read like a file, and nothing is extracted to disk."""

from __future__ import annotations

import os
import re
import struct
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple, NoReturn

from data_prep.errors import DataError

MAX_MEMBERS = 200_000
MAX_PROMISED_BYTES = 100 * 2**20
MAX_PROMISED_RATIO = 200
"""An archive may promise this many bytes, or this many times its own size, whichever is more. Deflate could reach 1032,
but only on constant bytes; scans shrink to a half or a tenth."""

LOCAL_HEADER = 30
"""Bytes before a member's name at its place in the archive."""


def read_bytes(path: Path, *, at_most: int | None = None) -> bytes:
    """The bytes of a file, or of a member of the zip archive that is one of its parents; the first `at_most` of them.

    Raises:
        DataError: when it cannot be read, when the archive is none, is damaged, unsafe or promises absurdly much, and
            when the member is missing, encrypted or damaged.
    """
    path = Path(path)
    archive = archive_of(path)
    if archive is not None:
        return _member_bytes(path, archive, at_most)
    try:
        with path.open("rb") as file:
            return file.read(-1 if at_most is None else at_most)
    except (OSError, ValueError) as error:
        _refuse(path, error)


def stat_of(path: Path) -> tuple[int, int]:
    """Size in bytes and time of the last change in ns; both change the fingerprint of what was prepared from `path`.

    For a member of an archive: the size of the archive plus its own, and the time of the archive.

    Raises:
        DataError: as `read_bytes`.
    """
    path = Path(path)
    archive = archive_of(path)
    try:
        status = (archive or path).stat()
    except (OSError, ValueError) as error:
        _refuse(path, error)
    own = _member(path, archive).size if archive is not None else 0
    return status.st_size + own, status.st_mtime_ns


def archive_members(archive: Path) -> list[Path]:
    """The files in a zip archive as paths that `read_bytes` understands, sorted.

    Raises:
        DataError: when `archive` cannot be read, is no zip archive, is damaged, unsafe, or promises absurdly much.
    """
    archive = Path(archive)
    return sorted(archive / name for name in _table(archive))


def archive_of(path: Path) -> Path | None:
    """The file among the parents of `path`, where there is one: a folder holds no file that is a parent."""
    if os.path.lexists(path):
        return None
    return next((parent for parent in Path(path).parents if os.path.isfile(parent)), None)  # noqa: PTH113 - never raises


class _Member(NamedTuple):
    offset: int
    packed_size: int
    size: int
    crc: int
    method: int
    is_encrypted: bool


def _member(path: Path, archive: Path) -> _Member:
    try:
        return _table(archive)[path.relative_to(archive).as_posix()]
    except KeyError:
        raise DataError("is not in the zip archive; check the path", path=path) from None


def _member_bytes(path: Path, archive: Path, at_most: int | None) -> bytes:
    member = _member(path, archive)
    if member.is_encrypted:
        raise DataError("is encrypted; unpack the archive with its password and give the folder", path=path)
    if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"is packed by method {member.method}; pack the archive again, with deflate", path=path)
    wanted = member.size if at_most is None else min(at_most, member.size)
    if wanted == 0:
        return b""
    try:
        with archive.open("rb") as file:
            file.seek(member.offset)
            header = file.read(LOCAL_HEADER)
            if len(header) < LOCAL_HEADER or not header.startswith(b"PK\x03\x04"):
                raise DataError("is not where the table of its archive says; copy the archive again", path=path)
            file.seek(sum(struct.unpack("<HH", header[26:30])), os.SEEK_CUR)  # its name and extra fields
            packed = file.read(member.packed_size if at_most is None else min(member.packed_size, wanted + 2**16))
    except (OSError, ValueError) as error:
        _refuse(path, error)
    try:
        # Never more than was declared, whatever the stream would go on to.
        raw = zlib.decompressobj(-15).decompress(packed, wanted) if member.method else packed[:wanted]
    except zlib.error as error:
        raise DataError(f"is damaged ({error}); copy its archive again", path=path) from error
    if len(raw) != wanted or (at_most is None and zlib.crc32(raw) != member.crc):
        raise DataError("is damaged: its bytes are not those that were packed; copy its archive again", path=path)
    return raw


def _table(archive: Path) -> dict[str, _Member]:
    """The files of an archive by their names with `/` between folders."""
    try:
        status = archive.stat()
        return _parsed_table(archive, status.st_size, status.st_mtime_ns)
    except OSError as error:
        _refuse(archive, error)


@lru_cache(maxsize=2)  # a series is read member by member, and its table may be long
def _parsed_table(archive: Path, archive_size: int, _mtime_ns: int) -> dict[str, _Member]:
    with archive.open("rb") as file:
        try:
            infos = zipfile.ZipFile(file).infolist()
        except Exception as error:  # zipfile raises many kinds on foreign bytes
            problem = "is not a zip archive, or damaged" if isinstance(error, zipfile.BadZipFile) else "is damaged"
            raise DataError(f"{problem} ({error}); copy it again", path=archive) from error
    if len(infos) > MAX_MEMBERS:
        raise DataError(f"holds {len(infos)} files, more than {MAX_MEMBERS}; unpack it yourself", path=archive)
    promised = sum(info.file_size for info in infos)
    if promised > max(MAX_PROMISED_BYTES, MAX_PROMISED_RATIO * archive_size):
        raise DataError(f"promises {promised} bytes, but has {archive_size}; it will not be unpacked", path=archive)
    _check_that_none_overlap(archive, infos, archive_size)
    members: dict[str, _Member] = {}
    for info in infos:
        name = _safe_name(archive, info.filename)
        if name == "." or info.is_dir():
            continue
        if name in members:
            raise DataError(f"holds {name!r} twice; pack it again", path=archive)
        is_encrypted = bool(info.flag_bits & 0x41)
        members[name] = _Member(
            info.header_offset, info.compress_size, info.file_size, info.CRC, info.compress_type, is_encrypted
        )
    return members


def _check_that_none_overlap(archive: Path, infos: list[zipfile.ZipInfo], archive_size: int) -> None:
    """Bytes that count for many members are how small archives promise much without a high ratio each."""
    end, previous = 0, ""
    for info in sorted(infos, key=lambda info: info.header_offset):
        if info.header_offset < end:
            raise DataError(f"has the same bytes for {previous!r} and {info.filename!r}; pack it again", path=archive)
        end, previous = info.header_offset + LOCAL_HEADER + info.compress_size, info.filename
        if end > archive_size:
            raise DataError(f"is cut short: {info.filename!r} ends beyond it; copy it again", path=archive)


def _safe_name(archive: Path, name: str) -> str:
    """The name with `/` between folders, which Windows' own archives may write as `\\`."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or re.match("[A-Za-z]:", name):
        raise DataError(f"holds {name!r}, which leads out of the archive; pack it again", path=archive)
    return path.as_posix()


def _refuse(path: Path, error: Exception) -> NoReturn:
    reason = (error.strerror if isinstance(error, OSError) else None) or error
    raise DataError(f"cannot be read ({reason}); check path and permissions", path=path) from error
