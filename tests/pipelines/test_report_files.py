from __future__ import annotations

import os
from pathlib import PurePosixPath

import pytest

from pipelines.reporting.report_files import ReportFiles


def test_plain_files_of_one_channel() -> None:
    files = ReportFiles.of("Brats18_2013_1_1", ["flair"])

    assert files.folder == "Brats18_2013_1_1"
    assert files.by_name == {
        "page": "report.html",
        "record": "report.json",
        "lesion_table": "lesions.csv",
        "preview": "preview.png",
        "healthy": "healthy.nii.gz",
        "difference": "difference.nii.gz",
        "lesions": "lesions.nii.gz",
        "segmentation": "lesions.dcm",
        "structured_report": "report.dcm",
        "pdf": "report.pdf",
    }


def test_plain_files_of_several_channels_are_named_for_them() -> None:
    files = ReportFiles.of("A", ["flair", "t1/post"])

    assert files.healthy == ("flair_healthy.nii.gz", "t1%2Fpost_healthy.nii.gz")
    assert files.by_name["flair_healthy"] == "flair_healthy.nii.gz"


def test_names_that_are_no_file_names_are_escaped_in_plain_folders() -> None:
    assert ReportFiles.of("../A", ["flair"]).folder == "%2E.%2FA"


@pytest.mark.parametrize("bids", [False, True])
@pytest.mark.parametrize("letter", ["a", "é", "\udcff"])
def test_longest_names_fit_a_file_system(letter: str, bids: bool) -> None:
    long = letter * 300
    one, other = (ReportFiles.of(name, [long, f"{long}b"], bids=bids) for name in (f"{long}1", f"{long}2"))

    names = [*PurePosixPath(one.folder).parts, *one.by_name.values()]
    assert max(len(os.fsencode(name)) for name in names) <= 255 - len("..part")
    assert one.folder != other.folder
    assert len(set(one.healthy)) == 2


def test_bids_files_of_one_channel() -> None:
    files = ReportFiles.of("sub-01_ses-2", ["t1ce"], bids=True)

    assert files.folder == "sub-01/ses-2/anat"
    assert files.by_name == {
        "page": "sub-01_ses-2_report.html",
        "record": "sub-01_ses-2_report.json",
        "lesion_table": "sub-01_ses-2_lesions.csv",
        "preview": "sub-01_ses-2_preview.png",
        "healthy": "sub-01_ses-2_ce-gadolinium_desc-healthy_T1w.nii.gz",
        "difference": "sub-01_ses-2_ce-gadolinium_desc-fpganDifference_T1w.nii.gz",
        "lesions": "sub-01_ses-2_desc-lesions_dseg.nii.gz",
        "segmentation": "sub-01_ses-2_lesions.dcm",
        "structured_report": "sub-01_ses-2_report.dcm",
        "pdf": "sub-01_ses-2_report.pdf",
    }


def test_folder_of_a_bids_subject_holds_none_of_its_sessions() -> None:
    subject, session = (ReportFiles.of(name, ["t1"], bids=True).folder for name in ("sub-01", "sub-01_ses-2"))

    assert not PurePosixPath(session).is_relative_to(subject)


@pytest.mark.parametrize(
    ("channel", "end"),
    [
        ("flair", "_desc-healthy_FLAIR"),
        ("T2F", "_desc-healthy_FLAIR"),
        ("t1w", "_desc-healthy_T1w"),
        ("t1n", "_desc-healthy_T1w"),
        ("t1_gd", "_ce-gadolinium_desc-healthy_T1w"),
        ("t1c", "_ce-gadolinium_desc-healthy_T1w"),
        ("t2", "_desc-healthy_T2w"),
        ("pd", "_desc-healthy_PDw"),
        ("t2star", "_desc-healthy_T2starw"),
        ("ct", "_desc-healthy_ct"),
    ],
)
def test_bids_suffix_of_a_channel(channel: str, end: str) -> None:
    assert ReportFiles.of("A", [channel], bids=True).healthy == (f"sub-A{end}.nii.gz",)


def test_channels_of_one_bids_suffix_are_told_apart() -> None:
    assert ReportFiles.of("A", ["t1", "t1w", "t2"], bids=True).healthy == (
        "sub-A_acq-t1_desc-healthy_T1w.nii.gz",
        "sub-A_acq-t1w_desc-healthy_T1w.nii.gz",
        "sub-A_desc-healthy_T2w.nii.gz",
    )


def test_bids_labels_that_lost_something_stay_different() -> None:
    names = ["A1", "A-1", "A_1", "A.1", "-", "é", "sub-A-1", "sub-A_ses-", "sub-A_ses-1_run-2"]
    folders = [ReportFiles.of(name, ["t1"], bids=True).folder for name in names]

    assert len(set(folders)) == len(names)
    assert folders[0] == "sub-A1/anat"
    assert folders[1].startswith("sub-A1")
    labels = [folder.removeprefix("sub-").removesuffix("/anat") for folder in folders]
    assert all(label.isascii() and label.isalnum() for label in labels)
