"""TensorBoard event files of a training, as it goes."""

from __future__ import annotations

from pathlib import Path

from lungaug.training.history import HistoryRow

FILES = "events.out.tfevents.*"


class Events:
    """Curves of one training in one folder.

    Args:
        folder: of the event files. Those of another training, which was not gone on with, go.
        step: steps done so far; what an interrupted run has written of later ones is hidden.
    """

    def __init__(self, folder: Path, step: int) -> None:
        # Only here: the import takes two seconds.
        from torch.utils.tensorboard import SummaryWriter

        if step == 0:
            for path in folder.glob(FILES):
                path.unlink()
        self._writer = SummaryWriter(str(folder), purge_step=step + 1)

    def write(self, row: HistoryRow, samples_per_second: float) -> None:
        """Add a row of the history to the curves."""
        values = {
            "loss/train": row.train_loss,
            "loss/validation": row.validation_loss,
            "dice/validation": row.validation_dice,
            "learning_rate": row.learning_rate,
            "samples_per_second": samples_per_second,
        }
        for name, value in values.items():
            self._writer.add_scalar(name, value, row.step)
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()
