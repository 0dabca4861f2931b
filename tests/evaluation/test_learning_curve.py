"""Scores over shares of patients and ratios of synthetic slices."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from lungaug.evaluation.learning_curve import (
    COLUMNS,
    learning_curve,
    main_rows,
    training_sizes,
)
from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS
from lungaug.evaluation.scores import Resampling

PATIENTS = [f"p{i}" for i in range(6)]
CLASSES = pd.Series(["LR2", "LR4B"] * 3, index=PATIENTS)
DICE = {
    ("fixed", "none"): 0.5,
    ("fixed_25", "none"): 0.2,
    ("fixed", "mirror"): 0.7,
    ("fixed", "mirror@0.5"): 0.6,
}


def rows() -> pd.DataFrame:
    """A slice a patient; Dice of patient i is 0.01 i above that of the training."""
    found = []
    for (fold, arm), dice in DICE.items():
        for i, patient in enumerate(PATIENTS):
            row: dict[str, Any] = dict.fromkeys(
                [f"{name}_{convention}" for name in OVERLAPS for convention in CONVENTIONS],
                dice + 0.01 * i,
            )
            row |= {"fold": fold, "arm": arm, "segmenter": "unet", "seed": 0, "role": "test"}
            row |= {"patient": patient, "key": f"{patient}/s/0", "reference_px": 9}
            row |= {"predicted_px": 9, "false_positive_components": 0, "hd95_mm": 1.0}
            row |= {"asd_mm": 1.0, "n_lesions": 1, "n_lesions_hit": 1, "threshold": 0.5}
            row |= {"false_positive_px": 0, "pixel_mm2": 1.0}
            found.append(row)
    return pd.DataFrame(found)


def arm_table(patients: int, added: int) -> pd.DataFrame:
    """Two real slices a patient, one of them with a nodule."""
    real = [(f"t{i}", "real", n) for i in range(patients) for n in (0, 9)]
    rows = real + [("t0", "metalung:mirror", 9)] * added
    return pd.DataFrame(rows, columns=["patient", "origin", "n_nodule_px"])


def curve() -> pd.DataFrame:
    sizes = training_sizes(
        [
            ("fixed", "none", arm_table(8, 0)),
            ("fixed_25", "none", arm_table(2, 0)),
            ("fixed", "mirror", arm_table(8, 8)),
            ("fixed", "mirror@0.5", arm_table(8, 4)),
        ]
    )
    return learning_curve(rows(), CLASSES, sizes, Resampling(n_resamples=1000))


def test_every_point_stands_where_it_was_trained() -> None:
    table = curve()
    assert tuple(table.columns) == COLUMNS
    dice = table[(table["metric"] == "dice") & (table["group"] == "pooled")]
    points = dice.set_index(["arm", "share_percent", "ratio"])["estimate"]
    mean = 0.025  # of what patients add
    assert points.to_dict() == pytest.approx(
        {
            ("mirror", 100, 0.5): 0.6 + mean,
            ("mirror", 100, 1.0): 0.7 + mean,
            ("none", 25, 0.0): 0.2 + mean,
            ("none", 100, 0.0): 0.5 + mean,
        }
    )
    asked = dice.set_index(["arm", "ratio"])["asked_ratio"]
    assert asked["mirror", 0.5] == 0.5
    assert math.isnan(asked["mirror", 1.0])
    sizes = dice.set_index(["arm", "share_percent", "ratio"])["train_patients"]
    assert (sizes["none", 25, 0.0], sizes["none", 100, 0.0]) == (2, 8)


def test_intervals_are_over_the_test_patients() -> None:
    table = curve()
    dice = table[(table["metric"] == "dice") & (table["group"] == "pooled")]
    assert (dice["n_patients"] == 6).all()
    assert ((dice["low"] < dice["estimate"]) & (dice["estimate"] < dice["high"])).all()


def test_people_read_a_row_a_point() -> None:
    shown = main_rows(curve())
    assert shown["patients used"].tolist() == ["100 %", "100 %", "25 %", "100 %"]
    assert shown["asked ratio"].tolist() == ["0.5", "all", "all", "all"]
    assert shown["slices added for a real one"].tolist() == ["0.50", "1.00", "0.00", "0.00"]
    assert shown["Dice"].str.match(r"0\.\d\d \[0\.\d\d, 0\.\d\d\]").all()


def test_folds_are_averaged() -> None:
    sizes = training_sizes([("cv0", "none", arm_table(8, 0)), ("cv1", "none", arm_table(6, 0))])
    assert sizes.to_dict("records") == [
        {
            "share_percent": 100,
            "arm": "none",
            "train_patients": 7.0,
            "train_slices": 14.0,
            "ratio": 0.0,
        }
    ]
