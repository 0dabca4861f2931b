"""evaluate: one segmenter's predictions become scores of slices, lesions, detections and bins."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.cohort import read_table, write_table
from lungaug.crops import equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.evaluation.calibration import Reliability
from lungaug.evaluation.chosen_by import BY_DEFAULT, BY_SETTING, BY_VALIDATION
from lungaug.evaluation.counts import count, distances_mm, predicted_mask, stored_counts
from lungaug.evaluation.detection import match_boxes, match_centres, references_of
from lungaug.evaluation.lesions import HIT_IOU, Lesion, lesions_of
from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS, overlap_scores
from lungaug.evaluation.threshold import choose_threshold, dice_at_grid
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile, slice_key

logger = logging.getLogger(__name__)

ROLES = ("validation", "test")
TRAINING = ("fold", "arm", "segmenter", "seed")
COLUMNS = (
    *TRAINING,
    "role",
    "patient",
    "key",
    "lung_rads",
    "diameter_mm",
    "pixel_mm2",
    "threshold",
    "threshold_by",
    "reference_px",
    "predicted_px",
    "intersection_px",
    "false_positive_px",
    "false_positive_components",
    *(f"{name}_{convention}" for convention in CONVENTIONS for name in OVERLAPS),
    "empty_prediction",
    "hd95_mm",
    "asd_mm",
    "n_lesions",
    "n_lesions_hit",
)
LESION_COLUMNS = (
    *TRAINING, "role", "patient", "key", "label", "lung_rads", "diameter_mm", "area_px", "hit",
    "dice",
)  # fmt: skip
DETECTED_COLUMNS = (
    *TRAINING, "role", "patient", "key", "score", "box50_label", "hit_label",
)  # fmt: skip
CALIBRATION_COLUMNS = (
    *TRAINING, "role", "patient", "bin", "low", "high", "n_px", "probability_sum", "nodule_px",
)  # fmt: skip
BOX_COLUMNS = ["top", "left", "bottom", "right"]
DECIMALS = 9


@dataclass(frozen=True)
class Settings:
    """How a probability map becomes a mask, and what a found lesion is."""

    threshold: float | None = setting(
        None,
        "a pixel is nodule from this probability on; null: the best one for validation patients",
        exclusiveMinimum=0,
        maximum=1,
    )
    hit_iou: float = setting(
        HIT_IOU,
        "IoU of a lesion with the predicted components that touch it, from which it is found",
        exclusiveMinimum=0,
        maximum=1,
    )
    calibration_bins: int = setting(
        10, "bins of probability of equal width", minimum=2, maximum=1000
    )


class Slice(NamedTuple):
    """One slice with its prediction."""

    role: str
    key: str
    fields: np.void
    probability: NDArray[np.float16]
    nodule: NDArray[np.uint8]
    stored: NDArray[np.int64]  # histogram of the probabilities
    stored_nodule: NDArray[np.int64]  # the same of nodule pixels

    @property
    def patient(self) -> str:
        return str(self.fields["patient"].decode())

    @property
    def head(self) -> dict[str, str]:
        return {"role": self.role, "patient": self.patient, "key": self.key}


def run(
    *,
    predictions: Path,
    detections: Path,
    slices: Path,
    fold: str,
    arm: str,
    segmenter: str,
    seed_index: int,
    metrics: Path,
    lesions: Path,
    detected: Path,
    calibration: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write the tables of one training, each sorted by role and slice.

    Args:
        predictions: slice file with ``probability`` and ``nodule`` of validation and test.
        detections: table of boxes: key, top, left, bottom, right, score.
        slices: the fold's ``slices.tsv``, which says the role of each slice.
        fold, arm, segmenter, seed_index: of the training; columns of the tables.
        metrics: one row a slice.
        lesions: one row a reference lesion of a slice.
        detected: one row a detection, best first within a slice.
        calibration: one row a patient and bin of probability.
        settings: the threshold and the bins.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: a slice has a prediction and no role, or a role and no prediction; a detection
            lies on no slice, or has no box or score; a probability is none.
    """
    roles, boxes = _roles(slices), _boxes(detections)
    with SliceFile(predictions) as file:
        _check_complete(_keys(file), roles, predictions)
        _check_known(boxes, roles, detections)
        threshold, chosen_by = _threshold(file, roles, settings)
        tables = _Tables(boxes, threshold, chosen_by, settings)
        for one in _slices(file, roles):
            tables.add(one)
    training = dict(zip(TRAINING, (fold, arm, segmenter, seed_index), strict=True))
    paths = {"metrics": metrics, "lesions": lesions, "detected": detected}
    for name, frame in tables.frames(training).items():
        write_table({**paths, "calibration": calibration}[name], frame)
    empty = sum(row["empty_prediction"] for row in tables.metrics)
    words = "%d slices, nothing predicted on %d of them from %.4g on"
    logger.info(words, len(tables.metrics), empty, threshold)
    if chosen_by == BY_DEFAULT:
        logger.warning(
            "no validation slice has a nodule: the threshold is %.4g, unchosen", threshold
        )


class _Tables:
    """The rows of all tables, collected slice by slice."""

    def __init__(
        self, boxes: pd.DataFrame, threshold: float, chosen_by: str, settings: Settings
    ) -> None:
        self.metrics: list[dict[str, Any]] = []
        self._lesions: list[dict[str, Any]] = []
        self._detected: list[dict[str, Any]] = []
        self._reliability: dict[tuple[str, str], Reliability] = {}
        self._boxes = {key: part for key, part in boxes.groupby("key", sort=False)}
        self._threshold, self._chosen_by, self._settings = threshold, chosen_by, settings

    def add(self, one: Slice) -> None:
        """Count and score a slice."""
        predicted = predicted_mask(one.probability, self._threshold)
        lesions = lesions_of(predicted, one.nodule)
        hits = [lesion.is_hit(self._settings.hit_iou) for lesion in lesions]
        row = _slice_row(one, predicted, self._threshold, self._chosen_by)
        self.metrics.append({**row, "n_lesions": len(lesions), "n_lesions_hit": sum(hits)})
        pairs = zip(lesions, hits, strict=True)
        self._lesions.extend(_lesion_row(one, lesion, hit) for lesion, hit in pairs)
        if one.key in self._boxes:
            self._detected.extend(_detected_rows(one, self._boxes[one.key]))
        bins = Reliability.of(one.stored, one.stored_nodule, self._settings.calibration_bins)
        group = one.role, one.patient
        known = self._reliability.get(group)
        self._reliability[group] = bins if known is None else known + bins

    def frames(self, training: dict[str, Any]) -> dict[str, pd.DataFrame]:
        """The tables, by the names of the outputs."""
        metrics = pd.DataFrame(self.metrics)
        metrics = _with_scores(metrics) if len(metrics) else metrics
        calibration = pd.DataFrame(
            row
            for (role, patient), bins in sorted(self._reliability.items())
            for row in _calibration_rows(role, patient, bins)
        )
        lesions, detected = pd.DataFrame(self._lesions), pd.DataFrame(self._detected)
        return {
            "metrics": _finished(metrics, COLUMNS, training),
            "lesions": _finished(lesions, LESION_COLUMNS, training),
            "detected": _finished(detected, DETECTED_COLUMNS, training),
            "calibration": _finished(calibration, CALIBRATION_COLUMNS, training),
        }


def _roles(slices: Path) -> dict[str, str]:
    table = read_table(slices, ("role", "key"))
    held_out = table[table["role"].isin(ROLES)].drop_duplicates("key")
    return dict(zip(held_out["key"], held_out["role"], strict=True))


def _boxes(path: Path) -> pd.DataFrame:
    """The detections; a file without rows is a network that found nothing."""
    if not path.is_file() or not path.stat().st_size:
        raise InputError(f"{path}: no detections; accepted: a table, though it may have no rows")
    table = read_table(path, ("key", *BOX_COLUMNS, "score"))
    numbers = table[[*BOX_COLUMNS, "score"]].apply(pd.to_numeric, errors="coerce").astype(float)
    box = numbers[BOX_COLUMNS]
    whole = np.isfinite(box).all(axis=1) & numbers["score"].between(0, 1)
    whole &= (box["top"] < box["bottom"]) & (box["left"] < box["right"])
    if not whole.all():
        wrong = table[~whole].iloc[0]
        words = ", ".join(f"{name} {wrong[name]}" for name in (*BOX_COLUMNS, "score"))
        accepted = "top < bottom, left < right, a score of 0 to 1"
        raise InputError(f"{path}: a detection on {wrong['key']} has {words}; accepted: {accepted}")
    boxes: pd.DataFrame = numbers.assign(key=table["key"])
    return boxes


def _keys(file: SliceFile) -> list[str]:
    return [slice_key(row) for group in file.groups for row in file.slices(group)]


def _check_complete(keys: list[str], roles: dict[str, str], path: Path) -> None:
    without_role = sorted(set(keys) - set(roles))
    without_prediction = sorted(set(roles) - set(keys))
    if without_role:
        raise InputError(f"{path}: slice {without_role[0]} is neither validation nor test")
    if without_prediction:
        raise InputError(f"{path}: no prediction for slice {without_prediction[0]}")


def _check_known(boxes: pd.DataFrame, roles: dict[str, str], path: Path) -> None:
    unknown = sorted(set(boxes["key"]) - set(roles))
    if unknown:
        raise InputError(
            f"{path}: a detection on slice '{unknown[0]}'; accepted: slices of validation and test"
        )


def _slices(
    file: SliceFile, roles: dict[str, str], wanted: tuple[str, ...] = ROLES
) -> Iterator[Slice]:
    """The slices of these roles in the order of the file, one in memory at a time."""
    for group in file.groups:
        for i, fields in enumerate(file.slices(group)):
            key = slice_key(fields)
            if roles[key] not in wanted:
                continue
            probability, nodule = (file.image(n, group, i) for n in ("probability", "nodule"))
            try:
                stored = stored_counts(probability), stored_counts(probability[nodule > 0])
            except ValueError as error:
                raise InputError(f"{file.path}: slice {key}: {error}") from error
            yield Slice(roles[key], key, fields, probability, nodule, *stored)


def _threshold(file: SliceFile, roles: dict[str, str], settings: Settings) -> tuple[float, str]:
    """The threshold, and who chose it.

    Unless the setting says so, the best one for validation slices with a nodule: no test slice is
    even opened. Without such a slice nothing chooses it.
    """
    if settings.threshold is not None:
        return settings.threshold, BY_SETTING
    dice, patients = [], []
    for one in _slices(file, roles, wanted=("validation",)):
        if one.nodule.any():
            dice.append(dice_at_grid(one.stored, one.stored_nodule))
            patients.append(one.patient)
    return choose_threshold(dice, patients), BY_VALIDATION if dice else BY_DEFAULT


def _slice_row(
    one: Slice, predicted: NDArray[np.bool_], threshold: float, chosen_by: str
) -> dict[str, Any]:
    spacing = one.fields["spacing_mm"].astype(np.float64)
    counts = count(predicted, one.nodule > 0)
    distances = asdict(distances_mm(predicted, one.nodule > 0, spacing))
    return {
        **one.head,
        "lung_rads": one.fields["lung_rads"].decode(),
        "diameter_mm": float(one.fields["diameter_mm"]),
        "pixel_mm2": round(float(spacing.prod()), DECIMALS),
        "threshold": threshold,
        "threshold_by": chosen_by,
        **asdict(counts),
        "false_positive_px": counts.false_positive_px,
        "empty_prediction": int(counts.empty_prediction),
        **{name: round(value, DECIMALS) for name, value in distances.items()},
    }


def _lesion_row(one: Slice, lesion: Lesion, hit: bool) -> dict[str, Any]:
    diameter = equivalent_diameter_mm(one.nodule == lesion.label, one.fields["spacing_mm"])
    return {
        **one.head,
        "label": lesion.label,
        "lung_rads": one.fields["lung_rads"].decode(),
        "diameter_mm": round(diameter, DECIMALS),
        "area_px": lesion.area_px,
        "hit": int(hit),
        "dice": round(lesion.dice, DECIMALS),
    }


def _detected_rows(one: Slice, table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    table = table.sort_values("score", ascending=False, kind="stable")
    boxes, scores = table[BOX_COLUMNS].to_numpy(np.float64), table["score"].to_numpy(np.float64)
    references = references_of(one.nodule)
    matched = match_boxes(boxes, scores, references).tolist()
    hits = match_centres(boxes, scores, references).tolist()
    for score, box50, hit in zip(scores.tolist(), matched, hits, strict=True):
        yield {**one.head, "score": score, "box50_label": box50, "hit_label": hit}


def _calibration_rows(role: str, patient: str, bins: Reliability) -> Iterator[dict[str, Any]]:
    n_bins = len(bins.n_px)
    for k in range(n_bins):
        yield {
            "role": role,
            "patient": patient,
            "bin": k,
            "low": round(k / n_bins, DECIMALS),
            "high": round((k + 1) / n_bins, DECIMALS),
            "n_px": int(bins.n_px[k]),
            "probability_sum": float(bins.probability_sum[k]),
            "nodule_px": int(bins.nodule_px[k]),
        }


def _with_scores(frame: pd.DataFrame) -> pd.DataFrame:
    pixels = [frame[c] for c in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name, values in overlap_scores(convention, *pixels).items():
            frame[f"{name}_{convention}"] = values.round(DECIMALS)
    return frame


def _finished(
    frame: pd.DataFrame, columns: tuple[str, ...], training: dict[str, Any]
) -> pd.DataFrame:
    """With the columns of the training, sorted by role and slice; with all columns if empty."""
    frame = frame.reindex(columns=list(columns)).assign(**training)
    order = [name for name in ("role", "key") if name in columns]
    return frame.sort_values(order, kind="stable")
