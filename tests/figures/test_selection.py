"""Which slices are shown: rules, not taste."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungaug.figures.selection import (
    choose_expansions,
    choose_predictions,
    nodule_positions,
    thinned,
)


def metrics(rows: list[tuple[str, str, float, int, int]]) -> pd.DataFrame:
    columns = ["lung_rads", "key", "dice_standard", "reference_px", "predicted_px"]
    return pd.DataFrame(rows, columns=columns).assign(fold="fixed")


def test_median_of_each_class_and_the_worst() -> None:
    rows = [("LR2", f"a{i}", d, 9, 9) for i, d in enumerate([0.9, 0.1, 0.5])]
    rows += [("LR1", f"h{i}", 1, 0, n) for i, n in enumerate([0, 7, 50])]
    chosen = choose_predictions(metrics(rows))
    assert [c.key for c in chosen] == ["h1", "a2", "a1"]
    assert [c.label for c in chosen] == ["LR1 healthy, median", "LR2, median", "worst, LR2"]


def test_arms_and_seeds_are_averaged_and_ties_show_the_largest() -> None:
    rows = [("LR2", "a", 0, 9, 0), ("LR2", "a", 1, 9, 9), ("LR2", "b", 0, 9, 0)]
    rows += [("LR4B", "c", 0.0, 90, 0)]
    chosen = choose_predictions(metrics(rows))
    assert chosen[-1].key == "c"
    assert choose_predictions(metrics([])) == []


def test_one_host_for_all_operations_if_there_is_one() -> None:
    rows = [("mirror", "x", 5.0), ("mirror", "y", 9.0), ("replace", "x", 5.0), ("blur", "z", 2.0)]
    frame = pd.DataFrame(rows, columns=["operation", "host", "diameter_mm"])
    frame = frame.assign(path=Path("b.h5"), group="8x8", row=range(4))
    found = {operation: host for operation, host, _ in choose_expansions(frame)}
    assert found == {"blur": "z", "mirror": "x", "replace": "x"}
    assert choose_expansions(frame.iloc[:0]) == []


def test_positions_are_fractions_of_the_lungs() -> None:
    lung, nodule = np.zeros((2, 20, 30), np.uint8)
    lung[5:15, 10:20] = 1
    nodule[5, 10], nodule[14, 19], nodule[0, 0] = 1, 2, 3
    positions = nodule_positions(nodule, lung)
    assert positions == [(0.0, 0.0), (0.9, 0.9), (-0.5, -1.0)]
    assert nodule_positions(nodule, np.zeros_like(lung)) == []
    assert nodule_positions(np.zeros_like(nodule), lung) == []


@pytest.mark.parametrize("limit", [1, 3, 10, 99])
def test_thinning_keeps_the_ends(limit: int) -> None:
    rows = pd.DataFrame({"n": range(10)})
    kept = thinned(rows, limit)["n"].tolist()
    assert len(kept) == min(limit, 10)
    assert kept == sorted(set(kept))
    assert kept[0] == 0
