"""Scores over the share of real patients, and over the ratio of synthetic to real slices."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import pandas as pd

from lungaug.evaluation.scores import Resampling, patient_scores, score_table
from lungaug.grid import share_of

COLUMNS = (
    "segmenter",
    "arm",
    "share_percent",
    "asked_ratio",
    "ratio",
    "train_patients",
    "train_slices",
    "metric",
    "group",
    "n_patients",
    "n_slices",
    "estimate",
    "low",
    "high",
    "seed_sd",
)
METRICS = ("dice", "lesion_sensitivity", "false_positives")
_JOIN = "%"  # no arm's name has one


def training_sizes(arms: Iterable[tuple[str, str, pd.DataFrame]]) -> pd.DataFrame:
    """What each arm trains with, by share and arm: means over the folds.

    Args:
        arms: fold, name and table of every arm.

    Returns:
        share_percent, arm, train_patients (real ones), train_slices, and ratio: slices added for
        each real one with a nodule.
    """
    rows = []
    for fold, name, table in arms:
        real = table["origin"] == "real"
        n_nodule = int((real & (table["n_nodule_px"] > 0)).sum())
        patients = table.loc[real, "patient"].nunique()
        ratio = float((~real).sum()) / max(1, n_nodule)
        rows.append((share_of(fold)[1], name, patients, len(table), ratio))
    columns = ["share_percent", "arm", "train_patients", "train_slices", "ratio"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.groupby(["share_percent", "arm"], as_index=False).mean()


def learning_curve(
    metrics: pd.DataFrame, classes: pd.Series, sizes: pd.DataFrame, resampling: Resampling
) -> pd.DataFrame:
    """One row a segmenter, arm, share, metric and group (pooled, macro, classes).

    The test patients are the same at every point, so that points of one curve are paired: their
    intervals say how sure each point is, not each difference.

    Args:
        metrics: test rows of ``metrics.tsv`` of all trainings of the curves.
        classes: Lung-RADS class by patient.
        sizes: from :func:`training_sizes`.
        resampling: settings of the bootstrap.

    Returns:
        ``COLUMNS``. ``asked_ratio`` is that of the arm's name, NaN where it has none; ``ratio``
        what was there.
    """
    points = metrics.assign(arm=_points(metrics["fold"], metrics["arm"]))
    scores = score_table(patient_scores(points, classes), resampling)
    kept = scores["metric"].isin(METRICS) & (scores["convention"] != "reference")
    scores = scores[kept & ~scores["group"].str.startswith("slices")]
    split = scores["arm"].str.split(_JOIN, n=1)
    scores = scores.assign(arm=split.str[1], share_percent=split.str[0].astype(int))
    table = scores.merge(sizes, on=["share_percent", "arm"], how="left", validate="many_to_one")
    named = table["arm"].str.split("@", n=1)
    table["asked_ratio"] = pd.to_numeric(named.str[1])
    table["arm"] = named.str[0]
    order = ["segmenter", "arm", "metric", "group", "share_percent", "ratio"]
    return table.sort_values(order, kind="stable", ignore_index=True)[list(COLUMNS)]


def _points(folds: pd.Series, arms: pd.Series) -> Sequence[str]:
    pairs = zip(folds, arms, strict=True)
    return [f"{share_of(fold)[1]}{_JOIN}{arm}" for fold, arm in pairs]


def main_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The pooled Dice as text, a row a point, for people."""
    shown = table[(table["metric"] == "dice") & (table["group"] == "pooled")]
    cells = shown.apply(_cell, axis=1) if len(shown) else pd.Series(dtype=str)
    return pd.DataFrame(
        {
            "segmenter": shown["segmenter"],
            "arm": shown["arm"],
            "patients used": shown["share_percent"].map("{} %".format),
            "training patients": shown["train_patients"].map("{:.0f}".format),
            "training slices": shown["train_slices"].map("{:.0f}".format),
            "asked ratio": shown["asked_ratio"].map(_ratio),
            "slices added for a real one": shown["ratio"].map("{:.2f}".format),
            "Dice": cells,
        }
    )


def _ratio(asked: float) -> str:
    return "all" if math.isnan(asked) else f"{asked:g}"


def _cell(row: pd.Series) -> str:
    if pd.isna(row["low"]):
        return f"{row['estimate']:.2f} (n={row['n_patients']})"
    return f"{row['estimate']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"
