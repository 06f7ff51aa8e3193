"""What a DICOM header says against the name of a channel."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.errors import DataError
from pipelines.modality import check_modality, expected_modality


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("flair", "MR"),
        ("T1ce", "MR"),
        ("t1gd", "MR"),
        ("pd", "MR"),
        ("adc", "MR"),
        ("ct", "CT"),
        ("pet", "PT"),
        ("pt", "PT"),
        ("cr", "CR"),
        ("us", "US"),
        ("image", None),
        ("contrast", None),
    ],
)
def test_names_of_channels_imply_a_modality(channel: str, expected: str | None) -> None:
    assert expected_modality(channel) == expected


@pytest.mark.parametrize(
    ("channel", "modality"),
    [("flair", "MR"), ("ct", "CT"), ("image", "CT"), ("flair", "OT"), ("flair", ""), ("dx", "CR"), ("cr", "DX")],
)
def test_a_modality_that_fits_or_says_nothing_is_accepted(channel: str, modality: str) -> None:
    check_modality(channel, modality, Path("series"))


@pytest.mark.parametrize(
    ("channel", "modality", "message"),
    [
        (
            "flair",
            "CT",
            "series: is a CT series by its header; the model was trained on flair (MR); give another",
        ),
        ("ct", "MR", "series: is a MR series by its header; the model was trained on ct; give another"),
        ("pet", "CT", "series: is a CT series by its header; the model was trained on pet (PT); give another"),
        ("dx", "CT", "series: is a CT series by its header; the model was trained on dx; give another"),
    ],
)
def test_another_modality_is_refused(channel: str, modality: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_modality(channel, modality, Path("series"))
    assert str(caught.value) == message
