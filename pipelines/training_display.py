"""What a user sees of a training while it runs."""

from __future__ import annotations

import math
from collections.abc import Mapping

from anomaly_fpgan.training.estimate import Estimate
from pipelines.screen import Screen, duration

_LABELS = {"auc": "AUC", "aucp": "AUCp", "patient_auc": "patient AUC", "same_domain_l1": "same-domain L1"}
_LOSSES = {"critic_loss": "critic", "generator_loss": "generator", "cycle": "cycle", "identity": "identity"}


class TrainingDisplay:
    """Tells the user how a training goes."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.state = ""
        """Of the progress bar: the last validation, losses and speed of the last row; narrow terminals cut its end."""
        self._validated = ""

    def estimate(self, needs: Estimate) -> None:
        """Say what the training will take."""
        self.screen.say(
            f"  will take about {_time(needs.seconds)} without validations, and {_gigabytes(needs.memory_bytes)} of "
            f"memory beside the images; {_gigabytes(needs.free_bytes)} are free"
        )

    def row(self, row: Mapping[str, float]) -> None:
        """Take in a row of the history: say its validation, warn of updates left out, renew `state`."""
        iteration = row["iteration"]
        if row["skipped_steps"]:
            self.screen.warn(
                f"{row['skipped_steps']:.0f} updates up to iteration {iteration:.0f} were left out: "
                "a loss or gradient was not finite"
            )
        numbers = {
            name.removeprefix("validation_"): value for name, value in row.items() if name.startswith("validation_")
        }
        if numbers:
            chosen = next(name for name in ("auc", "aucp", "same_domain_l1") if name in numbers)
            self._validated = f"validation {_LABELS[chosen]} {numbers[chosen]:.3f}"
            texts = [f"{label} {numbers[name]:.4g}" for name, label in _LABELS.items() if name in numbers]
            self.screen.say(f"  iteration {iteration:.0f}: validation {', '.join(texts)}")
        losses = [f"{label} {row[name]:.3g}" for name, label in _LOSSES.items() if name in row]
        rate = f"{row['images_per_second']:.4g} images/s"
        self.state = "  ".join(text for text in (self._validated, *losses, rate) if text)


def _time(seconds: float) -> str:
    return "an unknown time" if math.isnan(seconds) else duration(seconds)


def _gigabytes(count: int) -> str:
    return f"{count / 1e9:.1f} GB"
