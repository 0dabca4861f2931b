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
    checkpoint_every: int = setting(200, "steps between checkpoints", minimum=1)
