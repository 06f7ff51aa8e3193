"""Losses against values worked by hand on two-pixel images, and against a slow re-computation."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from anomaly_fpgan import losses


def images(*pixels: tuple[float, float]) -> Tensor:
    """Images of one channel and two pixels, (B, 1, 1, 2)."""
    return torch.tensor(pixels, dtype=torch.float32)[:, None, None, :]


def test_adversarial_counts_the_real_score_once_for_each_fake() -> None:
    # Mean scores 3, 1 and 0.5: (3 − 1) + (3 − 0.5) = 4.5.
    value = losses.adversarial(torch.tensor([2.0, 4.0]), torch.tensor([1.0, 1.0]), torch.tensor([0.0, 1.0]))
    assert value.item() == pytest.approx(4.5)


def test_the_generator_wants_high_scores_for_both_fakes() -> None:
    # −(1 + 3) / 2 − (0 + 1) / 2 = −2.5
    assert losses.adversarial_fake(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0])).item() == pytest.approx(-2.5)


def test_adversarial_does_not_see_a_constant_added_to_all_scores() -> None:
    x, same, cross = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
    shifted = losses.adversarial(x + 7, same + 7, cross + 7)
    assert shifted.item() == pytest.approx(losses.adversarial(x, same, cross).item(), abs=1e-5)


def test_gradient_penalty_of_a_linear_critic_is_its_slope() -> None:
    # D(x) = 3 a + 4 b has gradient (3, 4), norm 5 everywhere: (5 − 1)² = 16.
    def critic(image: Tensor) -> Tensor:
        return (image * torch.tensor([3.0, 4.0])).sum(-1, keepdim=True)

    x = images((1, 2), (3, 4))
    value = losses.gradient_penalty(critic, x, x + 1, x - 1, torch.Generator().manual_seed(0))
    assert value.item() == pytest.approx(16)


def test_gradient_penalty_looks_between_the_image_and_both_of_its_fakes() -> None:
    seen: list[Tensor] = []

    def critic(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return image.sum(-1, keepdim=True)

    x = torch.zeros(400, 1, 1, 2)
    losses.gradient_penalty(critic, x, x + 1, x - 2, torch.Generator().manual_seed(0))
    place = seen[0][:, 0, 0, 0]
    assert (seen[0][..., 0] == seen[0][..., 1]).all()  # one place on the line for a whole image
    towards_same, towards_cross = place[place > 0], place[place < 0] / -2
    for share in (towards_same, towards_cross):
        # Half of 400 images each, uniform in [0, 1]: mean 1/2 with a deviation of about 0.02.
        assert len(share) == pytest.approx(200, abs=45)
        assert share.max() <= 1
        assert share.mean().item() == pytest.approx(0.5, abs=0.08)


def test_gradient_penalty_trains_the_critic_and_leaves_the_fakes_alone() -> None:
    critic = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
    x, same = images((0.1, 0.2)), images((0.3, 0.4)).requires_grad_()
    losses.gradient_penalty(critic, x, same, same, torch.Generator().manual_seed(0)).backward()
    # d/dw (‖w‖ − 1)² = 2 (‖w‖ − 1) w / ‖w‖
    weight = critic.weight.detach()
    norm = weight.norm()
    torch.testing.assert_close(critic.weight.grad, 2 * (norm - 1) * weight / norm)
    assert same.grad is None


def test_exclusive_domains_use_the_cross_entropy() -> None:
    # softmax(0, ln 3) = (1/4, 3/4)
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    labels = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    expected = (math.log(4) + math.log(4 / 3)) / 2
    assert losses.domain_real(logits, labels, exclusive=True).item() == pytest.approx(expected)


def test_attributes_sum_a_binary_cross_entropy_each() -> None:
    # sigmoid(ln 3) = 3/4 for an attribute that holds, sigmoid(0) = 1/2 for one that does not.
    logits, labels = torch.tensor([[math.log(3), 0.0]]), torch.tensor([[1.0, 0.0]])
    expected = math.log(4 / 3) + math.log(2)
    assert losses.domain_real(logits, labels, exclusive=False).item() == pytest.approx(expected)


def test_domain_fake_asks_each_fake_for_its_own_target() -> None:
    logits = torch.tensor([[0.0, math.log(3)]])
    c_x, c_y = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    value = losses.domain_fake(logits, c_x, logits, c_y, exclusive=True)
    assert value.item() == pytest.approx(math.log(4) + math.log(4 / 3))


def test_cycle_adds_both_ways_back() -> None:
    # |0.5| and |1.5| average to 1; |2| and |0| average to 1: 1 + 1 = 2.
    x = images((0, 0))
    assert losses.cycle(x, images((0.5, -1.5)), images((2, 0))).item() == pytest.approx(2)


def test_conditional_identity_is_the_mean_change_of_a_pixel() -> None:
    # (|1| + |0| + |3| + |0|) / 4 = 1
    assert losses.conditional_identity(images((0, 0), (0, 0)), images((1, 0), (3, 0))).item() == pytest.approx(1)


def test_second_fixed_point_compares_two_translations() -> None:
    assert losses.second_fixed_point(images((0.5, 0.5)), images((0.5, 1.0))).item() == pytest.approx(0.25)


def test_losses_agree_with_a_slow_recomputation_forward_and_backward() -> None:
    random = torch.Generator().manual_seed(3)
    x, y, z = (torch.randn(5, 2, 4, 3, generator=random, dtype=torch.float64, requires_grad=True) for _ in range(3))
    fast = losses.cycle(x, y, z) + losses.conditional_identity(x, y)
    slow = torch.zeros((), dtype=torch.float64)
    for image in range(5):
        for value, other in ((y, x), (z, x), (y, x)):
            slow = (
                slow + sum(abs(a - b) for a, b in zip(value[image].flatten(), other[image].flatten(), strict=True)) / 24
            )
    slow = slow / 5
    torch.testing.assert_close(fast, slow)
    for fast_gradient, slow_gradient in zip(
        torch.autograd.grad(fast, (x, y, z)), torch.autograd.grad(slow, (x, y, z)), strict=True
    ):
        torch.testing.assert_close(fast_gradient, slow_gradient)
