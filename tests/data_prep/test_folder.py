"""Plain folders of volumes to cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.labels import DomainNames
from data_prep.layouts.channels import parse_channels
from data_prep.layouts.domain_folders import domain_folders, domain_names
from data_prep.layouts.finding import Finding
from data_prep.layouts.folder import find_folder_cases, recognize


def touch(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def found(root: Path, finding: Finding) -> dict[str, list[str | None]]:
    """By patient: the paths of images, then of the mask and the foreground, below `root`."""
    return {
        case.patient: [
            source.files[0].relative_to(root).as_posix() if source else None
            for source in (*case.images.values(), case.mask, case.foreground)
        ]
        for case in finding.cases
    }


def test_a_file_a_patient(tmp_path: Path) -> None:
    touch(tmp_path, "B.nii.gz", "A.nii", "C.mha", "D.hdr", "D.img", "notes.txt", "E.png")
    finding = find_folder_cases(tmp_path)
    assert (finding.layout, finding.why, finding.failures) == ("folder", "4 files of volumes, one a patient", [])
    assert finding.why == recognize(tmp_path)
    assert finding.domains is None
    assert [case.patient for case in finding.cases] == ["A", "B", "C", "D"]
    assert [case.images for case in finding.cases] == [
        {"image": Source(format="nifti", files=(tmp_path / "A.nii",))},
        {"image": Source(format="nifti", files=(tmp_path / "B.nii.gz",))},
        {"image": Source(format="itk", files=(tmp_path / "C.mha",))},
        {"image": Source(format="nifti", files=(tmp_path / "D.hdr", tmp_path / "D.img"))},
    ]


@pytest.mark.parametrize("end", ["_seg", "-seg", "_mask", "_label", ".SEG", "-lesion", " roi", "_segmentation"])
def test_a_mask_lies_beside_its_file(tmp_path: Path, end: str) -> None:
    touch(tmp_path, "A b.nii.gz", f"A b{end}.nii.gz", "C.nii.gz")
    finding = find_folder_cases(tmp_path)
    assert finding.failures == []
    assert found(tmp_path, finding) == {
        "A b": ["A b.nii.gz", f"A b{end}.nii.gz", None],
        "C": ["C.nii.gz", None, None],
    }


@pytest.mark.parametrize("end", ["_brainmask", "-brain_mask", "_BET_mask"])
def test_a_brain_mask_lies_beside_its_file(tmp_path: Path, end: str) -> None:
    touch(tmp_path, "A.nii.gz", f"A{end}.nii.gz", "A_seg.nii.gz")
    assert found(tmp_path, find_folder_cases(tmp_path)) == {"A": ["A.nii.gz", "A_seg.nii.gz", f"A{end}.nii.gz"]}


def test_a_mask_without_its_image_is_a_failure_and_no_patient(tmp_path: Path) -> None:
    touch(tmp_path, "A.nii.gz", "A_seg.nii.gz", "B_flair.nii.gz", "B_seg.nii.gz")
    finding = find_folder_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A", "B_flair"]
    (failure,) = finding.failures
    assert failure.patient == "B_seg"
    assert failure.reason.startswith(f"{tmp_path}/B_seg.nii.gz: is named like a mask, but no image is named 'B'; ")


def test_a_folder_where_every_file_is_called_lesion_holds_images(tmp_path: Path) -> None:
    touch(tmp_path, "01_lesion.nii.gz", "02_lesion.nii.gz")
    assert found(tmp_path, find_folder_cases(tmp_path)) == {
        "01_lesion": ["01_lesion.nii.gz", None, None],
        "02_lesion": ["02_lesion.nii.gz", None, None],
    }


def test_of_two_masks_of_one_file_none_is_taken_and_the_case_lists_them(tmp_path: Path) -> None:
    touch(tmp_path, "A.nii", "A_seg.nii", "A_mask.nii")
    (case,) = find_folder_cases(tmp_path).cases
    masks = "'A_mask.nii', 'A_seg.nii'"
    assert case.mask is None
    assert case.mask_problem == f"{tmp_path}/A.nii: several files may be its mask: {masks}; keep one of them"


def test_two_files_of_one_name_are_a_failure_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, "A.nii", "A.nii.gz")
    finding = find_folder_cases(tmp_path)
    assert len(finding.cases) == 1
    (failure,) = finding.failures
    assert failure.reason == f"{tmp_path}/A.nii.gz: has the same name as “{tmp_path}/A.nii”; rename one"


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("images/", "masks/"),
        ("images/", "labels/"),
        ("Images/", "Labels/"),
        ("imagesTr/", "labelsTr/"),
        ("", "masks/"),
        ("", "../labels/"),
    ],
)
@pytest.mark.parametrize("names", [("A.nii.gz", "A.nii.gz"), ("A.nii.gz", "A.nii"), ("A.nii", "A_mask.nii")])
def test_masks_lie_in_a_folder_beside_the_images(
    tmp_path: Path, images: str, masks: str, names: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    touch(root, images + names[0], masks + names[1], masks + "other.nii.gz")
    finding = find_folder_cases(root)
    assert finding.failures == []
    (case,) = finding.cases
    assert case.patient == "A"
    assert case.mask is not None
    assert case.mask.files[0].resolve() == (root / masks / names[1]).resolve()
    monkeypatch.chdir(root)
    mask = find_folder_cases(Path()).cases[0].mask
    assert mask is not None
    assert mask.files[0].samefile(root / masks / names[1])


def test_numbered_files_are_channels_of_one_patient(tmp_path: Path) -> None:
    touch(tmp_path, *(f"imagesTr/{p}_000{c}.nii.gz" for p in "AB" for c in (0, 1)), "labelsTr/A.nii.gz")
    finding = find_folder_cases(tmp_path, parse_channels("flair=*_0001.nii.gz,t1=*_0000*"))
    assert found(tmp_path, finding) == {
        "A": ["imagesTr/A_0001.nii.gz", "imagesTr/A_0000.nii.gz", "labelsTr/A.nii.gz", None],
        "B": ["imagesTr/B_0001.nii.gz", "imagesTr/B_0000.nii.gz", None, None],
    }
    with pytest.raises(DataError, match=r"imagesTr/A: has several images: 'A_0000.nii.gz', 'A_0001.nii.gz'; say which"):
        find_folder_cases(tmp_path)


def test_numbers_that_masks_share_belong_to_the_patient(tmp_path: Path) -> None:
    touch(tmp_path, "imagesTr/A_0001.nii", "imagesTr/A_0002.nii", "labelsTr/A_0001.nii")
    assert found(tmp_path, find_folder_cases(tmp_path)) == {
        "A_0001": ["imagesTr/A_0001.nii", "labelsTr/A_0001.nii", None],
        "A_0002": ["imagesTr/A_0002.nii", None, None],
    }


def test_a_folder_a_patient(tmp_path: Path) -> None:
    touch(tmp_path, "B/flair.nii.gz", "B/my_t1.nii.gz", "B/seg.nii.gz", "B/brain_mask.nii.gz", "B/report.pdf")
    touch(tmp_path, "A/x-FLAIR.mha", "A/T1 tra.mha", "docs/readme.txt")
    finding = find_folder_cases(tmp_path, parse_channels("flair,t1"))
    assert (finding.failures, finding.domains) == ([], None)
    assert finding.why == recognize(tmp_path) == "2 folders of volumes, one a patient"
    assert found(tmp_path, finding) == {
        "A": ["A/x-FLAIR.mha", "A/T1 tra.mha", None, None],
        "B": ["B/flair.nii.gz", "B/my_t1.nii.gz", "B/seg.nii.gz", "B/brain_mask.nii.gz"],
    }


def test_the_one_image_of_each_patient_is_the_channel_image(tmp_path: Path) -> None:
    touch(tmp_path, "A/anything.nii.gz", "A/lesion_mask.nii.gz", "B/below/other.nii.gz")
    finding = find_folder_cases(tmp_path)
    assert [list(case.images) for case in finding.cases] == [["image"], ["image"]]
    assert found(tmp_path, finding) == {
        "A": ["A/anything.nii.gz", "A/lesion_mask.nii.gz", None],
        "B": ["B/below/other.nii.gz", None, None],
    }


def test_several_images_a_patient_need_channels(tmp_path: Path) -> None:
    touch(tmp_path, "A/flair.nii.gz", "A/t1.nii.gz", "A/mask.nii.gz", "B/flair.nii.gz")
    with pytest.raises(DataError) as caught:
        find_folder_cases(tmp_path)
    files = "'flair.nii.gz', 't1.nii.gz'"
    assert str(caught.value) == f"{tmp_path}/A: has several images: {files}; say which, as in --channels flair=*word*"


def test_a_single_patient_with_several_images_does_not_stop_the_others(tmp_path: Path) -> None:
    touch(tmp_path, "A/1.nii", "B/1.nii", "B/2.nii", "C/1.nii", "D/mask.nii")
    (tmp_path / "E").mkdir()
    finding = find_folder_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A", "C"]
    assert [failure.reason for failure in finding.failures] == [
        f"{tmp_path}/B: no file fits channel image; there is '1.nii', '2.nii'",
        f"{tmp_path}/D: no file fits channel image; there is nothing",
        f"{tmp_path}/E: is empty; a folder of a patient holds its volumes",
    ]


def test_one_file_is_not_two_channels(tmp_path: Path) -> None:
    touch(tmp_path, "A.nii")
    (failure,) = find_folder_cases(tmp_path, parse_channels("flair,t1")).failures
    assert failure.reason.startswith(f"{tmp_path}/A.nii: the file 'A.nii' would be both flair and t1; ")


def test_words_for_masks_count_only_by_themselves(tmp_path: Path) -> None:
    touch(tmp_path, "mask-study_1/mask-study_1.nii.gz", "mask-study_1/mask-study_1-seg.nii.gz")
    touch(tmp_path, "B/unmasked_heroin_segment.nii.gz", "B/B.MASK.nii.gz", "s/s_1.nii", "s/seg.nii")
    finding = find_folder_cases(tmp_path)
    assert found(tmp_path, finding) == {
        "B": ["B/unmasked_heroin_segment.nii.gz", "B/B.MASK.nii.gz", None],
        "mask-study_1": ["mask-study_1/mask-study_1.nii.gz", "mask-study_1/mask-study_1-seg.nii.gz", None],
        "s": ["s/s_1.nii", "s/seg.nii", None],
    }


def test_of_two_masks_of_a_patient_none_is_taken(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.nii", "A/seg.nii", "A/roi.nii", "B/x.nii", "B/brainmask.nii", "B/bet_mask.nii")
    finding = find_folder_cases(tmp_path)
    assert [case.mask_problem for case in finding.cases] == [
        f"{tmp_path}/A: several files may be its mask: 'roi.nii', 'seg.nii'; keep one of them",
    ]
    assert [failure.reason for failure in finding.failures] == [
        f"{tmp_path}/B: several files may be its brain mask: 'bet_mask.nii', 'brainmask.nii'; keep one of them",
    ]


def test_files_beside_folders_of_patients_are_failures(tmp_path: Path) -> None:
    touch(tmp_path, "A/x.nii", "atlas.nii.gz")
    finding = find_folder_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A"]
    reason = f"{tmp_path}/atlas.nii.gz: lies beside the folders of patients; move it into one"
    assert [failure.reason for failure in finding.failures] == [reason]


def test_folders_of_domains_hold_files_or_folders_of_patients(tmp_path: Path) -> None:
    touch(tmp_path, "Tumor/B.nii.gz", "Tumor/B_seg.nii.gz", "abscess/C/x.nii", "abscess/D/x.nii", "docs/readme.txt")
    touch(tmp_path, "Healthy/images/A.nii.gz", "Healthy/masks/A.nii.gz", "masks/B2.nii", "Tumor/B2.nii")
    finding = find_folder_cases(tmp_path)
    assert finding.failures == []
    assert finding.domains == DomainNames(names=("healthy", "abscess", "tumor"), exclusive=True, healthy="healthy")
    assert finding.why == recognize(tmp_path) == "folders of domains: healthy (1), tumor (2), abscess (2)"
    assert {case.patient: case.domains for case in finding.cases} == {
        "A": ("healthy",),
        "B": ("tumor",),
        "B2": ("tumor",),
        "C": ("abscess",),
        "D": ("abscess",),
    }
    assert found(tmp_path, finding)["A"] == ["Healthy/images/A.nii.gz", "Healthy/masks/A.nii.gz", None]
    assert found(tmp_path, finding)["B"] == ["Tumor/B.nii.gz", "Tumor/B_seg.nii.gz", None]
    assert found(tmp_path, finding)["B2"] == ["Tumor/B2.nii", "masks/B2.nii", None]


@pytest.mark.parametrize("healthy", ["healthy", "Normal", "control", "CONTROLS", "negative"])
def test_every_name_of_a_healthy_folder_is_known(tmp_path: Path, healthy: str) -> None:
    touch(tmp_path, f"{healthy}/A.nii", "a/B.nii")
    expected = DomainNames(names=(healthy.lower(), "a"), healthy=healthy.lower())
    assert find_folder_cases(tmp_path).domains == expected


@pytest.mark.parametrize("others", [["ill"] + [f"d{n}" for n in range(9)], []])
def test_eleven_folders_or_one_are_patients_not_domains(tmp_path: Path, others: list[str]) -> None:
    touch(tmp_path, *(f"{name}/x.nii" for name in ("healthy", *others)))
    finding = find_folder_cases(tmp_path)
    assert finding.domains is None
    assert len(finding.cases) == 1 + len(others)


def test_a_patient_in_two_domains_is_a_failure_that_names_both(tmp_path: Path) -> None:
    touch(tmp_path, "healthy/A.nii", "tumor/A.nii", "tumor/B.nii")
    finding = find_folder_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A", "B"]
    (failure,) = finding.failures
    assert failure.reason == f"{tmp_path}/tumor/A.nii: has the same name as “{tmp_path}/healthy/A.nii”; rename one"


def test_a_domain_that_tables_cannot_hold_is_an_error(tmp_path: Path) -> None:
    touch(tmp_path, "healthy/A.nii", "a;b/B.nii")
    with pytest.raises(DataError, match="needs domains with names that have no ';'; got") as caught:
        find_folder_cases(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path}: ")


def test_links_hidden_files_and_our_own_results_are_left_out(tmp_path: Path) -> None:
    root = touch(tmp_path / "root", "A/x.nii", "A/._x.nii", ".B/x.nii", "C/x.nii", "C/.fpgan")
    (root / "A" / "again").symlink_to(root / "A")
    (root / "D").symlink_to(root / "D")
    touch(tmp_path, "elsewhere/x.nii")
    (root / "E").symlink_to(tmp_path / "elsewhere")
    finding = find_folder_cases(root)
    assert [case.patient for case in finding.cases] == ["A", "E"]
    assert finding.failures == []


@pytest.mark.parametrize("name", ["Müller Anna", "two\nlines", "[a]*"])
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    touch(tmp_path, f"flat/{name}.nii.gz", f"flat/{name}_seg.nii.gz", f"deep/{name}/{name}.nii.gz")
    for shape in ("flat", "deep"):
        finding = find_folder_cases(tmp_path / shape)
        assert finding.failures == []
        assert [case.patient for case in finding.cases] == [name]


def test_a_missing_root_a_file_and_a_folder_without_volumes_are_errors(tmp_path: Path) -> None:
    touch(tmp_path, "file", "empty/readme.txt", "hidden/.x.nii", "masks_only/masks/A.nii")
    (tmp_path / "empty" / "below").mkdir()
    expected = "no volume found; expected a folder a patient, or files such as <patient>.nii.gz (also .mha, .nrrd)"
    for name, problem in (
        ("missing", "does not exist; check the path"),
        ("file", "is a file, not a folder"),
        ("empty", expected),
        ("hidden", expected),
        ("masks_only", expected),
    ):
        assert recognize(tmp_path / name) is None
        with pytest.raises(DataError) as caught:
            find_folder_cases(tmp_path / name)
        assert str(caught.value) == f"{tmp_path / name}: {problem}"


def test_domain_folders_are_told_by_a_healthy_one_among_them(tmp_path: Path) -> None:
    touch(tmp_path, "Normal/x", "MS/x", ".hidden/x", "masks/x")
    assert domain_folders(tmp_path) == [("ms", tmp_path / "MS"), ("normal", tmp_path / "Normal")]
    (tmp_path / "Normal").rename(tmp_path / "NC")
    assert domain_folders(tmp_path) == []
    assert domain_folders(tmp_path / "missing") == []


@pytest.mark.parametrize(
    ("values", "names", "healthy"),
    [
        (["b", "a", "HC", "b"], ("HC", "a", "b"), "HC"),
        (["1", "0"], ("0", "1"), "0"),
        (["control", "healthy", "ill"], ("healthy", "control", "ill"), "healthy"),
        (["b", "a"], ("a", "b"), None),
    ],
)
def test_the_healthy_domain_comes_first(values: list[str], names: tuple[str, ...], healthy: str | None) -> None:
    assert domain_names(values) == DomainNames(names=names, exclusive=True, healthy=healthy)


@pytest.mark.parametrize("values", [[], [""], ["a", " "], ["a;b"]])
def test_domains_need_names_that_tables_can_hold(values: list[str]) -> None:
    with pytest.raises(DataError, match="needs domains with names"):
        domain_names(values)
