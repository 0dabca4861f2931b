"""Dice and sensitivity of lesions by their diameter in mm."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lungaug.errors import InputError
from lungaug.evaluation.scores import Resampling, arm_order
from lungaug.evaluation.statistics import SHARE

COLUMNS = (
    "segmenter",
    "arm",
    "metric",
    "size",
    "low_mm",
    "high_mm",
    "n_patients",
    "n_lesions",
    "estimate",
    "low",
    "high",
)
UNKNOWN = "unknown"
_METRICS = {"dice": "dice", "sensitivity": "hit"}


def size_table(
    lesions: pd.DataFrame, classes: pd.Series, edges_mm: Sequence[float], resampling: Resampling
) -> pd.DataFrame:
    """``sizes.tsv``: lesions, then seeds, averaged within a patient and size; then patients.

    A lesion is one on a slice: a nodule that is seen on several is as many. A size without lesions
    keeps its row. Lesions of unknown diameter have a row of their own, if there are any.

    Args:
        lesions: rows of ``lesions.tsv`` of the test role.
        classes: Lung-RADS class by patient.
        edges_mm: limits between the sizes, ascending; a lesion of 6 mm is not below 6 mm.
        resampling: settings of the bootstrap.

    Raises:
        InputError: the limits do not ascend.
    """
    names = size_names(edges_mm)
    diameter = lesions["diameter_mm"].to_numpy(float)
    found = np.where(np.isnan(diameter), len(names), np.digitize(diameter, edges_mm))
    sized = lesions.assign(size=found, lung_rads=lesions["patient"].map(classes))
    limits = list(itertools.pairwise([0.0, *edges_mm, math.inf]))
    labels = [(i, name, *limits[i]) for i, name in enumerate(names)]
    if np.isnan(diameter).any():
        labels.append((len(names), UNKNOWN, math.nan, math.nan))
    rows = []
    for segmenter, part in sized.groupby("segmenter"):
        for arm in arm_order(part["arm"]):
            own = part[part["arm"] == arm]
            for metric, column in _METRICS.items():
                for i, *label in labels:
                    told = _row(own[own["size"] == i], column, resampling)
                    rows.append((segmenter, arm, metric, *label, *told))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def size_names(edges_mm: Sequence[float]) -> list[str]:
    """``below 4``, ``4 to 6``, …, ``30 and above``.

    Raises:
        InputError: the limits do not ascend.
    """
    if any(low >= high for low, high in itertools.pairwise([0.0, *edges_mm])):
        raise InputError(f"sizes {list(edges_mm)} mm; accepted: ascending, above 0")
    between = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges_mm)]
    return [f"below {edges_mm[0]:g}", *between, f"{edges_mm[-1]:g} and above"]


def _row(part: pd.DataFrame, column: str, resampling: Resampling) -> tuple[float, ...]:
    """Patients, lesions, estimate and interval of one size of one arm."""
    if part.empty:
        return 0, 0, math.nan, math.nan, math.nan
    keys = ["lung_rads", "patient"]
    by_seed = part.groupby([*keys, "seed"], as_index=False)[column].mean()
    means = by_seed.groupby(keys, as_index=False)[column].mean()
    interval = resampling.interval(means[column], means["lung_rads"], bounds=SHARE)
    n_lesions = round(len(part) / part["seed"].nunique())
    return len(means), n_lesions, float(means[column].mean()), interval.low, interval.high
