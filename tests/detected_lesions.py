"""Rows of the tables that evaluate writes beside the metrics, with chosen contents."""

from __future__ import annotations

from typing import Any

import pandas as pd

from lungaug.evaluation.curves import HeldOut
from lungaug.evaluation.draws import patient_draws
from lungaug.evaluation.scores import Resampling

QUICK = Resampling(seed=0, n_resamples=500)
TRAINING = {"fold": "fixed", "arm": "none", "segmenter": "unet", "seed": 0, "role": "test"}


def frame(columns: str, rows: list[tuple[Any, ...]], **training: Any) -> pd.DataFrame:
    """Rows of one training: ``columns`` by name, the rest as in ``TRAINING``."""
    found = pd.DataFrame(rows, columns=columns.split())
    for name, value in {**TRAINING, **training}.items():
        found[name] = value
    return found


def slices(patients: list[str], n: int = 1, **training: Any) -> pd.DataFrame:
    """Rows of ``metrics.tsv``: ``n`` slices a patient."""
    return frame("patient key", [(p, f"{p}/s/{i}") for p in patients for i in range(n)], **training)


def lesions(rows: list[tuple[str, float, int, float]], **training: Any) -> pd.DataFrame:
    """Rows of ``lesions.tsv``: patient, diameter in mm, hit, Dice."""
    return frame("patient diameter_mm hit dice", rows, **training)


def detected(rows: list[tuple[str, float, int, int]], **training: Any) -> pd.DataFrame:
    """Rows of ``detected.tsv``: patient, score, label of the box, label around the centre."""
    return frame("patient score box50_label hit_label", rows, **training)


def calibration(rows: list[tuple[str, int, int, float, int]], **training: Any) -> pd.DataFrame:
    """Rows of ``calibration.tsv`` of two bins: patient, bin, pixels, their sum, nodule pixels."""
    found = frame("patient bin n_px probability_sum nodule_px", rows, **training)
    return found.assign(low=found["bin"] / 2, high=(found["bin"] + 1) / 2)


def held_out(
    metrics: pd.DataFrame,
    classes: dict[str, str],
    *,
    found: pd.DataFrame | None = None,
    reference: pd.DataFrame | None = None,
    bins: pd.DataFrame | None = None,
    resampling: Resampling = QUICK,
) -> HeldOut:
    """All of it together."""
    return HeldOut(
        metrics=metrics,
        lesions=lesions([]) if reference is None else reference,
        detected=detected([]) if found is None else found,
        calibration=calibration([]) if bins is None else bins,
        draws=patient_draws(sorted(classes), pd.Series(classes), resampling),
    )
