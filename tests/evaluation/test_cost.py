"""What trainings took: medians, ranges, and machines apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.cost import COLUMNS, blocks, cost_table, read_costs, shown
from scored_slices import one

ROW: dict[str, Any] = {
    "fold": "fixed",
    "arm": "none",
    "segmenter": "unet",
    "seed": 0,
    "device": "cpu",
    "precision": "32-true",
    "processes": 1,
    "steps": 400,
    "samples": 2400,
    "seconds": 100.0,
    "samples_per_second": 24.0,
    "peak_mb": 512.0,
    "peak_gpu_mb": float("nan"),
    "n_parameters": 18_252_881,
}


def costs(*rows: dict[str, Any]) -> pd.DataFrame:
    return pd.DataFrame([{**ROW, "seed": i, **row} for i, row in enumerate(rows)])


def test_medians_and_ranges_of_all_arms_and_of_each() -> None:
    table = cost_table(
        costs({"seconds": 90.0}, {"seconds": 120.0}, {"arm": "blur", "seconds": 100.0})
    )
    assert list(table.columns) == list(COLUMNS)
    assert list(table["arm"]) == ["all", "none", "blur"]
    every = one(table, arm="all")
    assert every["trainings"] == 3
    told = every[["seconds_median", "seconds_lowest", "seconds_highest"]]
    assert told.to_list() == [100, 90, 120]
    assert one(table, arm="none")["seconds_median"] == 105
    text = shown(table).set_index("arm")
    assert text.loc["all", "seconds"] == "100 (90 to 120)"
    assert text.loc["all", "parameters"] == "18,252,881"
    assert text.loc["all", "peak GPU memory (MB)"] == "–"
    assert text.loc["blur", "samples a second"] == "24"


def test_machines_are_never_mixed() -> None:
    gpu: dict[str, Any] = {
        "device": "NVIDIA H100",
        "precision": "bf16-mixed",
        "seconds": 9.0,
        "peak_gpu_mb": 2048.0,
    }
    table = cost_table(costs({}, gpu))
    every = table[table["arm"] == "all"].set_index("device")
    assert every.loc["cpu", "seconds_median"] == 100
    assert every.loc["NVIDIA H100", "seconds_median"] == 9
    assert every.loc["NVIDIA H100", "peak_gpu_mb_median"] == 2048


def test_one_arm_needs_no_row_of_its_own() -> None:
    text = shown(cost_table(costs({}, {}, {"segmenter": "maskrcnn", "arm": "blur"})))
    assert list(text["arm"]) == ["all", "all"]
    assert list(text["segmenter"]) == ["maskrcnn", "unet"]
    columns = {c for _, block in blocks(text) for c in block.columns}
    assert columns == set(text.columns)


def test_each_training_costs_once(tmp_path: Path) -> None:
    path = tmp_path / "cost.tsv"
    costs({}).to_csv(path, sep="\t", index=False)
    assert read_costs([path])["seconds"].item() == 100
    with pytest.raises(InputError, match="two costs of unet, arm none, seed 0"):
        read_costs([path, path])
    with pytest.raises(InputError, match="no cost table"):
        read_costs([])


def test_classifiers_and_generators_stand_behind_the_segmenters() -> None:
    rows = costs(
        {"segmenter": "copypaste", "arm": "generator", "samples_per_second": 0.0, "seconds": 0.0},
        {"segmenter": "dcgan", "arm": "generator"},
        {"segmenter": "dcgan", "arm": "generator", "fold": "cv1"},
        {"segmenter": "presence"},
        {"segmenter": "presence", "arm": "blur"},
        {"segmenter": "unet"},
    )
    text = shown(cost_table(rows))
    assert text[["segmenter", "arm", "trainings"]].to_numpy().tolist() == [
        ["unet", "all", "1"],
        ["presence", "all", "2"],
        ["presence", "none", "1"],
        ["presence", "blur", "1"],
        ["copypaste", "generator", "1"],
        ["dcgan", "generator", "2"],
    ]
    assert text.loc[4, "seconds"] == "0"
