"""What every training on an arm begins with: its rows, its seeds, and what identifies it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lungaug.cohort import SLICE_COLUMNS, read_table
from lungaug.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from lungaug.store import Provenance


@dataclass(frozen=True)
class Tables:
    """The rows of one training, by role."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame

    @property
    def learned(self) -> pd.DataFrame:
        """Training and validation slices: all that a training opens before its model is kept."""
        import pandas as pd

        return pd.concat([self.train, self.validation], ignore_index=True)

    @property
    def held_out(self) -> pd.DataFrame:
        """Validation and test slices, sorted by size and key."""
        import pandas as pd

        both = pd.concat([self.validation, self.test])
        return both.sort_values(["group", "key"], kind="stable", ignore_index=True)


def read_tables(arm: Path, slices: Path) -> Tables:
    """The arm's training rows and the fold's held-out rows, each in the order of its keys.

    Args:
        arm: table of the training slices.
        slices: table of the fold's real slices.
    """
    training, real = read_table(arm, SLICE_COLUMNS), read_table(slices, SLICE_COLUMNS)
    held_out = real.sort_values(["group", "key"], kind="stable")
    return Tables(
        training[training["role"] == "train"].reset_index(drop=True),
        held_out[held_out["role"] == "validation"].reset_index(drop=True),
        held_out[held_out["role"] == "test"].reset_index(drop=True),
    )


def identity_of(
    tables: Tables,
    root: Path,
    provenance: Provenance,
    training: Sequence[str | int | bool],
    weights: Path | None,
) -> str:
    """Digest of all that decides the weights: settings, code, first weights, tables and pixels.

    Args:
        tables: test slices do not count.
        root: folder that the column ``file`` is relative to.
        provenance: settings and code of the stage.
        training: what else tells this training from others of the stage.
        weights: file of the first weights, if they come from one.

    Raises:
        InputError: there is no such file.
    """
    from lungaug.training.data import SliceRows

    used = [tables.train, tables.validation]
    parts = {
        "provenance": [provenance.stage, provenance.settings, provenance.code],
        "training": list(training),
        "tables": [table.to_csv(sep="\t", index=False) for table in used],
        "files": [SliceRows(table, root).digests() for table in used],
        "weights": None if weights is None else _digest(weights),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _digest(path: Path) -> str:
    """Of a file's bytes."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; accepted: a file of weights") from error


def seeds_of(seed: int, seed_index: int) -> list[int]:
    """Seeds of weights, order and augmentation.

    Neither arm nor fold enters: arms are compared from the same weights.
    """
    return [int(s) for s in np.random.SeedSequence([seed, seed_index]).generate_state(3)]
