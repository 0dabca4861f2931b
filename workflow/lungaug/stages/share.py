"""share: a fold with a part of its training patients, for learning curves."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungaug.cohort import SPLIT_COLUMNS, read_table, write_table
from lungaug.division import part_of
from lungaug.errors import InputError
from lungaug.grid import share_of
from lungaug.settings import setting
from lungaug.store import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Which patients are kept."""

    seed: int = setting(0, "seed of the order in which patients are kept", minimum=0)


def run(
    *, split: Path, fold: str, output: Path, settings: Settings, provenance: Provenance
) -> None:
    """Write the table of roles with one more fold.

    Its validation and test patients are those of the full fold; of the training patients a share of
    each class is kept, a larger share holding all of a smaller one. The others have no role in it.

    Args:
        split: ``split.tsv``.
        fold: the new fold, such as ``fixed_25``.
        output: a table like ``split.tsv``.
        settings: the seed.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: there is no such full fold.
    """
    table = read_table(split, SPLIT_COLUMNS)
    whole, percent = share_of(fold)
    rows = table[table["fold"] == whole]
    if rows.empty:
        raise InputError(f"{split}: no fold '{whole}', of which {fold} would be {percent} %")
    training = rows[rows["role"] == "train"]
    classes = dict(zip(training["patient"], training["lung_rads"], strict=True))
    kept = part_of(classes, percent / 100, settings.seed)
    used = rows[(rows["role"] != "train") | rows["patient"].isin(kept)].assign(fold=fold)
    log.info("%s: %d of %d training patients", fold, len(kept), len(training))
    write_table(output, pd.concat([table, used], ignore_index=True))
