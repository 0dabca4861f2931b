"""Signs that a generator has collapsed, in words for its history."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from scipy.special import entr
from torch import Tensor

from lungaug.generators.settings import CollapseSettings


def least_loss(smoothing: float) -> float:
    """The least cross-entropy, nats, of a discriminator told that real is 1 less ``smoothing``.

    It is the entropy of that target, -(1 - s) ln(1 - s) - s ln s; drawn crops, whose target is 0,
    add nothing to it.
    """
    return float(entr(smoothing) + entr(1 - smoothing))


def spread(images: Tensor) -> float:
    """Mean distance between two of (N, …) images, over their pixels' root; 0 for a single one."""
    flat = images.detach().float().flatten(1)
    if len(flat) < 2:
        return 0.0
    return float(torch.pdist(flat).mean()) / math.sqrt(flat.shape[1])


def alike(samples: Tensor, real_spread: float, settings: CollapseSettings) -> str:
    """What to note of samples that hardly differ; '' where they do.

    Args:
        samples: (N, …), scaled as the real crops were.
        real_spread: of as many real crops.
        settings: ``alike``.
    """
    share = spread(samples) / real_spread if real_spread > 0 else 1.0
    if len(samples) < 2 or share >= settings.alike:
        return ""
    limit = settings.alike
    return f"collapse: samples are alike (below {limit:g} of the real crops' mean distance)"


class Silence:
    """How long a discriminator's loss has been next to nothing; part of a learner's state."""

    def __init__(self, settings: CollapseSettings) -> None:
        self.settings = settings
        self.steps: Tensor | None = None

    def hear(self, loss: Tensor) -> None:
        """Take the loss of one step, above the least one; nothing is read from the device."""
        before = torch.zeros((), device=loss.device) if self.steps is None else self.steps
        quiet = loss.detach() < self.settings.silent_loss
        self.steps = torch.where(quiet, before.to(loss.device) + 1, torch.zeros_like(before))

    def note(self) -> str:
        """What to note of it; '' while the discriminator still teaches."""
        n_steps = 0 if self.steps is None else int(self.steps)
        if n_steps < self.settings.silent_steps:
            return ""
        limit, least = self.settings.silent_loss, self.settings.silent_steps
        return (
            f"collapse: discriminator loss within {limit:g} of its least for {least} steps or more"
        )

    def state_dict(self) -> dict[str, int]:
        return {"steps": 0 if self.steps is None else int(self.steps)}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        self.steps = torch.tensor(float(state["steps"]))
