"""The embedded cohort: repeatable, well-formed, and hard for answers that need no learning."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from data_prep.preparation import Preparation, prepare_slices
from data_prep.slicing import to_slices
from data_prep.synthetic import synthesize_patient, write_synthetic_patient
from data_prep.synthetic_anatomy import SHAPE, patient_affine
from data_prep.synthetic_default import CONTRASTS
from data_prep.volume import SourceGrid, Volume

PATIENTS = 40
TRAINING = 24


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write_synthetic_patient(2, tmp_path / "a", seed=7)
    second = write_synthetic_patient(2, tmp_path / "b", seed=7)
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(f"Synthetic_7_002_{kind}.nii.gz" for kind in (*CONTRASTS, "seg"))
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()
    other = write_synthetic_patient(3, tmp_path / "a", seed=7)
    assert (other / "Synthetic_7_003_t1.nii.gz").read_bytes() != (first / "Synthetic_7_002_t1.nii.gz").read_bytes()


def test_files_are_brats_like(tmp_path: Path) -> None:
    folder = write_synthetic_patient(1, tmp_path)
    flair, mask = (nib.load(folder / f"{folder.name}_{kind}.nii.gz") for kind in ("flair", "seg"))
    assert flair.shape == SHAPE
    assert nib.aff2axcodes(flair.affine) == ("L", "P", "S")
    assert flair.header.get_zooms() == pytest.approx((1.5, 1.5, 4.0))
    volume, labels = np.asarray(flair.dataobj), np.asarray(mask.dataobj)
    assert set(np.unique(labels)) == {0, 1, 2, 4}
    assert (volume[labels > 0] > 0).all()
    # The world origin of the atlas, the anterior commissure, lies inside the brain of every patient.
    voxel = np.round(np.linalg.inv(flair.affine) @ [0, 0, 0, 1]).astype(int)[:3]
    assert volume[tuple(voxel)] > 0


def test_every_fourth_patient_is_healthy() -> None:
    assert [bool(synthesize_patient(number).labels.any()) for number in range(5)] == [False, True, True, True, False]


@pytest.fixture(scope="module")
def slices() -> dict[str, np.ndarray]:
    """Slices of all patients as the demo prepares them, with masks, heights and patient numbers.

    `images` holds those of FLAIR and, as a second channel, of post-contrast T1.
    """
    parts: dict[str, list[np.ndarray]] = {"images": [], "masks": [], "heights": [], "patients": []}
    affine = patient_affine()
    for number in range(PATIENTS):
        patient = synthesize_patient(number)
        source = SourceGrid(path=Path("none"), sha256="", shape=SHAPE, affine=affine)
        channels = np.stack([patient.channels[name] for name in ("flair", "t1ce")])
        volume = Volume.from_file_order(channels, source)
        prepared = prepare_slices(volume, Preparation(channels=("flair", "t1ce"), size=(64, 64)))
        labels = to_slices((patient.labels > 0)[::-1, ::-1].astype(np.uint8), "axial")[prepared.indices]
        parts["images"].append(prepared.images)
        parts["masks"].append(prepared.window.apply_to_labels(list(labels)))
        parts["heights"].append(prepared.heights)
        parts["patients"].append(np.full(len(prepared.heights), number))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


@pytest.mark.parametrize("channel", [0, 1], ids=["flair", "t1ce"])
def test_the_brightest_pixel_does_not_give_the_label_away(slices: dict[str, np.ndarray], channel: int) -> None:
    held_out = slices["patients"] >= TRAINING
    images, masks = slices["images"][held_out, channel], slices["masks"][held_out]
    areas = masks.sum(axis=(1, 2))
    labeled = (areas == 0) | (areas > 10)
    assert roc_auc_score(areas[labeled] > 10, images.max(axis=(1, 2))[labeled]) <= 0.70
    foreground = images > 0
    assert average_precision_score(masks[foreground] > 0, images[foreground]) <= 0.60


def test_the_height_of_a_slice_does_not_give_the_label_away(slices: dict[str, np.ndarray]) -> None:
    areas = slices["masks"].sum(axis=(1, 2))
    labeled, training = (areas == 0) | (areas > 10), slices["patients"] < TRAINING
    bins = np.minimum((slices["heights"] * 20).astype(int), 19)
    diseased = areas > 10
    shares = np.array([diseased[labeled & training & (bins == b)].mean() for b in range(20)])
    test = labeled & ~training
    assert roc_auc_score(diseased[test], shares[bins[test]]) <= 0.70


def test_contrast_agent_lights_up_healthy_sinuses_around_the_cerebellum() -> None:
    healthy = synthesize_patient(0)
    cerebellum = slice(6, 14)  # z from -60 to -28 mm
    sizes = {}
    for contrast in ("t1", "t1ce"):
        volume = healthy.channels[contrast]
        bright = volume[..., cerebellum] > 1.6 * np.median(volume[volume > 0])
        components, count = ndimage.label(bright)
        sizes[contrast] = ndimage.sum_labels(bright, components, range(1, count + 1)).max(initial=0)
    assert sizes["t1ce"] >= 60  # more than half a milliliter, ten times a vessel's
    assert sizes["t1"] < 10


def test_healthy_and_lesion_slices_lie_at_every_height(slices: dict[str, np.ndarray]) -> None:
    areas = slices["masks"].sum(axis=(1, 2))
    fifths = np.minimum((slices["heights"] * 5).astype(int), 4)
    for fifth in range(5):
        assert ((areas > 10) & (fifths == fifth)).sum() >= 10
        assert ((areas == 0) & (fifths == fifth)).sum() >= 10
