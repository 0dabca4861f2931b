"""How far a training is, which step is the best, and when to stop."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from torch import Tensor

from lungaug.training.history import HistoryRow

Weights = dict[str, Tensor]


@dataclass
class Progress:
    """What a checkpoint holds besides the states of network, average, optimiser and scaler."""

    step: int = 0  # steps done; also the sampler's position
    loss_sum: float = 0.0  # of the steps since the last row of the history
    seconds: float = 0.0  # of the steps, loading included
    history: list[HistoryRow] = field(default_factory=list)
    best_dice: float = math.nan  # on validation slices, as are the next
    best_loss: float = math.nan
    best_step: int = 0  # 0: none yet
    best_weights: Weights | None = None
    worse: int = 0  # validations since the best one

    def improved(self, row: HistoryRow) -> bool:
        """Whether a validation is the best so far; counts those that are not."""
        if self.best_step and rank(row.validation_dice, row.validation_loss) <= rank(
            self.best_dice, self.best_loss
        ):
            self.worse += 1
            return False
        self.best_dice, self.best_loss = row.validation_dice, row.validation_loss
        self.best_step, self.worse = row.step, 0
        return True

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors."""
        state = {part.name: getattr(self, part.name) for part in fields(self)}
        return {**state, "history": [asdict(row) for row in self.history]}

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`state_dict`."""
        return cls(**{**state, "history": [HistoryRow(**row) for row in state["history"]]})


def rank(dice: float, loss: float) -> tuple[float, float]:
    """What orders steps, the better the larger: validation Dice, then a lower validation loss.

    Steps without a Dice (NaN) are equal in it; a loss that is NaN is worse than any other.
    """
    return (0.0 if math.isnan(dice) else dice, -math.inf if math.isnan(loss) else -loss)
