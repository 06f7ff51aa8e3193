"""Times the training step against a plain one written straight from the formulas: `make bench`.

The plain step computes in float32, translates once a pass, passes each image through the critic on its own, and takes
the gradient penalty on both fakes. Both are run alternately in one process, so that a noisy machine slows both alike;
the ratio of their medians is the result. Absolute times are for orientation.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from anomaly_fpgan.device import autocast, choose_device
from anomaly_fpgan.domains import DomainScheme
from anomaly_fpgan.model import build_translator
from anomaly_fpgan.networks.config import NetworkConfig
from anomaly_fpgan.networks.discriminator import Discriminator
from anomaly_fpgan.training.batches import step_generator
from anomaly_fpgan.training.config import LossWeights
from anomaly_fpgan.training.steps import Adversaries, Batch, critic_step, generator_step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--critic-steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    device = choose_device()
    fast, plain = (_make(options, device, precision) for precision in ("auto", "float32"))
    batch = _batch(options, device)
    times: dict[str, list[float]] = {"fast": [], "plain": []}
    for round_number in range(options.rounds + 1):
        for name, run in (
            ("fast", lambda: _fast(fast, batch, options)),
            ("plain", lambda: _plain(plain, batch, options)),
        ):
            seconds = _time(run, device)
            if round_number:  # the first round warms up
                times[name].append(seconds / options.critic_steps)
    fast_s, plain_s = (statistics.median(times[name]) for name in ("fast", "plain"))
    print(f"device {device}, {torch.get_num_threads()} threads, torch {torch.__version__}")
    print(
        f"{options.size} px, width {options.width}, {options.blocks} blocks, batch {options.batch}, "
        f"n_critic {options.critic_steps}, median of {options.rounds} rounds"
    )
    print(f"plain {plain_s:.3f} s an iteration, {options.batch / plain_s:.1f} images/s")
    print(f"fast  {fast_s:.3f} s an iteration, {options.batch / fast_s:.1f} images/s")
    print(f"ratio {plain_s / fast_s:.2f}")


def _make(options: argparse.Namespace, device: torch.device, precision: str) -> Adversaries:
    torch.manual_seed(0)
    networks = NetworkConfig(generator_width=options.width, residual_blocks=options.blocks)
    shape = (1, options.size, options.size)
    return Adversaries(
        translator=build_translator(shape, DomainScheme(names=("healthy", "diseased")), networks).to(device),
        critic=Discriminator(1, 2, shape[1:], base_width=options.width).to(device),
        weights=LossWeights(),
        exclusive=True,
        autocast=autocast(device, precision),
    )


def _batch(options: argparse.Namespace, device: torch.device) -> Batch:
    label = torch.eye(2).repeat(options.batch, 1)[: options.batch].to(device)
    x = torch.rand(options.batch, 1, options.size, options.size, device=device) * 2 - 1
    return Batch(x=x, c_x=label, c_y=1 - label)


def _fast(adversaries: Adversaries, batch: Batch, options: argparse.Namespace) -> None:
    for step in range(options.critic_steps):
        adversaries.critic.zero_grad()
        critic_step(adversaries, batch, step_generator(0, step))
    adversaries.translator.zero_grad()
    generator_step(adversaries, batch)


def _plain(adversaries: Adversaries, batch: Batch, options: argparse.Namespace) -> None:
    translate, critic, x = adversaries.translator, adversaries.critic, batch.x
    targets = (batch.c_x, batch.c_y)

    def entropy(logits: Tensor, label: Tensor) -> Tensor:
        return functional.cross_entropy(logits, label.argmax(1))

    for _ in range(options.critic_steps):
        critic.zero_grad()
        fakes = [translate(x, target).detach() for target in targets]
        scores, logits = critic(x)
        loss = entropy(logits, batch.c_x)
        for fake in fakes:
            share = torch.rand(len(x), 1, 1, 1, device=x.device)
            between = (x + share * (fake - x)).requires_grad_(True)
            slope = torch.autograd.grad(critic(between)[0].mean((1, 2, 3)).sum(), between, create_graph=True)[0]
            loss = loss - scores.mean() + critic(fake)[0].mean()
            loss = loss + 10 * (slope.flatten(1).norm(dim=1) - 1).square().mean() / 2
        loss.backward()
    translate.zero_grad()
    loss = torch.zeros((), device=x.device)
    for target in targets:
        fake = translate(x, target)
        scores, logits = critic(fake)
        loss = loss - scores.mean() + entropy(logits, target) + 10 * (translate(fake, batch.c_x) - x).abs().mean()
        if target is batch.c_x:
            loss = loss + 0.1 * (fake - x).abs().mean()
    loss.backward()


def _time(run: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
