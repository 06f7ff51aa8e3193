"""What training patients looked like, and in what a new one is unlike them; small arrays, worked by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from anomaly_fpgan.model import FixedPointGAN
from data_prep.cohort import Cohort, open_cohort
from data_prep.errors import DataError
from data_prep.preparation import Preparation, prepare_slices
from data_prep.readers.nifti import read_nifti
from data_prep.volume import SourceGrid, Volume
from pipelines.input_range import (
    ChannelRange,
    InputRange,
    check_inputs,
    describe_inputs,
    evenly_spaced,
    inputs_of,
    unusual_inputs,
)

SHAPE = (40, 48, 10)
CROP = Preparation(channels=("flair",), size=(48, 48), field_of_view_mm="crop")
LIKE_BOX = InputRange(
    spacing_mm_ras=((1, 1), (1, 1), (4, 5)),
    shape_ras=((40, 40), (48, 50), (10, 10)),
    low_end_share=(0, 0),
    high_end_share=(0, 0),
    background_share=(0.9, 1),
    channels={"flair": ChannelRange(scale_low=(0, 3), scale_high=(90, 110), mean=(0.4, 0.5), clipped_share=(0, 0.02))},
)


def box(
    *,
    spacing_mm: tuple[float, float, float] = (1, 1, 4),
    used: slice = slice(1, -1),
    values: tuple[int, int] = (1, 100),
) -> Volume:
    """A patient of 20 × 24 pixels in the `used` slices, its values from the first to the second along one axis."""
    array = np.zeros((1, *SHAPE), np.float32)
    array[0, 10:30, 12:36, used] = np.linspace(*values, 20)[:, None, None]
    source = SourceGrid(path=Path("box.nii.gz"), sha256="", shape=SHAPE, affine=np.diag([*spacing_mm, 1.0]))
    return Volume.from_file_order(array, source)


def sentences(volume: Volume, preparation: Preparation = CROP, inputs: InputRange | None = LIKE_BOX) -> list[str]:
    return unusual_inputs(volume, prepare_slices(volume, preparation), preparation, inputs)


# What training patients looked like


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, fpgan: Callable[..., Any], write_patient: Any) -> Cohort:
    """Four patients, the first of them not for training; t1ce is flair squared."""
    root = tmp_path_factory.mktemp("inputs")
    for seed in range(4):
        folder = write_patient(root / "brats", f"P{seed}", seed=seed)
        flair = nib.Nifti1Image.from_filename(folder / f"P{seed}_flair.nii.gz")
        squared = (np.asarray(flair.dataobj, float) ** 2 / 100).astype(np.int16)
        nib.Nifti1Image(squared, flair.affine).to_filename(folder / f"P{seed}_t1ce.nii.gz")
    (root / "splits.csv").write_text("patient,split\nP0,test\nP1,train\nP2,train\nP3,train")
    options = ("--channels", "flair,t1ce", "--size", 32, "--field-of-view-mm", 110, "--split-csv", root / "splits.csv")
    result = fpgan("prepare", root / "brats", "--output", root / "cohort", *options)
    assert result.exit_code == 0, result.output
    return open_cohort(root / "cohort")


def test_a_trained_model_knows_its_training_patients(tiny: Any) -> None:
    inputs = inputs_of(FixedPointGAN.load(tiny.run).metadata)
    assert inputs == describe_inputs(open_cohort(tiny.cohort))


def test_ranges_are_those_of_the_training_patients(cohort: Cohort) -> None:
    inputs = describe_inputs(cohort)
    names = cohort.patients["patient"][cohort.patients["split"] == "train"].tolist()
    assert names == ["P1", "P2", "P3"]
    # The files of all patients: see ROTATED_ANISOTROPIC.
    assert inputs.spacing_mm_ras == ((0.8, 0.8), (1.5, 1.5), (4, 4))
    assert inputs.shape_ras == ((60, 60), (72, 72), (12, 12))
    assert list(inputs.channels) == ["flair", "t1ce"]
    assert inputs.channels["flair"].mean[0] > inputs.channels["t1ce"].mean[1]
    for number, channel in enumerate(inputs.channels.values()):
        means = []
        for name in names:
            images = cohort.images(name)[:, number].astype(float)  # of at most 12 slices, all are looked at
            means.append(images[images > 0].mean())
        assert channel.mean == pytest.approx((min(means), max(means)), rel=1e-5)
        scales = [
            json.loads(text)[number] for text in cohort.patients["scales"][cohort.patients["patient"].isin(names)]
        ]
        for end, found in (("low", channel.scale_low), ("high", channel.scale_high)):
            assert found == (min(scale[end] for scale in scales), max(scale[end] for scale in scales))


def test_only_patients_with_training_slices_count(cohort: Cohort) -> None:
    first, second, *others = sorted(cohort.split("train")["patient"].unique())
    slices = cohort.slices.assign(domains=cohort.slices["domains"].where(~cohort.slices["patient"].isin(others), ""))
    whole, two = describe_inputs(cohort), describe_inputs(replace(cohort, slices=slices))
    assert whole != two
    kept = cohort.patients["patient"].isin([first, second])
    assert two == describe_inputs(
        replace(
            cohort, patients=cohort.patients[kept], slices=cohort.slices[cohort.slices["patient"].isin([first, second])]
        )
    )


@pytest.mark.parametrize("codes", ["RAS", "LPS", "SLA", "ARI"])
def test_spacing_and_shape_follow_anatomy_however_a_file_is_stored(cohort: Cohort, tmp_path: Path, codes: str) -> None:
    turned = np.array([[0.8, -0.2, 0, 3], [0.2, 1.2, 0.3, -5], [0, -0.3, 4, 7], [0, 0, 0, 1]])
    turn = nib.orientations.ornt_transform(nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(codes))
    nib.Nifti1Image(np.zeros((5, 6, 7), np.int16), turned).as_reoriented(turn).to_filename(tmp_path / "file.nii.gz")
    volume = read_nifti(tmp_path / "file.nii.gz")
    source = volume.source
    patients = cohort.patients.assign(source_affine=str(source.affine.tolist()), source_shape=str(list(source.shape)))
    inputs = describe_inputs(replace(cohort, patients=patients))
    assert inputs.shape_ras == ((5, 5), (6, 6), (7, 7))
    expected = [(spacing, spacing) for spacing in volume.spacing_mm]
    assert inputs.spacing_mm_ras == tuple(pytest.approx(spacing, rel=1e-5) for spacing in expected)


def test_ends_are_measured_against_the_largest_slice(cohort: Cohort) -> None:
    name = cohort.split("train")["patient"].iloc[0]
    rows = pd.DataFrame(
        {
            "patient": name,
            "split": "train",
            "domains": "healthy",
            "slice_index": [0, 1, 2],
            "foreground_share": [0.2, 0.8, 0.4],
        }
    )
    patients = cohort.patients[cohort.patients["patient"] == name].assign(slices=3, blank_slices=1)
    inputs = describe_inputs(replace(cohort, slices=rows, patients=patients))
    assert inputs.low_end_share == (0.25, 0.25)
    assert inputs.high_end_share == (0, 0)  # slice 3, the last, is nearly blank
    inputs = describe_inputs(replace(cohort, slices=rows, patients=patients.assign(blank_slices=0)))
    assert inputs.high_end_share == (0.5, 0.5)


def test_thousands_of_patients_are_looked_at_in_part(cohort: Cohort, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    images = Cohort.images
    monkeypatch.setattr(Cohort, "images", lambda self, name: opened.append(name) or images(self, name))
    monkeypatch.setattr("pipelines.input_range._PATIENTS_LOOKED_AT", 2)
    describe_inputs(cohort)
    names = sorted(cohort.split("train")["patient"].unique())
    assert opened == [names[0], names[-1]]


def test_an_older_model_knows_nothing() -> None:
    assert inputs_of({"preparation": {}}) is None


def test_ranges_survive_being_written() -> None:
    assert inputs_of({"inputs": LIKE_BOX.model_dump(mode="json")}) == LIKE_BOX


@pytest.mark.parametrize(
    ("count", "at_most", "expected"), [(0, 3, []), (1, 3, [0]), (3, 3, [0, 1, 2]), (5, 3, [0, 2, 4]), (10, 2, [0, 9])]
)
def test_evenly_spaced_indices_include_both_ends(count: int, at_most: int, expected: list[int]) -> None:
    assert evenly_spaced(count, at_most=at_most).tolist() == expected


# A new patient


def test_a_usual_patient_gives_no_sentence() -> None:
    assert sentences(box()) == []
    assert sentences(box(), inputs=None) == []


def test_voxels_outside_the_field_of_view_are_counted() -> None:
    preparation = CROP.model_copy(update={"size": (32, 32)})
    wide = box()
    wide.channels[0][2:10, 12:36, 1:-1] = wide.channels[0][30:38, 12:36, 1:-1] = 5  # 36 pixels wide, 4 outside of 32
    expected = "768 of 6912 voxels of the patient lie outside the field of view the model looks at (32 × 32 voxels)."
    assert sentences(wide, preparation, inputs=None) == [expected]  # 4 · 24 · 8 of 36 · 24 · 8


def test_a_field_of_view_in_mm_says_so() -> None:
    (sentence,) = sentences(box(), CROP.model_copy(update={"field_of_view_mm": 20.0}), inputs=None)
    assert sentence == "640 of 3840 voxels of the patient lie outside the field of view the model looks at (20 mm)."


@pytest.mark.parametrize(
    ("axis", "used", "end"),
    [
        ("axial", slice(0, -1), "lowest"),
        ("axial", slice(1, None), "highest"),
        ("coronal", slice(0, -1), "rearmost"),
        ("coronal", slice(1, None), "foremost"),
        ("sagittal", slice(0, -1), "leftmost"),
        ("sagittal", slice(1, None), "rightmost"),
    ],
)
def test_a_scan_that_ends_inside_the_patient_is_told(axis: Any, used: slice, end: str) -> None:
    array = np.zeros((1, 40, 40, 40), np.float32)
    inside = [slice(5, 35)] * 3
    inside[{"sagittal": 0, "coronal": 1, "axial": 2}[axis]] = used
    array[0][tuple(inside)] = np.linspace(1, 100, 30 * 30 * 39).reshape(array[0][tuple(inside)].shape)
    source = SourceGrid(path=Path("cube.nii.gz"), sha256="", shape=(40, 40, 40), affine=np.eye(4))
    inputs = LIKE_BOX.model_copy(update={"spacing_mm_ras": ((1, 1),) * 3})
    told = sentences(Volume.from_file_order(array, source), CROP.model_copy(update={"axis": axis}), inputs)
    assert told == [
        f"The scan ends inside the patient: its {end} slice still shows 100% of the area of its largest slice; in "
        "training scans it was at most 0%."
    ]


@pytest.mark.parametrize(("largest", "is_told"), [(0.81, False), (0.79, True)])
def test_scans_may_end_a_little_more_inside_than_those_of_training(largest: float, is_told: bool) -> None:
    inputs = LIKE_BOX.model_copy(update={"low_end_share": (0, largest)})
    assert bool(sentences(box(used=slice(0, -1)), inputs=inputs)) is is_told  # the end shows 1, the margin is 0.2


@pytest.mark.parametrize(
    ("spacing_mm", "expected"),
    [
        ((1.5, 1, 4), []),
        ((1, 1 / 1.5, 7.5), []),
        ((1.6, 1, 4), ["Voxels are 1.6 mm apart from left to right; those of training scans were 1 mm apart; small"]),
        ((1, 0.6, 4), ["Voxels are 0.6 mm apart from posterior to anterior; those of training scans were 1 mm apart."]),
        ((1, 1, 8), ["Voxels are 8 mm apart from inferior to superior; those of training scans were 4 to 5 mm apart;"]),
        ((1, 1, 2.5), ["Voxels are 2.5 mm apart from inferior to superior; those of training scans were 4 to 5 mm"]),
    ],
)
def test_spacing_more_than_half_as_large_again_is_told(
    spacing_mm: tuple[float, float, float], expected: list[str]
) -> None:
    told = sentences(box(spacing_mm=spacing_mm))
    assert len(told) == len(expected)
    assert all(sentence.startswith(start) for sentence, start in zip(told, expected, strict=True))


@pytest.mark.parametrize(("spacing", "is_told"), [(6.0, False), (6.5, True)])
def test_coarse_slices_are_told_where_nothing_is_known_of_training(spacing: float, is_told: bool) -> None:
    expected = [f"Slices or voxels are {spacing:.1f} mm apart; small lesions may be missed."] if is_told else []
    assert sentences(box(spacing_mm=(1, 1, spacing)), inputs=None) == expected


@pytest.mark.parametrize(
    ("mean", "is_told"), [((0.61, 0.7), True), ((0.59, 0.7), False), ((0.3, 0.41), False), ((0.3, 0.39), True)]
)
def test_a_mean_intensity_outside_that_of_training_is_told(mean: tuple[float, float], is_told: bool) -> None:
    channel = LIKE_BOX.channels["flair"].model_copy(update={"mean": mean})
    told = sentences(box(), inputs=LIKE_BOX.model_copy(update={"channels": {"flair": channel}}))  # its own is 0.5
    expected = (
        f"flair has a mean intensity of 0.50, where 0 and 1 are 1 and 100 in the file; training scans had {mean[0]:g} "
        f"to {mean[1]:g}, where 0 and 1 were 0 to 3 and 90 to 110. Is it the right kind of image?"
    )
    assert told == ([expected] if is_told else [])


@pytest.mark.parametrize("factor", [1e-3, 1e4])
def test_arbitrary_units_are_not_told(factor: float) -> None:
    scan = box()
    assert sentences(replace(scan, channels=(scan.channels[0] * np.float32(factor),))) == []


@pytest.mark.parametrize(("rows", "share"), [(3, None), (4, 20)])
def test_values_outside_a_window_are_told(rows: int, share: int | None) -> None:
    preparation = CROP.model_copy(update={"intensity": "window", "intensity_window": (0.0, 100.0)})
    scan = box(values=(50, 50))
    scan.channels[0][10 : 10 + rows, 12:36, 1:-1] = 300  # of 20 rows; 15% is less than 0.1 above what was usual
    usual = LIKE_BOX.channels["flair"].model_copy(update={"mean": (0.5, 0.6), "clipped_share": (0, 0.06)})
    told = sentences(scan, preparation, LIKE_BOX.model_copy(update={"channels": {"flair": usual}}))
    expected = (
        f"{share}% of flair lies outside the intensities from 0 to 100 that the model distinguishes; in training scans "
        "it was at most 6%."
    )
    assert told == ([expected] if share else [])


@pytest.mark.parametrize(
    ("usual", "expected"),
    [(None, "faces. Where"), (0.9, "faces; in training scans it was 90% or more. Where"), (0.001, "")],
)
def test_noise_around_the_patient_is_told(usual: float | None, expected: str) -> None:
    noise = np.random.default_rng(0).integers(1, 1000, (1, *SHAPE)).astype(np.float32)
    noise[0, 10:30, 12:36, 1:-1] += 1000
    source = SourceGrid(path=Path("noise.nii.gz"), sha256="", shape=SHAPE, affine=np.diag([1, 1, 4, 1.0]))
    inputs = LIKE_BOX.model_copy(update={"background_share": (usual, 1)}) if usual else None
    told = [s for s in sentences(Volume.from_file_order(noise, source), inputs=inputs) if s.startswith("Nothing")]
    assert len(told) == bool(expected)
    assert all(f"fills 0% of the scan's {expected} the background is noise" in sentence for sentence in told)


# Refusals


@pytest.mark.parametrize("spacing_mm", [(4, 1, 4), (1, 0.25, 4), (1, 1, 30), (1, 1, 0.5)])
def test_spacing_up_to_four_times_and_any_distance_of_slices_is_accepted(spacing_mm: Any) -> None:
    check_inputs(box(spacing_mm=spacing_mm), CROP, LIKE_BOX)


def test_impossible_pixels_are_refused() -> None:
    with pytest.raises(DataError) as caught:
        check_inputs(box(spacing_mm=(1, 4.1, 4)), CROP, LIKE_BOX)
    assert str(caught.value) == (
        "box.nii.gz: its voxels are 4.1 mm apart from posterior to anterior; the model was trained on scans of "
        "40 × 48 to 50 × 10 voxels, 1 × 1 × 4 to 5 mm apart along right, anterior, superior; check the voxel size, or "
        "give a scan like these"
    )
    with pytest.raises(DataError, match=r"0\.2 mm apart from left to right"):
        check_inputs(box(spacing_mm=(0.2, 1, 4)), CROP, LIKE_BOX)


def test_the_slice_axis_is_that_of_the_model() -> None:
    coarse = box(spacing_mm=(1, 1, 30))
    check_inputs(coarse, CROP, LIKE_BOX)
    with pytest.raises(DataError, match="30 mm apart from inferior to superior"):
        check_inputs(coarse, CROP.model_copy(update={"axis": "coronal"}), LIKE_BOX)


def test_nothing_is_refused_where_nothing_is_known_of_training() -> None:
    check_inputs(box(spacing_mm=(90, 1, 4)), CROP, None)
