"""A dataset and a configuration small enough to train within a second."""

from __future__ import annotations

import numpy as np
import pytest

from anomaly_fpgan.networks.config import NetworkConfig
from anomaly_fpgan.training.config import TrainingConfig


class Blobs:
    """Noise images of 32 × 32, every second one with a bright square."""

    def __init__(self, count: int = 24) -> None:
        random = np.random.default_rng(0)
        self.images = random.uniform(0.2, 0.5, (count, 1, 32, 32)).astype(np.float32)
        self.images[1::2, :, 8:16, 8:16] = 0.9
        self.domains = np.eye(2, dtype=np.float32)[np.arange(count) % 2]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        return self.images[index], self.domains[index]


@pytest.fixture
def blobs() -> Blobs:
    return Blobs()


TINY_CONFIG = TrainingConfig(
    networks=NetworkConfig(generator_width=4, residual_blocks=1, discriminator_width=4, discriminator_depth=3),
    iterations=8,
    batch_size=4,
    critic_steps=2,
    learning_rate=1e-3,
    validate_every=4,
    log_every=2,
    precision="float32",
    device="cpu",
    tensorboard=False,
)


@pytest.fixture
def tiny_config() -> TrainingConfig:
    return TINY_CONFIG
