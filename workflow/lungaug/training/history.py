"""The history of a training: one row a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lungaug.cohort import write_rows

SCORE = "validation_dice"


@dataclass(frozen=True)
class HistoryRow:
    """Losses since the last row, and where the training stands."""

    step: int
    epoch: float  # passes over the training set
    train_loss: float  # mean over the steps since the last row
    validation_loss: float  # mean over the slices; NaN without validation patients
    validation_dice: float  # patients' mean, of slices with a nodule, or what else is the score
    learning_rate: float  # of the last step


def write_history(
    path: Path, history: Sequence[HistoryRow], best_step: int, score: str = SCORE
) -> None:
    """Write ``history.tsv``.

    Args:
        path: to write.
        history: of the training.
        best_step: the one that was kept: in its row the column ``best`` is 1.
        score: the column's name of what the training's judge gave.
    """
    columns = [*(field.name for field in fields(HistoryRow)), "best"]
    named = {SCORE: score}
    rows = [{**asdict(row), "best": int(row.step == best_step)} for row in history]
    write_rows(
        path,
        [named.get(name, name) for name in columns],
        [{named.get(k, k): _text(v) for k, v in row.items()} for row in rows],
    )


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
