"""Adam behind a guard: steps with a non-finite loss or gradient are left out, long gradients shortened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Adam

from anomaly_fpgan.training.processes import Processes


@dataclass(frozen=True, kw_only=True)
class Update:
    """What one update of a network did; all values are still on the device.

    `terms` are the loss terms, means over all processes, and the length of the gradient before it was shortened;
    `finite` is false where the update was left out.
    """

    terms: dict[str, Tensor]
    finite: Tensor


class GuardedAdam:
    """Adam for one network. No method waits for the device.

    Args:
        name: of the network, for its terms.
        network: whose parameters are updated.
        max_gradient_norm: longer gradients are shortened to this.
        processes: over which gradients and loss terms are averaged first.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        *,
        max_gradient_norm: float,
        processes: Processes,
    ) -> None:
        self.name = name
        self.parameters = list(network.parameters())
        self.max_gradient_norm = max_gradient_norm
        self.processes = processes
        # Rates are set at each step. "Fused" is one kernel for all parameters, and the one that can be told to skip.
        self.adam = Adam(self.parameters, lr=0.0, fused=True)

    def clear(self) -> None:
        """Forget all gradients."""
        self.adam.zero_grad()

    def step(self, terms: Mapping[str, Tensor], learning_rate: float, betas: tuple[float, float]) -> Update:
        """Update the parameters by their gradients, which came with these loss terms, at Adam's decay rates `betas`."""
        values = torch.stack([value.float() for value in terms.values()])
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        self.processes.average_([values, *gradients])
        norm = nn.utils.clip_grad_norm_(self.parameters, self.max_gradient_norm)
        finite = torch.isfinite(values).all() & torch.isfinite(norm)
        for group in self.adam.param_groups:
            group["lr"], group["betas"] = learning_rate, betas
        # How PyTorch's own gradient scaler makes fused optimizers skip a step, count of steps included.
        self.adam.found_inf = (~finite).float()  # type: ignore[attr-defined]
        self.adam.step()
        means = dict(zip(terms, values.unbind(), strict=True))
        return Update(terms=means | {f"{self.name}_gradient_norm": norm}, finite=finite)

    def begin_anew(self) -> None:
        """Forget all moments, as they are of another loss."""
        self.adam.state.clear()

    def state_dict(self) -> dict[str, Any]:
        """Adam's own."""
        return self.adam.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Adam's own."""
        self.adam.load_state_dict(state)
