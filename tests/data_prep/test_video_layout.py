"""Folders of videos: a file a patient, folders as domains."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.videos import find_video_cases, recognize


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()  # no video is opened
    return root


def test_folders_of_videos_are_domains(tmp_path: Path) -> None:
    root = touch(tmp_path, "Healthy/a.mp4", "Healthy/b.AVI", "reflux/a.mov", "reflux/deeper/c.mkv", "reflux/notes.txt")
    finding = find_video_cases(root, frames_per_second=2.5)
    assert {case.patient: case.domains for case in finding.cases} == {
        "Healthy/a": ("healthy",),
        "b": ("healthy",),
        "c": ("reflux",),
        "reflux/a": ("reflux",),
    }
    file = root / "Healthy" / "a.mp4"
    assert finding.cases[0].images == {"gray": Source(format="video", files=(file,), frames_per_second=2.5)}
    assert finding.domains is not None
    assert (finding.domains.names, finding.domains.healthy) == (("healthy", "reflux"), "healthy")
    assert (finding.layout, finding.why) == ("video", "folders of videos, each a domain: healthy (2), reflux (2)")
    assert recognize(root) == finding.why


def test_flat_videos_have_no_domain(tmp_path: Path) -> None:
    finding = find_video_cases(touch(tmp_path, "a.mp4", "b.mp4", "c.png"))
    assert [(case.patient, case.domains) for case in finding.cases] == [("a", None), ("b", None)]
    assert finding.domains is None


def test_one_video_is_one_patient(tmp_path: Path) -> None:
    path = touch(tmp_path, "one.mp4", "two.mp4") / "one.mp4"
    (case,) = find_video_cases(path, parse_channels("red,blue")).cases
    assert case.patient == "one"
    assert {name: (source.files, source.channel) for name, source in case.images.items()} == {
        "red": ((path,), 0),
        "blue": ((path,), 2),
    }
    assert recognize(path) == "the video one.mp4"


def test_other_things_are_not_recognized(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.png")
    for path in (root, root / "a.png", root / "missing"):
        assert recognize(path) is None
        with pytest.raises(DataError):
            find_video_cases(path)
    with pytest.raises(DataError, match="channel 'flair' is none"):
        find_video_cases(touch(tmp_path, "b.mp4"), parse_channels("flair"))
