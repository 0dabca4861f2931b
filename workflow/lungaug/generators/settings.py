"""Settings that generators share. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.settings import setting


@dataclass(frozen=True)
class BudgetSettings:
    """How long a network is trained, and how often it is looked at."""

    steps: int = setting(2000, "optimiser steps", minimum=1)
    batch_size: int = setting(16, "crops a step", minimum=1)
    log_every: int = setting(100, "steps between rows of the history", minimum=1)
    sheet_every: int = setting(500, "steps between sample sheets", minimum=1)
    checkpoint_every: int = setting(50, "steps between checkpoints", minimum=1)


@dataclass(frozen=True)
class CollapseSettings:
    """What is called a collapse; it is named in the history and stops nothing."""

    alike: float = setting(
        0.3, "samples are alike below this share of the real crops' mean distance", minimum=0
    )
    silent_loss: float = setting(
        0.05,
        "a discriminator loss, above the least that there can be, that teaches nothing",
        minimum=0,
    )
    silent_steps: int = setting(200, "steps in a row at such a loss", minimum=1)
