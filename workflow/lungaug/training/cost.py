"""What a training costs: time, memory, samples. One row a training."""

from __future__ import annotations

import math
import resource
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

from lungaug.cohort import write_rows


class Training(NamedTuple):
    """Whose cost it is."""

    fold: str
    arm: str  # of generators, which belong to none: generator
    segmenter: str  # or presence, or the generator's name
    seed: int


@dataclass(frozen=True)
class Effort:
    """The work of a training, all of its interrupted runs together."""

    steps: int = 0  # optimiser steps that were made
    samples: int = 0  # slices or crops that these saw, all processes together
    seconds: float = 0.0  # of these steps, loading included; interrupted runs as far as saved
    n_parameters: int = 0


@dataclass(frozen=True)
class Cost:
    """A row of ``cost.tsv``; columns are explained at :class:`Training` and :class:`Effort`."""

    fold: str
    arm: str
    segmenter: str
    seed: int
    device: str
    precision: str
    processes: int
    steps: int
    samples: int
    seconds: float
    samples_per_second: float
    peak_mb: float  # resident memory of the first process
    peak_gpu_mb: float  # tensors on its GPU; NaN without one
    n_parameters: int
    total_seconds: float  # of the last run: imports, validation and prediction too


def cost_of(training: Training, effort: Effort, fabric: Any, total_seconds: float) -> Cost:
    """What a training on Fabric's device cost; ``total_seconds`` are those of this process."""
    import torch

    gpu = fabric.device.type == "cuda"
    return Cost(
        **training._asdict(),
        **asdict(effort),
        device=torch.cuda.get_device_name(fabric.device) if gpu else "cpu",
        precision=fabric.strategy.precision.precision,
        processes=fabric.world_size,
        samples_per_second=effort.samples / max(effort.seconds, 1e-9),
        peak_mb=peak_mb(),
        peak_gpu_mb=torch.cuda.max_memory_allocated(fabric.device) / 2**20 if gpu else math.nan,
        total_seconds=total_seconds,
    )


def write_cost(path: Path, cost: Cost) -> None:
    """Write ``cost.tsv``."""
    row = {name: _text(value) for name, value in asdict(cost).items()}
    write_rows(path, [field.name for field in fields(Cost)], [row])


def peak_mb() -> float:
    """Largest resident memory of this process so far, in MB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def _text(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
