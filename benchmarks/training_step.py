"""Times the training engine against a plain one written straight from the formulas: `make bench`.

Both compute the same losses from the same draws, drawing and augmenting included. They run alternately in one process,
so that a noisy machine slows both alike; the ratio of their medians is the result, absolute times are for orientation.
Peak memory is that of a process, or of a GPU, which runs one of them alone. At the end, both take 20 steps from the
same weights, in float32 and in float64, and the largest relative differences of losses and weights are printed.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from anomaly_fpgan.device import choose_device
from anomaly_fpgan.networks.config import NetworkConfig
from anomaly_fpgan.training.batches import Batch, Batches
from anomaly_fpgan.training.config import TrainingConfig
from anomaly_fpgan.training.optimizer import Update
from anomaly_fpgan.training.processes import Processes
from anomaly_fpgan.training.trainer import FixedPointTrainer
from benchmarks.plain_training import PlainTraining

AGREEMENT_STEPS = 20
ENGINE, COMPILED, PLAIN, PLAIN_BOTH = "engine", "engine, compiled", "plain", "plain, penalty on both fakes"


def main() -> None:
    options = _parse()
    device = choose_device()
    if options.memory_of:
        print(_peak_bytes(_cycle(options.memory_of, options), device))
        return
    names = [PLAIN, PLAIN_BOTH, ENGINE, *[COMPILED] * options.compile]
    cycles = {name: _cycle(name, options) for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for round_number in range(options.rounds + 1):
        for name, cycle in cycles.items():
            taken = _time(cycle, device)
            if round_number:  # the first round warms up
                seconds[name].append(taken / options.critic_steps)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        f"{_name(device)}, torch {torch.__version__}: {options.size} px, width {options.width}, "
        f"{options.blocks} blocks, batch {options.batch}, n_critic {options.critic_steps}, "
        f"median of {options.rounds} rounds"
    )
    print(f"{'':29} s/iteration   images/s   peak GiB   times {PLAIN}   times {PLAIN_BOTH}")
    for name, median in medians.items():
        gibibytes = _peak_bytes_alone(name) / 2**30
        print(
            f"{name:29} {median:11.4f} {options.batch / median:10.1f} {gibibytes:10.2f} "
            f"{medians[PLAIN] / median:13.2f} {medians[PLAIN_BOTH] / median:13.2f}"
        )
    networks = NetworkConfig(generator_width=32, residual_blocks=4, discriminator_width=32)
    for precision in (torch.float32, torch.float64):
        trainer = make_trainer(TrainingConfig(networks=networks, batch_size=4, precision="float32"), 64)
        losses, weights = disagreement(trainer, precision)
        print(
            f"{AGREEMENT_STEPS} steps in {str(precision).removeprefix('torch.')}, 64 px, width 32, 4 blocks: largest "
            f"relative difference {losses:.1e} of losses, {weights:.1e} of weights"
        )


def disagreement(trainer: FixedPointTrainer, precision: torch.dtype) -> tuple[float, float]:
    """How far the engine is from plain training after `AGREEMENT_STEPS` steps of a fresh trainer.

    Adam makes steps of full length of gradients that are nothing but rounding, so differences grow from step to step;
    float64 shows that they are rounding.

    Returns:
        Of any loss at any step, the largest difference relative to the largest value of that loss; of the weights of
        any network, the length of the difference relative to that of the change which training made.
    """
    for network in (trainer.translator, trainer.critic, trainer.averaged):
        network.to(precision)
    plain = PlainTraining(trainer)
    start = {name: _vector(network) for name, network in _networks(trainer).items()}
    found: dict[str, list[float]] = {}
    expected: dict[str, list[float]] = {}
    for step, batch in zip(range(AGREEMENT_STEPS), trainer.batches, strict=False):
        batch = replace(batch, **{name: getattr(batch, name).to(precision) for name in ("x", "c_x", "c_y", "share")})
        for update in _iterate(trainer, batch, step):
            for name, value in update.terms.items():
                found.setdefault(name, []).append(value.item())
        for name, loss in plain.iteration(batch, step).items():
            expected.setdefault(name, []).append(loss)
    differences = [
        np.abs(np.subtract(found[name], values)).max() / np.abs(values).max() for name, values in expected.items()
    ]
    weight_differences = []
    for name, network in _networks(plain).items():
        end = _vector(network)
        weight_differences.append((_vector(_networks(trainer)[name]) - end).norm() / (end - start[name]).norm())
    return max(differences), max(difference.item() for difference in weight_differences)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--blocks", type=int, default=6)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--critic-steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="also time the engine under torch.compile")
    parser.add_argument("--memory-of", help=argparse.SUPPRESS)
    return parser.parse_args()


def _config(options: argparse.Namespace, *, precision: str = "auto", compiled: bool = False) -> TrainingConfig:
    networks = NetworkConfig(
        generator_width=options.width, residual_blocks=options.blocks, discriminator_width=options.width
    )
    return TrainingConfig(
        networks=networks,
        batch_size=options.batch,
        critic_steps=options.critic_steps,
        precision=precision,
        compile=compiled,
    )


def make_trainer(config: TrainingConfig, size: int) -> FixedPointTrainer:
    random = np.random.default_rng(0)
    noise = [(random.random((1, size, size), np.float32), np.eye(2, dtype=np.float32)[n % 2]) for n in range(64)]
    batches = Batches(noise, config, choose_device(config.device), processes=Processes())
    return FixedPointTrainer(batches=batches, config=config, processes=Processes())


def _cycle(name: str, options: argparse.Namespace) -> Callable[[], object]:
    """What takes n_critic iterations, the last of which updates the generator too."""
    config = _config(options, compiled=name == COMPILED)
    trainer = make_trainer(config, options.size)
    steps = range(options.critic_steps)
    if name in (ENGINE, COMPILED):
        return lambda: [_iterate(trainer, batch, step) for step, batch in zip(steps, trainer.batches, strict=False)]
    plain = PlainTraining(trainer, penalty_on_both=name == PLAIN_BOTH)
    return lambda: [plain.iteration(batch, step) for step, batch in zip(steps, trainer.batches, strict=False)]


def _iterate(trainer: FixedPointTrainer, batch: Batch, step: int) -> Sequence[Update]:
    trainer.state.iteration = step + 1
    return trainer._iteration(trainer, batch)


def _time(cycle: Callable[[], object], device: torch.device) -> float:
    started = time.perf_counter()
    cycle()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _peak_bytes_alone(name: str) -> int:
    """What a fresh process needs at its peak for this variant."""
    command = [sys.executable, "-m", "benchmarks.training_step", *sys.argv[1:], "--memory-of", name]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])


def _peak_bytes(cycle: Callable[[], object], device: torch.device) -> int:
    for _ in range(2):
        cycle()
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    # Not `getrusage`: that of a process begins with what its parent had.
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"


def _networks(training: FixedPointTrainer | PlainTraining) -> dict[str, torch.nn.Module]:
    return {"translator": training.translator, "critic": training.critic}


def _vector(network: torch.nn.Module) -> torch.Tensor:
    return torch.nn.utils.parameters_to_vector(network.parameters()).detach().clone()


if __name__ == "__main__":
    main()
