"""How segmenters are trained. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

from lungaug.errors import SettingError
from lungaug.settings import from_mapping, setting


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
    batch_size: int = setting(8, "slices a step, all processes together; published: 6", minimum=1)
    order: Literal["shuffled", "balanced", "table"] = setting(
        "shuffled",
        "shuffled: each slice once an epoch; balanced: drawn so that Lung-RADS classes are equally "
        "frequent; table: as the arm lists them, sorted by patient",
    )
    loss: Literal["bce_dice", "dice_squared"] = setting(
        "bce_dice",
        "bce_dice: cross-entropy plus Dice; dice_squared: the published one; both Dice are over a "
        "batch, or with several processes the mean of each one's, over its part of the batch",
    )
    optimiser: Literal["adamw", "sgd"] = setting("adamw", "published: sgd")
    learning_rate: float = setting(1e-3, "published, with sgd: 0.01", exclusiveMinimum=0)
    weight_decay: float = setting(1e-2, "published, with sgd: 0.0001", minimum=0)
    momentum: float = setting(0.9, "of sgd", minimum=0, exclusiveMaximum=1)
    clip_norm: float | None = setting(
        None, "gradients longer than this are shortened to it; null: none is", exclusiveMinimum=0
    )
    schedule: Literal["cosine", "poly", "constant"] = setting(
        "cosine",
        "cosine, poly (power 0.9): from learning_rate to 0 over the training; constant: the "
        "published way",
    )
    warmup_steps: int = setting(
        0, "first steps, over which the rate rises linearly to learning_rate", minimum=0
    )
    ema: float = setting(
        0.0,
        "decay a step of the averaged weights, which are then validated and kept; 0: no average",
        minimum=0,
        exclusiveMaximum=1,
    )
    precision: Literal["32-true", "16-mixed", "bf16-mixed"] = setting(
        "32-true", "what layers work in; weights stay 32 bit; 16-mixed needs a GPU"
    )
    select: Literal["best", "last"] = setting(
        "best",
        "best: the step with the highest Dice on validation patients; last: the published way, "
        "needs no validation patients",
    )
    patience: int | None = setting(
        None,
        "validations without a better one after which training stops; null: never, so that every "
        "arm gets the same steps; needs validation patients",
        minimum=1,
    )
    validate_every: int = setting(100, "steps between validations", minimum=1)
    torch_threads: int = setting(
        1,
        "threads of one training; results repeat to the bit at the same number on one processor",
        minimum=1,
    )
    devices: int = setting(
        1,
        "processes on a node, each with its GPU or on the CPU; losses over a batch are then means "
        "of the processes' own, not those of the whole batch",
        minimum=1,
    )
    nodes: int = setting(
        1,
        "machines; above 1 srun or torchrun must start every process (devices x nodes), which is "
        "refused otherwise",
        minimum=1,
    )
    strategy: Literal["auto", "ddp", "ddp_find_unused_parameters_true"] = setting(
        "auto",
        "Fabric's, for several processes: auto is the last, which suits every network; ddp is "
        "faster where every layer is used in every step; weights are whole in each process",
    )

    def __post_init__(self) -> None:
        processes = self.devices * self.nodes
        if self.batch_size % processes:
            raise SettingError(
                f"batch_size: got {self.batch_size}; accepted: a multiple of the {processes} "
                f"processes (devices: {self.devices}, nodes: {self.nodes}), which share a batch"
            )


@dataclass(frozen=True)
class RunningSettings:
    """How trainings run: speed, memory, and what is kept on the way. No result depends on it."""

    workers: int = setting(
        0, "processes that load slices, of each device; 0: the training's own", minimum=0
    )
    cache_mb: int = setting(
        1024,
        "memory for decoded slices in MB, of each device; the rest is read again each time",
        minimum=0,
    )
    checkpoint_every: int = setting(100, "steps between checkpoints", minimum=1)
    tensorboard: bool = setting(
        False, "also write TensorBoard events, below the results; takes 2 s to start"
    )

    @property
    def worker_cache_mb(self) -> float:
        """What each process that loads may keep."""
        return self.cache_mb / max(1, self.workers)

    @classmethod
    def of(cls, text: str) -> RunningSettings:
        """From JSON, as the workflow hands it over.

        Raises:
            SettingError: no JSON, an unknown key, or a value that is not accepted.
        """
        try:
            values = json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingError(f"running: got {text!r}; accepted: JSON ({error})") from error
        return from_mapping(cls, values, where="running")
