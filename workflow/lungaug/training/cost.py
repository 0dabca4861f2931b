"""What a training costs: time, memory, samples. One row a training."""

from __future__ import annotations

import resource
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lungaug.cohort import write_rows


@dataclass(frozen=True)
class Cost:
    """A row of ``cost.tsv``."""

    fold: str
    arm: str
    segmenter: str
    seed: int
    device: str
    precision: str
    processes: int
    steps: int  # optimiser steps that were made
    samples: int  # slices that these saw, all processes together
    seconds: float  # of these steps, loading included; interrupted runs count as far as saved
    samples_per_second: float
    peak_mb: float  # resident memory of the first process
    peak_gpu_mb: float  # tensors on its GPU; NaN without one
    n_parameters: int
    total_seconds: float  # of the last run: imports, validation and prediction too


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
