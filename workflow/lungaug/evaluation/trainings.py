"""Which training a file belongs to, read off its place in the results folder."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError


@dataclass(frozen=True, order=True)
class Training:
    """One training: what distinguishes it from the others of a run."""

    fold: str
    segmenter: str
    arm: str
    seed: int


def training_of(path: Path) -> Training:
    """The training of ``<fold>/segmentation/<arm>/<segmenter>/seed<k>/<file>``.

    Raises:
        InputError: the path has another form.
    """
    parts = path.parts[-6:]
    number = parts[-2].removeprefix("seed") if len(parts) == 6 else ""
    if not number.isdigit() or parts[1] != "segmentation":
        accepted = "<fold>/segmentation/<arm>/<segmenter>/seed<k>/<file>"
        raise InputError(f"{path}: no file of a training; accepted: {accepted}")
    return Training(parts[0], parts[3], parts[2], int(number))


def read_histories(paths: Iterable[Path]) -> pd.DataFrame:
    """All ``history.tsv``, with the columns fold, segmenter, arm and seed; empty without any."""
    tables = []
    for path in sorted(paths):
        training = training_of(path)
        table = read_table(path, ("step", "validation_loss", "validation_dice", "best"))
        table["fold"], table["segmenter"] = training.fold, training.segmenter
        table["arm"], table["seed"] = training.arm, training.seed
        tables.append(table)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
