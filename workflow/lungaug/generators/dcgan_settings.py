"""Settings of the DCGAN. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from lungaug.errors import SettingError
from lungaug.generators.penalty_settings import PenaltySettings
from lungaug.generators.settings import BudgetSettings, CollapseSettings
from lungaug.settings import setting


@dataclass(frozen=True)
class DcganSettings:
    """Networks, losses and optimiser."""

    window: tuple[float, float] = setting(
        (-1000.0, 400.0), "HU at -1 and at 1; beyond them is clipped"
    )
    latent: int = setting(128, "length of the noise vector", minimum=1)
    width: int = setting(
        64, "channels of the largest maps; smaller ones have 2, 4 and 8 times as many", minimum=1
    )
    condition_width: int = setting(
        32, "length of a condition's embedding; 0: unconditional", minimum=0
    )
    condition_dropout: float = setting(
        0.1, "share of conditions that are hidden in training", minimum=0, maximum=1
    )
    min_nodules: int = setting(100, "fewer crops than this: unconditional", minimum=1)
    norm: Literal["spectral", "batch"] = setting(
        "spectral", "of the discriminator's layers; published: batch"
    )
    first_norm: bool = setting(
        False, "batch normalisation in the discriminator's first layer; published: true"
    )
    flips: bool = setting(
        True, "the discriminator sees every crop flipped and turned at random; published: false"
    )
    smoothing: float = setting(
        0.1, "real crops are called 1 minus this; published: 0", minimum=0, exclusiveMaximum=0.5
    )
    ema: float = setting(
        0.99, "decay of the mean weights that sample; published: 0", minimum=0, exclusiveMaximum=1
    )
    learning_rate: float = setting(2e-4, "of both networks", exclusiveMinimum=0)
    betas: tuple[float, float] = setting((0.5, 0.999), "of Adam")
    penalties: PenaltySettings = setting(PenaltySettings, "what unlike HU in masks cost")
    collapse: CollapseSettings = setting(CollapseSettings, "what is called a collapse")
    budget: BudgetSettings = setting(BudgetSettings, "steps and batches")

    def __post_init__(self) -> None:
        if self.window[0] >= self.window[1]:
            raise SettingError(f"window: got {self.window}; accepted: low, then high")
        if any(not 0 <= beta < 1 for beta in self.betas):
            raise SettingError(f"betas: got {self.betas}; accepted: 0 to below 1")


PUBLISHED: Mapping[str, Any] = {
    "condition_width": 0,
    "norm": "batch",
    "first_norm": True,
    "flips": False,
    "smoothing": 0.0,
    "ema": 0.0,
    # 300 epochs of 576 crops in batches of 128, the last of which was not whole.
    "budget": {"steps": 1500, "batch_size": 128},
}
"""The published sizes and schedule, as plain values for a preset; what it leaves out is as here."""
