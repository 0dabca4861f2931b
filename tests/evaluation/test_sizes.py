"""Lesions by size: averaged within patients, and no size lost."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from detected_lesions import QUICK, lesions
from lungaug.errors import InputError
from lungaug.evaluation.sizes import UNKNOWN, size_names, size_table
from scored_slices import one

EDGES = (4.0, 6.0, 8.0)
CLASSES = pd.Series({f"p{i}": "LR2" for i in range(6)})


def test_lesions_of_a_patient_are_averaged_first() -> None:
    rows = lesions([("p0", 5.0, 1, 0.8), ("p0", 4.0, 0, 0.0), ("p1", 5.9, 1, 0.6)])
    table = size_table(rows, CLASSES, EDGES, QUICK)
    dice = one(table, metric="dice", size="4 to 6")
    assert dice["estimate"] == pytest.approx((0.4 + 0.6) / 2)
    assert (dice["n_patients"], dice["n_lesions"]) == (2, 3)
    assert (dice["low_mm"], dice["high_mm"]) == (4, 6)
    assert math.isnan(dice["low"])
    assert one(table, metric="sensitivity", size="4 to 6")["estimate"] == pytest.approx(0.75)


def test_limits_belong_to_the_size_above_and_empty_sizes_stay() -> None:
    table = size_table(lesions([("p0", 6.0, 1, 0.5)]), CLASSES, EDGES, QUICK)
    dice = table[table["metric"] == "dice"]
    assert list(dice["size"]) == ["below 4", "4 to 6", "6 to 8", "8 and above"]
    assert list(dice["n_lesions"]) == [0, 0, 1, 0]
    assert list(dice["estimate"].isna()) == [True, True, False, True]


def test_unknown_spacing_has_a_row_of_its_own() -> None:
    rows = lesions([("p0", math.nan, 1, 0.5), ("p1", math.nan, 0, 0.0), ("p1", 5.0, 1, 0.7)])
    table = size_table(rows, CLASSES, EDGES, QUICK)
    unknown = one(table, metric="sensitivity", size=UNKNOWN)
    assert (unknown["estimate"], unknown["n_lesions"]) == (0.5, 2)
    assert math.isnan(unknown["low_mm"])


def test_seeds_and_intervals() -> None:
    parts = [
        lesions([(f"p{i}", 5.0, 1, 0.1 * i + 0.2 * seed) for i in range(6)], seed=seed)
        for seed in (0, 1)
    ]
    row = one(size_table(pd.concat(parts), CLASSES, EDGES, QUICK), metric="dice", size="4 to 6")
    assert row["estimate"] == pytest.approx(0.35)
    assert (row["n_patients"], row["n_lesions"]) == (6, 6)
    assert row["low"] < 0.35 < row["high"]


def test_arms_and_segmenters_have_rows_of_their_own() -> None:
    rows = [
        lesions([("p0", 5.0, 1, 0.5)], arm=a, segmenter=s)
        for a, s in (("online", "b"), ("none", "b"), ("none", "a"))
    ]
    table = size_table(pd.concat(rows), CLASSES, (6.0,), QUICK)
    names = table[["segmenter", "arm"]].drop_duplicates().to_numpy().tolist()
    assert names == [["a", "none"], ["b", "none"], ["b", "online"]]
    assert len(table) == 3 * 2 * 2


@pytest.mark.parametrize("edges", [(6.0, 4.0), (0.0, 4.0), (4.0, 4.0)])
def test_limits_must_ascend(edges: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="accepted: ascending, above 0"):
        size_names(edges)
