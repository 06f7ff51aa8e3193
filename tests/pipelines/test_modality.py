"""What a DICOM header says against the name of a channel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from data_prep.errors import DataError
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.dicom_tree import find_dicom_cases
from data_prep.preparation import Preparation
from evaluation.maps import MapSettings
from pipelines.modality import check_modality, expected_modality
from pipelines.operating_point import OperatingPoint
from pipelines.pseudonyms import NamedCase
from pipelines.reporter import Reporter, ReportTask
from pipelines.reporting.settings import ReportSettings
from tests.data_prep.dicom_writing import write_series
from tests.pipelines.test_report import Darkener


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
        ("ct", "MR", "series: is an MR series by its header; the model was trained on ct; give another"),
        ("pet", "CT", "series: is a CT series by its header; the model was trained on pet (PT); give another"),
        ("dx", "CT", "series: is a CT series by its header; the model was trained on dx; give another"),
    ],
)
def test_another_modality_is_refused(channel: str, modality: str, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_modality(channel, modality, Path("series"))
    assert str(caught.value) == message


def test_a_series_that_nothing_can_refer_to_is_refused_all_the_same(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", np.full((4, 40, 40), 100, np.int16))  # without StudyInstanceUID
    (case,) = find_dicom_cases(tmp_path / "ct", parse_channels("flair")).cases
    stand_in: Any = Darkener(Preparation(channels=("flair",), size=(32, 32)))
    reporter = Reporter(
        model=stand_in,
        operating_point=OperatingPoint(candidate=0.2, patient=0.3),
        maps=MapSettings(),
        task=ReportTask(run=tmp_path, digest="", output=tmp_path / "out", settings=ReportSettings()),
    )
    with pytest.raises(DataError, match="CT series by its header; the model was trained on flair"):
        reporter.report(NamedCase(name="P1", case=case))
