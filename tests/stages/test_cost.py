"""cost: one table of what all trainings took."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from lungaug.stages import cost
from synthetic_results import MADE_BY, Plan, build, siblings


def test_files_in_any_order(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(classes=("LR2",), patients=1, n_slices=1, arms=("none", "online"), roles=("test",))
    paths = siblings(build(root, plan)["metrics"], "cost.tsv")
    for name, costs in (("a", paths), ("b", paths[::-1])):
        cost.run(costs=costs, output=tmp_path / name, settings=cost.Settings(), provenance=MADE_BY)
    for name in ("cost.tsv", "cost.md", "cost.tex"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    table = pd.read_csv(tmp_path / "a" / "cost.tsv", sep="\t")
    assert list(table["arm"]) == ["all", "none", "online"]
    assert list(table["trainings"]) == [4, 2, 2]
    assert "105 (100 to 110)" in (tmp_path / "a" / "cost.md").read_text()
    assert "peak GPU memory" in (tmp_path / "a" / "cost.tex").read_text()
