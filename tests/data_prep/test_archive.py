"""Paths into zip archives, and archives that are damaged or dangerous."""

from __future__ import annotations

import os
import struct
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from data_prep.archive import archive_members, archive_of, read_bytes, stat_of
from data_prep.errors import DataError

CENTRAL, END = b"PK\x01\x02", b"PK\x05\x06"
"""How an entry of the table, and what follows it, begin."""
PACKED_SIZE, SIZE, OFFSET, FLAGS, METHOD, CRC = 20, 24, 42, 8, 10, 16
"""Byte offsets within an entry of the table."""


def write_zip(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, raw in members.items():
            archive.writestr(zipfile.ZipInfo(name), raw, compress_type=method)
    return path


def with_table_entry(path: Path, number: int, offset: int, value: int, kind: str = "I") -> Path:
    """Overwrite a field in the table's entry of member `number`."""
    raw = bytearray(path.read_bytes())
    entry = -1
    for _ in range(number + 1):
        entry = raw.index(CENTRAL, entry + 1)
    struct.pack_into(f"<{kind}", raw, entry + offset, value)
    path.write_bytes(raw)
    return path


def message_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_bytes(path)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.fixture
def two_files(tmp_path: Path) -> Path:
    return write_zip(tmp_path / "two.zip", {"a/one": b"first " * 100, "a/b/two": b"second " * 100})


def test_a_plain_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "plain"
    path.write_bytes(b"0123456789")
    assert read_bytes(path) == b"0123456789"
    assert read_bytes(path, at_most=4) == b"0123"
    assert stat_of(path) == (10, path.stat().st_mtime_ns)
    assert archive_of(path) is None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_like_files(tmp_path: Path, method: int) -> None:
    contents = {"IM10": b"x" * 5000, "a/IM2": os.urandom(5000), "a/b/IM1": b"", "ä ö/IM3": b"\0" * 70_000}
    path = write_zip(tmp_path / "scans.zip", contents, method)
    members = archive_members(path)
    assert [member.relative_to(path).as_posix() for member in members] == sorted(contents)
    for name, raw in contents.items():
        assert read_bytes(path / name) == raw
        assert read_bytes(path / name, at_most=132) == raw[:132]
        assert archive_of(path / name) == path


def test_folders_are_no_members(tmp_path: Path) -> None:
    path = tmp_path / "scans.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.mkdir("series")
        archive.writestr("series/IM1", b"1")
        archive.writestr("./IM2", b"2")
    assert archive_members(path) == [path / "IM2", path / "series" / "IM1"]
    assert read_bytes(path / "IM2") == b"2"


def test_backslashes_separate_folders_as_windows_writes_them(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", {"series\\IM1": b"1"})
    assert archive_members(path) == [path / "series" / "IM1"]
    assert read_bytes(path / "series" / "IM1") == b"1"


def test_the_status_changes_with_the_member_and_with_the_archive(two_files: Path) -> None:
    status = two_files.stat()
    assert stat_of(two_files / "a" / "one") == (status.st_size + 600, status.st_mtime_ns)
    assert stat_of(two_files / "a" / "b" / "two") == (status.st_size + 700, status.st_mtime_ns)
    os.utime(two_files, ns=(1, 10**18))
    assert stat_of(two_files / "a" / "one") == (status.st_size + 600, 10**18)


def test_an_archive_that_was_rewritten_is_read_anew(two_files: Path) -> None:
    assert read_bytes(two_files / "a" / "one") == b"first " * 100
    write_zip(two_files, {"a/one": b"changed"})
    os.utime(two_files, ns=(1, 10**18))
    assert read_bytes(two_files / "a" / "one") == b"changed"


def test_what_is_missing_is_named(two_files: Path, tmp_path: Path) -> None:
    assert message_of(two_files / "a" / "three") == "is not in the zip archive; check the path"
    expected = "cannot be read (No such file or directory); check path and permissions"
    assert message_of(tmp_path / "none.zip" / "IM1") == expected
    assert message_of(tmp_path) == "cannot be read (Is a directory); check path and permissions"
    with pytest.raises(DataError, match="cannot be read"):
        archive_members(tmp_path / "none.zip")
    with pytest.raises(DataError, match="cannot be read"):
        stat_of(tmp_path / "none.zip" / "IM1")
    with pytest.raises(DataError, match="cannot be read"):
        read_bytes(tmp_path / "null\0byte")


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"<html></html>" * 90, np.random.default_rng(0).bytes(3000)])
def test_what_is_no_archive_is_refused(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "scans.zip"
    path.write_bytes(raw)
    with pytest.raises(DataError, match="is not a zip archive, or damaged") as caught:
        archive_members(path)
    assert str(caught.value).startswith(f"{path}: ")
    with pytest.raises(DataError, match="is not a zip archive, or damaged"):
        read_bytes(path / "IM1")


def test_an_archive_that_is_cut_short_is_refused(two_files: Path) -> None:
    raw = two_files.read_bytes()
    for kept in range(0, len(raw), 7):
        two_files.write_bytes(raw[:kept])
        with pytest.raises(DataError):
            archive_members(two_files)


def test_a_member_that_is_damaged_is_named(two_files: Path) -> None:
    raw = bytearray(two_files.read_bytes())
    raw[40] ^= 0xFF  # behind the first member's header of 30 bytes and name of 5
    two_files.write_bytes(raw)
    assert "is damaged" in message_of(two_files / "a" / "one")
    assert read_bytes(two_files / "a" / "b" / "two") == b"second " * 100


def test_a_wrong_checksum_is_told(two_files: Path) -> None:
    with_table_entry(two_files, 0, CRC, 12345)
    assert message_of(two_files / "a" / "one").startswith("is damaged: its bytes are not those that were packed")


def test_an_encrypted_member_is_refused(two_files: Path) -> None:
    with_table_entry(two_files, 0, FLAGS, 1, "H")
    assert message_of(two_files / "a" / "one").startswith("is encrypted; unpack")
    assert read_bytes(two_files / "a" / "b" / "two") == b"second " * 100


def test_an_unknown_method_is_named(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", {"IM1": b"1" * 100}, zipfile.ZIP_LZMA)
    assert message_of(path / "IM1").startswith("is packed by method 14; pack the archive again")


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../IM1", "a/../../IM1", "..\\IM1", "a\\..\\..\\IM1", "\\IM1", "C:\\IM1", "C:IM1", "c:/IM1", ".."],
)
def test_an_archive_with_a_member_that_leads_out_of_it_is_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path / "scans.zip", {"fine": b"1", name: b"2"})
    with pytest.raises(DataError, match="which leads out of the archive") as caught:
        archive_members(path)
    assert str(caught.value).startswith(f"{path}: holds {name!r}")
    with pytest.raises(DataError, match="which leads out of the archive"):
        read_bytes(path / "fine")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_stands_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "scans.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/IM1", b"1")
        archive.writestr("a\\IM1", b"2")
    with pytest.raises(DataError, match="holds 'a/IM1' twice"):
        archive_members(path)


def test_an_archive_that_promises_absurdly_much_is_refused_unopened(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {"IM1": bytes(120 * 2**20)})
    assert path.stat().st_size < 200_000
    tracemalloc.start()
    with pytest.raises(DataError, match=r"promises 125829120 bytes, but has \d+; it will not be unpacked"):
        read_bytes(path / "IM1")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_promises_add_up_over_members(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "bomb.zip", {f"IM{n}": bytes(30 * 2**20) for n in range(4)})
    with pytest.raises(DataError, match="promises 125829120 bytes"):
        archive_members(path)


def test_an_empty_series_of_ordinary_size_is_no_bomb(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "blank.zip", {f"IM{n}": bytes(2 * 2**20) for n in range(40)})
    assert len(archive_members(path)) == 40
    assert read_bytes(path / "IM7") == bytes(2 * 2**20)


def test_members_that_share_bytes_are_refused(two_files: Path) -> None:
    with_table_entry(two_files, 1, OFFSET, 0)
    with pytest.raises(DataError, match="has the same bytes for 'a/one' and 'a/b/two'"):
        archive_members(two_files)


def test_a_member_that_ends_beyond_the_archive_is_refused(two_files: Path) -> None:
    with_table_entry(two_files, 1, PACKED_SIZE, 10**6)
    with pytest.raises(DataError, match="is cut short: 'a/b/two' ends beyond it"):
        archive_members(two_files)


def test_no_more_is_unpacked_than_was_declared(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "scans.zip", {"IM1": bytes(50 * 2**20)})
    with_table_entry(path, 0, SIZE, 1000)
    tracemalloc.start()
    assert "is damaged" in message_of(path / "IM1")
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_less_than_was_declared_is_told(two_files: Path) -> None:
    with_table_entry(two_files, 0, SIZE, 601)
    assert "is damaged" in message_of(two_files / "a" / "one")


def test_too_many_members_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("data_prep.archive.MAX_MEMBERS", 3)
    path = write_zip(tmp_path / "many.zip", {f"IM{n}": b"1" for n in range(4)})
    with pytest.raises(DataError, match="holds 4 files, more than 3"):
        archive_members(path)


def test_damaged_bytes_raise_nothing_but_data_errors(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = write_zip(tmp_path / "scans.zip", {"a/one": b"first " * 100, "b": os.urandom(50)})
    sound = path.read_bytes()
    refused = 0
    for _ in range(1500):
        raw = bytearray(sound)
        for offset in rng.integers(0, len(raw), size=2):
            raw[offset] = rng.choice([0, 127, 128, 255, rng.integers(256)])
        path.write_bytes(raw)
        try:
            for member in archive_members(path):
                read_bytes(member)
        except DataError as error:
            assert str(error).startswith(str(path))  # noqa: PT017 - both outcomes are right
            refused += 1
    assert 500 < refused < 1500
