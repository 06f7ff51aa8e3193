"""Losses against values worked by hand on two-pixel images, and against `slow_losses`, forward and backward."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from anomaly_fpgan import losses
from tests.anomaly_fpgan import slow_losses
from tests.anomaly_fpgan.slow_losses import Batch, Critic, Generator, TinyCritic, TinyGenerator, Weights

over_seeds = pytest.mark.parametrize("seed", [0, 1, 2])
over_image_shapes = pytest.mark.parametrize(
    "shape", [(1, 1, 4, 3), (2, 3, 3, 5), (3, 2, 5, 4), (4, 1, 2, 6), (5, 3, 3, 3)]
)
over_label_shapes = pytest.mark.parametrize("shape", [(1, 2), (2, 5), (3, 3), (4, 2), (5, 5)])
over_domain_kinds = pytest.mark.parametrize("exclusive", [True, False], ids=["exclusive", "attributes"])

WEIGHTS = Weights(gradient_penalty=10, domain=0.7, cycle=3, identity=0.4, second_fixed_point=1.9)


def images(*pixels: tuple[float, float]) -> Tensor:
    """Images of one channel and two pixels, (B, 1, 1, 2)."""
    return torch.tensor(pixels, dtype=torch.float32)[:, None, None, :]


# Worked by hand


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
    value = losses.gradient_penalty(critic, x, x + 1, x - 1, torch.tensor([0.3, 0.8]), torch.tensor([True, False]))
    assert value.item() == pytest.approx(16)


def test_gradient_penalty_looks_at_the_given_share_of_the_way_to_the_picked_fake() -> None:
    seen: list[Tensor] = []

    def critic(image: Tensor) -> Tensor:
        seen.append(image.detach())
        return image.sum(-1, keepdim=True)

    x = images((4, 0), (4, 0), (4, 0), (4, 0))
    losses.gradient_penalty(
        critic,
        x,
        images((8, 4), (8, 4), (8, 4), (8, 4)),
        images((0, -8), (0, -8), (0, -8), (0, -8)),
        share=torch.tensor([0.0, 0.25, 0.25, 1.0]),
        pick_same=torch.tensor([True, True, False, False]),
    )
    # The real image; 4 + (8 − 4) / 4 and 0 + 4 / 4; 4 − 4 / 4 and 0 − 8 / 4; the cross-domain fake.
    assert torch.equal(torch.cat(seen), images((4, 0), (5, 1), (3, -2), (0, -8)))


def test_gradient_penalty_trains_the_critic() -> None:
    # d/dw (‖w‖ − 1)² = 2 (‖w‖ − 1) w / ‖w‖; for w = (3, −4): 2 · 4 · (3, −4) / 5.
    weight = torch.tensor([3.0, -4.0], requires_grad=True)
    x = images((0.1, 0.2))
    draws = torch.tensor([0.5]), torch.tensor([True])
    losses.gradient_penalty(lambda image: (image * weight).sum(-1), x, x + 1, x - 1, *draws).backward()
    torch.testing.assert_close(weight.grad, torch.tensor([4.8, -6.4]))


def test_gradient_penalty_leaves_the_fakes_alone() -> None:
    # The slope of a curved critic depends on the place, and through it on the fakes.
    same, cross = images((0.3, 0.4), (0.3, 0.4)).requires_grad_(), images((0.5, 0.6), (0.5, 0.6)).requires_grad_()
    draws = torch.tensor([0.5, 0.5]), torch.tensor([True, False])
    losses.gradient_penalty(torch.square, images((0.1, 0.2), (0.1, 0.2)), same, cross, *draws).backward()
    assert same.grad is None
    assert cross.grad is None


def test_gradient_penalty_of_a_flat_critic_is_one_and_does_not_break_it() -> None:
    # ‖w‖ has no derivative at w = 0; a critic that starts there must not turn into NaN.
    weight = torch.zeros(2, requires_grad=True)
    x = images((0.1, 0.2))
    draws = torch.tensor([0.5]), torch.tensor([True])
    value = losses.gradient_penalty(lambda image: (image * weight).sum(-1), x, x + 1, x - 1, *draws)
    value.backward()
    assert value.item() == 1
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


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


@pytest.mark.parametrize(("exclusive", "expected"), [(True, 2000), (False, 1000 + 1000)])
def test_a_critic_that_is_sure_and_wrong_costs_its_logits(exclusive: bool, expected: float) -> None:
    # exp(1000) overflows even float64. Exclusive: 1000 − (−1000); attributes: 1000 for each of the two.
    logits, labels = torch.tensor([[1000.0, -1000.0]]), torch.tensor([[0.0, 1.0]])
    assert losses.domain_real(logits, labels, exclusive=exclusive).item() == pytest.approx(expected)


@over_domain_kinds
def test_labels_may_be_whole_numbers(exclusive: bool) -> None:
    logits, labels = torch.tensor([[0.5, -1.0], [2.0, 0.0]]), torch.tensor([[1, 0], [0, 1]])
    value = losses.domain_real(logits, labels, exclusive=exclusive)
    torch.testing.assert_close(value, losses.domain_real(logits, labels.float(), exclusive=exclusive))


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


# Against the oracle


@over_seeds
@over_image_shapes
@pytest.mark.parametrize(
    ("name", "arguments"),
    {"adversarial": 3, "adversarial_fake": 2, "cycle": 3, "conditional_identity": 2, "second_fixed_point": 2}.items(),
)
def test_scores_and_images_agree_with_the_oracle(
    name: str, arguments: int, shape: tuple[int, int, int, int], seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    inputs = [trainable(shape, random) for _ in range(arguments)]
    assert_same_value_and_gradients(getattr(losses, name)(*inputs), getattr(slow_losses, name)(*inputs), inputs)


@over_seeds
@over_label_shapes
@over_domain_kinds
def test_domain_losses_agree_with_the_oracle(shape: tuple[int, int], exclusive: bool, seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    c_x, c_y = two_domains(shape, random, exclusive)
    inputs = logits_same, logits_cross = trainable(shape, random), trainable(shape, random)
    assert_same_value_and_gradients(
        losses.domain_real(logits_same, c_x, exclusive=exclusive),
        slow_losses.domain_real(logits_same, c_x, exclusive=exclusive),
        [logits_same],
    )
    assert_same_value_and_gradients(
        losses.domain_fake(logits_same, c_x, logits_cross, c_y, exclusive=exclusive),
        slow_losses.domain_fake(logits_same, c_x, logits_cross, c_y, exclusive=exclusive),
        inputs,
    )


@over_seeds
@over_image_shapes
def test_gradient_penalty_agrees_with_the_oracle(shape: tuple[int, int, int, int], seed: int) -> None:
    random = torch.Generator().manual_seed(seed)
    critic = TinyCritic(shape[1], 2, random)
    x, x_same, x_cross = (trainable(shape, random) for _ in range(3))
    draws = draws_for_the_penalty(shape[0], random)
    assert_same_value_and_gradients(
        losses.gradient_penalty(critic.scores, x, x_same, x_cross, *draws),
        slow_losses.gradient_penalty(critic.scores, x, x_same, x_cross, *draws),
        [*critic.parameters(), x, x_same, x_cross],
    )


@over_seeds
@over_image_shapes
@over_domain_kinds
def test_whole_losses_of_both_networks_agree_with_the_oracle(
    shape: tuple[int, int, int, int], exclusive: bool, seed: int
) -> None:
    random = torch.Generator().manual_seed(seed)
    domains = (2, 3, 5)[seed]
    generator, critic = TinyGenerator(shape[1], domains, random), TinyCritic(shape[1], domains, random)
    batch = Batch(
        torch.randn(shape, generator=random, dtype=torch.float64),
        *two_domains((shape[0], domains), random, exclusive),
        *draws_for_the_penalty(shape[0], random),
    )
    parameters = [*generator.parameters(), *critic.parameters()]
    for fast, slow in ((critic_loss, slow_losses.critic_loss), (generator_loss, slow_losses.generator_loss)):
        assert_same_value_and_gradients(
            fast(generator, critic, batch, exclusive),
            slow(generator, critic, batch, WEIGHTS, exclusive=exclusive),
            parameters,
        )


# Precision


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: losses.adversarial(a, b, b),
        losses.adversarial_fake,
        lambda a, b: penalty_of_a_linear_critic(slopes=a, images=b.float()),
        lambda a, b: losses.domain_real(a, (b > 0).float(), exclusive=True),
        lambda a, b: losses.domain_fake(a, (b > 0).float(), b, (a > 0).float(), exclusive=False),
    ],
    ids=["adversarial", "adversarial_fake", "gradient_penalty", "domain_real", "domain_fake"],
)
def test_bfloat16_scores_and_logits_are_summed_in_float32(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    first, second = torch.randn(2, 64, 8, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    value = loss(first, second)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, loss(first.float(), second.float()), rtol=1e-6, atol=1e-6)


# L_D and L_G put together from losses.py, and what the tests draw


def critic_loss(generator: Generator, critic: Critic, batch: Batch, exclusive: bool) -> Tensor:
    """L_D = −adversarial + λ_gp · penalty + λ_domain · (domain, real)."""
    x, c_x, c_y, share, pick_same = batch
    x_same, x_cross = generator(x, c_x).detach(), generator(x, c_y).detach()
    scores_x, logits_x = critic(x)
    penalty = losses.gradient_penalty(lambda image: critic(image)[0], x, x_same, x_cross, share, pick_same)
    return (
        -losses.adversarial(scores_x, critic(x_same)[0], critic(x_cross)[0])
        + WEIGHTS.gradient_penalty * penalty
        + WEIGHTS.domain * losses.domain_real(logits_x, c_x, exclusive=exclusive)
    )


def generator_loss(generator: Generator, critic: Critic, batch: Batch, exclusive: bool) -> Tensor:
    """L_G = −Σ_c E[D_src(G(x, c))] + λ_domain · (domain, fake) + λ_cyc · cycle + λ_id · identity + λ_2 · second."""
    x, c_x, c_y, *_ = batch
    x_same, x_cross = generator(x, c_x), generator(x, c_y)
    again, back = generator(x_same, c_x), generator(x_cross, c_x)
    (scores_same, logits_same), (scores_cross, logits_cross) = critic(x_same), critic(x_cross)
    return (
        losses.adversarial_fake(scores_same, scores_cross)
        + WEIGHTS.domain * losses.domain_fake(logits_same, c_x, logits_cross, c_y, exclusive=exclusive)
        + WEIGHTS.cycle * losses.cycle(x, back, again)
        + WEIGHTS.identity * losses.conditional_identity(x, x_same)
        + WEIGHTS.second_fixed_point * losses.second_fixed_point(x_same, again)
    )


def penalty_of_a_linear_critic(slopes: Tensor, images: Tensor) -> Tensor:
    """Of a critic that scores each of (B, 8) pixels in the precision of `slopes` (B, 8)."""
    draws = torch.zeros(len(images)), torch.zeros(len(images), dtype=torch.bool)
    return losses.gradient_penalty(lambda x: (x * slopes).to(slopes.dtype), images, images, images, *draws)


def trainable(shape: Sequence[int], random: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=random, dtype=torch.float64).requires_grad_()


def draws_for_the_penalty(count: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shares and picks (B,)."""
    return torch.rand(count, generator=random, dtype=torch.float64), torch.rand(count, generator=random) < 0.5


def two_domains(shape: tuple[int, int], random: torch.Generator, exclusive: bool) -> tuple[Tensor, Tensor]:
    """Domains and different targets (B, K); of attributes, the first image has none and the targets change one."""
    count, domains = shape
    if exclusive:
        own = torch.randint(domains, (count,), generator=random)
        target = (own + torch.randint(1, domains, (count,), generator=random)) % domains
        return functional.one_hot(own, domains).double(), functional.one_hot(target, domains).double()
    c_x = (torch.rand(shape, generator=random) < 0.5).double()
    c_x[0] = 0
    changed = functional.one_hot(torch.randint(domains, (count,), generator=random), domains)
    return c_x, (c_x - changed).abs()


def assert_same_value_and_gradients(fast: Tensor, slow: Tensor, inputs: Sequence[Tensor]) -> None:
    torch.testing.assert_close(fast, slow, rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(gradients(fast, inputs), gradients(slow, inputs), rtol=1e-5, atol=1e-9)


def gradients(value: Tensor, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Zero for an input that the value does not depend on, such as the generator below the critic's loss."""
    return torch.autograd.grad(value, inputs, allow_unused=True, materialize_grads=True)
