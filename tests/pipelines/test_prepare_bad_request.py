"""Tables, archives and options that `fpgan prepare` cannot use."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.data_prep.dicom_writing import write_series
from tests.pipelines.spoiled import (
    OPTIONS,
    Sound,
    arrays,
    check_left_out,
    check_refused,
    file_of,
    rename_patient,
    rows,
    tree,
)


def write_table(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


LABELS = ["patient,domain", "A,healthy", "C,tumor", "D,tumor"]
SPLITS = ["patient,split", "A,train", "C,validation", "D,test"]


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,domain", "A,healthy"], "has no column patient; its columns are name, domain"),
        (["patient,slice", "A,0"], "needs a column `domain`, or one column an attribute with 0 or 1"),
        (LABELS[:1], "has no row below its first line"),
        ([""], "is empty; the first line must name columns"),
        ([*LABELS, "A,tumor"], "line 5: A has a row already"),
        ([*LABELS, ",tumor"], "line 5: names no patient"),
        ([*LABELS, "B,tumor,more"], "line 5: has 3 cells for 2 columns"),
        (["patient,edema", "A,1", "C,perhaps"], "line 3: edema must be 0 or 1, got 'perhaps'"),
        (["patient,domain,domain", "A,x,y"], "line 1 names columns twice: domain"),
        (["patient,domain", 'A,"healthy'], "line 2 is not written as CSV"),
        (["patient,domain", "A,a;b"], "needs domains with names that have no ';'"),
    ],
)
def test_labels_with_an_error_start_nothing(
    lines: list[str], words: str, fpgan: Callable[..., Any], sound: Sound, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "labels.csv", *lines)
    result = fpgan("prepare", sound.folder, "--output", tmp_path / "cohort", *OPTIONS, "--labels", table)
    assert check_refused(result, words).startswith(f"{table}: ")
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["patient,fold", "A,train"], "has no column split; its columns are patient, fold"),
        ([*SPLITS, "C,test"], "line 5: C has a row already"),
        ([*SPLITS[:-1], "D,exam"], "line 4: split must be train, validation or test, got 'exam'"),
        (SPLITS[:-2], "has no row for C and 1 more; give every patient a split"),
    ],
)
def test_splits_with_an_error_start_nothing(
    lines: list[str], words: str, fpgan: Callable[..., Any], sound: Sound, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "splits.csv", *lines)
    result = fpgan("prepare", sound.folder, "--output", tmp_path / "cohort", *OPTIONS, "--split-csv", table)
    assert check_refused(result, words).startswith(f"{table}: ")
    assert not (tmp_path / "cohort").exists()


@pytest.mark.parametrize("option", ["--labels", "--split-csv"])
def test_a_table_that_is_no_table(option: str, fpgan: Callable[..., Any], sound: Sound, tmp_path: Path) -> None:
    (tmp_path / "latin.csv").write_bytes("patient,domain,split\nA,größer,train\n".encode("latin-1"))
    (tmp_path / "folder.csv").mkdir()
    for name, words in (
        ("latin.csv", "line 2 is no UTF-8 text; save the table as CSV in UTF-8"),
        ("folder.csv", "is a folder, not a table"),
        ("none.csv", "does not exist; check the path"),
    ):
        result = fpgan("prepare", sound.folder, "--output", tmp_path / "cohort", *OPTIONS, option, tmp_path / name)
        assert check_refused(result, words).startswith(f"{tmp_path / name}: ")
        assert not (tmp_path / "cohort").exists()


def test_a_patient_without_a_label_is_left_out(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "labels.csv", *LABELS)
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS, "--labels", table)
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("B", table, "has no label for B; give it one"))


def rows_of(patients: Iterable[str]) -> list[str]:
    """Rows of a table beside the folder of patients, below the names of its columns."""
    files = [",".join(f"brats/{name}/{name}_{word}.nii.gz" for word in ("flair", "t1ce", "seg")) for name in patients]
    return ["patient,flair,t1ce,mask", *(f"{name},{cells}" for name, cells in zip(patients, files, strict=True))]


@pytest.mark.parametrize(
    ("row", "patient", "words"),
    [
        ("B,brats/B/B_flair.nii.gz,nowhere.nii.gz,", "B", "does not exist; patients.csv names it in line 5 as t1ce"),
        ("B,brats/B/B_flair.nii.gz,,", "B", "has no t1ce; there is 'flair'"),
        (",brats/B/B_flair.nii.gz,brats/B/B_t1ce.nii.gz,", "line 5", "has no patient"),
        ("B,brats/B/B,flair.nii.gz,brats/B/B_t1ce.nii.gz,x", "B", "has 5 cells for 4 columns; a path with a comma"),
        ("A,brats/B/B_flair.nii.gz,brats/B/B_t1ce.nii.gz,", "A", "has the same name as"),
        ("../B,brats/B/B_flair.nii.gz,brats/B/B_t1ce.nii.gz,", "../B", "has the patient '../B'"),
        ("B,brats/B/B_flair.nii.gz,brats/B/B_t1ce.nii.gz,", "B", "has neither a lesion mask nor a label; add one"),
    ],
)
def test_a_bad_row_of_a_table_of_patients_is_left_out(
    row: str, patient: str, words: str, fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    table = write_table(tmp_path / "patients.csv", *rows_of("ACD"), row)
    result = fpgan("prepare", table, "--output", tmp_path / "cohort", *OPTIONS)
    guilty = {
        "does not exist; patients.csv names it in line 5 as t1ce": tmp_path / "nowhere.nii.gz",
        "has neither a lesion mask nor a label; add one": file_of(brats / "B"),
    }.get(words, f"{table}: line 5")
    check_left_out(result, tmp_path / "cohort", sound.arrays, (patient, guilty, words))


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["name,flair", "A,a.nii.gz"], "has no column patient; its columns are name, flair"),
        (["patient,age", "A,61"], "has no column with paths of images; its columns are patient, age"),
        (["patient,flair"], "has no row below its first line"),
    ],
)
def test_a_table_of_patients_with_an_error_starts_nothing(
    lines: list[str], words: str, fpgan: Callable[..., Any], tmp_path: Path
) -> None:
    table = write_table(tmp_path / "patients.csv", *lines)
    assert check_refused(fpgan("prepare", table, "--output", tmp_path / "out"), words).startswith(f"{table}: ")
    assert not (tmp_path / "out").exists()


def test_one_image_in_two_splits_is_refused_and_mending_the_table_loses_nothing(
    fpgan: Callable[..., Any], brats: Path, tmp_path: Path
) -> None:
    shutil.rmtree(brats / "B")
    rename_patient(shutil.copytree(brats / "A", tmp_path / "A"), "B").rename(brats / "B")
    table = write_table(tmp_path / "splits.csv", *SPLITS, "B,test")
    command = ["prepare", brats, "--output", tmp_path / "cohort", *OPTIONS, "--split-csv", table, "--quiet"]
    line = check_refused(fpgan(*command), "A (train) and B (test) hold the same image")
    assert line.endswith("remove one, or give both one split with --split-csv")
    written = {name: (tmp_path / "cohort" / name).stat().st_mtime_ns for name in arrays(tmp_path / "cohort")}
    assert len(written) == 8
    write_table(table, *SPLITS, "B,train")
    result = fpgan(*command, "--resume")
    assert result.exit_code == 0, result.output
    assert written == {name: (tmp_path / "cohort" / name).stat().st_mtime_ns for name in written}
    command[3] = tmp_path / "undisturbed"
    assert fpgan(*command).exit_code == 0
    assert tree(tmp_path / "cohort") == tree(tmp_path / "undisturbed")


@pytest.fixture
def dicom(tmp_path: Path) -> Path:
    """A zip archive of a series of the patient P1, and the folder that it was made of."""
    k, rows_, columns = np.indices((8, 40, 44))
    head = ((k - 3.5) / 4) ** 2 + ((rows_ - 19.5) / 15) ** 2 + ((columns - 21.5) / 18) ** 2 < 1
    pixels = np.where(head, np.random.default_rng(0).integers(300, 500, head.shape), 0).astype(np.uint16)
    files = write_series(tmp_path / "series", pixels)
    (tmp_path / "scans").mkdir()
    with zipfile.ZipFile(tmp_path / "scans" / "good.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.write(file, f"series/{file.name}")
    return tmp_path / "scans"


def lead_out(archive: zipfile.ZipFile, file: Path) -> None:
    archive.write(file, f"../../{file.name}")


def explode(archive: zipfile.ZipFile, file: Path) -> None:
    archive.writestr("IM1", file.read_bytes() + bytes(2**27))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lead_out, "holds '../../IM1', which leads out of the archive; pack it again"),
        (explode, "it will not be unpacked"),
    ],
)
def test_an_archive_that_leads_out_of_itself_or_explodes_is_left_out(
    spoil: Callable[[zipfile.ZipFile, Path], None],
    words: str,
    fpgan: Callable[..., Any],
    dicom: Path,
    tmp_path: Path,
) -> None:
    labels = write_table(tmp_path / "labels.csv", "patient,domain", "P1,healthy")
    options = ["--size", 32, "--field-of-view-mm", "whole", "--labels", labels]
    assert fpgan("prepare", dicom, "--output", tmp_path / "good", *options).exit_code == 0
    with zipfile.ZipFile(dicom / "evil.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        spoil(archive, tmp_path / "series" / "IM1")
    before = {*tmp_path.rglob("*"), *tmp_path.parent.iterdir()}
    result = fpgan("prepare", dicom, "--output", tmp_path / "cohort", *options)
    check_left_out(result, tmp_path / "cohort", arrays(tmp_path / "good"), ("evil", dicom / "evil.zip", words))
    new = {*tmp_path.rglob("*"), *tmp_path.parent.iterdir()} - before
    assert all(path.is_relative_to(tmp_path / "cohort") for path in new)
    assert [row["patient"] for row in rows(tmp_path / "cohort" / "patients.csv")] == ["P1"]


OPTION_ERRORS: list[tuple[list[object], str]] = [
    (["--size", 16], "`size` must be at least 32, got 16"),
    (["--size", 100_000], "`size` must be at most 4096, got 100000"),
    (["--size", "²"], "--size must be a number such as 128, or height and width such as 128x96, got '²'"),
    (["--size", "64x64x64"], "--size must be a number such as 128, or height and width"),
    (["--folds", 2], "Invalid value for '--folds': "),
    (["--fold", 9], "`fold` 9 needs `folds`, how many there are"),
    (["--folds", 3, "--fold", 9], "`fold` must be less than `folds` (3), got 9"),
    (["--folds", 4], "--folds 4 needs as many persons, there are 3; give fewer folds"),
    (["--intensity", "nonsense"], "intensity: Input should be 'percentile', 'median', 'zscore', 'window' or 'none'"),
    (["--intensity", "window"], "--intensity window: takes 2 numbers separated by commas, got ''"),
    (["--intensity", "window:240,-160"], "`intensity_window` must rise, got 240 and -160"),
    (["--intensity", "percentile:0.5"], "--intensity percentile: takes 2 numbers separated by commas, got '0.5'"),
    (["--intensity", "zscore:0"], "zscore_limit: Input should be greater than 0"),
    (["--foreground", "hair"], "foreground: Input should be 'constant', 'zero', 'otsu', 'mask' or 'all'"),
    (["--layout", "nonsense"], "layout must be one of auto, table, decathlon, bids, brats,"),
    (["--axis", "oblique"], "axis: Input should be 'axial', 'coronal' or 'sagittal'"),
    (["--attributes", "x"], "--attributes takes names with mask labels from 1 to 255, as in edema=2,core=1+3, got 'x'"),
    (
        ["--attributes", "x=0"],
        "--attributes takes names with mask labels from 1 to 255, as in edema=2,core=1+3, got 'x=0'",
    ),
    (["--spacing-mm", 0], "`spacing_mm` must be three numbers more than 0"),
    (["--spacing-mm", "1,2"], "--spacing-mm takes 1 or 3 numbers separated by commas, got '1,2'"),
    (["--field-of-view-mm", "nan"], "`field_of_view_mm` must be more than 0, got nan"),
    (["--channels", "flair,ct"], "channel 'ct' is no BraTS modality; known are flair, t1, t1ce, t2"),
    (["--skull-strip", "strip"], "--skull-strip must name {input}"),
    (["--workers", 0], "Invalid value for '--workers': "),
    (["--no-such-option"], "No such option: --no-such-option; see `fpgan prepare --help`"),
    (["--overwrite", "--resume"], "--overwrite and --resume exclude each other"),
]


@pytest.mark.parametrize(("options", "words"), OPTION_ERRORS, ids=lambda value: " ".join(map(str, value))[:40])
def test_an_option_that_makes_no_sense_starts_nothing(
    options: list[object], words: str, fpgan: Callable[..., Any], sound: Sound, tmp_path: Path
) -> None:
    check_refused(fpgan("prepare", sound.folder, "--output", tmp_path / "out", *options), words)
    assert not (tmp_path / "out").exists()


def test_a_foreground_of_masks_that_are_not_there(fpgan: Callable[..., Any], sound: Sound, tmp_path: Path) -> None:
    result = fpgan("prepare", sound.folder, "--output", tmp_path / "cohort", *OPTIONS, "--foreground", "mask")
    words = "has no foreground mask, which this preparation needs; add one, or give --skull-strip"
    failures = [(name, file_of(sound.folder / name), words) for name in "ACD"]
    check_left_out(result, tmp_path / "cohort", {}, *failures)


def test_a_voxel_size_that_no_memory_holds(fpgan: Callable[..., Any], sound: Sound, tmp_path: Path) -> None:
    for size in (1e-3, 1e-300):
        output = tmp_path / str(size)
        result = fpgan("prepare", sound.folder, "--output", output, *OPTIONS, "--spacing-mm", size)
        words = "voxels after resampling; check its voxel size, and --spacing-mm"
        check_left_out(result, output, {}, *((name, file_of(sound.folder / name), words) for name in "ACD"))
