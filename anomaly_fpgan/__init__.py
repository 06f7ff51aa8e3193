"""Fixed-Point GAN: networks, losses, training and the trained model.

Names are loaded on first use, because PyTorch and MONAI take seconds to import.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anomaly_fpgan.domains import DomainScheme
    from anomaly_fpgan.model import FixedPointGAN
    from anomaly_fpgan.training.config import TrainingConfig
    from anomaly_fpgan.training.run import train

__all__ = ["DomainScheme", "FixedPointGAN", "TrainingConfig", "train"]

_HOMES = {
    "DomainScheme": "anomaly_fpgan.domains",
    "FixedPointGAN": "anomaly_fpgan.model",
    "TrainingConfig": "anomaly_fpgan.training.config",
    "train": "anomaly_fpgan.training.run",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
