"""Metrics of a made-up segmenter on slices that a presence classifier has scored."""

from __future__ import annotations

import numpy as np
import pandas as pd

from lungaug.evaluation.metrics import CONVENTIONS, overlap_scores


def segmented(rows: pd.DataFrame, segmenter: str = "unet") -> pd.DataFrame:
    """It finds half of each nodule, and one false component of 5 px on every slice.

    Args:
        rows: of ``presence.tsv``.
        segmenter: its name.
    """
    ill = rows["present"]
    table = rows[["fold", "arm", "seed", "role", "patient", "key", "lung_rads"]].assign(
        segmenter=segmenter,
        threshold=0.5,
        pixel_mm2=0.5,
        reference_px=20 * ill,
        predicted_px=10 * ill + 5,
        intersection_px=10 * ill,
        false_positive_px=5,
        false_positive_components=1,
        empty_prediction=0,
        hd95_mm=np.where(ill, 2.0, np.nan),
        asd_mm=np.where(ill, 1.0, np.nan),
        n_lesions=ill,
        n_lesions_hit=ill,
    )
    pixels = [table[name] for name in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name, values in overlap_scores(convention, *pixels).items():
            table[f"{name}_{convention}"] = values
    return table
