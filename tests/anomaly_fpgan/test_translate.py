"""Output rules, scales and the generator's fixed point."""

from __future__ import annotations

import math

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
    scores, logits = Discriminator(channels, 3, (height, width), base_width=4)(image, torch.eye(3)[: len(image)])
    assert scores.shape[:2] == (2, 1)
    assert logits.shape == (2, 3)


def test_generator_looks_at_the_target() -> None:
    generator = Generator(1, 2, base_width=4, residual_blocks=1)
    image = torch.rand(1, 1, 32, 32)
    first, second = torch.eye(2)[:1], torch.eye(2)[1:]
    assert not torch.allclose(generator(image, first), generator(image, second))


def test_a_fresh_generator_begins_at_the_identity_where_asked_and_learns_from_there() -> None:
    torch.manual_seed(0)
    image, label = torch.rand(2, 1, 16, 16), torch.eye(2)
    assert Generator(1, 2, base_width=4, residual_blocks=1)(image, label).abs().max() > 0
    generator = Generator(1, 2, base_width=4, residual_blocks=1, start="identity")
    assert generator(image, label).abs().max() == 0
    optimizer = torch.optim.SGD(generator.parameters(), lr=1e-3)
    for _ in range(2):  # the first step moves the last layer alone
        optimizer.zero_grad()
        (generator(image, label) - 1).square().mean().backward()
        optimizer.step()
    assert all(weight.grad is not None and weight.grad.abs().max() > 0 for weight in generator.parameters())


def test_a_margin_is_background_that_the_generator_sees_and_the_delta_lacks() -> None:
    with_margin, without = (Generator(2, 2, base_width=4, residual_blocks=1, margin=margin) for margin in (5, 0))
    without.load_state_dict(with_margin.state_dict())
    image, label = torch.rand(1, 2, 21, 30), torch.tensor([[1.0, 0.0]])
    surrounded = torch.full((1, 2, 31, 40), -1.0)
    surrounded[..., 5:26, 5:35] = image
    delta = with_margin(image, label)
    assert delta.shape == image.shape
    torch.testing.assert_close(delta, without(surrounded, label)[..., 5:26, 5:35])
    assert not torch.allclose(delta, without(image, label))


def test_the_patch_head_finds_a_domain_wherever_it_shows() -> None:
    torch.manual_seed(0)
    critic = Discriminator(1, 2, (32, 32), base_width=4, depth=2, domain_head="patch")
    image = torch.full((1, 1, 32, 32), -1.0)
    image[..., 8:12, 8:12] = 1
    healthy = torch.eye(2)[:1]
    moved = image.roll((8, 4), (2, 3))  # by whole strides, and away from the border
    torch.testing.assert_close(critic(image, healthy)[1], critic(moved, healthy)[1])
    whole = Discriminator(1, 2, (32, 32), base_width=4, depth=2)
    assert not torch.allclose(whole(image, healthy)[1], whole(moved, healthy)[1])


def test_discriminator_says_which_size_it_needs() -> None:
    with pytest.raises(ValueError, match=r"`image` must be \(32, 32\), got \(16, 32\)"):
        Discriminator(1, 2, (32, 32), base_width=4)(torch.zeros(1, 1, 16, 32), torch.eye(2)[:1])


def test_foreground_rule_leaves_the_background_and_moves_the_rest() -> None:
    image = torch.full((1, 2, 1, 3), -1.0)
    image[0, 1, 0, 1:] = torch.tensor([0.0, 0.5])  # one channel is enough to be foreground
    translator = Translator(Constant(0.25), "foreground").train()
    expected = image.clone()
    expected[..., 1:] += 0.25
    torch.testing.assert_close(translator(image, torch.eye(2)[:1]), expected, rtol=0, atol=0)


def test_each_of_several_slices_has_a_background_of_its_own() -> None:
    image = torch.tensor([[-1.0, 0.0, 0.0], [-1.0, -1.0, 0.5], [0.25, -1.0, -1.0], [-1.0, -1.0, -1.0]])
    translator = Translator(Constant(0.1), "foreground", slices=2)  # of two channels each
    (translated,) = translator(image.reshape(1, 4, 1, 3), LABEL)
    moved = (translated.reshape(4, 3) - image).abs() > 0.05
    assert moved.tolist() == [[False, True, True], [False, True, True], [True, False, False], [True, False, False]]


def test_the_patch_head_is_between_the_highest_patch_and_what_all_of_them_could_add() -> None:
    critic = Discriminator(1, 2, (32, 32), base_width=4, depth=2, domain_head="patch")
    image = torch.rand(3, 1, 32, 32) * 2 - 1
    patches = critic.domain_head(critic.features(image)).flatten(2)
    logits = critic(image, torch.eye(2)[[0, 0, 1]])[1]
    highest = patches.amax(2)
    assert (logits >= highest).all()
    assert (logits <= highest + math.log(patches.shape[2]) / 4 + 1e-5).all()


def test_a_critic_by_domain_takes_the_mean_over_attributes_of_present_or_absent() -> None:
    critic = Discriminator(1, 2, (32, 32), base_width=4, depth=2, source_head="by_domain", exclusive=False)
    image = torch.rand(1, 1, 32, 32)
    maps = critic.source_head(critic.features(image))  # first present, second present, first absent, second absent
    expected = (maps[:, 0:1] + maps[:, 3:4]) / 2
    torch.testing.assert_close(critic(image, torch.tensor([[1.0, 0.0]]))[0], expected)
