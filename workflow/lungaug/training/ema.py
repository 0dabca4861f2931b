"""Weights averaged over the steps of a training."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn


class Average:
    """A module whose weights are an exponential moving average of another's.

    Early steps count less, since the first weights are random: the decay of step t is at most
    (1 + t) / (10 + t). Buffers, such as those of batch normalisation, are copied.

    Args:
        module: what is trained.
        decay: a step.

    References:
        Polyak B, Juditsky A, SIAM J Control Optim 30(4), 1992; the bound on early steps is that of
        TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._source = module
        self._decay = decay
        self.module = copy.deepcopy(module).requires_grad_(False)
        self._pairs = list(zip(self.module.parameters(), module.parameters(), strict=True))

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the weights after ``step`` steps."""
        decay = min(self._decay, (1 + step) / (10 + step))
        for average, weight in self._pairs:
            average.lerp_(weight, 1 - decay)

    @torch.no_grad()
    def settled(self) -> nn.Module:
        """The averaged module, its buffers those of the trained one."""
        for average, buffer in zip(self.module.buffers(), self._source.buffers(), strict=True):
            average.copy_(buffer)
        return self.module

    def state_dict(self) -> dict[str, Any]:
        return self.module.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.module.load_state_dict(state)
