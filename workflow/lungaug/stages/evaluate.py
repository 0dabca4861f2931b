"""evaluate: one segmenter's predictions become one row of counts and scores a slice."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lungaug.cohort import read_table, write_table
from lungaug.errors import InputError
from lungaug.evaluation.counts import count, hd95_mm, predicted_mask
from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS, overlap_scores
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile, slice_key

logger = logging.getLogger(__name__)

ROLES = ("validation", "test")
COLUMNS = (
    "fold",
    "arm",
    "segmenter",
    "seed",
    "role",
    "patient",
    "key",
    "lung_rads",
    "diameter_mm",
    "reference_px",
    "predicted_px",
    "intersection_px",
    "false_positive_components",
    *(f"{name}_{convention}" for convention in CONVENTIONS for name in OVERLAPS),
    "empty_prediction",
    "hd95_mm",
)
DECIMALS = 9


@dataclass(frozen=True)
class Settings:
    """How a probability map becomes a mask."""

    threshold: float = setting(
        0.5,
        "a pixel is nodule from this probability on; fixed beforehand, not tuned on test patients",
        exclusiveMinimum=0,
        maximum=1,
    )


def run(
    *,
    predictions: Path,
    slices: Path,
    fold: str,
    arm: str,
    segmenter: str,
    seed_index: int,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``metrics.tsv``.

    Args:
        predictions: slice file with ``probability`` and ``nodule`` of validation and test.
        slices: the fold's ``slices.tsv``, which says the role of each slice.
        fold, arm, segmenter, seed_index: of the training; columns of the table.
        output: ``metrics.tsv``, sorted by role and slice.
        settings: the threshold.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: a slice has a prediction and no role, or a role and no prediction.
    """
    roles = _roles(slices)
    with SliceFile(predictions) as file:
        rows = list(_counted(file, settings.threshold))
    _check_complete([row["key"] for row in rows], roles, predictions)
    frame = pd.DataFrame(rows, columns=[c for c in COLUMNS if c in rows[0]] if rows else None)
    frame = _with_scores(frame) if rows else pd.DataFrame(columns=list(COLUMNS))
    frame["fold"], frame["arm"] = fold, arm
    frame["segmenter"], frame["seed"] = segmenter, seed_index
    frame["role"] = frame["key"].map(roles)
    write_table(output, frame.sort_values(["role", "key"])[list(COLUMNS)])
    empty = int(frame["empty_prediction"].sum())
    logger.info("%d slices, nothing predicted on %d of them", len(frame), empty)


def _roles(slices: Path) -> pd.Series:
    table = read_table(slices, ("role", "key"))
    held_out = table[table["role"].isin(ROLES)]
    return held_out.drop_duplicates("key").set_index("key")["role"]


def _counted(file: SliceFile, threshold: float) -> Iterator[dict[str, Any]]:
    """Counts of every slice of the file, one slice in memory at a time."""
    for group in file.groups:
        for i, row in enumerate(file.slices(group)):
            predicted = predicted_mask(file.image("probability", group, i), threshold)
            reference = file.image("nodule", group, i) > 0
            counts = count(predicted, reference)
            yield {
                "patient": row["patient"].decode(),
                "key": slice_key(row),
                "lung_rads": row["lung_rads"].decode(),
                "diameter_mm": float(row["diameter_mm"]),
                **asdict(counts),
                "empty_prediction": int(counts.empty_prediction),
                "hd95_mm": round(hd95_mm(predicted, reference, row["spacing_mm"]), DECIMALS),
            }


def _check_complete(keys: list[str], roles: pd.Series, path: Path) -> None:
    without_role = sorted(set(keys) - set(roles.index))
    without_prediction = sorted(set(roles.index) - set(keys))
    if without_role:
        raise InputError(f"{path}: slice {without_role[0]} is neither validation nor test")
    if without_prediction:
        raise InputError(f"{path}: no prediction for slice {without_prediction[0]}")


def _with_scores(frame: pd.DataFrame) -> pd.DataFrame:
    pixels = [frame[c] for c in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name, values in overlap_scores(convention, *pixels).items():
            frame[f"{name}_{convention}"] = values.round(DECIMALS)
    return frame
