"""The share stage: fewer training patients, the same test patients."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lungaug.cohort import SPLIT_COLUMNS, read_table, write_table
from lungaug.errors import InputError
from lungaug.stages import share
from small_cohort import MADE_BY

ROLES = {"train": 8, "validation": 2, "test": 3}


@pytest.fixture
def split(tmp_path: Path) -> Path:
    rows = [
        ("fixed", f"p{name}{role}{i}", name, role)
        for name in ("LR2", "LR4B")
        for role, n in ROLES.items()
        for i in range(n)
    ]
    path = tmp_path / "split.tsv"
    write_table(path, pd.DataFrame(rows, columns=list(SPLIT_COLUMNS)))
    return path


def part(split: Path, fold: str) -> pd.DataFrame:
    output = split.parent / fold / "split.tsv"
    share.run(split=split, fold=fold, output=output, settings=share.Settings(), provenance=MADE_BY)
    return read_table(output, SPLIT_COLUMNS)


def test_held_out_patients_stay_and_a_share_of_each_class_trains(split: Path) -> None:
    table = part(split, "fixed_25")
    whole, quarter = (table[table["fold"] == fold] for fold in ("fixed", "fixed_25"))
    for role in ("validation", "test"):
        held = (set(rows.loc[rows["role"] == role, "patient"]) for rows in (whole, quarter))
        assert next(held) == next(held)
    counts = quarter[quarter["role"] == "train"].groupby("lung_rads").size().to_dict()
    assert counts == {"LR2": 2, "LR4B": 2}
    assert len(whole) == 26


def test_a_fold_that_is_not_there_is_named(split: Path) -> None:
    with pytest.raises(InputError, match="no fold 'cv0', of which cv0_25"):
        part(split, "cv0_25")
