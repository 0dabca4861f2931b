"""figures: every picture of a run, also of runs with little to show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungaug.stages import figures, tables
from synthetic_results import MADE_BY, Plan, build


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is tested here is that the figures are made, not how sharp they are."""
    monkeypatch.setattr("lungaug.figures.style.DPI", 40)


def run(root: Path, inputs: dict[str, Any], output: Path) -> list[str]:
    tables.run(
        metrics=inputs["metrics"],
        split=root / "split.tsv",
        output=root / "tables",
        settings=tables.Settings(n_resamples=1000),
        provenance=MADE_BY,
    )
    return draw(root, inputs, output)


def draw(root: Path, inputs: dict[str, Any], output: Path) -> list[str]:
    figures.run(
        root=root,
        scores=root / "tables" / "scores.tsv",
        comparisons=root / "tables" / "comparisons.tsv",
        output=output,
        settings=figures.Settings(n_overlays=2, n_arms=2),
        provenance=MADE_BY,
        **inputs,
    )
    return sorted(p.name for p in output.iterdir())


def expected() -> list[str]:
    return sorted(["notes.tsv", *(f"{name}.png" for name in figures.NAMES)])


SMALL: dict[str, Any] = {"patients": 1, "n_slices": 1, "seeds": 1, "arms": ("none",)}
PLANS = {
    "folds and sizes": Plan(
        classes=("LR1", "LR4B"),
        patients=1,
        n_slices=2,
        folds=("cv0", "cv1"),
        sizes=((40, 40), (32, 48)),
        arms=("none", "mirror"),
        segmenters=("unet", "deeplab"),
        seeds=1,
    ),
    "only healthy": Plan(classes=("LR1",), **SMALL),
    "nothing expanded or predicted": Plan(classes=("LR2",), operations=(), silent=True, **SMALL),
}


@pytest.mark.parametrize("name", list(PLANS))
def test_every_figure_is_made(name: str, tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    assert run(root, build(root, PLANS[name]), root / "figures") == expected()


def test_same_bytes_and_a_run_without_files(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    inputs = build(root, Plan(classes=("LR4B",), **SMALL))
    run(root, inputs, root / "a")
    draw(root, {name: paths[::-1] for name, paths in inputs.items()}, root / "b")
    for name in expected():
        content = (root / "a" / name).read_bytes()
        assert content == (root / "b" / name).read_bytes(), name
        assert b"Software" not in content
        assert b"tEXt" not in content  # no date, no version
    nothing: dict[str, Any] = {name: [] for name in inputs}
    assert draw(root, nothing, root / "empty") == expected()
    sizes = {p.stem: p.stat().st_size for p in (root / "empty").glob("*.png")}
    assert sizes["overlays"] < (root / "a" / "overlays.png").stat().st_size
