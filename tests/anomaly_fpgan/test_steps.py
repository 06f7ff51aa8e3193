"""The two updates against the formulas computed one translation at a time, and the guard around them."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from anomaly_fpgan import losses
from anomaly_fpgan.training.batches import Batch, Batches
from anomaly_fpgan.training.config import LossWeights, TrainingConfig
from anomaly_fpgan.training.optimizer import GuardedAdam
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.steps import critic_step, generator_step, warmup_step
from anomaly_fpgan.training.trainer import FixedPointTrainer

BETAS = (0.5, 0.9)


def make_trainer(dataset: Any, config: TrainingConfig) -> FixedPointTrainer:
    processes = Processes()
    batches = Batches(dataset, config, torch.device("cpu"), processes=processes)
    return FixedPointTrainer(batches=batches, config=config, processes=processes)


def first_batch(trainer: FixedPointTrainer) -> Batch:
    return next(iter(trainer.batches))


def test_critic_step_is_the_formula_and_touches_the_critic_alone(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    adversaries, critic, batch = trainer.adversaries, trainer.critic, first_batch(trainer)
    terms = critic_step(adversaries, batch, adversaries.translate_both(batch, for_generator=True))
    with torch.no_grad():
        x_same, x_cross = trainer.translator(batch.x, batch.c_x), trainer.translator(batch.x, batch.c_y)
    scores, logits = critic(batch.x, batch.c_x)
    adversarial = 2 * scores.mean() - critic(x_same, batch.c_x)[0].mean() - critic(x_cross, batch.c_y)[0].mean()
    c_between = torch.where(batch.pick_same[:, None], batch.c_x, batch.c_y)
    penalty = losses.gradient_penalty(
        lambda image: critic(image, c_between)[0], batch.x, x_same, x_cross, batch.share, batch.pick_same
    )
    domain = torch.nn.functional.cross_entropy(logits, batch.c_x.argmax(1))
    loss = -adversarial + 10 * penalty + domain
    torch.testing.assert_close(terms["critic_loss"], loss.detach())
    expected = torch.autograd.grad(loss, list(critic.parameters()))
    for parameter, gradient in zip(critic.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in trainer.translator.parameters())


def test_the_warmup_teaches_the_critic_the_domains_of_real_images(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"losses": LossWeights(domain=3)}))
    critic, batch = trainer.critic, first_batch(trainer)
    terms = warmup_step(trainer.adversaries, batch)
    domain = torch.nn.functional.cross_entropy(critic.judge(batch.x)[1], batch.c_x.argmax(1))
    torch.testing.assert_close(terms, {"critic_loss": 3 * domain.detach(), "domain_real": domain.detach()})
    learning = [*critic.features.parameters(), *critic.domain_head.parameters()]
    for parameter, gradient in zip(learning, torch.autograd.grad(3 * domain, learning), strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    assert all(parameter.grad is None for parameter in critic.source_head.parameters())
    assert all(parameter.grad is None for parameter in trainer.translator.parameters())


def test_generator_step_is_the_formula_and_leaves_the_critic_alone(blobs: Any, tiny_config: TrainingConfig) -> None:
    weights = LossWeights(identity=3, cycle=7, domain=2, second_fixed_point=5)
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"losses": weights}))
    translator, critic, batch = trainer.translator, trainer.critic, first_batch(trainer)
    terms = generator_step(trainer.adversaries, batch, trainer.adversaries.translate_both(batch, for_generator=True))
    x_same, x_cross = translator(batch.x, batch.c_x), translator(batch.x, batch.c_y)
    (src_same, dom_same), (src_cross, dom_cross) = critic(x_same, batch.c_x), critic(x_cross, batch.c_y)
    back_same, back_cross = translator(x_same, batch.c_x), translator(x_cross, batch.c_x)
    entropy = torch.nn.functional.cross_entropy
    loss = (
        -src_same.mean()
        - src_cross.mean()
        + 2 * (entropy(dom_same, batch.c_x.argmax(1)) + entropy(dom_cross, batch.c_y.argmax(1)))
        + 7 * ((back_same - batch.x).abs().mean() + (back_cross - batch.x).abs().mean())
        + 3 * (x_same - batch.x).abs().mean()
        + 5 * (back_same - x_same).abs().mean()
    )
    torch.testing.assert_close(terms["generator_loss"], loss.detach())
    expected = torch.autograd.grad(loss, list(translator.parameters()))
    for parameter, gradient in zip(translator.parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-5)
    assert all(parameter.grad is None and parameter.requires_grad for parameter in critic.parameters())


def test_a_critic_step_ends_at_the_translations(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    batch = first_batch(trainer)
    fakes = trainer.adversaries.translate_both(batch, for_generator=True)
    critic_step(trainer.adversaries, batch, fakes)
    # Their graph is whole still, so the generator's step can use it.
    generator_step(trainer.adversaries, batch, fakes)


def guarded(weight: float, **settings: Any) -> tuple[torch.nn.Linear, GuardedAdam]:
    layer = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.constant_(layer.weight, weight)
    return layer, GuardedAdam("layer", layer, processes=Processes(), **settings)


def test_the_guard_takes_the_same_steps_as_plain_adam() -> None:
    layer, guard = guarded(1.0, max_gradient_norm=1e9)
    other = torch.nn.Linear(2, 1, bias=False)
    torch.nn.init.constant_(other.weight, 1.0)
    adam = torch.optim.Adam(other.parameters(), lr=0.1, betas=BETAS)
    for step in range(3):
        for network in (layer, other):
            network.weight.grad = torch.tensor([[1.0 + step, -2.0]])
        update = guard.step({"loss": torch.tensor(1.0)}, 0.1, BETAS)
        adam.step()
        assert update.finite
        assert update.terms["layer_gradient_norm"].item() == pytest.approx(((1.0 + step) ** 2 + 4) ** 0.5)
    torch.testing.assert_close(layer.weight, other.weight)


@pytest.mark.parametrize(
    ("loss", "gradient"), [(float("nan"), 1.0), (float("inf"), 1.0), (1.0, float("nan")), (1.0, float("-inf"))]
)
def test_a_non_finite_step_leaves_weights_and_moments_alone(loss: float, gradient: float) -> None:
    layer, guard = guarded(1.0, max_gradient_norm=1e9)
    layer.weight.grad = torch.ones(1, 2)
    guard.step({"loss": torch.tensor(1.0)}, 0.1, BETAS)
    before = [layer.weight.detach().clone(), *(value.clone() for value in guard.adam.state[layer.weight].values())]
    layer.weight.grad = torch.tensor([[1.0, gradient]])
    update = guard.step({"loss": torch.tensor(loss)}, 0.1, BETAS)
    assert not update.finite
    after = [layer.weight.detach(), *guard.adam.state[layer.weight].values()]
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(old, new, rtol=0, atol=0)
    layer.weight.grad = torch.ones(1, 2)
    assert guard.step({"loss": torch.tensor(1.0)}, 0.1, BETAS).finite
    assert not torch.equal(layer.weight, before[0])


def test_a_long_gradient_is_shortened() -> None:
    layer, guard = guarded(1.0, max_gradient_norm=0.5)
    layer.weight.grad = torch.tensor([[3.0, 4.0]])
    update = guard.step({"loss": torch.tensor(1.0)}, 0.1, BETAS)
    assert update.terms["layer_gradient_norm"].item() == pytest.approx(5)  # as it was
    torch.testing.assert_close(layer.weight.grad, torch.tensor([[0.3, 0.4]]))


def test_averaged_weights_follow_closely_at_first_and_slowly_later(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config.model_copy(update={"averaging": 0.5}))
    average, weight = next(trainer.averaged.parameters()), next(trainer.translator.parameters())
    with torch.no_grad():
        average.fill_(0.0)
        weight.fill_(1.0)
    trainer._average(1)
    torch.testing.assert_close(average, torch.full_like(average, 0.9))  # decay 1 / 10
    with torch.no_grad():
        average.fill_(0.0)
    trainer._average(1000)
    torch.testing.assert_close(average, torch.full_like(average, 0.5))  # decay as set
    assert not average.requires_grad


def test_compiling_changes_no_more_than_rounding(blobs: Any, tiny_config: TrainingConfig) -> None:
    plain = make_trainer(blobs, tiny_config)
    compiled = make_trainer(blobs, tiny_config.model_copy(update={"compile": True}))
    batch = first_batch(plain)
    try:
        fakes = compiled.adversaries.translate_both(batch, for_generator=True)
    except Exception as error:  # no compiler, or one that PyTorch does not know
        pytest.skip(f"torch.compile does not work here: {error}")
    terms = generator_step(compiled.adversaries, batch, fakes)
    expected = generator_step(plain.adversaries, batch, plain.adversaries.translate_both(batch, for_generator=True))
    torch.testing.assert_close(terms, expected, rtol=1e-4, atol=1e-5)
    for one, other in zip(compiled.translator.parameters(), plain.translator.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-3, atol=1e-5)


def test_a_batch_is_computed_alike_alone_and_within_a_larger_one(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, tiny_config)
    batch = first_batch(trainer)
    one = Batch(**{name: value[:1] for name, value in vars(batch).items()})
    same, cross = trainer.adversaries.translate_both(batch, for_generator=False)
    same_alone, cross_alone = trainer.adversaries.translate_both(one, for_generator=False)
    torch.testing.assert_close(same[:1], same_alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(cross[:1], cross_alone, rtol=1e-4, atol=1e-5)


def by_domain(config: TrainingConfig) -> TrainingConfig:
    settings = config.model_dump()
    settings["networks"] |= {"source_head": "by_domain", "domain_head": "patch", "output_rule": "foreground"}
    settings["losses"] |= {"mismatch": 2.0, "domain_origin": 3.0}
    return TrainingConfig(**settings)


def test_a_critic_by_domain_sees_each_image_as_what_it_is_or_is_meant_to_be(
    blobs: Any, tiny_config: TrainingConfig
) -> None:
    trainer = make_trainer(blobs, by_domain(tiny_config))
    adversaries, critic, batch = trainer.adversaries, trainer.critic, first_batch(trainer)
    terms = critic_step(adversaries, batch, adversaries.translate_both(batch, for_generator=True))
    with torch.no_grad():
        x_same, x_cross = trainer.translator(batch.x, batch.c_x), trainer.translator(batch.x, batch.c_y)
    features = {
        name: critic.source_head(critic.features(image))
        for name, image in (("x", batch.x), ("same", x_same), ("cross", x_cross))
    }
    own, target = batch.c_x.argmax(1), batch.c_y.argmax(1)
    rows = torch.arange(len(own))
    real = features["x"][rows, own].mean()
    adversarial = 2 * real - features["same"][rows, own].mean() - features["cross"][rows, target].mean()
    torch.testing.assert_close(terms["adversarial"], adversarial.detach())
    torch.testing.assert_close(terms["mismatch"], (real - features["x"][rows, target].mean()).detach())
    origin = torch.nn.functional.cross_entropy(critic(x_cross, batch.c_y)[1], own)
    torch.testing.assert_close(terms["domain_origin"], origin.detach())
    expected = -adversarial.detach() + 10 * terms["gradient_penalty"] + terms["domain_real"] - 2 * terms["mismatch"]
    expected += 3 * terms["domain_origin"]
    torch.testing.assert_close(terms["critic_loss"], expected)


def test_a_generator_is_judged_by_the_domain_it_was_asked_for(blobs: Any, tiny_config: TrainingConfig) -> None:
    trainer = make_trainer(blobs, by_domain(tiny_config))
    batch = first_batch(trainer)
    fakes = trainer.adversaries.translate_both(batch, for_generator=True)
    terms = generator_step(trainer.adversaries, batch, fakes)
    scores = [
        trainer.critic.source_head(trainer.critic.features(fake))[torch.arange(len(fake)), label.argmax(1)].mean()
        for fake, label in zip(fakes, (batch.c_x, batch.c_y), strict=True)
    ]
    torch.testing.assert_close(terms["adversarial_fake"], -sum(scores).detach())


def test_mismatched_images_need_a_critic_by_domain() -> None:
    with pytest.raises(ValueError, match=r"`losses\.mismatch` needs `networks\.source_head` by_domain"):
        TrainingConfig(losses={"mismatch": 1.0})
