"""score_figures: plots of detection, calibration, sizes, learning curves and classifiers."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import read_table
from lungaug.figures.score_charts import (
    calibration_figure,
    froc_figure,
    learning_curve_figure,
    roc_figure,
    sizes_figure,
)
from lungaug.figures.style import save
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What the figures say of their intervals."""

    level: float = setting(0.95, "coverage of the intervals; as in tables")


def run(
    *,
    froc: Path,
    calibration: Path,
    sizes: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
    learning_curve: Path | None = None,
    roc: Path | None = None,
) -> None:
    """Write ``froc.png``, ``calibration.png``, ``sizes.png``, and those of optional tables.

    Args:
        froc, calibration, sizes: from the curves stage.
        output: a folder.
        settings: see :class:`Settings`.
        provenance: unused; a picture carries no attributes.
        learning_curve: from the learning_curve_tables stage, to write ``learning_curve.png``.
        roc: from the presence_tables stage, to write ``roc.png``.
    """
    figures = {
        "froc": froc_figure(read_table(froc)),
        "calibration": calibration_figure(read_table(calibration)),
        "sizes": sizes_figure(read_table(sizes)),
    }
    if learning_curve is not None:
        figures["learning_curve"] = learning_curve_figure(read_table(learning_curve))
    if roc is not None:
        figures["roc"] = roc_figure(read_table(roc), settings.level)
    for name, figure in figures.items():
        save(figure, output / f"{name}.png")
    logger.info("%d figures", len(figures))
