"""What a step sees: balanced draws that follow from seed and step, augmentation, images on the device or read."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from anomaly_fpgan.errors import TrainingError
from anomaly_fpgan.training import images as images_module
from anomaly_fpgan.training.augmentation import augment, draw_affine, moves_pixels
from anomaly_fpgan.training.batches import Batches
from anomaly_fpgan.training.config import Augmentation, TrainingConfig
from anomaly_fpgan.training.draws import Draws
from anomaly_fpgan.training.images import LoadedImages, ResidentImages
from anomaly_fpgan.training.processes import Processes

CPU = torch.device("cpu")


def make_draws(labels: np.ndarray, patients: np.ndarray | None = None, **changes: Any) -> Draws:
    settings: dict[str, Any] = {
        "domains": TrainingConfig().domains,
        "batch_size": 8,
        "augmentation": Augmentation(),
        "image_shape": (1, 32, 32),
        "seed": 5,
    }
    return Draws(labels, patients, **settings | changes)


def two_domains(*diseased: int) -> np.ndarray:
    return np.eye(2, dtype=np.float32)[list(diseased)]


def test_kinds_of_labels_are_as_frequent_as_each_other_in_every_batch() -> None:
    draws = make_draws(two_domains(1, *[0] * 23))
    for step in range(10):
        assert draws(step).c_x.sum(0).tolist() == [4, 4]


def test_patients_are_drawn_alike_however_many_images_they_have() -> None:
    # 90 healthy images of patient A, 10 of B; and diseased ones of A alone.
    patients = np.array(["A"] * 90 + ["B"] * 10 + ["A"] * 5)
    draws = make_draws(two_domains(*[0] * 100, *[1] * 5), patients)
    drawn = Counter(str(patients[item]) for step in range(300) for item in draws(step).items if item < 100)
    # 1200 fair draws: half of them with a deviation of 17.
    assert drawn["A"] + drawn["B"] == 1200
    assert abs(drawn["A"] - 600) < 90


def test_images_of_a_group_lie_at_about_the_same_height() -> None:
    random = np.random.default_rng(0)
    heights, patients = random.random(600), random.integers(12, size=600).astype(str)
    labels = two_domains(*random.integers(2, size=600))
    draws = make_draws(labels, patients, heights=heights, height_tolerance=0.05)
    steps = [draws(step) for step in range(200)]
    drawn = heights[np.stack([draw.items for draw in steps])]
    assert np.abs(drawn[:, ::2] - drawn[:, 1::2]).max() <= 0.05
    assert np.abs(drawn[:, 1:-1:2] - drawn[:, 2::2]).max() > 0.5  # groups differ
    assert {int(draw.c_x.argmax(1)[0]) for draw in steps} == {0, 1}  # either kind may come first
    assert all(draw.c_x.sum(0).tolist() == [4, 4] for draw in steps)


def test_patients_near_a_height_are_drawn_alike_however_many_images_they_have_there() -> None:
    # Diseased images at a height of 0.5; healthy ones there: 20 of A, 2 of B; more of B elsewhere.
    labels = two_domains(*[1] * 4, *[0] * 52)
    patients = np.array(["C"] * 4 + ["A"] * 20 + ["B"] * 32)
    heights = np.array([0.5] * 26 + [0.9] * 30)
    draws = make_draws(labels, patients, heights=heights, height_tolerance=0.1)
    groups = np.concatenate([draws(step).items.reshape(-1, 2) for step in range(300)])
    after_diseased = Counter(patients[groups[groups[:, 0] < 4, 1]].tolist())
    # About 600 fair draws: a deviation of 12.
    assert set(after_diseased) == {"A", "B"}
    assert abs(after_diseased["A"] - after_diseased.total() / 2) < 60
    assert (heights[groups[groups[:, 0] < 4, 1]] == 0.5).all()


def test_where_no_image_is_near_the_nearest_is_drawn() -> None:
    heights = np.array([0.1, 0.9, 0.6, 0.95])
    draws = make_draws(two_domains(0, 0, 1, 1), heights=heights, height_tolerance=0.01)
    groups = np.concatenate([draws(step).items.reshape(-1, 2) for step in range(50)])
    assert {tuple(group) for group in groups.tolist()} == {(0, 2), (1, 3), (2, 1), (3, 1)}


def test_without_a_tolerance_heights_change_nothing() -> None:
    labels = two_domains(*[0, 1] * 12)
    with_heights = make_draws(labels, heights=np.linspace(0, 1, 24))(7)
    assert np.array_equal(with_heights.items, make_draws(labels)(7).items)


def test_images_of_one_height_are_drawn_as_without_a_tolerance() -> None:
    labels, patients = two_domains(*[0, 1, 1] * 8), np.repeat(list("ABCD"), 6)
    flat = make_draws(labels, patients, heights=np.zeros(24), height_tolerance=0.01)
    plain = make_draws(labels, patients)
    assert all(np.array_equal(flat(step).items, plain(step).items) for step in range(20))


def test_a_tolerance_of_heights_needs_heights(blobs: Any, tiny_config: TrainingConfig) -> None:
    config = tiny_config.model_copy(update={"height_tolerance": 0.1})
    with pytest.raises(TrainingError, match="training images have no `heights`"):
        Batches(blobs, config, CPU, processes=Processes())
    blobs.heights = np.linspace(0, 1, len(blobs))
    items = Batches(blobs, config, CPU, processes=Processes()).draws(0).items
    assert np.abs(np.diff(blobs.heights[items].reshape(-1, 2))).max() <= 0.1


def test_a_step_is_drawn_alike_whatever_was_drawn_before() -> None:
    labels = two_domains(*[0, 1] * 12)
    draws = make_draws(labels)
    for step in range(3):
        draws(step)
    again = make_draws(labels)(3)
    for name, value in vars(draws(3)).items():
        assert np.array_equal(value, getattr(again, name)), name
    other = make_draws(labels, seed=6)(3)
    assert not np.array_equal(again.items, other.items)
    assert not torch.equal(again.share, other.share)


def test_targets_differ_from_the_source_and_reach_every_other_domain() -> None:
    labels = np.eye(4, dtype=np.float32)[np.arange(16) % 4]
    draws = make_draws(labels, domains=_scheme("a", "b", "c", "d"))
    pairs = Counter()
    for step in range(60):
        draw = draws(step)
        pairs.update(zip(draw.c_x.argmax(1).tolist(), draw.c_y.argmax(1).tolist(), strict=True))
    assert set(pairs) == {(source, target) for source in range(4) for target in range(4) if source != target}


def _scheme(*names: str) -> Any:
    return TrainingConfig().domains.model_copy(update={"names": names})


def test_places_and_picks_of_the_penalty_are_uniform() -> None:
    draws = make_draws(two_domains(*[0, 1] * 12), batch_size=500)
    draw = draws(0)
    assert 0 <= draw.share.min() < 0.02
    assert 0.98 < draw.share.max() < 1
    assert abs(draw.share.mean().item() - 0.5) < 0.06  # a deviation of 0.013
    assert abs(draw.pick_same.mean().item() - 0.5) < 0.1  # 0.022
    assert set(draw.flip.tolist()) == {0.0, 1.0}


def test_processes_take_equal_parts_of_one_draw() -> None:
    draw = make_draws(two_domains(*[0, 1] * 12))(0)
    parts = [draw.part(rank, 4) for rank in range(4)]
    for name, value in vars(draw).items():
        assert np.array_equal(np.concatenate([getattr(part, name) for part in parts]), value), name


def test_whether_flips_are_wanted_changes_no_other_choice() -> None:
    labels = two_domains(*[0, 1] * 12)
    with_flips, without = (
        make_draws(labels, augmentation=Augmentation(horizontal_flip=wanted))(2) for wanted in (True, False)
    )
    assert with_flips.flip.any()
    assert not without.flip.any()
    assert torch.equal(with_flips.share, without.share)


def test_a_flip_reverses_the_last_axis_and_nothing_else() -> None:
    image = torch.arange(12.0).reshape(1, 1, 3, 4).repeat(2, 1, 1, 1)
    flipped = augment(image, torch.tensor([1.0, 0.0]), None)
    assert torch.equal(flipped[0], image[0].flip(-1))
    assert torch.equal(flipped[1], image[1])


def affine_of(**values: float) -> torch.Tensor:
    """The transform with each setting at its largest value: +1 of the uniform draw."""
    ones = SimpleNamespace(rand=lambda *_, **__: torch.ones(4, 1))
    original, torch.rand = torch.rand, ones.rand
    try:
        return draw_affine(Augmentation(**values), 1, (20, 40), torch.Generator())
    finally:
        torch.rand = original


def blob(row: int, column: int) -> torch.Tensor:
    image = torch.zeros(1, 1, 20, 40)
    image[0, 0, row, column] = 1.0
    return image


def brightest(image: torch.Tensor) -> tuple[int, int]:
    place = int(image[0, 0].argmax())
    return place // 40, place % 40


def test_a_shift_moves_by_its_share_of_each_side() -> None:
    # A tenth: 2 of 20 rows and 4 of 40 columns; read from the lower right, so the image moves to the upper left.
    moved = augment(blob(12, 30), torch.zeros(1), affine_of(shift=0.1))
    assert brightest(moved) == (10, 26)
    assert moved.max().item() == pytest.approx(1, abs=1e-4)


def test_a_quarter_turn_turns_a_rectangle_in_pixels() -> None:
    # Centre (9.5, 19.5). 5 pixels right of it is read from 5 pixels below it.
    moved = augment(blob(14, 19), torch.zeros(1), affine_of(rotation_degrees=90))
    assert moved.sum().item() == pytest.approx(1, abs=1e-3)
    row, column = brightest(moved)
    assert abs(row - 9.5) <= 0.5
    assert abs(column - 24) <= 0.5 or abs(column - 15) <= 0.5


def test_a_larger_scale_enlarges_about_the_middle() -> None:
    # 4 rows below and 8 columns right of the middle move to 6 and 12 at 1.5 times the size.
    moved = augment(blob(14, 28), torch.zeros(1), affine_of(scale=0.5))
    row, column = brightest(moved)
    assert abs(row - (9.5 + 4.5 * 1.5)) <= 1
    assert abs(column - (19.5 + 8.5 * 1.5)) <= 1


def test_what_moves_in_is_background() -> None:
    moved = augment(torch.ones(1, 1, 20, 40), torch.zeros(1), affine_of(shift=0.25))
    assert (moved[0, 0, -5:] == 0).all()
    assert moved.max().item() == pytest.approx(1)
    assert moved.min() >= 0


def test_a_gamma_is_a_power_of_each_channel_and_keeps_both_ends() -> None:
    images = torch.tensor([0.0, 0.25, 1.0]).repeat(2, 2, 1, 1)
    changed = augment(images, torch.zeros(2), None, torch.tensor([[0.5, 2.0], [1.0, 1.0]]))
    torch.testing.assert_close(changed[0, 0, 0], torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(changed[0, 1, 0], torch.tensor([0.0, 0.0625, 1.0]))
    assert torch.equal(changed[1], images[1])


def test_gammas_are_drawn_to_either_side_and_change_no_other_choice() -> None:
    labels, settings = two_domains(*[0, 1] * 12), {"batch_size": 2000, "image_shape": (2, 32, 32)}
    plain = make_draws(labels, **settings)(0)
    varied = make_draws(labels, augmentation=Augmentation(log_gamma=0.5), **settings)(0)
    exponent = varied.gamma.log()
    assert exponent.shape == (2000, 2)
    assert 0.49 < exponent.max() <= 0.5 + 1e-6
    assert -0.5 - 1e-6 <= exponent.min() < -0.49
    assert abs(exponent.mean().item()) < 0.02
    assert not torch.equal(exponent[:, 0], exponent[:, 1])
    assert (plain.gamma == 1).all()
    for name, value in vars(plain).items():
        assert name == "gamma" or np.array_equal(value, getattr(varied, name)), name


def test_drawn_transforms_stay_within_their_settings() -> None:
    settings = Augmentation(rotation_degrees=10, shift=0.1, scale=0.2)
    affine = draw_affine(settings, 2000, (32, 32), torch.Generator().manual_seed(0))
    scale = 1 / affine[:, :, :2].det().sqrt()
    angle = torch.rad2deg(torch.atan2(affine[:, 1, 0], affine[:, 0, 0]))
    for values, limit in ((scale - 1, 0.2), (angle, 10), (affine[:, 0, 2], 0.2), (affine[:, 1, 2], 0.2)):
        assert values.abs().max() <= limit * (1 + 1e-5)
        assert values.max() > 0.95 * limit
        assert values.min() < -0.95 * limit
    assert moves_pixels(settings)
    assert not moves_pixels(Augmentation())


@pytest.mark.parametrize("workers", [0, 1])
def test_images_are_the_same_on_the_device_and_read_as_needed(
    workers: int, blobs: Any, tiny_config: TrainingConfig
) -> None:
    held, read = (
        Batches(
            blobs,
            tiny_config.model_copy(update={"images_on_device": wanted, "loader_workers": workers}),
            CPU,
            processes=Processes(),
            first=2,
        )
        for wanted in ("always", "never")
    )
    assert isinstance(held._images, ResidentImages)
    assert isinstance(read._images, LoadedImages)
    for _, one, other in zip(range(3), held, read, strict=False):
        for name, value in vars(one).items():
            assert torch.equal(value, getattr(other, name)), name


def test_images_that_do_not_fit_are_read_as_needed(
    blobs: Any, tiny_config: TrainingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = blobs.images.nbytes
    for free, kind in ((4 * size, ResidentImages), (4 * size - 4, LoadedImages)):
        monkeypatch.setattr(images_module, "free_memory", lambda device, free=free: free)
        assert isinstance(Batches(blobs, tiny_config, CPU, processes=Processes())._images, kind)


def test_the_network_range_is_reached(blobs: Any, tiny_config: TrainingConfig) -> None:
    blobs.images[:] = 0
    blobs.images[:, :, 0, 0] = 1
    batch = next(iter(Batches(blobs, tiny_config, CPU, processes=Processes())))
    assert (batch.x.min(), batch.x.max()) == (-1, 1)
    assert batch.pick_same.dtype == torch.bool


def test_the_slices_of_an_image_are_varied_alike(tiny_config: TrainingConfig) -> None:
    one = np.random.default_rng(0).random((2, 32, 32)).astype(np.float32)
    items = [(np.tile(one, (3, 1, 1)), np.eye(2)[n % 2]) for n in range(4)]
    config = tiny_config.model_copy(
        update={
            "networks": tiny_config.networks.model_copy(update={"neighbor_mm": 4.0}),
            "augmentation": Augmentation(rotation_degrees=20, shift=0.1, scale=0.1, log_gamma=0.8),
        }
    )
    batch = next(iter(Batches(items, config, CPU, processes=Processes())))
    slices = batch.x.unflatten(1, (3, 2))
    assert torch.equal(slices[:, 0], slices[:, 1])
    assert torch.equal(slices[:, 0], slices[:, 2])
    assert not torch.equal(slices[0], slices[1])


def test_images_that_are_not_of_three_slices_are_named(tiny_config: TrainingConfig) -> None:
    config = tiny_config.model_copy(update={"networks": tiny_config.networks.model_copy(update={"neighbor_mm": 4.0})})
    items = [(np.zeros((4, 32, 32), np.float32), np.eye(2)[n % 2]) for n in range(4)]
    with pytest.raises(TrainingError, match=r"must hold the channels of 3 slices, .* got 4 channels"):
        Batches(items, config, CPU, processes=Processes())


def test_images_of_different_shapes_are_named(tiny_config: TrainingConfig) -> None:
    items = [(np.zeros((1, 32, 32), np.float32), np.eye(2)[0]), (np.zeros((1, 30, 32), np.float32), np.eye(2)[1])]
    with pytest.raises(TrainingError, match=r"image 1 has the shape \(1, 30, 32\), the first has \(1, 32, 32\)"):
        Batches(items, tiny_config, CPU, processes=Processes())


@pytest.mark.parametrize(("value", "words"), [(np.nan, "nan to nan"), (1.5, "0 to 1.5"), (-0.5, "-0.5 to 0")])
def test_images_out_of_range_are_named(value: float, words: str, tiny_config: TrainingConfig) -> None:
    items = [(np.zeros((1, 32, 32), np.float32), np.eye(2)[n % 2]) for n in range(4)]
    items[2][0][0, 5, 5] = value
    for wanted in ("always", "never"):
        config = tiny_config.model_copy(update={"images_on_device": wanted})
        with pytest.raises(TrainingError, match=rf"image 2 must lie in \[0, 1\], got values from {words}"):
            list(zip(range(10), Batches(items, config, CPU, processes=Processes()), strict=False))


@pytest.mark.parametrize("image", [np.zeros((32, 32), np.float32), np.zeros((1, 32, 32), np.uint8)])
def test_images_of_a_wrong_kind_are_named(image: np.ndarray, tiny_config: TrainingConfig) -> None:
    items = [(image, np.eye(2)[0]), (image, np.eye(2)[1])]
    with pytest.raises(TrainingError, match=r"training image 0 must be \(C, H, W\) of floats in \[0, 1\], got shape"):
        Batches(items, tiny_config, CPU, processes=Processes())
