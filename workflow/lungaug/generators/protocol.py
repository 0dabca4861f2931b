"""What a generator is: fitted to crops, asked for samples, saved and loaded whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import Conditions, Crops

if TYPE_CHECKING:
    import torch

    from lungaug.training.checkpoint import Checkpoint

HistoryRow = dict[str, Any]
"""phase, step, epoch, then a column a loss, and ``note``: what a person should know."""


@dataclass(frozen=True)
class FitRun:
    """The circumstances of one fit, none of which is a property of the generator.

    Attributes:
        name: begins every line of the log.
        seed: of everything drawn.
        fabric: from :func:`lungaug.training.devices.make_fabric`; None where nothing is trained.
        checkpoint: read at the start, written as the fit goes; None keeps none.
        sheets: folder for sample sheets; None draws none.
    """

    name: str
    seed: int
    fabric: Any = None
    checkpoint: Checkpoint | None = None
    sheets: Path | None = None


@dataclass(frozen=True)
class Samples:
    """What a generator makes, before anything is rejected.

    Attributes:
        hu: (N, S, S) float32, HU.
        mask: (N, S, S) float32, 0 to 1; the nodule is where it is at least a half.
        donor: (N,) str, key of the real slice whose pixels were used; '' where there is none.
        label: (N,) int, of the nodule on the donor; 0 where there is none.
        pose: (N,) str, in which the donor was copied; '' where there is none.
    """

    hu: NDArray[np.float32]
    mask: NDArray[np.float32]
    donor: NDArray[np.str_]
    label: NDArray[np.int64]
    pose: NDArray[np.str_]

    @classmethod
    def without_donors(cls, hu: NDArray[np.float32], mask: NDArray[np.float32]) -> Self:
        """Samples that no real slice's pixels were used for."""
        n = len(hu)
        return cls(hu, mask, np.full(n, ""), np.zeros(n, np.int64), np.full(n, ""))

    def __len__(self) -> int:
        return len(self.hu)


class Generator(Protocol):
    """A generator of nodule crops; equal seeds give equal bytes on one CPU.

    What is drawn is drawn on the CPU, so that it is the same on every device.
    """

    def fit(self, crops: Crops, run: FitRun) -> list[HistoryRow]:
        """Learn from crops of training patients; the rows become ``history.tsv``."""

    def to(self, device: torch.device) -> None:
        """Move what computes samples to a device; fit and load leave it on the CPU."""

    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        """One nodule for each condition.

        Raises:
            InputError: a condition that was not among the crops it was fitted to.
        """

    def state(self) -> Mapping[str, Any]:
        """All that ``from_state`` of its module needs: plain values, arrays as CPU tensors."""
