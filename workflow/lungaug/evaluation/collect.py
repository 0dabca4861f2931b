"""Rows of all trainings of a run, in an order that does not depend on that of the files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError

METRICS_COLUMNS = (
    "threshold",
    "hd95_mm",
    "asd_mm",
    "n_lesions",
    "n_lesions_hit",
    "false_positive_px",
    "pixel_mm2",
)
DIGITS = 6
_KEYS = ["segmenter", "arm", "seed", "fold"]


def held_out_rows(
    paths: Sequence[Path], columns: Sequence[str] = (), within: Sequence[str] = ("key",)
) -> pd.DataFrame:
    """The rows of the test role; their columns even if there is no row.

    Args:
        paths: a table of each training, with the columns role, segmenter, arm, seed and fold.
        columns: others that it must have.
        within: what orders the rows of a training.

    Raises:
        FileFormatError: a table is missing or lacks a column.
    """
    wanted = ("role", *_KEYS, *within, *columns)
    tables = [read_table(path, wanted) for path in paths]
    tested = [table[table["role"] == "test"] for table in tables]
    filled = [table for table in tested if len(table)] or tested[:1]
    rows = pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=list(wanted))
    return rows.sort_values([*_KEYS, *within], kind="stable", ignore_index=True)


def held_out_metrics(paths: Sequence[Path]) -> pd.DataFrame:
    """The rows of test slices of all ``metrics.tsv``.

    Raises:
        InputError: there is none.
    """
    rows = held_out_rows(paths, METRICS_COLUMNS)
    if rows.empty:
        raise InputError(f"no test slice in {len(paths)} metrics tables; accepted: at least one")
    return rows


def classes_of(split: Path) -> pd.Series:
    """Lung-RADS class by patient."""
    patients = read_table(split, ("patient", "lung_rads"))
    return patients.drop_duplicates("patient").set_index("patient")["lung_rads"]


def rounded(table: pd.DataFrame, digits: int = DIGITS) -> pd.DataFrame:
    """Decimals that a table is written with, and no minus before a zero."""
    numbers = list(table.select_dtypes("float").columns)
    return table.assign(**{c: table[c].round(digits) + 0.0 for c in numbers})
