"""generated_figures: every picture, also of runs with little to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from generated_results import build_generated
from lungaug.cohort import write_table
from lungaug.errors import SettingError
from lungaug.evaluation.realism.rows import COLUMNS
from lungaug.stages import generated_figures
from synthetic_results import MADE_BY, Plan


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is that the figures are made, not how sharp they are."""
    monkeypatch.setattr("lungaug.figures.style.DPI", 30)


def draw(root: Path, made: dict[str, Any], name: str) -> dict[str, bytes]:
    output = root / name
    generated_figures.run(
        root=root,
        output=output,
        settings=generated_figures.Settings(n_samples=2, n_inserted=1, n_pairs=1),
        provenance=MADE_BY,
        **made,
    )
    return {path.name: path.read_bytes() for path in sorted(output.iterdir())}


EXPECTED = sorted(["generated_notes.tsv", *(f"{name}.png" for name in generated_figures.NAMES)])


def test_every_figure_is_made_with_the_same_bytes(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(
        classes=("LR1", "LR4B"),
        patients=1,
        n_slices=2,
        folds=("cv0", "cv1"),
        arms=(),
        operations=(),
    )
    made = build_generated(root, ("gaussian",), plan)
    first = draw(root, made, "a")
    assert sorted(first) == EXPECTED
    turned = {n: v[::-1] if isinstance(v, list) else v for n, v in made.items()}
    assert draw(root, turned, "b") == first
    notes = pd.read_csv(root / "a/generated_notes.tsv", sep="\t", keep_default_na=False)
    assert tuple(notes["figure"]) == generated_figures.NAMES
    assert notes["note"].tolist()[0] == "Fold cv0; HU -1000 to 400."


def test_a_run_without_files(tmp_path: Path) -> None:
    realism = tmp_path / "realism.tsv"
    write_table(realism, pd.DataFrame(columns=list(COLUMNS)))
    names = "rois patches inserted published pairs slices preprocess history".split()  # noqa: SIM905
    made: dict[str, Any] = {name: [] for name in names} | {"realism": realism}
    assert sorted(draw(tmp_path, made, "figures")) == EXPECTED


def test_an_empty_slice_has_something_to_show() -> None:
    middle = generated_figures._largest(np.zeros((5, 7), np.uint8))
    assert np.argwhere(middle).tolist() == [[2, 3]]
    labels = np.zeros((5, 7), np.uint8)
    labels[0, :2], labels[2, :3] = 1, 2
    np.testing.assert_array_equal(generated_figures._largest(labels), labels == 2)


def test_a_window_that_cannot_be() -> None:
    with pytest.raises(SettingError, match="below high_hu"):
        generated_figures.Settings(low_hu=500)
