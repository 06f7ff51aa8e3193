"""BIDS data sets to cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.labels import DomainNames
from data_prep.layouts.bids import find_bids_cases, recognize
from data_prep.layouts.channels import parse_channels


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def nifti(path: Path) -> Source:
    return Source(format="nifti", files=(path,))


def names_of(root: Path, channels: str) -> dict[str, dict[str, str]]:
    """File names by case and channel."""
    finding = find_bids_cases(root, parse_channels(channels))
    assert finding.failures == []
    return {case.patient: {c: s.files[0].name for c, s in case.images.items()} for case in finding.cases}


def test_suffixes_that_all_subjects_have_are_the_channels_in_alphabetical_order(tmp_path: Path) -> None:
    touch(tmp_path, "sub-02/anat/sub-02_T1w.nii.gz", "sub-02/anat/sub-02_FLAIR.nii.gz", "sub-02/anat/sub-02_T2w.nii")
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii", "sub-01/anat/sub-01_FLAIR.nii.gz", "sub-01/func/sub-01_bold.nii.gz")
    touch(tmp_path, "sub-02/func/sub-02_bold.nii.gz", "sub-01/anat/sub-01_T1w.json")
    finding = find_bids_cases(tmp_path)
    assert (finding.layout, finding.failures, finding.domains) == ("bids", [], None)
    assert [(case.patient, case.subject) for case in finding.cases] == [("sub-01", "sub-01"), ("sub-02", "sub-02")]
    assert list(finding.cases[0].images.items()) == [
        ("flair", nifti(tmp_path / "sub-01/anat/sub-01_FLAIR.nii.gz")),
        ("t1", nifti(tmp_path / "sub-01/anat/sub-01_T1w.nii")),
    ]


def test_without_anatomical_images_other_datatypes_are_channels(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/pet/sub-01_trc-fdg_pet.nii.gz")
    assert list(find_bids_cases(tmp_path).cases[0].images) == ["pet"]


def test_no_common_suffix_is_an_error_that_counts_them(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii", "sub-02/anat/sub-02_T2w.nii", "sub-03/anat/sub-03_T1w.nii")
    with pytest.raises(DataError) as caught:
        find_bids_cases(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path}: no kind of image is there for every subject: t1 in 2 of 3, t2 in 1 of 3; choose with --channels"
    )


@pytest.mark.parametrize("asked", ["t1", "t1w"])
def test_a_channel_is_a_suffix_with_or_without_its_w(tmp_path: Path, asked: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii.gz", "sub-01/anat/sub-01_T1map.nii.gz")
    assert names_of(tmp_path, asked) == {"sub-01": {asked: "sub-01_T1w.nii.gz"}}


@pytest.mark.parametrize("asked", ["t1ce", "t1c", "t1gd"])
def test_contrast_agent_makes_t1_another_channel(tmp_path: Path, asked: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_ce-gad_T1w.nii.gz", "sub-01/anat/sub-01_T1w.nii.gz")
    expected = {"t1": "sub-01_T1w.nii.gz", asked: "sub-01_ce-gad_T1w.nii.gz"}
    assert names_of(tmp_path, f"t1,{asked}") == {"sub-01": expected}


def test_an_image_with_contrast_agent_never_stands_in_for_one_without(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_ce-gad_T1w.nii.gz")
    (failure,) = find_bids_cases(tmp_path, parse_channels("t1")).failures
    assert failure.patient == "sub-01"
    assert failure.reason == f"{tmp_path}/sub-01: no file for channel t1; there is 'sub-01_ce-gad_T1w.nii.gz'"


def test_of_several_files_a_pattern_decides(tmp_path: Path) -> None:
    runs = [f"sub-01/anat/sub-01_run-{run}_T1w.nii.gz" for run in (1, 2)]
    touch(tmp_path, *runs, "sub-01/anat/sub-01_run-2_T2w.nii.gz", "sub-01/anat/sub-01_ce-gd_T1w.nii.gz")
    (failure,) = find_bids_cases(tmp_path, parse_channels("t1")).failures
    listed = "'sub-01_run-1_T1w.nii.gz', 'sub-01_run-2_T1w.nii.gz'"
    assert failure.reason == f"{tmp_path}/sub-01: several files for channel t1: {listed}; say which, as in t1=*word*"
    assert names_of(tmp_path, "t1=*run-2*") == {"sub-01": {"t1": "sub-01_run-2_T1w.nii.gz"}}
    assert names_of(tmp_path, "t1=*ce-gd*") == {"sub-01": {"t1": "sub-01_ce-gd_T1w.nii.gz"}}
    assert names_of(tmp_path, "other=*t2W*") == {"sub-01": {"other": "sub-01_run-2_T2w.nii.gz"}}
    assert find_bids_cases(tmp_path, parse_channels("x=*run-2*")).failures[0].reason.startswith(f"{tmp_path}/sub-01: ")


def test_one_file_is_not_two_channels(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    (failure,) = find_bids_cases(tmp_path, parse_channels("t1,other=*T1w*")).failures
    assert failure.reason.startswith(f"{tmp_path}/sub-01: one file would be two of t1, other")


def test_each_session_is_a_case_of_its_subject(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    touch(tmp_path, "sub-01/ses-3/anat/sub-01_ses-3_T2w.nii.gz")
    finding = find_bids_cases(tmp_path, parse_channels("t1"))
    assert [(case.patient, case.subject) for case in finding.cases] == [
        ("sub-01_ses-1", "sub-01"),
        ("sub-01_ses-2", "sub-01"),
    ]
    assert [failure.patient for failure in finding.failures] == ["sub-01_ses-3"]
    assert finding.failures[0].reason.startswith(f"{tmp_path}/sub-01/ses-3: no file for channel t1; there is 'sub-01")


def test_a_subject_without_images_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-01_T1w.nii.gz")
    (tmp_path / "sub-03").mkdir()
    finding = find_bids_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["sub-01"]
    assert [failure.reason for failure in finding.failures] == [
        f"{tmp_path}/sub-0{number}: no file for channel t1; there is nothing" for number in (2, 3)
    ]


@pytest.mark.parametrize(
    "mask",
    [
        "derivatives/manual/sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "derivatives/manual/sub-01/sub-01_space-T1w_label-lesion_mask.nii.gz",
        "derivatives/manual/deep/er/sub-01/anat/sub-01_desc-lesion_mask.nii.gz",
        "derivatives/sub-01/sub-01_FLAIR_roi.nii.gz",
        "derivatives/manual/sub-01/anat/sub-01_lesion_roi.nii",
        "derivatives/manual/sub-01/anat/sub-01_dseg.nii.gz",
        "sub-01/anat/sub-01_label-lesion_mask.nii.gz",
        "sub-01/anat/sub-01_label-L_desc-T1lesion_mask.nii.gz",
        "sub-01/anat/sub-01_acq-T2sel_FLAIR_roi.nii.gz",
    ],
)
def test_lesion_masks_are_found_below_derivatives_and_beside_the_image(tmp_path: Path, mask: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "sub-02/anat/sub-02_T1w.nii.gz", mask)
    finding = find_bids_cases(tmp_path)
    assert finding.failures == []
    assert [case.mask for case in finding.cases] == [nifti(tmp_path / mask), None]
    assert [list(case.images) for case in finding.cases] == [["t1"], ["t1"]]


@pytest.mark.parametrize(
    "other",
    [
        "sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/fmriprep/sub-01/anat/sub-01_dseg.nii.gz",
        "derivatives/mine/sub-01/anat/sub-01_desc-aseg_dseg.nii.gz",
        "derivatives/mine/sub-01/anat/sub-01_desc-gm_mask.nii.gz",
        "derivatives/mine/sub-01/anat/sub-01_label-lesion_mask.json",
        "derivatives/mine/sub-01/anat/._sub-01_label-lesion_mask.nii.gz",
        "derivatives/mine/sub-011/anat/sub-011_label-lesion_mask.nii.gz",
    ],
)
def test_other_masks_are_no_lesion_masks_nor_images(tmp_path: Path, other: str) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", other)
    (case,) = find_bids_cases(tmp_path).cases
    assert (case.mask, case.foreground, list(case.images)) == (None, None, ["t1"])


def test_the_word_lesion_in_a_subject_makes_no_mask(tmp_path: Path) -> None:
    touch(tmp_path, "sub-lesion1/anat/sub-lesion1_T1w.nii.gz", "sub-lesion1/anat/sub-lesion1_desc-gm_mask.nii.gz")
    assert find_bids_cases(tmp_path).cases[0].mask is None


def test_of_several_masks_the_one_called_lesion_is_taken(tmp_path: Path) -> None:
    folder = "derivatives/manual/sub-01/anat/"
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", f"{folder}sub-01_dseg.nii.gz", f"{folder}sub-01_desc-x_roi.nii.gz")
    problem = find_bids_cases(tmp_path).cases[0].mask_problem
    assert problem is not None
    assert problem.startswith(f"{tmp_path}/sub-01: several files may be its lesion mask: ")
    assert f"{folder}sub-01_dseg.nii.gz" in problem
    assert f"{folder}sub-01_desc-x_roi.nii.gz" in problem
    touch(tmp_path, f"{folder}sub-01_desc-lesion_mask.nii.gz")
    assert find_bids_cases(tmp_path).cases[0].mask == nifti(tmp_path / f"{folder}sub-01_desc-lesion_mask.nii.gz")


def test_of_several_lesion_masks_the_one_in_the_space_of_the_image_is_taken(tmp_path: Path) -> None:
    folder = "derivatives/manual/sub-01/anat/"
    own, other = f"{folder}sub-01_label-lesion_mask.nii.gz", f"{folder}sub-01_space-MNI_label-lesion_mask.nii.gz"
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", own, other)
    assert find_bids_cases(tmp_path).cases[0].mask == nifti(tmp_path / own)


def test_masks_belong_to_their_session(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    touch(tmp_path, "derivatives/m/sub-01/sub-01_ses-2_label-lesion_mask.nii.gz")
    touch(tmp_path, "sub-02/ses-1/anat/sub-02_ses-1_T1w.nii.gz")
    touch(tmp_path, "derivatives/m/sub-02/sub-02_label-lesion_mask.nii.gz")
    cases = find_bids_cases(tmp_path).cases
    assert {case.patient: case.mask.files[0].name if case.mask else None for case in cases} == {
        "sub-01_ses-1": None,
        "sub-01_ses-2": "sub-01_ses-2_label-lesion_mask.nii.gz",
        "sub-02_ses-1": "sub-02_label-lesion_mask.nii.gz",
    }


def test_a_mask_without_session_is_nobodys_where_there_are_two(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/ses-1/anat/sub-01_ses-1_T1w.nii.gz", "sub-01/ses-2/anat/sub-01_ses-2_T1w.nii.gz")
    touch(tmp_path, "derivatives/m/sub-01/sub-01_label-lesion_mask.nii.gz")
    assert [case.mask for case in find_bids_cases(tmp_path).cases] == [None, None]


@pytest.mark.parametrize("word", ["desc-brain_mask", "brainmask"])
def test_a_brain_mask_in_the_space_of_the_image_is_the_foreground(tmp_path: Path, word: str) -> None:
    folder = "derivatives/fmriprep/sub-01/"
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", f"{folder}func/sub-01_task-rest_{word}.nii.gz")
    touch(tmp_path, f"{folder}anat/sub-01_space-MNI152_{word}.nii.gz")
    assert find_bids_cases(tmp_path).cases[0].foreground is None
    touch(tmp_path, f"{folder}anat/sub-01_{word}.nii.gz")
    (case,) = find_bids_cases(tmp_path).cases
    assert case.foreground == nifti(tmp_path / f"{folder}anat/sub-01_{word}.nii.gz")
    assert case.mask is None


def write_participants(root: Path, text: str, *, subjects: int = 4, encoding: str = "utf-8") -> Path:
    for number in range(1, subjects + 1):
        touch(root, f"sub-0{number}/anat/sub-0{number}_T1w.nii.gz")
    (root / "participants.tsv").write_bytes(text.encode(encoding))
    return root


def test_participants_tell_domains_with_the_healthy_one_first(tmp_path: Path) -> None:
    rows = ["participant_id\tage\tGroup", "sub-01\t40\tTumor", "sub-02\t41\tControl", "sub-03\t42\tn/a", "sub-09\t1\tX"]
    finding = find_bids_cases(write_participants(tmp_path, "\r\n".join(rows), encoding="utf-8-sig"))
    assert finding.domains == DomainNames(names=("Control", "Tumor"), exclusive=True, healthy="Control")
    assert [case.domains for case in finding.cases] == [("Tumor",), ("Control",), None, None]


@pytest.mark.parametrize("healthy", ["healthy", "control", "Controls", "NORMAL", "hc", "CN", "negative", "0"])
def test_every_word_for_healthy_is_known(tmp_path: Path, healthy: str) -> None:
    rows = f"participant_id\tstatus\n01\t{healthy}\nsub-02\t!\nsub-03\tZ\n"
    finding = find_bids_cases(write_participants(tmp_path, rows, subjects=3))
    assert finding.domains == DomainNames(names=(healthy, "!", "Z"), healthy=healthy)


def test_without_a_healthy_word_no_domain_is_healthy(tmp_path: Path) -> None:
    rows = 'participant_id\tsex\tdx\n"sub-01"\tF\t"MS"\nsub-02\tM\tAD\n\n'
    assert find_bids_cases(write_participants(tmp_path, rows)).domains == DomainNames(names=("AD", "MS"), healthy=None)


def test_the_first_known_column_counts(tmp_path: Path) -> None:
    rows = "participant_id\tdisease\tdiagnosis\nsub-01\ta\tb\n"
    assert find_bids_cases(write_participants(tmp_path, rows)).cases[0].domains == ("b",)


@pytest.mark.parametrize(
    "rows", ["", "participant_id\tage\nsub-01\t40\n", "name\tgroup\nsub-01\tHC\n", "participant_id\tdx"]
)
def test_participants_that_say_nothing_leave_domains_unknown(tmp_path: Path, rows: str) -> None:
    finding = find_bids_cases(write_participants(tmp_path, rows))
    assert finding.domains is None
    assert {case.domains for case in finding.cases} == {None}


def test_participants_are_asked_beside_lesion_masks_too(tmp_path: Path) -> None:
    write_participants(tmp_path, "participant_id\tgroup\nsub-01\tHC\nsub-02\tMS\n")
    touch(tmp_path, "sub-04/anat/sub-04_label-lesion_mask.nii.gz")
    finding = find_bids_cases(tmp_path)
    assert finding.domains == DomainNames(names=("HC", "MS"), healthy="HC")
    assert {case.patient: case.domains for case in finding.cases if case.domains} == {
        "sub-01": ("HC",),
        "sub-02": ("MS",),
    }
    assert [case.patient for case in finding.cases if case.mask] == ["sub-04"]


def test_lines_that_contradict_each_other_are_a_failure(tmp_path: Path) -> None:
    rows = "participant_id\tgroup\nsub-01\tHC\nsub-01\tMS\nsub-02\tMS\nsub-02\tMS\n"
    finding = find_bids_cases(write_participants(tmp_path, rows, subjects=2))
    assert [case.domains for case in finding.cases] == [("MS",)]
    reason = f"{tmp_path}/participants.tsv: says both 'HC' and 'MS' of sub-01; correct it"
    assert [failure.reason for failure in finding.failures] == [reason]


@pytest.mark.parametrize(
    ("rows", "encoding", "problem"),
    [
        ("participant_id\tgroup\nsub-01\tMüde\n", "latin-1", "is no UTF-8 text"),
        ("participant_id\tgroup\nsub-01\ta;b\n", "utf-8", "needs domains with names that have no ';'"),
    ],
)
def test_participants_that_cannot_be_used_are_an_error(tmp_path: Path, rows: str, encoding: str, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        find_bids_cases(write_participants(tmp_path, rows, encoding=encoding))
    assert str(caught.value).startswith(f"{tmp_path}/participants.tsv: {problem}")


def test_links_hidden_files_and_our_own_results_are_left_out(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "sub-01/anat/sub-01_T1w.nii.gz", "sub-01/anat/._sub-01_T1w.nii.gz")
    touch(root, ".sub-02/anat/.sub-02_T1w.nii.gz", "sub-03/.fpgan", "sub-03/anat/sub-03_T1w.nii.gz")
    touch(root, "derivatives/v1/sub-01/sub-01_label-lesion_mask.nii.gz")
    (root / "derivatives" / "latest").symlink_to(root / "derivatives" / "v1")
    (root / "derivatives" / "back").symlink_to(root)
    (root / "sub-01" / "again").symlink_to(root / "sub-01")
    (root / "sub-04").symlink_to(root / "sub-04")
    finding = find_bids_cases(root)
    assert finding.failures == []
    assert [(case.patient, case.mask is not None) for case in finding.cases] == [("sub-01", True)]


@pytest.mark.parametrize("name", ["sub-Müller Anna", "sub-two\nlines"])
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"{name}/anat/{name}_T1w.nii.gz", "sub-01/anat/sub-01_T2w.nii")
    finding = find_bids_cases(tmp_path, parse_channels("t1"))
    assert [case.patient for case in finding.cases] == [name]
    assert "\n" not in finding.why


def test_it_is_recognized_by_its_description_or_its_folders(tmp_path: Path) -> None:
    assert recognize(tmp_path) is None
    touch(tmp_path, "sub-01/notes.txt", "sub-01/T1.nii.gz", "sub-01.nii.gz")
    assert recognize(tmp_path) is None
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz")
    assert recognize(tmp_path) == "1 sub-* folder holds files such as sub-01_T1w.nii.gz"
    touch(tmp_path, "dataset_description.json")
    assert recognize(tmp_path) == find_bids_cases(tmp_path).why == "holds dataset_description.json"


def test_a_missing_root_a_file_and_a_folder_without_images_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "file", "empty/dataset_description.json", "masks/sub-01/anat/sub-01_dseg.nii.gz")
    touch(tmp_path, "empty/derivatives")
    expected = "no image found; expected files such as sub-01/anat/sub-01_T1w.nii.gz"
    for name, problem in (
        ("missing", "does not exist; check the path"),
        ("file", "is a file, not a folder"),
        ("empty", expected),
        ("masks", expected),
    ):
        with pytest.raises(DataError) as caught:
            find_bids_cases(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {problem}"
    assert recognize(tmp_path / "missing") is None
    assert recognize(tmp_path / "file") is None


def test_derivatives_that_are_a_file_do_not_matter(tmp_path: Path) -> None:
    touch(tmp_path, "sub-01/anat/sub-01_T1w.nii.gz", "derivatives")
    assert len(find_bids_cases(tmp_path).cases) == 1
