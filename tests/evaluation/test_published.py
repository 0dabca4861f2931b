"""Published scores stand beside ours, and are not mistaken for them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.published import beside, caption, read_published
from lungaug.evaluation.scores import SCORE_COLUMNS

PUBLISHED = "segmenter\tarm\tmetric\tgroup\tvalue\n"


def score(arm: str, metric: str, group: str, estimate: float, convention: str) -> dict[str, object]:
    row = dict.fromkeys(SCORE_COLUMNS, float("nan"))
    names = {"segmenter": "unet", "arm": arm, "metric": metric, "group": group}
    numbers = {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}
    return {**row, **names, **numbers, "convention": convention, "n_patients": 9}


def table(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "published.tsv"
    path.write_text(PUBLISHED + text, encoding="utf-8")
    return path


def test_each_arm_has_both_rows_and_gaps_are_shown(tmp_path: Path) -> None:
    scores = pd.DataFrame(
        [
            score("none", "dice", "pooled", 0.5, "reference"),
            score("none", "dice", "pooled", 0.9, "standard"),
            score("online", "dice", "pooled", 0.6, "reference"),
        ]
    )
    text = (
        "unet\tnone\tdice\tpooled\t0.3709\nunet\tnone\tdice\tLR2\t0.2\nunet\tgan\tdice\tLR2\t0.1\n"
    )
    rows = beside(scores, read_published(table(tmp_path, text)), 2).to_dict("records")
    shown = {(r["arm"], r["source"]): (r["Dice"], r["Dice LR2"]) for r in rows}
    assert shown == {
        ("none", "ours"): ("0.50 [0.40, 0.60]", "–"),
        ("none", "published"): ("0.3709", "0.2000"),
        ("gan", "ours"): ("–", "–"),
        ("gan", "published"): ("–", "0.1000"),
        ("online", "ours"): ("0.60 [0.50, 0.70]", "–"),
        ("online", "published"): ("–", "–"),
    }
    assert "another test" in caption(0.95)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unet\tnone\tdice\tpooled\thigh\n", "value 'high' of none; accepted: a number"),
        ("unet\tnone\tdice\tpooled\t0.1\nunet\tnone\tdice\tpooled\t0.2\n", "given twice"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_published(table(tmp_path, text))
