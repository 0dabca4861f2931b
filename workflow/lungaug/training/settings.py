"""How segmenters are trained. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lungaug.settings import setting


@dataclass(frozen=True)
class OnlineSettings:
    """Ordinary augmentation in the loader, for arms with ``online``; each slice draws anew."""

    flip: float = setting(0.5, "probability of exchanging left and right", minimum=0, maximum=1)
    rotation_degrees: float = setting(
        15.0, "rotation about the centre, drawn from minus to plus this", minimum=0, maximum=180
    )
    scale: float = setting(
        0.15, "size is multiplied by 1 minus to 1 plus this", minimum=0, exclusiveMaximum=1
    )


@dataclass(frozen=True)
class TrainingSettings:
    """The optimiser's work, and how the best step is chosen."""

    budget: Literal["steps", "epochs"] = setting(
        "steps",
        "steps: every arm gets the same optimiser steps; epochs: a larger arm gets more, the "
        "published way",
    )
    steps: int = setting(2000, "optimiser steps, with budget: steps", minimum=1)
    epochs: int = setting(40, "passes over the training set, with budget: epochs", minimum=1)
    batch_size: int = setting(8, "slices a step; published: 6", minimum=1)
    order: Literal["shuffled", "balanced", "table"] = setting(
        "shuffled",
        "shuffled: each slice once an epoch; balanced: drawn so that Lung-RADS classes are equally "
        "frequent; table: as the arm lists them, sorted by patient",
    )
    loss: Literal["bce_dice", "dice_squared"] = setting(
        "bce_dice", "bce_dice: cross-entropy plus Dice; dice_squared: the published one"
    )
    optimiser: Literal["adamw", "sgd"] = setting("adamw", "published: sgd")
    learning_rate: float = setting(1e-3, "published, with sgd: 0.01", exclusiveMinimum=0)
    weight_decay: float = setting(1e-2, "published, with sgd: 0.0001", minimum=0)
    momentum: float = setting(0.9, "of sgd", minimum=0, exclusiveMaximum=1)
    schedule: Literal["cosine", "constant"] = setting(
        "cosine", "cosine: from learning_rate to 0 over the training; constant: the published way"
    )
    select: Literal["best", "last"] = setting(
        "best",
        "best: the step with the highest Dice on validation patients; last: the published way, "
        "needs no validation patients",
    )
    validate_every: int = setting(100, "steps between validations", minimum=1)
    checkpoint_every: int = setting(100, "steps between checkpoints", minimum=1)
    torch_threads: int = setting(
        1, "threads of one training; results repeat to the bit at the same number", minimum=1
    )
    workers: int = setting(0, "processes that load slices; 0: the training's own", minimum=0)
    cache_mb: int = setting(
        1024, "memory for decoded slices in MB; the rest is read again each time", minimum=0
    )
