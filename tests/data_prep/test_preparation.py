"""From a volume to the slices a network sees, and back into the file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from data_prep.errors import DataError
from data_prep.preparation import (
    Preparation,
    PreparedSlices,
    prepare_slices,
    restore_volume,
    source_slices,
    volume_foreground,
)
from data_prep.readers.nifti import read_nifti
from data_prep.slicing import SliceAxis, to_slices, to_volume
from data_prep.volume import Volume, stack_channels

SHAPE = (40, 48, 12)
AFFINE = np.diag([4.0, 4.0, 6.0, 1.0])


@pytest.fixture
def preparation() -> Preparation:
    """A window of 48 pixels of 4 mm: nothing is resampled."""
    return Preparation(channels=("flair", "t1"), size=(48, 48), field_of_view_mm=192)


@pytest.fixture
def make_volume(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Volume]:
    """`make_volume(array, …)` passes one array a channel through files."""

    def make(*arrays: np.ndarray, affine: np.ndarray = AFFINE) -> Volume:
        paths = [write_image(tmp_path / f"{n}.nii", array, affine) for n, array in enumerate(arrays)]
        return stack_channels([read_nifti(path) for path in paths])

    return make


@pytest.mark.parametrize("outside", [0.0, -3.62])
@pytest.mark.parametrize("size", [(48, 48), (64, 80)])
def test_background_is_exactly_zero_and_foreground_is_not(
    see: Callable[..., np.ndarray],
    make_volume: Callable[..., Volume],
    head: Callable[..., np.ndarray],
    preparation: Preparation,
    outside: float,
    size: tuple[int, int],
) -> None:
    volume = make_volume(head(outside=outside), head(outside=outside, seed=1))
    prepared = prepare_slices(volume, preparation.model_copy(update={"size": size}))
    silhouette = to_slices(head() > 0, "axial")[prepared.indices].astype(np.float32)
    inside = see(prepared.window, silhouette) >= 0.5
    for channel in (0, 1):
        image = prepared.images[:, channel]
        assert (image[~inside] == 0).all()
        assert image[inside].min() >= 1 / 256
        assert image.max() <= 1
        assert (image.astype(np.float16)[inside] > 0).all()
    np.testing.assert_allclose(prepared.foreground_shares[prepared.indices], inside.mean(axis=(1, 2)))


@pytest.mark.parametrize("outside", [-3.62, 1.5, 1000.0])
def test_the_value_of_the_background_does_not_reach_the_images(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], outside: float
) -> None:
    preparation = Preparation(channels=("flair",))  # resampled, so edges mix with what lies outside
    images = prepare_slices(make_volume(head(outside=outside)), preparation).images
    np.testing.assert_allclose(images, prepare_slices(make_volume(head()), preparation).images, atol=1e-3)


def test_the_foreground_of_any_channel_counts(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    half = head(seed=1)
    half[:20] = 0
    prepared = prepare_slices(make_volume(head(), half), preparation)
    whole = prepare_slices(make_volume(head(), head()), preparation)
    np.testing.assert_array_equal(prepared.images > 0, whole.images > 0)


def test_images_are_half_precision_with_one_channel_a_modality(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    prepared = prepare_slices(make_volume(head(), head(seed=1)), preparation.model_copy(update={"size": (32, 96)}))
    assert prepared.images.dtype == np.float16
    assert prepared.images.shape == (len(prepared.indices), 2, 32, 96)


def test_intensities_of_another_unit_give_the_same_images(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    image, other = head(), head(seed=1)
    plain = prepare_slices(make_volume(image, other), preparation)
    rescaled = prepare_slices(make_volume(image * 250 - 90, other * 0.01 + 3), preparation)
    np.testing.assert_allclose(rescaled.images, plain.images, atol=1e-3)


def test_blank_slices_are_discarded_and_the_rest_keep_their_place(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    image = head()
    image[..., :3] = 0
    image[..., 11] = 0
    image[20, 24, [1, 11]] = 1.5  # one pixel of 48 by 48
    prepared = prepare_slices(make_volume(image, image), preparation)
    assert prepared.indices.tolist() == [3, 4, 5, 6, 7, 8, 9, 10]
    assert len(prepared.foreground_shares) == 12
    assert prepared.foreground_shares[0] == 0
    assert 0 < prepared.foreground_shares[1] < 0.05
    # Slice 1 is the first with foreground and slice 11 the last, blank or not.
    np.testing.assert_allclose(prepared.heights, np.arange(2, 10) / 10)
    assert prepared.foreground_shares[prepared.indices].min() >= 0.05


def test_without_a_limit_only_empty_slices_are_blank(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    image = head()
    image[..., 0], image[..., 11] = 0, 0
    image[20, 24, 11] = 1.5
    prepared = prepare_slices(make_volume(image, image), preparation.model_copy(update={"min_foreground_share": 0}))
    assert prepared.indices.tolist() == list(range(1, 12))


def test_a_narrow_window_reports_what_it_cuts_off(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    volume = make_volume(head(), head())
    assert prepare_slices(volume, preparation).pixels_cut_off == 0
    assert prepare_slices(volume, preparation.model_copy(update={"field_of_view_mm": 80})).pixels_cut_off > 0


@pytest.mark.parametrize("axis", ["axial", "coronal", "sagittal"])
@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, -1, 1), (1, -1, -1)])
def test_a_map_of_the_slices_falls_on_the_lesion_of_the_file(
    make_volume: Callable[..., Volume],
    head: Callable[..., np.ndarray],
    axis: SliceAxis,
    flips: tuple[int, int, int],
) -> None:
    image = head()
    image[10:16, 30:36, 4:8] = 3  # a cube of 24 mm; other tissue is at most 2
    volume = make_volume(image, affine=AFFINE * [*flips, 1])
    # Pixels along S are 6 mm high, so coronal and sagittal slices are stretched to square pixels.
    prepared = prepare_slices(volume, Preparation(channels=("flair",), axis=axis, intensity_percentiles=(0, 100)))

    bright = prepared.images[:, 0] > 0.75
    rows, columns = bright.any(axis=(0, 2)).sum(), bright.any(axis=(0, 1)).sum()
    assert abs(rows - 8) <= 1  # of 3 mm
    assert abs(columns - 8) <= 1

    maps = np.zeros(to_slices(volume.array[0], axis).shape, np.float32)
    maps[prepared.indices] = prepared.window.invert(bright.astype(np.float32))
    in_file = volume.source.from_ras(to_volume(maps, axis))

    assert in_file.shape == image.shape
    center = (np.indices(image.shape) * in_file).sum(axis=(1, 2, 3)) / in_file.sum()
    np.testing.assert_allclose(center, [12.5, 32.5, 5.5], atol=0.1)
    assert in_file[11:15, 31:35, 5:7].min() > 0.5


def test_the_right_of_the_patient_is_at_the_left_of_the_image(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    image = head()
    image[8:12, 36:40, 5] = 3  # stored to the left and the back: low indices are right, high ones behind
    prepared = prepare_slices(make_volume(image, image, affine=np.diag([-4.0, -4.0, 6.0, 1])), preparation)
    bright = np.argwhere(prepared.images[5 - prepared.indices[0], 0] > 0.95)
    assert (bright[:, 0] > 24).all()  # behind: in the lower half
    assert (bright[:, 1] < 24).all()


def test_a_constant_channel_is_named_by_its_file(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    with pytest.raises(DataError, match=r"1\.nii: every voxel is 0"):
        prepare_slices(make_volume(head(), np.zeros(SHAPE, np.float32)), preparation)


def test_a_volume_of_blank_slices_is_an_error(make_volume: Callable[..., Volume], preparation: Preparation) -> None:
    speck = np.zeros(SHAPE, np.float32)
    speck[20, 20:22, 5] = 1, 2
    with pytest.raises(DataError, match=r"no slice has a foreground share of 0\.05 or more"):
        prepare_slices(make_volume(speck, speck), preparation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": (64, 0)}, "`size` must be at least 32, got 0"),
        ({"size": (31, 64)}, "`size` must be at least 32, got 31"),
        ({"intensity_percentiles": (99, 1)}, "must rise within 0 to 100, got 99 and 1"),
        ({"intensity_percentiles": (0, 101)}, "must rise within 0 to 100, got 0 and 101"),
        ({"channels": ("flair", "flair")}, "names one twice"),
        ({"channels": ()}, "channels"),
        ({"axis": "oblique"}, "axis"),
        ({"field_of_view_mm": 0}, "field_of_view_mm"),
        ({"min_foreground_share": 1.5}, "min_foreground_share"),
        ({"resize": 3}, "resize"),
    ],
)
def test_unusable_settings_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Preparation(**({"channels": ("flair",)} | change))


@pytest.mark.parametrize("spacing_mm", [(2.0, 2.0, 2.0), (4.0, 4.0, 3.0), (5.0, 3.0, 8.0)])
@pytest.mark.parametrize("axis", ["axial", "sagittal"])
def test_a_map_of_resampled_slices_falls_on_the_lesion_of_the_file(
    make_volume: Callable[..., Volume],
    head: Callable[..., np.ndarray],
    spacing_mm: tuple[float, float, float],
    axis: SliceAxis,
) -> None:
    image = head()
    image[10:16, 30:36, 4:8] = 3
    volume = make_volume(image, affine=AFFINE * [-1, 1, -1, 1])
    preparation = Preparation(
        channels=("flair",), axis=axis, size=(96, 96), spacing_mm=spacing_mm, intensity_percentiles=(0, 100)
    )
    prepared = prepare_slices(volume, preparation)
    assert prepared.grid.shape != volume.shape
    bright = (prepared.images[:, 0] > 0.75).astype(np.float32)
    in_file = volume.source.from_ras(restore_volume(bright, prepared, volume, preparation))
    assert in_file.shape == image.shape
    center = (np.indices(image.shape) * in_file).sum(axis=(1, 2, 3)) / in_file.sum()
    np.testing.assert_allclose(center, [12.5, 32.5, 5.5], atol=0.25)
    foreground = volume.source.from_ras(volume_foreground(volume, prepared, preparation))
    assert (foreground != (image > 0)).mean() < 0.05
    # Counted from the feet, or the left: both axes run backwards in the file.
    own = source_slices(prepared, volume, preparation)[bright.any(axis=(1, 2))]
    lesion = np.arange(12 - 8, 12 - 4) if axis == "axial" else np.arange(40 - 16, 40 - 10)
    assert len(own)
    assert np.isin(own, lesion).all()


def test_without_resampling_each_slice_is_its_own_source(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray], preparation: Preparation
) -> None:
    volume = make_volume(head(), head())
    prepared = prepare_slices(volume, preparation)
    np.testing.assert_array_equal(source_slices(prepared, volume, preparation), prepared.indices)


def test_a_given_mask_is_the_foreground(make_volume: Callable[..., Volume], head: Callable[..., np.ndarray]) -> None:
    volume = make_volume(head(outside=0) + np.random.default_rng(0).uniform(0, 0.1, SHAPE).astype(np.float32))
    mask = np.zeros(SHAPE, bool)
    mask[10:30, 12:36, 2:10] = True
    settings = Preparation(channels=("flair",), size=(48, 48), foreground="mask")
    prepared = prepare_slices(volume, settings, foreground_mask=mask)
    assert prepared.indices.tolist() == list(range(2, 10))
    np.testing.assert_array_equal(prepared.images[:, 0] > 0, _window(mask, prepared))
    with pytest.raises(DataError, match=r"0\.nii: has no foreground mask"):
        prepare_slices(volume, settings)
    with pytest.raises(DataError, match="its foreground mask is empty"):
        prepare_slices(volume, settings, foreground_mask=np.zeros(SHAPE, bool))


def _window(mask: np.ndarray, prepared: PreparedSlices) -> np.ndarray:
    return prepared.window.apply_to_labels(list(to_slices(mask, "axial")[prepared.indices].astype(np.uint8))) > 0


def test_intensity_rules_give_the_values_worked_by_hand(make_volume: Callable[..., Volume]) -> None:
    image = np.full(SHAPE, -1000, np.int16)
    image[10:30, 12:36, 2:10] = np.where(np.arange(24)[None, :, None] % 2, 20, 60)
    volume = make_volume(image)

    def tissue(**changes: object) -> list[float]:
        settings = Preparation(channels=("ct",), size=(48, 48), **changes)  # type: ignore[arg-type]
        image = prepare_slices(volume, settings).images[3, 0]
        return [round(float(v), 3) for v in np.unique(image[image > 0])]

    assert tissue(intensity="window", intensity_window=(-60, 140)) == [0.4, 0.6]
    # Mean 40, standard deviation 20: 20 and 60 lie one below and one above of three on each side.
    assert tissue(intensity="zscore", zscore_limit=3) == [0.333, 0.667]
    with pytest.raises(DataError, match=r"0\.nii: too many of its foreground voxels are 20 for the intensity `median`"):
        tissue(intensity="median")
    assert tissue(intensity_percentiles=(0, 100)) == [round(float(np.float16(1 / 255)), 3), 1]
    with pytest.raises(DataError, match=r"0\.nii: intensity `none` needs values from 0 to 1"):
        tissue(intensity="none")


def test_window_and_rule_need_each_other() -> None:
    for change in ({"intensity": "window"}, {"intensity_window": (0, 1)}):
        with pytest.raises(ValidationError, match="need each other"):
            Preparation(channels=("ct",), **change)


def test_bias_correction_flattens_tissue_and_its_field_is_kept(
    make_volume: Callable[..., Volume], head: Callable[..., np.ndarray]
) -> None:
    i, _, _ = np.indices(SHAPE)
    image = head() * np.exp(i / 25).astype(np.float32)
    settings = Preparation(channels=("flair",), size=(48, 48), intensity="window", intensity_window=(0, 10))
    volume = make_volume(image)
    plain, flat = (prepare_slices(volume, settings.model_copy(update={"bias_correction": on})) for on in (False, True))

    def slope(prepared: PreparedSlices) -> float:
        columns = prepared.images[5, 0, 20:28].mean(axis=0)[10:38]
        return abs(float(columns[-7:].mean() / columns[:7].mean()) - 1)

    assert slope(flat) < 0.5 * slope(plain)
    (field,) = flat.bias_fields
    assert field.shape == SHAPE
    assert not plain.bias_fields
