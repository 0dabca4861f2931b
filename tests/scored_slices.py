"""Rows of ``metrics.tsv`` with chosen scores, for the tables' tests."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS, overlap_scores
from lungaug.evaluation.scores import Resampling

QUICK = Resampling(seed=0, n_resamples=2000)


def rows_of(dice: dict[str, list[float]], **columns: Any) -> pd.DataFrame:
    """One row a slice: reference of 100 pixels, prediction of 100, overlapping by ``dice``."""
    rows = [
        {
            "segmenter": "unet",
            "arm": "none",
            "seed": 0,
            "fold": "fixed",
            "role": "test",
            "patient": patient,
            "key": f"{patient}/s/{i:04d}",
            "reference_px": 100,
            "predicted_px": 100,
            "intersection_px": round(100 * value),
            "false_positive_components": i,
            "false_positive_px": 30 * i,
            "pixel_mm2": 0.5,
            "hd95_mm": 2.0 * i,
            "asd_mm": 1.0 * i,
            "n_lesions": 1,
            "n_lesions_hit": int(value > 0),
            "threshold": 0.5,
            **columns,
        }
        for patient, values in dice.items()
        for i, value in enumerate(values)
    ]
    return scored(pd.DataFrame(rows))


def scored(frame: pd.DataFrame) -> pd.DataFrame:
    pixels = [frame[c] for c in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name in OVERLAPS:
            frame[f"{name}_{convention}"] = overlap_scores(convention, *pixels)[name]
    return frame


def classes_of(patients: list[str], name: str = "LR2") -> pd.Series:
    return pd.Series(name, index=pd.Index(patients))


def one(table: pd.DataFrame, **what: str) -> pd.Series:
    found = table[np.logical_and.reduce([table[k] == v for k, v in what.items()])]
    assert len(found) == 1, what
    return found.iloc[0]


def patients(n: int) -> dict[str, list[float]]:
    values = np.random.default_rng(n).random((n, 3))
    return {f"p{i}": list(v) for i, v in enumerate(values)}


def two_arms(n: int, gain: float = 0.2) -> tuple[pd.DataFrame, pd.Series]:
    rng = np.random.default_rng(0)
    dice = {f"p{i}": [float(rng.uniform(0.2, 0.6))] for i in range(n)}
    gains = {p: [v[0] + gain * rng.uniform(0.5, 1)] for p, v in dice.items()}
    same = {p: [v[0] + rng.normal(0, 0.03)] for p, v in dice.items()}
    arms = {"none": dice, "mirror": gains, "online": same}
    rows = [rows_of(values, arm=arm) for arm, values in arms.items()]
    return pd.concat(rows, ignore_index=True), classes_of(sorted(dice))
