"""Detections and probabilities of all trainings as tables: AP50, FROC and calibration.

Such scores belong to a set of patients, not to one: they are computed for each seed, averaged over
the seeds, and patients are resampled around that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.evaluation.calibration import expected_calibration_error
from lungaug.evaluation.captions import patient_words
from lungaug.evaluation.detection import FROC_RATES, RECALLS, average_precision, froc
from lungaug.evaluation.draws import Draws
from lungaug.evaluation.layout import (
    score_cell,
)
from lungaug.evaluation.scores import arm_order

DETECTION_COLUMNS = (
    "segmenter",
    "arm",
    "metric",
    "false_positives",
    "n_patients",
    "n_slices",
    "n_lesions",
    "estimate",
    "low",
    "high",
    "seed_sd",
)
FROC_COLUMNS = tuple(c for c in DETECTION_COLUMNS if c not in ("metric", "seed_sd"))
CALIBRATION_COLUMNS = (
    "segmenter",
    "arm",
    "bin",
    "low",
    "high",
    "n_px",
    "mean_probability",
    "observed",
    "ece",
    "ece_low",
    "ece_high",
)
# Four points an octave: the seven rates of the FROC score are among them.
RATES = tuple(2.0 ** (k / 4) for k in range(-16, 13))
ALL_BINS = "all"
UPPER_BINS = "without the lowest"
_BLOCK = 4_000_000  # values at once: 32 MB

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Detections:
    """What one training found in the test slices of all folds, best first.

    Attributes:
        scores: (K,) descending.
        matched: (K,) bool, whether the box is that of a lesion.
        hits: (K,) label of the lesion around the centre, 0 for none, -1 for one found already.
        patients: (K,) column of the patient.
        lesions: (P,) reference lesions of each patient.
        slices: (P,) test slices of each patient.
    """

    scores: Values
    matched: NDArray[np.bool_]
    hits: NDArray[np.int64]
    patients: NDArray[np.intp]
    lesions: Values
    slices: Values

    def scored(self) -> Values:
        """(1 + F,): AP50, then the sensitivity at each of ``RATES``."""
        n_lesions, n_slices = int(self.lesions.sum()), int(self.slices.sum())
        ap = average_precision(self.scores, self.matched, n_lesions)
        return np.append(ap, froc(self.scores, self.hits, n_lesions, n_slices, RATES))

    def resampled(self, counts: Values) -> Values:
        """(R, 1 + F): as :meth:`scored`, each patient there as often as ``counts`` (R, P) says."""
        rows = max(1, _BLOCK // max(len(self.scores), 1))
        parts = np.array_split(counts, range(rows, len(counts), rows))
        return np.concatenate([self._resampled(part) for part in parts])

    def _resampled(self, counts: Values) -> Values:
        n_lesions, n_slices = counts @ self.lesions, counts @ self.slices
        copies = counts[:, self.patients]
        out = np.full((len(counts), 1 + len(RATES)), np.nan)
        defined = n_lesions > 0
        out[defined, 0] = _average_precisions(copies[defined], self.matched, n_lesions[defined])
        false, true = (np.cumsum(copies * kind, axis=1) for kind in (self.hits == 0, self.hits > 0))
        ends = np.append(np.diff(self.scores) != 0, True)[: len(self.scores)]
        for i in np.flatnonzero(defined).tolist():
            rates = np.append(0.0, false[i, ends] / n_slices[i])
            found = np.append(0.0, true[i, ends] / n_lesions[i])
            out[i, 1:] = found[np.searchsorted(rates, RATES, side="right") - 1]
        return out


def _average_precisions(copies: Values, matched: NDArray[np.bool_], n_lesions: Values) -> Values:
    """(R,) as ``average_precision``, of detections that are there ``copies`` (R, K) times."""
    true, taken = np.cumsum(copies * matched, axis=1), np.cumsum(copies, axis=1)
    precision = np.divide(true, taken, out=np.zeros_like(true), where=taken > 0)
    envelope = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    padded = np.append(envelope, np.zeros((len(copies), 1)), axis=1)
    recall = true / n_lesions[:, None]
    reached = [np.searchsorted(row, RECALLS, side="left") for row in recall]
    means = [row[at].mean() for row, at in zip(padded, reached, strict=True)]
    return np.array(means, np.float64)


@dataclass(frozen=True)
class HeldOut:
    """Rows of the test role of all trainings.

    Attributes:
        metrics, lesions, detected, calibration: rows of the tables of stage evaluate, in an order
            that is theirs, not that of the files.
        draws: the resampled patients.
    """

    metrics: pd.DataFrame
    lesions: pd.DataFrame
    detected: pd.DataFrame
    calibration: pd.DataFrame
    draws: Draws

    def arms(self) -> Iterator[tuple[str, str, list[int]]]:
        """Segmenter, arm and seeds of what was trained, in the order of the tables."""
        for segmenter, part in self.metrics.groupby("segmenter"):
            for arm in arm_order(part["arm"]):
                seeds = part.loc[part["arm"] == arm, "seed"]
                yield str(segmenter), arm, sorted({int(seed) for seed in seeds})

    def detections(self, segmenter: str, arm: str, seed: int) -> Detections:
        """Of one segmenter, arm and seed."""
        found, lesions, slices = (
            part[_is(part, segmenter, arm, seed)]
            for part in (self.detected, self.lesions, self.metrics)
        )
        found = found.iloc[np.argsort(-found["score"].to_numpy(float), kind="stable")]
        return Detections(
            scores=found["score"].to_numpy(float),
            matched=found["box50_label"].to_numpy() > 0,
            hits=found["hit_label"].to_numpy(np.int64),
            patients=self.draws.columns(found["patient"]),
            lesions=self.draws.total(lesions["patient"]),
            slices=self.draws.total(slices["patient"]),
        )


def _is(part: pd.DataFrame, segmenter: str, arm: str, seed: int) -> pd.Series:
    same = (part["segmenter"] == segmenter) & (part["arm"] == arm)
    return same & (part["seed"] == seed)


def detection_tables(held_out: HeldOut) -> tuple[pd.DataFrame, pd.DataFrame]:
    """``detection.tsv`` and ``froc.tsv``.

    AP50 is the average precision of boxes that overlap a lesion's by half (IoU), with COCO's 101
    recalls. Sensitivity is that at a number of false positives a slice; the FROC score is its mean
    over the seven rates from 1/8 to 8. Detections of all folds are ordered by their scores
    together, as if one network had made them. ``n_patients`` counts those with a lesion: there is
    no interval where they are too few.
    """
    summary, curve = [], []
    for segmenter, arm, seeds in held_out.arms():
        found = [held_out.detections(segmenter, arm, seed) for seed in seeds]
        lesions, slices = found[0].lesions, found[0].slices
        speaking = lesions > 0
        counts = int(speaking.sum()), int(slices.sum()), int(lesions.sum())
        by_seed = _with_score(np.stack([one.scored() for one in found]))
        drawn = [_with_score(one.resampled(held_out.draws.counts)) for one in found]
        resampled = np.mean(drawn, axis=0)
        spreads = (
            np.std(by_seed, axis=0, ddof=1) if len(seeds) > 1 else np.full(len(_NAMES), np.nan)
        )
        for i, (metric, rate) in enumerate(_NAMES):
            interval = held_out.draws.interval(resampled[:, i], speaking)
            estimates = (float(by_seed[:, i].mean()), interval.low, interval.high)
            if metric == "sensitivity":
                curve.append((segmenter, arm, rate, *counts, *estimates))
            if metric != "sensitivity" or rate in FROC_RATES:
                row = (segmenter, arm, metric, rate, *counts, *estimates, float(spreads[i]))
                summary.append(row)
    return (
        pd.DataFrame(summary, columns=list(DETECTION_COLUMNS)),
        pd.DataFrame(curve, columns=list(FROC_COLUMNS)),
    )


_NAMES = (("ap50", np.nan), *(("sensitivity", rate) for rate in RATES), ("froc_score", np.nan))


def _with_score(values: Values) -> Values:
    """(…, 1 + F) with the FROC score added: the mean over its rates."""
    official = values[:, 1:][:, np.isin(RATES, FROC_RATES)]
    return np.append(values, official.mean(axis=1, keepdims=True), axis=1)


def calibration_table(held_out: HeldOut) -> pd.DataFrame:
    """``calibration.tsv``: how often a pixel of a probability is nodule, and the expected error.

    A row a bin, of the pixels of all seeds (``n_px`` is their mean over seeds), and two rows with
    the expected calibration error: over all bins, and without the lowest, where the background lies
    that no network gets wrong. The errors are means over the seeds.
    """
    rows: list[tuple[object, ...]] = []
    for segmenter, arm, seeds in held_out.arms():
        part = held_out.calibration
        part = part[(part["segmenter"] == segmenter) & (part["arm"] == arm)]
        bins = part.groupby("bin", sort=True).agg(
            {"low": "min", "high": "max", **dict.fromkeys(_SUMS, "sum")}
        )
        by_seed = [_sums(held_out, part[part["seed"] == seed], bins.index) for seed in seeds]
        described = [*_bin_rows(bins, len(seeds)), *_error_rows(bins, by_seed, held_out.draws)]
        rows += [(segmenter, arm, *row) for row in described]
    return pd.DataFrame(rows, columns=list(CALIBRATION_COLUMNS))


_SUMS = ("n_px", "probability_sum", "nodule_px")


def _sums(held_out: HeldOut, part: pd.DataFrame, bins: pd.Index) -> Values:
    """(3, P, B) of one seed, in the order of ``_SUMS``."""
    column = bins.get_indexer(pd.Index(part["bin"]))
    row = held_out.draws.columns(part["patient"])
    out = np.zeros((len(_SUMS), len(held_out.draws.patients), len(bins)))
    for i, name in enumerate(_SUMS):
        np.add.at(out[i], (row, column), part[name].to_numpy(float))
    return out


def _bin_rows(bins: pd.DataFrame, n_seeds: int) -> Iterator[tuple[object, ...]]:
    """A row of each bin, without an error."""
    for number, row in bins.iterrows():
        described = _described(bins.loc[[number]], n_seeds)
        yield str(number), float(row["low"]), float(row["high"]), *described, *3 * (np.nan,)


def _error_rows(
    bins: pd.DataFrame, by_seed: list[Values], draws: Draws
) -> Iterator[tuple[object, ...]]:
    """The expected error over all bins, and without the lowest."""
    everyone = np.ones(len(draws.patients), bool)
    for name, first in ((ALL_BINS, 0), (UPPER_BINS, 1)):
        kept = [sums[:, :, first:] for sums in by_seed]
        errors = [expected_calibration_error(*sums.sum(axis=1)) for sums in kept]
        drawn = np.mean([_errors(sums, draws.counts) for sums in kept], axis=0)
        interval = draws.interval(np.asarray(drawn), everyone)
        part = bins.iloc[first:]
        edges = float(part["low"].min()), float(part["high"].max())
        error = (float(np.mean(errors)), interval.low, interval.high)
        yield name, *edges, *_described(part, len(by_seed)), *error


def _described(bins: pd.DataFrame, n_seeds: int) -> tuple[float, ...]:
    """Pixels a seed, mean probability, and share of nodule of bins taken together."""
    n, probability, nodule = (float(bins[name].sum()) for name in _SUMS)
    return n / n_seeds, *((v / n if n else np.nan) for v in (probability, nodule))


def _errors(sums: Values, counts: Values) -> Values:
    """(R,) ``expected_calibration_error`` of patients drawn ``counts`` (R, P) times."""
    n_px, probability, nodule = sums
    total = (counts @ n_px).sum(axis=1)
    distance = np.abs(counts @ (probability - nodule)).sum(axis=1)
    undefined = np.full(len(counts), np.nan)
    return np.asarray(np.divide(distance, total, out=undefined, where=total > 0))


_COUNTS = {
    "n_patients": "patients with a lesion",
    "n_slices": "slices of all patients",
    "n_lesions": "lesions",
}


def summary_table(detection: pd.DataFrame, decimals: int) -> pd.DataFrame:
    """``detection.tsv`` as people read it: a row a segmenter and arm, cells as text."""
    rows = []
    for (segmenter, arm), part in detection.groupby(["segmenter", "arm"], sort=False):
        first = part.iloc[0]
        row = {"segmenter": str(segmenter), "arm": str(arm)}
        row |= {title: str(first[name]) for name, title in _COUNTS.items()}
        for cell in part.itertuples(index=False):
            heading = _heading(str(cell.metric), float(str(cell.false_positives)))
            row[heading] = score_cell(cell, decimals)
        rows.append(row)
    return pd.DataFrame(rows)


def _heading(metric: str, rate: float) -> str:
    if metric == "sensitivity":
        return f"at {f'1/{1 / rate:g}' if rate < 1 else f'{rate:g}'}"
    return {"ap50": "AP50", "froc_score": "FROC score"}[metric]


def summary_blocks(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The summary in parts that fit a page; one segmenter needs no column."""
    keys = [c for c in ("segmenter", "arm") if c == "arm" or table[c].nunique() > 1]
    counts = list(_COUNTS.values())
    rates = [c for c in table.columns if c.startswith("at ")]
    return [
        ("Detection", table[[*keys, *counts, "AP50", "FROC score"]]),
        ("Sensitivity at false positives a slice", table[[*keys, *rates]]),
    ]


def caption(level: float, minimum: int, *, pseudo_patients: bool = False) -> str:
    """What the reader must know to read the summary."""
    text = (
        "AP50: average precision of boxes that overlap a lesion's box by half (IoU), at COCO's 101 "
        "recalls. Detections are a network's own boxes, or the components of its probability map "
        "from 0.05 on, whatever the threshold of the masks, with their highest probability. "
        "Sensitivity: the share of lesions whose box holds the centre of a detection (in the main "
        "table it is the overlap of the masks that counts), at "
        "the threshold with at most so many false positives a test slice; FROC score: the mean of "
        "these seven. A nodule on several slices is as many lesions. Means over seeds; brackets "
        f"are {100 * level:g} % intervals over patients (bootstrap within Lung-RADS classes, "
        "classes of fewer than three with a neighbour, expanded percentiles), given from "
        f"{minimum} patients with a lesion on; they cover no other training."
    )
    return text + patient_words(pseudo_patients)
