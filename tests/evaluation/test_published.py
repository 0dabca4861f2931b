"""Published scores stand beside ours, and are not mistaken for them."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.published import beside, caption, read_published
from published_figures import HEADER, score, write_published


def test_each_arm_has_both_rows_and_gaps_are_shown(tmp_path: Path) -> None:
    scores = pd.DataFrame(
        [
            score("none", "dice", "slices", 0.5),
            score("none", "dice", "pooled", 0.7),
            score("none", "dice", "slices", 0.9, convention="standard"),
            score("online", "dice", "slices", 0.6),
        ]
    )
    text = (
        "unet\tnone\tdice\tpooled\t0.3709\nunet\tnone\tdice\tLR2\t0.2\nunet\tgan\tdice\tLR2\t0.1\n"
    )
    rows = beside(scores, read_published(write_published(tmp_path, text)), 2).to_dict("records")
    shown = {(r["arm"], r["source"]): (r["Dice"], r["Dice LR2"]) for r in rows}
    # Published means are over slices: those of ours that weigh slices equally are beside them.
    assert shown == {
        ("none", "ours"): ("0.50 [0.40, 0.60]", "–"),
        ("none", "published"): ("0.3709", "0.2000"),
        ("gan", "ours"): ("–", "–"),
        ("gan", "published"): ("–", "0.1000"),
        ("online", "ours"): ("0.60 [0.50, 0.70]", "–"),
        ("online", "published"): ("–", "–"),
    }
    assert "another test set" in caption(0.95)
    assert "pseudo-patients" not in caption(0.95)
    assert "pseudo-patients" in caption(0.95, pseudo_patients=True)


def test_a_score_may_stand_in_two_tables(tmp_path: Path) -> None:
    rows = [f"{t}\tarms\tunet\tnone\tdice\tpooled\t0.{t}\t\n" for t in (5, 7)]
    path = write_published(tmp_path, "".join(rows), "table\tlayout\t" + HEADER + "\tnote")
    table = beside(pd.DataFrame([score("none", "dice", "slices", 0.5)]), read_published(path), 2)
    assert list(table["Dice"]) == ["0.50 [0.40, 0.60]", "0.5000"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("unet\tnone\tdice\tpooled\thigh\n", "value 'high' of none; accepted: a number"),
        ("unet\tnone\tdice\tpooled\t0.1\nunet\tnone\tdice\tpooled\t0.2\n", "given twice"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        read_published(write_published(tmp_path, text))


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["5\trows\tunet\tnone"], "layout rows; accepted: arms or before_after"),
        (["5\tarms\tunet\tnone", "5\tbefore_after\tunet\tblur"], "layout arms, before_after"),
        (["5/6\tarms\tunet\tnone"], "table '5/6'; accepted: letters and digits"),
        (["7\tbefore_after\tunet\tnone"], "arms none; accepted: one before, one after"),
    ],
)
def test_a_layout_that_is_none_is_refused(tmp_path: Path, rows: list[str], words: str) -> None:
    text = "".join(f"{row}\tdice\tpooled\t0.1\n" for row in rows)
    path = write_published(tmp_path, text, "table\tlayout\t" + HEADER)
    with pytest.raises(InputError, match=words):
        read_published(path)
