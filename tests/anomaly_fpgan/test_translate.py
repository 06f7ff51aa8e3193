"""Output rules, scales and the generator's fixed point."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.networks.generator import Generator
from anomaly_fpgan.translate import Translator, to_network_range, to_stored_range


class Constant(nn.Module):
    """Proposes the same delta everywhere."""

    def __init__(self, delta: float) -> None:
        super().__init__()
        self.delta = delta

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        return torch.full_like(image, self.delta)


IMAGE = torch.tensor([-1.0, -0.5, 0.0, 0.25, 1.0]).reshape(1, 1, 1, 5)
LABEL = torch.tensor([[1.0, 0.0]])


@pytest.mark.parametrize("training", [True, False])
def test_additive_with_delta_0_is_the_identity_everywhere(training: bool) -> None:
    translated = Translator(Constant(0.0), "additive").train(training)(IMAGE, LABEL)
    assert torch.equal(translated, IMAGE)


def test_tanh_with_delta_0_changes_the_background() -> None:
    translated = Translator(Constant(0.0), "tanh")(IMAGE, LABEL)
    # tanh(−1) = −0.7616: the rule cannot say "leave the background".
    assert translated[0, 0, 0, 0].item() == pytest.approx(-0.7616, abs=1e-4)
    assert not torch.allclose(translated, IMAGE)


def test_additive_is_clamped_at_inference_and_free_in_training() -> None:
    translator = Translator(Constant(0.5), "additive")
    assert translator.train()(IMAGE, LABEL).max().item() == pytest.approx(1.5)
    assert translator.eval()(IMAGE, LABEL).max().item() == pytest.approx(1)


def test_scales_are_inverse() -> None:
    stored = torch.tensor([0.0, 0.25, 1.0])
    assert to_network_range(stored).tolist() == [-1, -0.5, 1]
    assert torch.equal(to_stored_range(to_network_range(stored)), stored)


@pytest.mark.parametrize(("channels", "height", "width"), [(1, 64, 64), (4, 32, 48), (3, 37, 50)])
def test_networks_take_any_channels_and_rectangles(channels: int, height: int, width: int) -> None:
    image, label = torch.rand(2, channels, height, width) * 2 - 1, torch.eye(3)[:2]
    delta = Generator(channels, 3, base_width=4, residual_blocks=1)(image, label)
    assert delta.shape == image.shape
    scores, logits = Discriminator(channels, 3, (height, width), base_width=4)(image)
    assert scores.shape[:2] == (2, 1)
    assert logits.shape == (2, 3)


def test_generator_looks_at_the_target() -> None:
    generator = Generator(1, 2, base_width=4, residual_blocks=1)
    image = torch.rand(1, 1, 32, 32)
    first, second = torch.eye(2)[:1], torch.eye(2)[1:]
    assert not torch.allclose(generator(image, first), generator(image, second))


def test_the_patch_head_finds_a_domain_wherever_it_shows() -> None:
    torch.manual_seed(0)
    critic = Discriminator(1, 2, (32, 32), base_width=4, depth=2, domain_head="patch")
    image = torch.full((1, 1, 32, 32), -1.0)
    image[..., 8:12, 8:12] = 1
    moved = image.roll((8, 4), (2, 3))  # by whole strides, and away from the border
    torch.testing.assert_close(critic(image)[1], critic(moved)[1])
    whole = Discriminator(1, 2, (32, 32), base_width=4, depth=2)
    assert not torch.allclose(whole(image)[1], whole(moved)[1])


def test_discriminator_says_which_size_it_needs() -> None:
    with pytest.raises(ValueError, match=r"`image` must be \(32, 32\), got \(16, 32\)"):
        Discriminator(1, 2, (32, 32), base_width=4)(torch.zeros(1, 1, 16, 32))
