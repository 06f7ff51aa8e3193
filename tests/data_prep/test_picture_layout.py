"""Folders of pictures: what counts as a patient, as a domain, as a channel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.finding import Finding
from data_prep.layouts.pictures import find_picture_cases, recognize

WIDE_TABLE = """{count}
5_o_Clock_Shadow Smiling Young
000001.jpg -1  1  1
000002.jpg -1 -1 -1
000003.jpg  1 -1  1
"""
CSV_TABLE = (
    "image_id,5_o_Clock_Shadow,Smiling,Young\n000001.jpg,{no},1,1\n000002.jpg,{no},{no},{no}\n000003.jpg,1,{no},1\n"
)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """`write("a/1.png", …)` writes gray pictures of one pixel below a folder, which it returns."""

    def write_all(*names: str, mode: str = "L") -> Path:
        for name in names:
            path = tmp_path / "root" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new(mode, (1, 1)).save(path)
        return tmp_path / "root"

    return write_all


def by_patient(finding: Finding) -> dict[str, tuple[tuple[str, ...] | None, str | None]]:
    return {case.patient: (case.domains, case.split) for case in finding.cases}


def test_folders_of_pictures_are_domains_and_pictures_patients(write: Callable[..., Path]) -> None:
    root = write("Normal/a.png", "Normal/b.JPG", "tumor/c.tif", "tumor/notes.png.txt.png")
    finding = find_picture_cases(root)
    assert by_patient(finding) == {
        "a": (("normal",), None),
        "b": (("normal",), None),
        "c": (("tumor",), None),
        "notes.png.txt": (("tumor",), None),
    }
    assert finding.domains is not None
    assert (finding.domains.names, finding.domains.healthy) == (("normal", "tumor"), "normal")
    assert finding.domains.exclusive
    assert finding.failures == []
    assert finding.why == recognize(root) == "folders of pictures, each a domain: normal (2), tumor (2)"
    assert finding.cases[0].images == {"gray": Source(format="picture", files=(root / "Normal" / "a.png",))}


def test_pictures_of_one_name_are_told_apart_by_their_domains(write: Callable[..., Path]) -> None:
    root = write("healthy/1.png", "healthy/2.png", "tumor/1.png")
    assert by_patient(find_picture_cases(root)) == {
        "healthy/1": (("healthy",), None),
        "2": (("healthy",), None),
        "tumor/1": (("tumor",), None),
    }


def test_two_files_of_one_name_in_one_folder_are_a_failure(write: Callable[..., Path]) -> None:
    root = write("healthy/1.png", "healthy/1.jpg", "tumor/2.png")
    finding = find_picture_cases(root)
    assert [case.patient for case in finding.cases] == ["2", "healthy/1"]
    (failure,) = finding.failures
    assert failure.reason.startswith(f"{root}/healthy/1.png: has the same name as “{root}/healthy/1.jpg”")


def test_folders_below_domains_are_patients(write: Callable[..., Path]) -> None:
    root = write("healthy/A/1.png", "healthy/A/2.png", "tumor/B/1.png", "tumor/C/1.png")
    finding = find_picture_cases(root)
    assert by_patient(finding) == {
        "A": (("healthy",), None),
        "B": (("tumor",), None),
        "C": (("tumor",), None),
    }
    assert finding.cases[0].images["gray"].files == (root / "healthy/A/1.png", root / "healthy/A/2.png")


def test_domains_need_no_healthy_one(write: Callable[..., Path]) -> None:
    domains = find_picture_cases(write("blond/1.png", "brown/2.png", "black/3.png")).domains
    assert domains is not None
    assert (domains.names, domains.healthy) == (("black", "blond", "brown"), None)


def test_folders_named_as_splits_are_splits(write: Callable[..., Path]) -> None:
    root = write("train/NORMAL/1.png", "train/SICK/2.png", "val/NORMAL/3.png", "test/NORMAL/4.png", "test/SICK/2.png")
    finding = find_picture_cases(root)
    assert by_patient(finding) == {
        "1": (("normal",), "train"),
        "3": (("normal",), "validation"),
        "4": (("normal",), "test"),
        "train/SICK/2": (("sick",), "train"),
        "test/SICK/2": (("sick",), "test"),
    }


def test_flat_pictures_are_patients_without_domain(write: Callable[..., Path]) -> None:
    finding = find_picture_cases(write("b.png", "a.png"))
    assert by_patient(finding) == {"a": (None, None), "b": (None, None)}
    assert finding.domains is None
    assert finding.why == "2 patients of pictures"


@pytest.mark.parametrize("count", [1, 11])
def test_one_folder_or_very_many_are_patients(write: Callable[..., Path], count: int) -> None:
    root = write(*(f"p{n:02d}/{k}.png" for n in range(count) for k in range(3)))
    finding = find_picture_cases(root)
    assert by_patient(finding) == {f"p{n:02d}": (None, None) for n in range(count)}
    assert all(len(case.images["gray"].files) == 3 for case in finding.cases)


@pytest.mark.parametrize("count", [2, 10])
def test_two_to_fifty_folders_are_domains(write: Callable[..., Path], count: int) -> None:
    finding = find_picture_cases(write(*(f"d{n:02d}/{n}.png" for n in range(count))))
    assert finding.domains is not None
    assert len(finding.domains.names) == count


def test_masks_hidden_files_and_our_results_are_left_out(write: Callable[..., Path]) -> None:
    root = write("images/a.png", "masks/a.png", ".trash/b.png", "run/c.png", "run/.fpgan.png", "._a.png")
    (root / "run" / ".fpgan").touch()
    assert by_patient(find_picture_cases(root)) == {"a": (None, None)}


@pytest.mark.parametrize(
    ("mode", "channels"),
    [("L", {"gray": None}), ("1", {"gray": None}), ("RGB", {"red": 0, "green": 1, "blue": 2})],
)
def test_channels_are_those_of_the_first_picture(
    write: Callable[..., Path], mode: str, channels: dict[str, int | None]
) -> None:
    root = write("a.png", "b.png", mode=mode)
    (root / "a.png").write_bytes(b"damaged")
    (case, _) = find_picture_cases(root).cases
    assert {name: source.channel for name, source in case.images.items()} == channels


def test_channels_are_those_asked_for(write: Callable[..., Path]) -> None:
    root = write("a.png")
    (case,) = find_picture_cases(root, parse_channels("green,gray")).cases
    assert [(name, source.channel) for name, source in case.images.items()] == [("green", 1), ("gray", None)]
    for wrong, message in (
        ("flair", "known are gray, red, green, blue"),
        ("gray=*a*", "channels of pictures have none"),
    ):
        with pytest.raises(DataError, match=message):
            find_picture_cases(root, parse_channels(wrong))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_attr_celeba.txt", WIDE_TABLE.format(count=3)),
        ("list_attr_celeba.csv", CSV_TABLE.format(no=-1)),
        ("list_attr_celeba.csv", CSV_TABLE.format(no=0).replace("\n", "\r\n")),
    ],
)
@pytest.mark.parametrize("place", [".", "Anno", ".."])
def test_a_table_names_the_attributes_of_each_picture(
    write: Callable[..., Path], name: str, text: str, place: str
) -> None:
    root = write(*(f"img_align_celeba/00000{n}.jpg" for n in (1, 2, 3)))
    (root / place).mkdir(exist_ok=True)
    (root / place / name).write_text(text)
    finding = find_picture_cases(root)
    assert by_patient(finding) == {
        "000001": (("smiling", "young"), None),
        "000002": ((), None),
        "000003": (("5_o_clock_shadow", "young"), None),
    }
    assert finding.failures == []
    assert finding.domains is not None
    assert finding.domains.names == ("5_o_clock_shadow", "smiling", "young")
    assert not finding.domains.exclusive
    assert recognize(root) == finding.why.replace("3 pictures", "pictures") == f"pictures with the table {name}"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n"),
        ("list_eval_partition.csv", "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n"),
    ],
)
def test_a_partition_tells_the_split(write: Callable[..., Path], name: str, text: str) -> None:
    root = write(*(f"images/00000{n}.jpg" for n in (1, 2, 3)))
    (root / "list_attr_celeba.txt").write_text(WIDE_TABLE.format(count=3))
    (root / name).write_text(text)
    assert [case.split for case in find_picture_cases(root).cases] == ["train", "validation", "test"]
    (root / name).write_text(text.replace("2\n", "7\n"))
    with pytest.raises(DataError, match=rf"{name}: line \d must have a file name and 0, 1 or 2"):
        find_picture_cases(root)


def test_what_table_and_folder_do_not_share_is_told(write: Callable[..., Path]) -> None:
    root = write("images/000001.jpg", "images/000004.jpg", "images/000003.jpg", "more/000003.jpg")
    path = root / "list_attr_celeba.txt"
    path.write_text(WIDE_TABLE.format(count=9) + "000001.jpg 1 1 1\n000005.jpg 1 1\n000006.jpg 1 2 1\n")
    finding = find_picture_cases(root)
    assert [case.patient for case in finding.cases] == ["000001"]
    assert [failure.reason.removeprefix(f"{path}: ") for failure in finding.failures] == [
        "“000001.jpg” (line 6) has had a line before",
        "“000005.jpg” (line 7) must have 3 values, each 1, -1 or 0",
        "“000006.jpg” (line 8) must have 3 values, each 1, -1 or 0",
        "“list_attr_celeba.txt” promises 9 pictures in its first line, but has 6; download it again",
        "“000002.jpg” is missing",
        "“000003.jpg” lies in several folders",
        "“000004.jpg” has no line in this table",
    ]


@pytest.mark.parametrize(("count", "failures"), [(20, 20), (21, 1)])
def test_many_missing_pictures_are_one_failure(write: Callable[..., Path], count: int, failures: int) -> None:
    root = write("a.jpg")
    lines = [f"{n:06d}.jpg 1" for n in range(count)]
    (root / "list_attr.txt").write_text("\n".join([str(count + 1), "smiling", "a.jpg 1", *lines]))
    finding = find_picture_cases(root)
    assert len(finding.cases) == 1
    assert len(finding.failures) == failures
    reason = finding.failures[0].reason
    assert reason.endswith("“000000.jpg” is missing" + (", and 20 more like it" if failures == 1 else ""))


def test_an_attribute_called_none_could_not_be_told_from_no_attribute(write: Callable[..., Path]) -> None:
    root = write("1.jpg")
    (root / "list_attr.csv").write_text("image_id,smiling,None\n1.jpg,1,-1\n")
    with pytest.raises(DataError, match=r"list_attr\.csv: has a column that can be no attribute: .*'none'"):
        find_picture_cases(root)


@pytest.mark.parametrize("text", ["", "3\n", "3\na a\n1.jpg 1 1\n", "x;y,b;c\n", "image_id,\n1.jpg,1\n", "3\na,a\n"])
def test_a_table_without_attributes_is_refused(write: Callable[..., Path], text: str) -> None:
    root = write("1.jpg")
    (root / "list_attr.csv").write_text(text)
    with pytest.raises(DataError, match=r"list_attr\.csv: does not name attributes"):
        find_picture_cases(root)


def test_a_table_that_is_no_text_is_refused(write: Callable[..., Path]) -> None:
    root = write("1.jpg")
    (root / "list_attr.txt").write_bytes(b"\xff\xfe1")
    with pytest.raises(DataError, match=r"list_attr\.txt: is no UTF-8 text"):
        find_picture_cases(root)


def test_other_things_are_not_recognized(write: Callable[..., Path], tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    picture = write("a.png") / "a.png"
    assert recognize(empty) is None
    assert recognize(picture) is None
    assert recognize(tmp_path / "missing") is None
    with pytest.raises(DataError, match="no picture found"):
        find_picture_cases(empty)
    with pytest.raises(DataError, match="is a file, not a folder"):
        find_picture_cases(picture)
    with pytest.raises(DataError, match="does not exist"):
        find_picture_cases(tmp_path / "missing")
