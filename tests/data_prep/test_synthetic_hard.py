"""The hard variant of the embedded cohort: small and faint lesions among healthy structures that are brighter."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from data_prep.synthetic import SyntheticPatient, synthesize_patient, write_synthetic_patient
from data_prep.synthetic_anatomy import SHAPE, brain_points_mm, voxel_positions_mm
from data_prep.synthetic_faint_lesions import FaintLesion, draw_faint_lesions

PATIENTS = 9
CONTRASTS = ("flair", "t1ce", "t2")


@pytest.fixture(scope="module")
def patients() -> list[SyntheticPatient]:
    return [synthesize_patient(number, variant="hard") for number in range(PATIENTS)]


@pytest.fixture(scope="module")
def lesions() -> list[FaintLesion]:
    """Those of a hundred patients, on a coarse grid."""
    random, grid = np.random.default_rng(0), voxel_positions_mm()[:, ::4, ::4, ::2]
    return [lesion for _ in range(100) for lesion in draw_faint_lesions(random, brain_points_mm(), grid, grid)]


def test_the_same_seed_gives_the_same_bytes_and_another_variant_others(tmp_path: Path) -> None:
    first, second = (write_synthetic_patient(2, tmp_path / name, seed=7, variant="hard") for name in "ab")
    assert first.name == "SyntheticHard_7_002"
    for path in first.iterdir():
        assert path.read_bytes() == (second / path.name).read_bytes()
    flair = synthesize_patient(2, seed=7).channels["flair"]
    assert (synthesize_patient(2, seed=7, variant="hard").channels["flair"] != flair).any()


def test_all_but_every_fourth_patient_have_one_to_five_lesions(patients: list[SyntheticPatient]) -> None:
    counts = [ndimage.label(patient.labels, np.ones((3, 3, 3)))[1] for patient in patients]
    assert [count == 0 for count in counts] == [number % 4 == 0 for number in range(PATIENTS)]
    assert max(counts) <= 5
    for patient in patients:
        assert set(np.unique(patient.labels)) <= {0, 1, 2, 4}
        assert all((volume[patient.labels > 0] > 0).all() for volume in patient.channels.values())


def test_half_the_lesions_are_small_and_even_the_smallest_show(lesions: list[FaintLesion]) -> None:
    diameters = np.array([2 * lesion.radii_mm.mean() for lesion in lesions])
    assert (diameters < 12).mean() == pytest.approx(0.5, abs=0.1)
    assert (diameters < 6).mean() > 0.1
    assert diameters.min() > 2.5
    assert 24 < diameters.max() < 35
    opacities = np.array([lesion.opacity for lesion in lesions])
    assert 0.35 <= opacities.min() < 0.4
    assert 0.95 < opacities.max() <= 1


def test_lesions_lie_at_every_height(lesions: list[FaintLesion]) -> None:
    heights = np.array([lesion.center_mm[2] for lesion in lesions])
    counts, _ = np.histogram(heights, bins=5, range=(brain_points_mm()[:, 2].min(), brain_points_mm()[:, 2].max()))
    assert counts.min() > 0.1 * len(lesions)


def test_the_brightest_pixels_of_lesion_slices_are_healthy(patients: list[SyntheticPatient]) -> None:
    for contrast in CONTRASTS:
        peaks = [
            patient.labels[..., k].flat[patient.channels[contrast][..., k].argmax()] > 0
            for patient in patients
            for k in np.flatnonzero(patient.labels.any((0, 1)))
        ]
        assert len(peaks) > 20
        assert np.mean(peaks) < 0.1


def test_counting_bright_pixels_does_not_tell_slices_apart(patients: list[SyntheticPatient]) -> None:
    for contrast in CONTRASTS:
        diseased, counts = [], []
        for patient in patients:
            volume = patient.channels[contrast]
            bright = volume > np.percentile(volume[volume > 0], 98)
            shown = (volume > 0).mean((0, 1)) > 0.05
            diseased.append((patient.labels > 0).any((0, 1))[shown])
            counts.append(bright.sum((0, 1))[shown])
        assert 0.3 <= roc_auc_score(np.concatenate(diseased), np.concatenate(counts)) <= 0.7


def test_healthy_patients_have_large_bright_structures_from_bottom_to_top(patients: list[SyntheticPatient]) -> None:
    flair = patients[4].channels["flair"]
    assert flair.shape == SHAPE
    inside = flair[flair > 0]
    components, count = ndimage.label(flair > 1.5 * np.median(inside))
    sizes = ndimage.sum_labels(flair > 0, components, range(1, count + 1))
    large = np.isin(components, np.flatnonzero(sizes >= 60) + 1)  # more than half a milliliter, ten times a vessel's
    shown = np.flatnonzero((flair > 0).mean((0, 1)) > 0.05)
    for part in np.array_split(shown, 5):
        assert large[..., part].any()
