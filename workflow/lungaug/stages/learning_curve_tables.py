"""learning_curve_tables: scores over the share of patients and the ratio of synthetic slices."""

from __future__ import annotations

import logging
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungaug.cohort import SLICE_COLUMNS, read_table, write_table, write_text
from lungaug.errors import InputError
from lungaug.evaluation.layout import CAPTION_WIDTH, latex_lines, markdown_lines
from lungaug.evaluation.learning_curve import learning_curve, main_rows, training_sizes
from lungaug.evaluation.scores import Resampling
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)

DIGITS = 6
CAPTION = (
    "Pooled Dice (standard convention, means over patients, brackets: intervals over patients) by "
    "the share of the training patients that was used, and by the slices that an arm adds for each "
    "real one with a nodule. Generators are fitted anew to each share. The test patients are the "
    "same at every point; brackets cover the patients, not another training."
)


@dataclass(frozen=True)
class Settings:
    """Intervals; as in tables."""

    seed: int = setting(0, "seed of the resampling", minimum=0)
    n_resamples: int = setting(10_000, "draws of the patients' weights for intervals", minimum=1000)
    level: float = setting(
        0.95, "nominal coverage of the intervals", exclusiveMinimum=0.5, exclusiveMaximum=1
    )
    minimum_patients: int = setting(5, "fewer patients get no interval", minimum=5)


def run(
    *,
    metrics: list[Path],
    arms: list[Path],
    split: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``learning_curve.tsv``, ``.md`` and ``.tex``.

    Args:
        metrics: ``metrics.tsv`` of every training of the curves.
        arms: ``<fold>/arms/<arm>.tsv`` of every arm and fold of the curves.
        split: ``split.tsv``: the class of each patient.
        output: a folder.
        settings: of the intervals.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: no test slice in any of the tables.
    """
    tables = [read_table(path, ("role", "fold", "arm")) for path in sorted(metrics)]
    tested = [table[table["role"] == "test"] for table in tables]
    rows = [table for table in tested if len(table)]
    if not rows:
        raise InputError(f"no test slice in {len(metrics)} metrics tables; accepted: at least one")
    patients = read_table(split, ("patient", "lung_rads")).drop_duplicates("patient")
    classes = patients.set_index("patient")["lung_rads"]
    sizes = training_sizes(
        (path.parent.parent.name, path.stem, read_table(path, SLICE_COLUMNS))
        for path in sorted(arms)
    )
    resampling = Resampling(
        settings.seed, settings.n_resamples, settings.level, settings.minimum_patients
    )
    table = learning_curve(pd.concat(rows, ignore_index=True), classes, sizes, resampling)
    numbers = list(table.select_dtypes("float").columns)
    write_table(output / "learning_curve.tsv", table.assign(**table[numbers].round(DIGITS)))
    shown = main_rows(table)
    lines = [*markdown_lines(shown), "", textwrap.fill(CAPTION, CAPTION_WIDTH), ""]
    write_text(output / "learning_curve.md", "\n".join(lines))
    write_text(output / "learning_curve.tex", "\n".join(latex_lines(shown, CAPTION)))
    logger.info("%d points", len(shown))
