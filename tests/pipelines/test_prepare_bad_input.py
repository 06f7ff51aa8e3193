"""Image files that `fpgan prepare` cannot use: one line names each, and all other patients come through."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest
from isal import igzip

from tests.pipelines.spoiled import (
    AFFINE,
    OPTIONS,
    SHAPE,
    Sound,
    arrays,
    change,
    check_left_out,
    file_of,
    put_number,
    rows,
    run_apart,
    write_patient,
)

DIM_1, PIXDIM_1, QFORM_CODE, SFORM, SFORM_CODE = 42, 80, 252, 280, 254
"""Byte offsets in a NIfTI-1 header."""
RGB = np.dtype([("R", "u1"), ("G", "u1"), ("B", "u1")])


def rewrite(content: bytes) -> Callable[[Path], Path]:
    def spoil(folder: Path) -> Path:
        file_of(folder).write_bytes(content)
        return file_of(folder)

    return spoil


def cut(folder: Path) -> Path:
    path = file_of(folder)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def with_sizes_only(path: Path, size: float) -> Path:
    """A file whose geometry is its voxel sizes, the first of which is `size`."""
    put_number(path, SFORM_CODE, 0, kind="h")
    put_number(path, QFORM_CODE, 1, kind="h")
    return put_number(path, PIXDIM_1, size)


def with_voxel(value: float) -> Callable[[np.ndarray], np.ndarray]:
    def edit(array: np.ndarray) -> np.ndarray:
        result = array.astype(np.float32)
        result[20, 24, 6] = value
        return result

    return edit


def all_scaled(folder: Path, factor: float) -> Path:
    """All files of a patient with voxels of another size, so that their grids agree."""
    for modality in ("flair", "t1ce", "seg"):
        change(file_of(folder, modality), lambda array: array, AFFINE @ np.diag([factor, factor, factor, 1]))
    return file_of(folder)


def moved(mm: float) -> np.ndarray:
    return AFFINE + np.array([[0, 0, 0, mm], [0] * 4, [0] * 4, [0] * 4])


SPOILERS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "half a gzip": (cut, "holds damaged or truncated compressed data"),
    "random bytes": (rewrite(np.random.default_rng(0).bytes(5000)), "is not a NIfTI file"),
    "an empty file": (rewrite(b""), "is an empty file; copy or download it again"),
    "a Git LFS pointer": (
        rewrite(b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"),
        "is a Git LFS pointer, not the image; run `git lfs pull`",
    ),
    "an HTML page": (
        rewrite(b"<!DOCTYPE html>\n<html><body>404</body></html>\n"),
        "is a web page or an XML message, not the image; download it again",
    ),
    "a header that promises two more planes": (
        lambda folder: put_number(file_of(folder), DIM_1, SHAPE[0] + 2, kind="h"),
        # 352 bytes of header, and planes of 48 · 12 voxels of 2 bytes: 42 promised, 40 there
        "its header promises 48736 bytes, it has 46432; copy it again",
    ),
    "zooms of zero": (lambda folder: with_sizes_only(file_of(folder), 0), "has voxel sizes [0.0, 4.0, 6.0] mm"),
    "zooms of NaN": (lambda folder: with_sizes_only(file_of(folder), np.nan), "has voxel sizes [nan, 4.0, 6.0] mm"),
    "voxels of a picometer": (
        lambda folder: all_scaled(folder, 1e-9),
        "has a singular or non-finite affine, or absurd voxel sizes",
    ),
    "voxels of 4 km": (
        lambda folder: all_scaled(folder, 1e6),
        "has a singular or non-finite affine, or absurd voxel sizes",
    ),
    "a singular affine": (
        lambda folder: put_number(file_of(folder), SFORM, 0, 0, 0, 0),
        "has a singular or non-finite affine, or absurd voxel sizes; export it again",
    ),
    "voxels of a micrometer": (lambda folder: all_scaled(folder, 1e-3), "check its voxel size, and the field of view"),
    "a NaN voxel": (lambda folder: change(file_of(folder), with_voxel(np.nan)), "holds NaN or infinite voxels"),
    "an infinite voxel": (lambda folder: change(file_of(folder), with_voxel(-np.inf)), "holds NaN or infinite voxels"),
    "all zeros": (lambda folder: change(file_of(folder, "t1ce"), np.zeros_like), "every voxel is 0; it holds no image"),
    "a plane without a third axis": (
        lambda folder: change(file_of(folder), lambda array: array[:, :, 6]),
        "must hold one three-dimensional image, has shape (40, 48)",
    ),
    "complex numbers": (
        lambda folder: change(file_of(folder), lambda array: array.astype(np.complex64)),
        "must hold one real number a voxel, holds complex64; convert it",
    ),
    "color": (
        lambda folder: change(file_of(folder), lambda array: np.ones(array.shape, RGB)),
        "must hold one real number a voxel, holds RGB; convert it",
    ),
    "two volumes": (
        lambda folder: change(file_of(folder), lambda array: np.stack([array, array], axis=3)),
        "holds 2 images, shape (40, 48, 12, 2); split the file",
    ),
    "a vector a voxel": (
        lambda folder: change(file_of(folder), lambda array: np.stack([array] * 3, axis=3)[:, :, :, None]),
        "must hold one three-dimensional image, has shape (40, 48, 12, 1, 3)",
    ),
    "a mask of another shape": (
        lambda folder: change(file_of(folder, "seg"), lambda array: array[:-1]),
        "the mask has shape (39, 48, 12), but “B_flair.nii.gz” has (40, 48, 12); a mask must lie on its image's grid",
    ),
    "a mask 0.002 mm off": (
        lambda folder: change(file_of(folder, "seg"), lambda array: array, moved(0.002)),
        "the mask has an affine that puts a corner 0.002 mm away from where “B_flair.nii.gz” has it",
    ),
    "a mask of halves": (
        lambda folder: change(file_of(folder, "seg"), lambda array: array * np.float32(0.5)),
        "a mask must hold whole labels from 0 to 255",
    ),
    "modalities on two grids": (
        lambda folder: change(file_of(folder, "t1ce"), lambda array: array[1:]),
        "has shape (39, 48, 12), but “B_flair.nii.gz” has (40, 48, 12); resample it onto the same grid, "
        "or give --resample-to-first",
    ),
}


@pytest.mark.parametrize("name", SPOILERS)
def test_one_bad_patient_is_named_and_the_others_come_through(
    name: str, fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    spoil, words = SPOILERS[name]
    guilty = spoil(brats / "B")
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    check_left_out(result, tmp_path / "cohort", sound.arrays, ("B", guilty, words))
    assert [row["patient"] for row in rows(tmp_path / "cohort" / "patients.csv")] == ["A", "C", "D"]


def test_a_missing_modality_is_named_by_the_folder(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    file_of(brats / "B").unlink()
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    failure = ("B", brats / "B", "no flair file; modalities found: t1ce")
    check_left_out(result, tmp_path / "cohort", sound.arrays, failure)


def test_what_is_odd_but_clear_is_prepared_as_if_it_were_not(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    change(file_of(brats / "A", "seg"), lambda array: array, moved(0.0005))  # within the tolerance of 0.001 mm
    put_number(file_of(brats / "C"), PIXDIM_1, 0)  # its sform says where it lies
    change(file_of(brats / "D"), lambda array: array[..., None])  # a fourth axis of one
    file_of(brats / "B").unlink()
    fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    assert [row["patient"] for row in rows(tmp_path / "cohort" / "failures.csv")] == ["B"]
    assert arrays(tmp_path / "cohort") == sound.arrays


def test_a_volume_of_a_single_slice_is_prepared_like_that_slice_of_a_whole_one(
    fpgan: Callable[..., Any], brats: Path, tmp_path: Path
) -> None:
    # Constants, so that percentiles of one slice are those of the whole.
    for modality in ("flair", "t1ce"):
        change(file_of(brats / "B", modality), lambda array: np.where(array > 0, np.clip(array // 400, 1, 2), 0))
    options = [*OPTIONS, "--field-of-view-mm", "whole"]
    assert fpgan("prepare", brats, "--output", tmp_path / "whole", *options).exit_code == 0
    for modality in ("flair", "t1ce", "seg"):
        change(file_of(brats / "B", modality), lambda array: array[:, :, 5:6])
    result = fpgan("prepare", brats, "--output", tmp_path / "single", *options)
    assert result.exit_code == 0, result.output
    (row,) = [row for row in rows(tmp_path / "single" / "slices.csv") if row["patient"] == "B"]
    assert (row["slice_index"], row["domains"]) == ("0", "diseased")
    whole = np.load(tmp_path / "whole" / "images" / "B.npy")
    (number,) = [
        int(row["row"])
        for row in rows(tmp_path / "whole" / "slices.csv")
        if (row["patient"], row["slice_index"]) == ("B", "5")
    ]
    np.testing.assert_array_equal(np.load(tmp_path / "single" / "images" / "B.npy"), whole[number : number + 1])


def test_a_single_slice_has_no_bias_field(fpgan: Callable[..., Any], brats: Path, tmp_path: Path) -> None:
    for folder in (brats / "A", brats / "B"):
        for modality in ("flair", "t1ce", "seg"):
            change(file_of(folder, modality), lambda array: array[:, :, 5:6])
    result = fpgan("prepare", brats / "B", "--output", tmp_path / "cohort", *OPTIONS, "--bias-correction")
    assert result.exit_code == 1
    (failure,) = rows(tmp_path / "cohort" / "failures.csv")
    words = "is a single slice, which has no bias field; leave out --bias-correction"
    assert failure["reason"] == f"{file_of(brats / 'B')}: {words}"


def test_voxels_that_would_become_too_many_are_refused_before_memory_is_taken(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    options = [*OPTIONS, "--spacing-mm", "4,4,6"]
    assert fpgan("prepare", sound.folder, "--output", tmp_path / "good", *options).exit_code == 0
    all_scaled(brats / "B", 120)  # each voxel would become 120³, and there are 23,040
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *options)
    words = "would be (4800, 5760, 1440) voxels after resampling; check its voxel size, and --spacing-mm"
    kept = arrays(tmp_path / "good")
    check_left_out(result, tmp_path / "cohort", kept, ("B", file_of(brats / "B"), words))


def test_modalities_on_other_grids_are_resampled_where_that_is_asked_for(
    fpgan: Callable[..., Any], brats: Path, sound: Sound, tmp_path: Path
) -> None:
    # The same head and lesion drawn on a finer grid that begins elsewhere and runs the other ways.
    affine = np.array([[3.0, 0, 0, -87], [0, 3, 0, -102], [0, 0, -4, 40], [0, 0, 0, 1]])
    world = np.einsum("ab,b...->a...", affine, np.stack([*np.indices((58, 68, 20)), np.ones((58, 68, 20))]))
    i, j, k, _ = np.einsum("ab,b...->a...", np.linalg.inv(AFFINE), world)
    head = ((i - 19.5) / 16) ** 2 + ((j - 23.5) / 20) ** 2 + ((k - 5.5) / 6) ** 2 < 1
    lesion = (abs(i - 16.5) <= 3) & (abs(j - 22.5) <= 3) & (abs(k - 5) <= 1.5)  # voxels 14 to 19, 20 to 25, 4 to 6
    nib.save(nib.Nifti1Image(np.float32(100 * head + 900 * lesion), affine), file_of(brats / "B", "t1ce"))
    options = [*OPTIONS, "--field-of-view-mm", 192, "--resample-to-first"]
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *options)
    assert result.exit_code == 0, result.output
    images, mask = (np.load(tmp_path / "cohort" / name / "B.npy") for name in ("images", "masks"))
    assert mask.any(axis=(1, 2)).sum() == 3
    bright = images[:, 1] > 0.5
    center, expected = (np.argwhere(array).mean(axis=0) for array in (bright, mask))
    assert np.abs(center - expected).max() < 0.4  # slices and pixels
    assert 0.6 < bright.sum() / (mask > 0).sum() < 1.4
    kept = {name: raw for name, raw in arrays(tmp_path / "cohort").items() if "B.npy" not in name}
    assert kept == sound.arrays


def test_promises_and_bombs_take_no_memory(brats: Path, sound: Sound, tmp_path: Path) -> None:
    sides = (10_000, 10_000, 10_000)
    plain, packed, bomb = (write_patient(brats, name, seed=9) for name in ("E", "F", "G"))
    file_of(plain).with_suffix("").write_bytes(
        gzip.decompress(put_number(file_of(plain), DIM_1, *sides, kind="h").read_bytes())
    )
    file_of(plain).unlink()
    put_number(file_of(packed), DIM_1, *sides, kind="h")
    # All of 2^32 bytes are there, in a file of a few MB: more than the process may take.
    zeros = igzip.compress(bytes(2**24))
    head = gzip.decompress(put_number(file_of(bomb), DIM_1, 1024, 1024, 2048, kind="h").read_bytes())
    file_of(bomb).write_bytes(gzip.compress(head) + 256 * zeros)
    assert file_of(bomb).stat().st_size < 2**25
    # Behind a sound image, a bomb is dropped piece by piece.
    with file_of(brats / "C").open("ab") as file:
        file.write(64 * zeros)
    file_of(brats / "B").unlink()
    result = run_apart("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS, address_space=4 * 10**9)
    promise = "promises 1000000000000 voxels, more than 2147483648; its header is damaged"
    check_left_out(
        result,
        tmp_path / "cohort",
        sound.arrays,
        ("B", brats / "B", "no flair file"),
        ("E", file_of(plain).with_suffix(""), promise),
        ("F", file_of(packed), promise),
        ("G", file_of(bomb), "needs more memory than there is; use a machine with more"),
    )


def test_when_no_patient_can_be_used_the_command_fails(fpgan: Callable[..., Any], brats: Path, tmp_path: Path) -> None:
    for folder in brats.iterdir():
        change(file_of(folder), np.zeros_like)
    result = fpgan("prepare", brats, "--output", tmp_path / "cohort", *OPTIONS)
    failures = [(name, file_of(brats / name), "every voxel is 0") for name in "ABCD"]
    check_left_out(result, tmp_path / "cohort", {}, *failures)
    assert "no patient could be used" in result.output
    assert not (tmp_path / "cohort" / "patients.csv").exists()
