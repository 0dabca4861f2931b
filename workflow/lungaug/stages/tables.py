"""tables: all metrics become scores with intervals, comparisons, and the main table."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd

from lungaug.cohort import read_table, write_table, write_text
from lungaug.errors import InputError
from lungaug.evaluation.layout import as_latex, as_markdown, caption, lesion_classes, main_table
from lungaug.evaluation.scores import Resampling, comparison_table, patient_scores, score_table
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)

DIGITS = 6


@dataclass(frozen=True)
class Settings:
    """Intervals, and what the main table shows."""

    seed: int = setting(0, "seed of the resampling", minimum=0)
    n_resamples: int = setting(10_000, "bootstrap resamples of the patients", minimum=1000)
    level: float = setting(
        0.95, "nominal coverage of the intervals", exclusiveMinimum=0.5, exclusiveMaximum=1
    )
    minimum_patients: int = setting(
        5, "fewer patients get no interval and no test; fewer than 5 tell nothing", minimum=5
    )
    convention: Literal["standard", "reference"] = setting(
        "standard", "convention of the main table; scores.tsv has both"
    )
    decimals: int = setting(2, "decimals of the main table", minimum=1, maximum=6)


def run(
    *,
    metrics: list[Path],
    split: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``scores.tsv``, ``comparisons.tsv`` and ``main.tsv``, ``.md``, ``.tex``.

    Args:
        metrics: every ``metrics.tsv``, all folds, arms, segmenters and seeds.
        split: ``split.tsv``: the class of each patient.
        output: a folder.
        settings: of the statistics and the main table.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: no test slice in any of the tables, or a slice tested twice.
    """
    rows = tested_rows(metrics)
    patients = read_table(split, ("patient", "lung_rads"))
    classes = patients.drop_duplicates("patient").set_index("patient")["lung_rads"]
    values = patient_scores(rows, classes)
    resampling = Resampling(
        settings.seed, settings.n_resamples, settings.level, settings.minimum_patients
    )
    scores = score_table(values, resampling)
    comparisons = comparison_table(values, resampling)
    write_table(output / "scores.tsv", _rounded(scores))
    write_table(output / "comparisons.tsv", _rounded(comparisons))
    seeds = rows.groupby(["segmenter", "arm"])["seed"].nunique()
    main = main_table(scores, comparisons, seeds, settings.convention, settings.decimals)
    tested = Counter(map(str, classes[rows["patient"].unique()]))
    absent = _absent(classes, scores)
    text = caption(tested, settings.convention, settings.level, settings.minimum_patients, absent)
    write_table(output / "main.tsv", main)
    write_text(output / "main.md", as_markdown(main, text))
    write_text(output / "main.tex", as_latex(main, text))
    logger.info("%d arms of %d segmenters", len(main), main["segmenter"].nunique())


def tested_rows(metrics: list[Path]) -> pd.DataFrame:
    """The rows of test slices of all tables, in an order that is theirs, not the files'."""
    tables = [read_table(path, ("role", "hd95_mm")) for path in metrics]
    tables = [table[table["role"] == "test"] for table in tables]
    tables = [table for table in tables if len(table)]
    if not tables:
        raise InputError(f"no test slice in {len(metrics)} metrics tables; accepted: at least one")
    rows = pd.concat(tables, ignore_index=True)
    order = ["segmenter", "arm", "seed", "fold", "key"]
    return rows.sort_values(order, kind="stable", ignore_index=True)


def _rounded(table: pd.DataFrame) -> pd.DataFrame:
    """Six decimals, and no minus before a zero."""
    numbers = list(table.select_dtypes("float").columns)
    return table.assign(**{c: table[c].round(DIGITS) + 0.0 for c in numbers})


def _absent(classes: pd.Series, scores: pd.DataFrame) -> list[str]:
    """Classes with nodules that the cohort has and no test lesion speaks for."""
    expected = set(classes) - {"", "LR1"}
    return sorted(expected - set(lesion_classes(scores)))
