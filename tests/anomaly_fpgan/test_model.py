"""The trained model as users hold it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from anomaly_fpgan import FixedPointGAN
from anomaly_fpgan.device import choose_device
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.errors import DeviceError, ModelError
from anomaly_fpgan.networks.config import NetworkConfig

DOMAINS = DomainScheme(names=("healthy", "diseased"))
NETWORKS = NetworkConfig(generator_width=4, residual_blocks=1)


@pytest.fixture
def model() -> FixedPointGAN:
    torch.manual_seed(0)
    return FixedPointGAN(
        (1, 32, 32), DOMAINS, NETWORKS, precision="float32", metadata={"preparation": {"size": [32, 32]}}
    )


def test_a_saved_model_translates_as_before(model: FixedPointGAN, tmp_path: Path) -> None:
    images = np.random.default_rng(0).random((5, 1, 32, 32), np.float32)
    model.save(tmp_path / "model.safetensors")
    loaded = FixedPointGAN.load(tmp_path, device="cpu")
    assert loaded.metadata == model.metadata
    np.testing.assert_array_equal(loaded.translate(images), model.translate(images))


def test_a_saved_model_has_the_rights_of_any_new_file(model: FixedPointGAN, tmp_path: Path) -> None:
    model.save(tmp_path / "model.safetensors")
    (tmp_path / "other").touch()
    assert (tmp_path / "model.safetensors").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_translations_lie_in_0_to_1_and_do_not_depend_on_the_batch(model: FixedPointGAN) -> None:
    images = np.random.default_rng(0).random((5, 1, 32, 32), np.float32)
    translated = model.translate(images, "diseased")
    assert translated.dtype == np.float32
    assert translated.min() >= 0
    assert translated.max() <= 1
    one_by_one = model.translate(images, "diseased", batch_size=1)
    np.testing.assert_allclose(translated, one_by_one, atol=1e-5)


def test_mirror_averaging_is_the_mean_of_both_translations(model: FixedPointGAN) -> None:
    images = torch.rand(2, *model.image_shape)
    straight = model.translate(images)
    mirrored = model.translate(images.flip(-1)).flip(-1)
    model.networks = model.networks.model_copy(update={"mirror_averaging": True})
    averaged = model.translate(images)
    torch.testing.assert_close(averaged, (straight + mirrored) / 2)
    assert not torch.allclose(straight, averaged)
    torch.testing.assert_close(model.translate(images.flip(-1)), averaged.flip(-1))


def another(model: FixedPointGAN, seed: int, **changes: object) -> FixedPointGAN:
    """A model like it, with other weights."""
    torch.manual_seed(seed)
    networks = model.networks.model_copy(update=changes)
    return FixedPointGAN(model.image_shape, model.domains, networks, precision=model.precision)


def test_a_mean_of_models_translates_to_the_mean_of_their_translations(model: FixedPointGAN, tmp_path: Path) -> None:
    models = [model, another(model, 1), another(model, 2)]
    images = np.random.default_rng(0).random((5, 1, 32, 32), np.float32)
    mean = FixedPointGAN.combine(models, {"of": "three"})
    expected = np.mean([own.translate(images, "diseased") for own in models], axis=0)
    np.testing.assert_allclose(mean.translate(images, "diseased"), expected, atol=1e-6)
    assert not np.allclose(expected, model.translate(images, "diseased"), atol=1e-3)
    mean.save(tmp_path / "model.safetensors")
    loaded = FixedPointGAN.load(tmp_path, device="cpu")
    assert loaded.metadata == {"of": "three"}
    assert loaded.members == 3
    np.testing.assert_array_equal(loaded.translate(images), mean.translate(images))


def test_only_models_of_one_kind_have_a_mean(model: FixedPointGAN) -> None:
    for few in ([], [model]):
        with pytest.raises(ValueError, match="two or more"):
            FixedPointGAN.combine(few, {})
    mean = FixedPointGAN.combine([model, another(model, 1)], {})
    with pytest.raises(ValueError, match="each of one generator"):
        FixedPointGAN.combine([mean, model], {})
    with pytest.raises(ValueError, match="same `networks`"):
        FixedPointGAN.combine([model, another(model, 1, mirror_averaging=True)], {})
    larger = FixedPointGAN((1, 64, 64), model.domains, model.networks)
    with pytest.raises(ValueError, match="same `image_shape`"):
        FixedPointGAN.combine([model, larger], {})


def test_arrays_give_arrays_and_tensors_give_tensors(model: FixedPointGAN) -> None:
    images = torch.rand(2, 1, 32, 32)
    assert isinstance(model.translate(images), torch.Tensor)
    assert isinstance(model.translate(images.numpy()), np.ndarray)
    assert model.translate(images[:0]).shape == (0, 1, 32, 32)


@pytest.fixture
def with_neighbors() -> FixedPointGAN:
    torch.manual_seed(0)
    networks = NETWORKS.model_copy(update={"neighbor_mm": 4.0, "mirror_averaging": True})
    return FixedPointGAN((6, 32, 32), DOMAINS, networks, precision="float32")


def test_the_middle_of_three_slices_is_translated_by_what_all_of_them_show(
    with_neighbors: FixedPointGAN, tmp_path: Path
) -> None:
    images = np.random.default_rng(0).random((5, 2, 32, 32), np.float32)
    neighbors = np.array([[0, 1, 4], [2, 2, 3], [0, 0, 0]])
    translated = with_neighbors.translate(images, neighbors=neighbors, batch_size=2)
    assert translated.shape == (3, 2, 32, 32)
    stacks = torch.from_numpy(images[neighbors].reshape(3, 6, 32, 32)) * 2 - 1
    label = DOMAINS.healthy_label().expand(3, -1)
    with torch.inference_mode():
        straight = with_neighbors.translator(stacks, label)
        mirrored = with_neighbors.translator(stacks.flip(-1), label).flip(-1)
    expected = ((straight + mirrored) / 2)[:, 2:4].numpy() / 2 + 0.5
    np.testing.assert_allclose(translated, expected, atol=1e-6)
    with_neighbors.save(tmp_path / "model.safetensors")
    loaded = FixedPointGAN.load(tmp_path, device="cpu")
    np.testing.assert_array_equal(loaded.translate(images, neighbors=neighbors, batch_size=2), translated)


def test_a_model_that_sees_neighbors_is_not_used_without(with_neighbors: FixedPointGAN) -> None:
    with pytest.raises(ValueError, match="give `neighbors`"):
        with_neighbors.translate(torch.rand(4, 2, 32, 32))


def test_neighbors_must_be_as_many_as_the_model_sees(model: FixedPointGAN, with_neighbors: FixedPointGAN) -> None:
    for own, channels, wrong in ((model, 1, 3), (with_neighbors, 2, 1)):
        images = np.zeros((4, channels, 32, 32), np.float32)
        with pytest.raises(ValueError, match=rf"`neighbors` must be \(N, {4 - wrong}\), got \(4, {wrong}\)"):
            own.translate(images, neighbors=np.zeros((4, wrong), int))


def test_wrong_shape_and_domain_are_refused(model: FixedPointGAN) -> None:
    with pytest.raises(ValueError, match=r"`slices` must be \(S, 1, H, W\), got \(2, 3, 32, 32\)"):
        model.translate(np.zeros((2, 3, 32, 32), np.float32))
    with pytest.raises(ValueError, match="unknown domain 'ill'"):
        model.translate(np.zeros((2, 1, 32, 32), np.float32), "ill")


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"{tmp_path}.*holds no model\.safetensors"):
        FixedPointGAN.load(tmp_path)


def test_a_damaged_or_hostile_file_is_refused(tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    path = tmp_path / "model.safetensors"
    for content in (b"", b"garbage" * 100, pickle.dumps(Hostile())):
        path.write_bytes(content)
        with pytest.raises(ModelError, match=r"model\.safetensors: is damaged"):
            FixedPointGAN.load(tmp_path)
    assert not (tmp_path / "executed").exists()


def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(DeviceError, match="must be `auto`"):
        choose_device("gpu0")
    with pytest.raises(DeviceError, match="CUDA devices"):
        choose_device("cuda:99")
