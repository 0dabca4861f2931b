"""tables: all metrics in, the tables that people read out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.scores import COMPARISON_COLUMNS, SCORE_COLUMNS
from lungaug.stages import tables
from synthetic_results import MADE_BY, Plan, build

FILES = ["comparisons.tsv", "main.md", "main.tex", "main.tsv", "scores.tsv"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("results") / "phantom"
    return root, build(root, Plan(patients=5, n_slices=2, roles=("test",)))


def run(root: Path, metrics: list[Path], output: Path, **settings: Any) -> None:
    tables.run(
        metrics=metrics,
        split=root / "split.tsv",
        output=output,
        settings=tables.Settings(n_resamples=1000, **settings),
        provenance=MADE_BY,
    )


def test_files_and_columns(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, inputs = made
    run(root, inputs["metrics"], tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES
    assert list(pd.read_csv(tmp_path / "scores.tsv", sep="\t")) == list(SCORE_COLUMNS)
    assert list(pd.read_csv(tmp_path / "comparisons.tsv", sep="\t")) == list(COMPARISON_COLUMNS)
    main = pd.read_csv(tmp_path / "main.tsv", sep="\t")
    assert list(main["arm"]) == ["none", "online", "metalung"]
    assert list(main["patients"]) == [10, 10, 10]
    text = (tmp_path / "main.md").read_text()
    assert "LR1 5, LR2 5, LR4B 5" in text
    assert "Convention 'standard'" in " ".join(text.split())
    assert "pseudo-patients" not in text


def test_same_bytes_in_any_order(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, inputs = made
    run(root, inputs["metrics"], tmp_path / "a")
    run(root, inputs["metrics"][::-1], tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_class_without_test_patients_is_named(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    inputs = build(root, Plan(patients=1, n_slices=1, seeds=1, arms=("none",), roles=("test",)))
    split = pd.read_csv(root / "split.tsv", sep="\t")
    split.loc[len(split)] = ["fixed", "p9", "LR4A", "train"]
    split.to_csv(root / "split.tsv", sep="\t", index=False)
    run(root, inputs["metrics"], root / "tables", convention="reference", decimals=3)
    text = " ".join((root / "tables" / "main.md").read_text().split())
    assert "No tested lesion of class LR3, LR4A" in text
    assert "Convention 'reference'" in text
    assert text.count("no test patient") == 2
    assert "(n=2)" in text
    assert "minus none" not in text  # one arm: nothing to compare
    assert len(pd.read_csv(root / "tables" / "comparisons.tsv", sep="\t")) == 0


def test_two_segmenters_and_fixed_thresholds_read_well(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(segmenters=("unet", "maskrcnn"), n_slices=1, seeds=1, roles=("test",))
    inputs = build(root, plan)
    run(root, inputs["metrics"], root / "tables", threshold=0.5, pseudo_patients=True)
    main = pd.read_csv(root / "tables" / "main.tsv", sep="\t")
    names = list(zip(main["segmenter"], main["arm"], strict=True))
    arms = ["none", "online", "metalung"]
    assert names == [(segmenter, arm) for segmenter in ("maskrcnn", "unet") for arm in arms]
    assert main["threshold"].str.startswith("0.5").all()
    text = (root / "tables" / "main.md").read_text()
    assert text.count("| segmenter | arm") == 4
    assert "from probability 0.5 on, fixed beforehand" in " ".join(text.split())
    assert "pseudo-patients" in text
    assert "pseudo-patients" in (root / "tables" / "main.tex").read_text()


def test_unknown_spacing_leaves_millimetres_out(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(patients=1, n_slices=1, seeds=1, roles=("test",), spacing_mm=float("nan"))
    inputs = build(root, plan)
    run(root, inputs["metrics"], root / "tables")
    main = pd.read_csv(root / "tables" / "main.tsv", sep="\t")
    assert (main[["hd95_mm", "asd_mm", "false_positive_mm2"]] == "–").all(axis=None)
    assert main["lesion_sensitivity"].str.contains("n=2").all()


def test_only_healthy_patients(tmp_path: Path) -> None:
    root = tmp_path / "phantom"
    plan = Plan(classes=("LR1",), patients=5, n_slices=1, seeds=1, roles=("test",))
    inputs = build(root, plan)
    run(root, inputs["metrics"], root / "tables")
    main = pd.read_csv(root / "tables" / "main.tsv", sep="\t")
    assert list(main["patients"]) == [0, 0, 0]
    assert (main["dice"] == "–").all()
    assert main["specificity"].str.contains("n=5").all()


def test_no_test_slice_is_an_error(made: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    root, inputs = made
    path = tmp_path / "metrics.tsv"
    rows = pd.read_csv(inputs["metrics"][0], sep="\t").assign(role="validation")
    rows.to_csv(path, sep="\t", index=False)
    with pytest.raises(InputError, match="no test slice in 1 metrics tables"):
        run(root, [path], tmp_path)


def test_the_stage_starts_without_heavy_imports() -> None:
    code = (
        "import sys, lungaug.stages.tables\n"
        "print(sorted({'torch', 'matplotlib', 'scipy', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(tables.__file__).parents[2])},
    )
    assert done.stdout.strip() == "[]"
