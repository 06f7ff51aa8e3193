"""BraTS folders of all years to cases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from data_prep.case import Source
from data_prep.errors import DataError
from data_prep.layouts.brats import find_brats_cases, recognize
from data_prep.layouts.channels import Channel, parse_channels

BESIDE_THE_CHECKOUT = Path(__file__).parents[3] / "shared" / "data"
REAL = Path(os.environ.get("FPGAN_REAL_DATA", BESIDE_THE_CHECKOUT)) / "brats2013"

CHANNELS = parse_channels("flair,t1")
FOUR = ("flair", "t1", "t1ce", "t2", "seg")


def make_patient(folder: Path, name: str, *modalities: str, separator: str = "_", ending: str = ".nii.gz") -> Path:
    """An empty file for each modality; finding cases opens none."""
    patient = folder / name
    patient.mkdir(parents=True)
    for modality in modalities or FOUR:
        (patient / f"{name}{separator}{modality}{ending}").touch()
    return patient


def make_vsd_patient(patient: Path, *words: str) -> Path:
    """A patient as in 2013 to 2015, each modality in a folder of its own: `MR_T1c`, `OT`."""
    for number, word in enumerate(words):
        start = "VSD.Brain_3more.XX.XX" if word == "OT" else "VSD.Brain.XX.O"
        name = f"{start}.{word}.{54512 + number}"
        (patient / name).mkdir(parents=True)
        (patient / name / f"{name}.mha").touch()
        (patient / name / "license.txt").touch()
    return patient


def nifti(path: Path) -> Source:
    return Source(format="nifti", files=(path,))


def test_a_patient_is_named_for_its_folder_and_its_channels_keep_their_order(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    finding = find_brats_cases(tmp_path, parse_channels("t2,flair"))
    assert finding.layout == "brats"
    assert finding.domains is None
    assert finding.failures == []
    (case,) = finding.cases
    assert (case.patient, case.subject) == ("BraTS20_001", "BraTS20_001")
    assert list(case.images.items()) == [
        ("t2", nifti(patient / "BraTS20_001_t2.nii.gz")),
        ("flair", nifti(patient / "BraTS20_001_flair.nii.gz")),
    ]
    assert case.mask == nifti(patient / "BraTS20_001_seg.nii.gz")
    assert case.foreground is None


def test_without_channels_it_is_flair(tmp_path: Path) -> None:
    make_patient(tmp_path, "A")
    assert list(find_brats_cases(tmp_path).cases[0].images) == ["flair"]


@pytest.mark.parametrize(
    ("modality", "word"),
    [(m, w) for m, ws in {"flair": "flair t2f FLAIR", "t1": "t1 T1N", "t1ce": "t1ce t1c t1Gd", "t2": "t2 t2w"}.items()
     for w in ws.split()],
)  # fmt: skip
@pytest.mark.parametrize("separator", ["_", "-", "."])
def test_every_word_for_a_modality_is_known_after_every_separator(
    tmp_path: Path, modality: str, word: str, separator: str
) -> None:
    patient = make_patient(tmp_path, "Pat-1.x_2", word, separator=separator)
    (case,) = find_brats_cases(tmp_path, (Channel(name=modality),)).cases
    assert case.images == {modality: nifti(patient / f"Pat-1.x_2{separator}{word}.nii.gz")}


@pytest.mark.parametrize("word", ["seg", "segm", "OT", "GlistrBoost_ManuallyCorrected"])
def test_every_word_for_the_mask_is_known(tmp_path: Path, word: str) -> None:
    patient = make_patient(tmp_path, "A", "flair", word)
    assert find_brats_cases(tmp_path).cases[0].mask == nifti(patient / f"A_{word}.nii.gz")


@pytest.mark.parametrize("word", ["brainmask", "brain_mask", "mask_brain"])
def test_a_brain_mask_is_the_foreground_and_not_the_mask(tmp_path: Path, word: str) -> None:
    patient = make_patient(tmp_path, "A", "flair", word)
    case = find_brats_cases(tmp_path).cases[0]
    assert case.foreground == nifti(patient / f"A_{word}.nii.gz")
    assert case.mask is None


@pytest.mark.parametrize("asked", ["t1c", "t1gd", "t1ce"])
def test_a_channel_asked_by_any_word_gets_the_one_name(tmp_path: Path, asked: str) -> None:
    make_patient(tmp_path, "A", "flair", "t1", "t1ce")
    make_patient(tmp_path, "BraTS-GLI-00005-001", "t2f", "t1n", "t1c", separator="-")
    finding = find_brats_cases(tmp_path, (Channel(name=asked),))
    assert [list(case.images) for case in finding.cases] == [["t1ce"], ["t1ce"]]


def test_one_modality_asked_by_two_words_is_an_error(tmp_path: Path) -> None:
    make_patient(tmp_path, "A")
    with pytest.raises(DataError, match="channels name one modality twice: t1c, t1ce"):
        find_brats_cases(tmp_path, parse_channels("t1c,t1ce"))


def test_folders_of_one_modality_each_are_one_patient(tmp_path: Path) -> None:
    patient = make_vsd_patient(tmp_path / "HGG" / "brats_2013_pat0001_1", "MR_Flair", "MR_T1", "MR_T1c", "MR_T2", "OT")
    make_vsd_patient(tmp_path / "LGG" / "brats_2013_pat0002_1", "MR_Flair", "MR_T1c")
    finding = find_brats_cases(tmp_path, parse_channels("flair,t1ce"))
    assert finding.failures == []
    assert [case.patient for case in finding.cases] == ["brats_2013_pat0001_1", "brats_2013_pat0002_1"]
    case = finding.cases[0]
    flair, t1c, mask = "VSD.Brain.XX.O.MR_Flair.54512", "VSD.Brain.XX.O.MR_T1c.54514", "VSD.Brain_3more.XX.XX.OT.54516"
    assert case.images["flair"] == Source(format="itk", files=(patient / flair / f"{flair}.mha",))
    assert case.images["t1ce"] == Source(format="itk", files=(patient / t1c / f"{t1c}.mha",))
    assert case.mask == Source(format="itk", files=(patient / mask / f"{mask}.mha",))
    assert finding.cases[1].mask is None


def test_a_patient_of_such_folders_is_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = make_vsd_patient(tmp_path / "pat0001", "MR_Flair", "OT")
    assert [case.patient for case in find_brats_cases(patient).cases] == ["pat0001"]
    monkeypatch.chdir(patient)
    assert [case.patient for case in find_brats_cases(Path()).cases] == ["pat0001"]


def test_a_folder_of_an_unknown_modality_is_part_of_its_patient(tmp_path: Path) -> None:
    patient = make_vsd_patient(tmp_path / "pat0001", "MR_Flair", "MR_ADC")
    finding = find_brats_cases(tmp_path, parse_channels("flair,adc=*ADC*"))
    assert finding.failures == []
    name = "VSD.Brain.XX.O.MR_ADC.54513"
    assert finding.cases[0].images["adc"].files == (patient / name / f"{name}.mha",)


def test_folders_named_like_the_files_in_them_are_one_patient(tmp_path: Path) -> None:
    for modality in ("flair", "seg"):
        folder = tmp_path / "BraTS20_001" / f"BraTS20_001_{modality}.nii"
        folder.mkdir(parents=True)
        (folder / f"BraTS20_001_{modality}.nii").touch()
    (case,) = find_brats_cases(tmp_path).cases
    assert case.patient == "BraTS20_001"
    assert case.mask is not None


def test_a_header_comes_with_its_data(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A", "flair", ending=".hdr")
    (patient / "A_flair.img").touch()
    (case,) = find_brats_cases(tmp_path).cases
    assert case.images["flair"] == Source(format="nifti", files=(patient / "A_flair.hdr", patient / "A_flair.img"))


def test_a_header_without_its_data_is_a_failure(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A", "flair", ending=".hdr")
    (failure,) = find_brats_cases(tmp_path).failures
    expected = f"{patient / 'A_flair.hdr'}: is a header without its data; A_flair.img must lie beside it"
    assert failure.reason == expected


@pytest.mark.parametrize(
    ("ending", "format"), [(".nii", "nifti"), (".NII.GZ", "nifti"), (".mha", "itk"), (".nrrd", "itk")]
)
def test_the_ending_says_the_format(tmp_path: Path, ending: str, format: str) -> None:
    make_patient(tmp_path, "A", ending=ending)
    assert find_brats_cases(tmp_path).cases[0].images["flair"].format == format


def test_time_points_of_2023_belong_to_one_person(tmp_path: Path) -> None:
    for name in ("BraTS-GLI-00005-001", "BraTS-GLI-00005-000", "BraTS-MEN-00005-000", "Mine-00005-001"):
        make_patient(tmp_path, name, "t2f", separator="-")
    assert [(case.patient, case.subject) for case in find_brats_cases(tmp_path).cases] == [
        ("BraTS-GLI-00005-000", "BraTS-GLI-00005"),
        ("BraTS-GLI-00005-001", "BraTS-GLI-00005"),
        ("BraTS-MEN-00005-000", "BraTS-MEN-00005"),
        ("Mine-00005-001", "Mine-00005-001"),
    ]


def test_a_pattern_is_matched_with_all_images_of_a_patient(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A", "flair", "adc", "adc_seg")
    (case,) = find_brats_cases(tmp_path, parse_channels("flair,adc=*adc*")).cases
    assert case.images["adc"] == nifti(patient / "A_adc.nii.gz")  # and not the mask
    (failure,) = find_brats_cases(tmp_path, parse_channels("dwi=*dwi*")).failures
    assert failure.reason.startswith(f"{patient}: no file fits channel dwi=*dwi*; there is 'A_adc.nii.gz'")


def test_one_file_is_not_two_channels(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A", "flair")
    (failure,) = find_brats_cases(tmp_path, parse_channels("flair,other=*flair*")).failures
    assert failure.reason.startswith(f"{patient}: one file would be two of ")


def test_grade_folders_are_searched_and_patients_sorted_by_name(tmp_path: Path) -> None:
    make_patient(tmp_path / "HGG", "Brats18_B")
    make_patient(tmp_path / "HGG", "Brats18_D")
    make_patient(tmp_path / "LGG", "Brats18_A")
    make_patient(tmp_path / "LGG" / "more", "Brats18_C")
    finding = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in finding.cases] == ["Brats18_A", "Brats18_B", "Brats18_C", "Brats18_D"]
    assert finding.failures == []


def test_missing_modalities_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    one = make_patient(tmp_path, "A", "t1", "t2", "seg")
    both = make_patient(tmp_path, "B", "seg")
    make_patient(tmp_path, "C")
    finding = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in finding.cases] == ["C"]
    assert [failure.patient for failure in finding.failures] == ["A", "B"]
    assert finding.failures[0].reason == f"{one}: no flair file; modalities found: t1, t2"
    assert finding.failures[1].reason == f"{both}: no flair and no t1 file; there is 'B_seg.nii.gz'"


def test_a_folder_that_was_meant_to_be_a_patient_is_a_failure(tmp_path: Path) -> None:
    make_patient(tmp_path, "A")
    (tmp_path / "B").mkdir()
    (tmp_path / "C").mkdir()
    (tmp_path / "C" / "brain.nii.gz").touch()
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "readme.txt").touch()
    finding = find_brats_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A"]
    assert [failure.reason for failure in finding.failures] == [
        f"{tmp_path / 'B'}: no flair file; there is nothing",
        f"{tmp_path / 'C'}: no flair file; there is 'brain.nii.gz'",
    ]


def test_our_own_results_are_no_patients(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A")
    for results in (patient / "reports", tmp_path / "results" / "reports"):
        results.mkdir(parents=True)
        (results / ".fpgan").touch()
        (results / "A_flair.nii.gz").touch()
    finding = find_brats_cases(tmp_path)
    assert [case.patient for case in finding.cases] == ["A"]
    assert finding.failures == []


def test_two_patients_of_one_name_are_a_failure_that_names_both(tmp_path: Path) -> None:
    first = make_patient(tmp_path / "HGG", "Brats18_A")
    second = make_patient(tmp_path / "LGG", "Brats18_A")
    finding = find_brats_cases(tmp_path, CHANNELS)
    assert [case.images["flair"].files[0].parent for case in finding.cases] == [first]
    (failure,) = finding.failures
    assert failure.patient == "Brats18_A"
    assert failure.reason == f"{second}: has the same name as “{first}”; rename one"


def test_of_two_masks_none_is_taken_and_the_case_says_why(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "A", "flair")
    (patient / "A_seg.nii").touch()
    (patient / "A_seg.nii.gz").touch()
    (case,) = find_brats_cases(tmp_path).cases
    assert case.mask is None
    assert case.mask_problem == f"{patient}: several files are its seg: 'A_seg.nii', 'A_seg.nii.gz'; keep one"


@pytest.mark.parametrize("double", ["flair", "brainmask"])
def test_one_kind_in_two_files_is_a_failure_that_names_both(tmp_path: Path, double: str) -> None:
    patient = make_patient(tmp_path, "A", "flair", double)
    (patient / f"A_{double}.nii").touch()
    (patient / f"A_{double}.nii.gz").touch()
    finding = find_brats_cases(tmp_path)
    assert finding.cases == []
    names = f"'A_{double}.nii', 'A_{double}.nii.gz'"
    assert finding.failures[0].reason == f"{patient}: several files are its {double}: {names}; keep one"


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    (patient / "._BraTS20_001_flair.nii.gz").touch()
    make_patient(tmp_path / ".trash", "BraTS20_002")
    finding = find_brats_cases(tmp_path, CHANNELS)
    assert [case.patient for case in finding.cases] == ["BraTS20_001"]
    assert finding.failures == []


def test_files_of_other_kinds_are_ignored(tmp_path: Path) -> None:
    patient = make_patient(tmp_path, "BraTS20_001")
    for name in ("BraTS20_001_flair.json", "BraTS20_001_adc.nii.gz", "flair.nii.gz", "xflair.nii.gz", "notes.txt"):
        (patient / name).touch()
    (tmp_path / "name_mapping.csv").touch()
    finding = find_brats_cases(tmp_path, CHANNELS)
    assert len(finding.cases) == 1
    assert finding.failures == []


def test_links_are_followed_once_and_keep_their_name(tmp_path: Path) -> None:
    make_patient(tmp_path / "archive", "0001", "flair")
    root = tmp_path / "root"
    root.mkdir()
    (root / "Anna").symlink_to(tmp_path / "archive" / "0001")
    (root / "again").symlink_to(root)
    (root / "nowhere").symlink_to(root / "nowhere")
    finding = find_brats_cases(root)
    assert [case.patient for case in finding.cases] == ["Anna"]
    assert finding.failures == []


@pytest.mark.parametrize("name", ["Müller Anna", "two\nlines", "100% [x]*?", "-x"])
def test_any_name_is_a_name(tmp_path: Path, name: str) -> None:
    make_patient(tmp_path, name, "flair")
    make_patient(tmp_path / "more", name)
    finding = find_brats_cases(tmp_path)
    assert [case.patient for case in finding.cases] == [name]
    assert "\n" not in finding.failures[0].reason
    assert "\n" not in finding.why


def test_a_name_that_is_no_text_is_a_failure(tmp_path: Path) -> None:
    try:
        make_patient(tmp_path, "M\udcfcller", "flair")
    except OSError:
        pytest.skip("this file system takes names of valid text only")
    (failure,) = find_brats_cases(tmp_path).failures
    assert failure.patient == "M\\udcfcller"
    assert failure.reason.endswith("has a name that is no valid UTF-8 text; rename it")


def test_the_folder_of_one_patient_is_a_root_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    patient = make_patient(tmp_path, "BraTS20_001", "t1")
    make_patient(patient, "below", "flair")
    monkeypatch.chdir(patient)
    for root in (patient, Path(), Path("below/..")):
        finding = find_brats_cases(root, parse_channels("t1"))
        assert [case.patient for case in finding.cases] == ["BraTS20_001"]
        assert [failure.patient for failure in finding.failures] == ["below"]
    assert find_brats_cases(Path()).failures[0].patient == "BraTS20_001"


def test_an_unknown_channel_is_an_error_that_lists_the_known(tmp_path: Path) -> None:
    make_patient(tmp_path, "BraTS20_001")
    with pytest.raises(DataError, match="'adc' is no BraTS modality; known are flair, t1, t1ce, t2; others need a pat"):
        find_brats_cases(tmp_path, parse_channels("flair,adc"))


def test_a_folder_without_patients_is_an_error_that_says_what_to_expect(tmp_path: Path) -> None:
    (tmp_path / "readme.txt").touch()
    with pytest.raises(DataError) as caught:
        find_brats_cases(tmp_path, CHANNELS)
    assert str(caught.value) == f"{tmp_path}: no patient folder found; expected files such as <id>/<id>_flair.nii.gz"


def test_a_missing_folder_and_a_file_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name, problem in (("missing", "does not exist; check the path"), ("file", "is a file, not a folder")):
        with pytest.raises(DataError) as caught:
            find_brats_cases(tmp_path / name, CHANNELS)
        assert str(caught.value) == f"{tmp_path / name}: {problem}"
        assert recognize(tmp_path / name) is None


def test_it_is_recognized_by_files_named_for_their_folder_or_several_kinds(tmp_path: Path) -> None:
    assert recognize(tmp_path) is None
    make_patient(tmp_path / "HGG", "A", "flair")
    assert recognize(tmp_path) == "1 folder holds files named as in BraTS, such as A_flair.nii.gz"
    make_vsd_patient(tmp_path / "pat0001", "MR_Flair", "OT")
    assert recognize(tmp_path) == "2 folders hold files named as in BraTS, such as A_flair.nii.gz"
    assert find_brats_cases(tmp_path).why == recognize(tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ["IXI002-Guys-0828-T1.nii.gz", "IXI012-HH-1211-T1.nii.gz"],
        ["folder/IXI002-T1.nii.gz", "folder/IXI002-T2.nii.gz", "folder/IXI012-T1.nii.gz"],
        ["A/A_t1.nii.gz", "A/A_lesion_mask.nii.gz"],
        ["A/flair.nii.gz", "A/t1.nii.gz"],
    ],
)
def test_other_collections_are_not_mistaken_for_it(tmp_path: Path, names: list[str]) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert recognize(tmp_path) is None


@pytest.mark.real
@pytest.mark.skipif(not REAL.is_dir(), reason=f"no real patients at {REAL}; set FPGAN_REAL_DATA to their folder")
def test_real_patients_have_all_their_files() -> None:
    finding = find_brats_cases(REAL, parse_channels("flair,t1c"))
    assert finding.failures == []
    assert [case.patient for case in finding.cases] == [f"BraTS13_pat000{n}" for n in (1, 2, 4, 5)]
    for case in finding.cases:
        names = [source.files[0].name.removeprefix(f"{case.patient}_") for source in case.sources]
        assert names == ["flair.nii.gz", "t1ce.nii.gz", "seg.nii.gz", "brainmask.nii.gz"]
