"""The history of a training: one row a validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lungaug.cohort import write_rows


@dataclass(frozen=True)
class HistoryRow:
    """Losses since the last row, and where the training stands."""

    step: int
    epoch: float  # passes over the training set
    train_loss: float  # mean over the steps since the last row
    validation_loss: float  # mean over the slices; NaN without validation patients
    validation_dice: float  # patients' mean, of slices with a nodule; NaN without any
    learning_rate: float  # of the last step


def write_history(path: Path, history: Sequence[HistoryRow], best_step: int) -> None:
    """Write ``history.tsv``; the column ``best`` is 1 in the row of the step that was kept."""
    columns = [*(field.name for field in fields(HistoryRow)), "best"]
    rows = [{**asdict(row), "best": int(row.step == best_step)} for row in history]
    write_rows(path, columns, [{k: _text(v) for k, v in row.items()} for row in rows])


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"
