"""presence_tables: classifiers and metrics in, one source for every table out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import read_table, write_table
from lungaug.errors import FileFormatError, InputError
from lungaug.evaluation.presence import (
    CURVE_COLUMNS,
    EFFECT_COLUMNS,
    PRESENCE_COLUMNS,
    SUMMARY_COLUMNS,
)
from lungaug.stages import presence_tables
from lungaug.store import Provenance
from presence_rows import segmented

FILES = ["presence.md", "presence.tex", "presence.tsv", "presence_effect.tsv", "roc.tsv"]
ARMS = ("metalung", "none")


def classified(arm: str, seed: int) -> pd.DataFrame:
    """Two validation and six test patients, the classifier sure of most slices."""
    rng = np.random.default_rng(seed)
    rows = []
    for role, n_patients in (("validation", 2), ("test", 6)):
        for i in range(n_patients):
            for index, present in enumerate((1, 0, 0)):
                probability = round(0.3 + 0.4 * present + 0.29 * rng.uniform(-1, 1), 6)
                name = f"{role[0]}{i}"
                lung_rads = "LR2" if i % 2 else "LR4B"
                head = ("fixed", arm, seed, role, name, f"{name}/s/{index}", lung_rads)
                rows.append((*head, present, probability))
    return pd.DataFrame(rows, columns=list(PRESENCE_COLUMNS))


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Any]:
    made: dict[str, Any] = {"presence": [], "metrics": [], "split": tmp_path / "split.tsv"}
    for arm in ARMS:
        for seed in range(2):
            rows = classified(arm, seed)
            made["presence"].append(tmp_path / f"{arm}{seed}" / "presence.tsv")
            write_table(made["presence"][-1], rows)
            for segmenter in ("segformer", "unet"):
                path = tmp_path / f"{arm}{seed}" / f"{segmenter}.tsv"
                made["metrics"].append(path)
                write_table(path, segmented(rows, segmenter))
    write_table(made["split"], rows.drop_duplicates("patient")[["patient", "lung_rads"]])
    return made


def run(inputs: dict[str, Any], output: Path, **settings: Any) -> None:
    presence_tables.run(
        **inputs,
        output=output,
        settings=presence_tables.Settings(
            **{"n_resamples": 1000, "n_curves": 100, "rates": 5, **settings}
        ),
        provenance=Provenance("test", "{}", "0"),
    )


def test_files_and_columns(inputs: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "tables"
    run(inputs, out)
    assert sorted(p.name for p in out.iterdir()) == FILES
    summary, effect = read_table(out / "presence.tsv"), read_table(out / "presence_effect.tsv")
    curve = read_table(out / "roc.tsv")
    assert list(summary) == list(SUMMARY_COLUMNS)
    assert list(effect) == list(EFFECT_COLUMNS)
    assert list(curve) == list(CURVE_COLUMNS)
    assert set(summary["arm"]) == set(effect["arm"]) == set(curve["arm"]) == set(ARMS)
    assert set(effect["segmenter"]) == {"segformer", "unet"}
    assert curve["false_positive_rate"].tolist() == [0, 0.25, 0.5, 0.75, 1] * 2


def test_the_gate_takes_false_positives(inputs: dict[str, Any], tmp_path: Path) -> None:
    run(inputs, tmp_path / "tables", sensitivity=0.5)
    effect = read_table(tmp_path / "tables" / "presence_effect.tsv")
    cells = effect.set_index(["segmenter", "arm", "metric", "gate"])["estimate"]
    of_unet = cells["unet", "none"]
    assert of_unet["false_positives", "without"] == 1
    assert of_unet["false_positives", "with"] < 0.9
    assert of_unet["specificity", "with"] > 0.1
    assert of_unet["false_positive_mm2", "without"] == 2.5
    summary = read_table(tmp_path / "tables" / "presence.tsv").set_index(["arm", "metric"])
    sensitivity = summary.loc[("none", "sensitivity"), "estimate"]
    # A stopped nodule is a missed one.
    assert of_unet["lesion_sensitivity", "with"] == pytest.approx(sensitivity)
    assert of_unet["specificity", "with"] == summary.loc[("none", "specificity"), "estimate"]


def test_texts_say_what_the_tables_say(inputs: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "tables"
    run(inputs, out, decimals=3, sensitivity=0.9)
    auc = read_table(out / "presence.tsv").set_index(["arm", "metric"]).loc[("none", "auc")]
    cell = f"{auc['estimate']:.3f} [{auc['low']:.3f}, {auc['high']:.3f}]"
    markdown, latex = ((out / f"presence.{end}").read_text() for end in ("md", "tex"))
    assert cell in markdown
    assert cell in latex
    assert "lets pass 90 % of its validation slices" in " ".join(markdown.split())
    assert latex.count(r"\begin{table}") == 2
    # Baselines first.
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    assert [line.split()[1] for line in lines[2:4]] == ["none", "metalung"]


def test_test_slices_do_not_move_the_threshold(inputs: dict[str, Any], tmp_path: Path) -> None:
    run(inputs, tmp_path / "before")
    for path in inputs["presence"]:
        rows = read_table(path)
        write_table(
            path,
            rows.assign(probability=rows["probability"].where(rows["role"] == "validation", 0.001)),
        )
    run(inputs, tmp_path / "after")
    tables = [
        read_table(tmp_path / name / "presence.tsv").set_index(["metric", "arm"])["estimate"]
        for name in ("before", "after")
    ]
    pd.testing.assert_series_equal(*(table["threshold"] for table in tables))
    assert (tables[1]["sensitivity"] == 0).all()


def test_same_bytes_in_any_order(inputs: dict[str, Any], tmp_path: Path) -> None:
    run(inputs, tmp_path / "a")
    turned = {
        name: value[::-1] if isinstance(value, list) else value for name, value in inputs.items()
    }
    run(turned, tmp_path / "b")
    for name in FILES:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_metrics_without_their_classifier(inputs: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none/1: slice .* was segmented and not classified"):
        run({**inputs, "presence": inputs["presence"][:-1]}, tmp_path)


def test_a_classifier_given_twice(inputs: dict[str, Any], tmp_path: Path) -> None:
    twice = [*inputs["presence"], inputs["presence"][0]]
    with pytest.raises(InputError, match=r"metalung/0: slice .* was scored twice"):
        run({**inputs, "presence": twice}, tmp_path)


def test_no_test_slice(inputs: dict[str, Any], tmp_path: Path) -> None:
    for path in inputs["presence"]:
        rows = read_table(path)
        write_table(path, rows[rows["role"] == "validation"])
    with pytest.raises(InputError, match="no test slice in 4 presence tables"):
        run(inputs, tmp_path)


def test_a_table_that_is_none(inputs: dict[str, Any], tmp_path: Path) -> None:
    inputs["presence"][0].write_text("fold\tarm\n")
    with pytest.raises(FileFormatError, match="no column seed, role"):
        run(inputs, tmp_path)


def test_the_stage_starts_without_heavy_imports() -> None:
    code = (
        "import sys, lungaug.stages.presence_tables\n"
        "print(sorted({'torch', 'matplotlib', 'scipy', 'cv2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": str(Path(presence_tables.__file__).parents[2])},
    )
    assert done.stdout.strip() == "[]"
