"""presence_tables: how well slices with a nodule are told from others, and what a gate does."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lungaug.cohort import read_table, write_table, write_text
from lungaug.errors import InputError
from lungaug.evaluation.collect import classes_of, held_out_metrics, rounded
from lungaug.evaluation.layout import latex_blocks, markdown_blocks, score_cell
from lungaug.evaluation.paired import least_patients
from lungaug.evaluation.presence import (
    GATES,
    PRESENCE_COLUMNS,
    TRAINING,
    curve_table,
    effect_table,
    summary_table,
    thresholds_of,
)
from lungaug.evaluation.scores import Resampling, arm_order
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)

SUMMARY_TITLES = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "threshold": "threshold",
}
EFFECT_TITLES = {
    "false_positives": "false positives a slice",
    "specificity": "specificity",
    "false_positive_mm2": "false area (mm²)",
    "lesion_sensitivity": "lesion sensitivity",
    "dice": "Dice",
}


@dataclass(frozen=True)
class Settings:
    """The gate, intervals, and what the tables show."""

    seed: int = setting(0, "seed of the resampling", minimum=0)
    sensitivity: float = setting(
        0.95,
        "share of the validation slices with a nodule that must pass the gate; of the thresholds "
        "that let them pass the largest is taken",
        exclusiveMinimum=0,
        maximum=1,
    )
    rates: int = setting(
        51, "false-positive rates, evenly spread, at which ROC curves are written", minimum=2
    )
    n_resamples: int = setting(10_000, "draws of the patients' weights for intervals", minimum=1000)
    n_curves: int = setting(
        1000, "resamples of the patients for the band of a ROC curve", minimum=100
    )
    level: float = setting(
        0.95, "nominal coverage of the intervals", exclusiveMinimum=0.5, exclusiveMaximum=1
    )
    minimum_patients: int = setting(5, "fewer patients get no interval", minimum=5)
    decimals: int = setting(2, "decimals of the tables that people read", minimum=1, maximum=6)


def run(
    *,
    presence: list[Path],
    metrics: list[Path],
    split: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``presence.tsv``, ``.md``, ``.tex``, ``presence_effect.tsv`` and ``roc.tsv``.

    Args:
        presence: ``presence.tsv`` of every classifier: all folds, arms and seeds.
        metrics: ``metrics.tsv`` of every segmenter's training; each needs the classifier of the
            same fold, arm and seed.
        split: ``split.tsv``: the class of each patient.
        output: a folder.
        settings: of the gate and the statistics.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: no test slice, a slice that was scored twice, or one that was segmented and not
            scored.
    """
    rows, classes = scored_rows(presence), classes_of(split)
    thresholds = thresholds_of(rows, settings.sensitivity)
    resampling = Resampling(
        settings.seed, settings.n_resamples, settings.level, settings.minimum_patients
    )
    band = Resampling(settings.seed, settings.n_curves, settings.level, settings.minimum_patients)
    summary = summary_table(rows, thresholds, classes, resampling)
    effect = effect_table(held_out_metrics(metrics), rows, thresholds, classes, resampling)
    curves = curve_table(rows, classes, np.linspace(0, 1, settings.rates), band)
    write_table(output / "presence.tsv", rounded(summary))
    write_table(output / "presence_effect.tsv", rounded(effect))
    write_table(output / "roc.tsv", rounded(curves))
    tables = [
        ("Slices with a nodule against those without", shown_summary(summary, settings.decimals)),
        ("Effect of the gate on segmenters", shown_effect(effect, settings.decimals)),
    ]
    text = caption(settings)
    write_text(output / "presence.md", markdown_blocks(tables, text))
    write_text(output / "presence.tex", latex_blocks(tables, text))
    logger.info("%d classifiers, %d rows of effects", len(thresholds), len(effect))


def scored_rows(paths: list[Path]) -> pd.DataFrame:
    """The rows of all classifiers, in an order that is theirs, not the files'.

    Raises:
        InputError: there is no test slice, or a slice was scored twice by one classifier.
    """
    tables = [read_table(path, PRESENCE_COLUMNS) for path in paths]
    if not any((table["role"] == "test").any() for table in tables):
        raise InputError(f"no test slice in {len(paths)} presence tables; accepted: at least one")
    rows = pd.concat(tables, ignore_index=True)
    twice = rows.duplicated([*TRAINING, "key"])
    if twice.any():
        row = rows[twice].iloc[0]
        training = "/".join(str(row[name]) for name in TRAINING)
        raise InputError(f"{training}: slice {row['key']} was scored twice; accepted: once")
    return rows.sort_values([*TRAINING, "role", "key"], kind="stable", ignore_index=True)


def shown_summary(summary: pd.DataFrame, decimals: int) -> pd.DataFrame:
    """One row an arm, cells as text."""
    cells = {(r.arm, r.metric): r for r in summary.itertuples(index=False)}
    rows = []
    for arm in arm_order(summary["arm"]):
        row = {"arm": arm, "patients": str(cells[arm, "auc"].n_patients)}
        for metric, title in SUMMARY_TITLES.items():
            row[title] = score_cell(cells[arm, metric], decimals)
        row["threshold"] = f"{cells[arm, 'threshold'].estimate:.{decimals + 1}f}"
        rows.append(row)
    return pd.DataFrame(rows)


def shown_effect(effect: pd.DataFrame, decimals: int) -> pd.DataFrame:
    """One row a segmenter, arm and score, cells as text."""
    cells = {(r.segmenter, r.arm, r.metric, r.gate): r for r in effect.itertuples(index=False)}
    rows = []
    for segmenter in sorted(effect["segmenter"].unique()):
        for arm in arm_order(effect.loc[effect["segmenter"] == segmenter, "arm"]):
            for metric, title in EFFECT_TITLES.items():
                row = {"segmenter": segmenter, "arm": arm, "score": title}
                for gate in GATES:
                    row[gate] = score_cell(cells[segmenter, arm, metric, gate], decimals)
                rows.append(row)
    return pd.DataFrame(rows)


def caption(settings: Settings) -> str:
    """What the reader must know to read the tables."""
    return (
        "A classifier says how probable a nodule is on a slice. AUC: the chance that a slice with "
        "a nodule gets a higher probability than one without, slices being compared within a "
        "training. Each training's threshold is the largest that lets pass "
        f"{100 * settings.sensitivity:g} % of its validation slices with a nodule, shown as the "
        "mean over trainings; sensitivity and specificity are of test slices at that threshold. "
        "With the gate, segmenters predict nothing on slices below it; differences are with minus "
        "without. False positives are on all slices, false area and specificity on slices without "
        "a nodule, lesion sensitivity and Dice (standard convention) on those with one. Slices, "
        "then seeds, are averaged within a patient, patients weigh equally; brackets are "
        f"{100 * settings.level:g} % intervals over patients within Lung-RADS classes, given from "
        f"{settings.minimum_patients} patients on; equal patients have none. Those of differences "
        "hold what flipped signs of patients do not reject, from "
        f"{max(settings.minimum_patients, least_patients(settings.level))} patients on. No bracket "
        "covers another training."
    )
