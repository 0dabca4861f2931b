"""How well slices with a nodule are told from others, and what a gate does to the segmenters.

The gate hands on slices whose probability reaches a threshold; on all others a segmenter predicts
nothing. Each threshold is chosen on validation slices of its own classifier.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.evaluation.metrics import CONVENTIONS, overlap_scores
from lungaug.evaluation.roc import Ranking, Values, area, operating_threshold
from lungaug.evaluation.scores import (
    DISTANCES,
    Resampling,
    bounds_of,
    patient_scores,
    seed_means,
)
from lungaug.evaluation.statistics import (
    ANY,
    Interval,
    merged_sizes,
    resample_counts,
    weighted_mean,
)

TRAINING = ["fold", "arm", "seed"]
"""What tells one classifier from another, and a segmenter's training its classifier."""
PRESENCE_COLUMNS = (*TRAINING, "role", "patient", "key", "lung_rads", "present", "probability")
EFFECTS = {
    "false_positives": "both",
    "specificity": "both",
    "false_positive_mm2": "both",
    "lesion_sensitivity": "both",
    "dice": "standard",
}
"""The scores that a gate is for or against, as :func:`patient_scores` has them; convention."""
GATES = ("without", "with", "difference")

PREDICTED = (
    "predicted_px",
    "intersection_px",
    "false_positive_px",
    "false_positive_components",
    "n_lesions_hit",
)
"""Columns of ``metrics.tsv`` that are 0 where nothing is predicted."""
_ESTIMATE = ("n_patients", "estimate", "low", "high")
SUMMARY_COLUMNS = ("arm", "metric", *_ESTIMATE, "seed_sd")
EFFECT_COLUMNS = ("segmenter", "arm", "metric", "gate", *_ESTIMATE)
CURVE_COLUMNS = ("arm", "false_positive_rate", "sensitivity", "low", "high")

Estimate = tuple[int, float, float, float]


def thresholds_of(rows: pd.DataFrame, sensitivity: float) -> pd.Series:
    """The threshold of every classifier, by fold, arm and seed, from its validation slices alone.

    Args:
        rows: of ``presence.tsv``, all roles.
        sensitivity: that validation slices must reach; patients weigh equally.

    Raises:
        InputError: a classifier has no validation slice with a nodule.
    """
    found = {}
    for training, part in rows.groupby(TRAINING, sort=True):
        seen = part[part["role"] == "validation"]
        columns = (seen[name] for name in ("probability", "present", "patient"))
        try:
            found[training] = operating_threshold(*columns, sensitivity=sensitivity)
        except InputError as error:
            raise InputError(f"presence of {'/'.join(map(str, training))}: {error}") from error
    index = pd.MultiIndex.from_tuples(list(found), names=TRAINING)
    return pd.Series(list(found.values()), index, dtype=float, name="threshold")


def passing(rows: pd.DataFrame, thresholds: pd.Series) -> pd.Series:
    """Whether each slice is handed on, in the rows' order."""
    return rows["probability"] >= rows.join(thresholds, on=TRAINING)["threshold"]


def summary_table(
    rows: pd.DataFrame, thresholds: pd.Series, classes: pd.Series, resampling: Resampling
) -> pd.DataFrame:
    """AUC, sensitivity and specificity of each arm's classifiers, and their mean threshold.

    Slices, then seeds, are averaged within a patient; patients weigh equally.

    Args:
        rows: of ``presence.tsv``; test slices count.
        thresholds: from :func:`thresholds_of`.
        classes: Lung-RADS class by patient.
        resampling: settings of the bootstrap.
    """
    test = rows[rows["role"] == "test"]
    test = test.assign(passed=passing(test, thresholds).astype(float))
    found: list[tuple[object, ...]] = []
    for arm, part in test.groupby("arm", sort=True):
        seeds = [one for _, one in part.groupby("seed", sort=True)]
        areas = [_area(one)[0] for one in seeds]
        found.append((arm, "auc", *_area_estimate(part, classes, resampling), _spread(areas)))
        for metric, right in _decisions(part).items():
            values = right.groupby(part["patient"]).mean().dropna()
            alone = [float(right[one.index].groupby(one["patient"]).mean().mean()) for one in seeds]
            estimate = _estimate(values, classes[values.index], metric, resampling)
            found.append((arm, metric, *estimate, _spread(alone)))
        limits = thresholds.xs(arm, level="arm")
        middle = (0, float(limits.mean()), math.nan, math.nan)
        found.append((arm, "threshold", *middle, _spread(limits.groupby("seed").mean())))
    return pd.DataFrame(found, columns=list(SUMMARY_COLUMNS))


def curve_table(
    rows: pd.DataFrame, classes: pd.Series, rates: Values, resampling: Resampling
) -> pd.DataFrame:
    """Sensitivity of each arm's classifiers at false-positive rates, with a pointwise band.

    The curves of an arm's trainings are averaged at equal false-positive rates, each by its pairs
    of patients, so that the area under the mean is the AUC of the summary. The band is the middle
    ``level`` of the means of resampled patients, drawn within their classes.

    Args:
        rows: of ``presence.tsv``; test slices count.
        classes: Lung-RADS class by patient.
        rates: (G,) false-positive rates.
        resampling: settings of the bootstrap.

    References:
        Fawcett T, Pattern Recogn Lett 27:861, 2006, section 7.1 (vertical averaging).
    """
    tables = []
    for arm, part in rows[rows["role"] == "test"].groupby("arm", sort=True):
        names = sorted(part["patient"].unique())
        rankings = list(_rankings(part, names))
        curve = _mean_curve(rankings, rates, np.ones(len(names)))
        table = pd.DataFrame({"arm": arm, "false_positive_rate": rates, "sensitivity": curve})
        low, high = _band(rankings, rates, classes[names].to_numpy(str), resampling)
        tables.append(table.assign(low=low, high=high))
    return pd.concat(tables, ignore_index=True)[list(CURVE_COLUMNS)]


def effect_table(
    metrics: pd.DataFrame,
    rows: pd.DataFrame,
    thresholds: pd.Series,
    classes: pd.Series,
    resampling: Resampling,
) -> pd.DataFrame:
    """Scores of every segmenter and arm without the gate and with it, and the paired difference.

    Args:
        metrics: rows of ``metrics.tsv``; test slices count.
        rows: of ``presence.tsv``.
        thresholds: from :func:`thresholds_of`.
        classes: Lung-RADS class by patient.
        resampling: settings of the bootstrap.

    Raises:
        InputError: a slice has metrics and was not classified.
    """
    test = metrics[metrics["role"] == "test"]
    open_, shut = (patient_scores(m, classes) for m in (test, gated(test, rows, thresholds)))
    keys = ["segmenter", "arm", "score", "lung_rads", "patient"]
    both = seed_means(open_).merge(seed_means(shut), on=keys, suffixes=("_without", "_with"))
    both["value_difference"] = both["value_with"] - both["value_without"]
    found = []
    for (segmenter, arm), of_arm in both.groupby(["segmenter", "arm"], sort=True):
        for metric, convention in EFFECTS.items():
            part = of_arm[of_arm["score"] == f"{convention}/{metric}"]
            for gate in GATES:
                estimate = _effect(part, metric, gate, resampling)
                found.append((segmenter, arm, metric, gate, *estimate))
    return pd.DataFrame(found, columns=list(EFFECT_COLUMNS))


def gated(metrics: pd.DataFrame, rows: pd.DataFrame, thresholds: pd.Series) -> pd.DataFrame:
    """The metrics, had segmenters seen only the slices that pass.

    Args:
        metrics: rows of ``metrics.tsv``.
        rows: of ``presence.tsv``.
        thresholds: from :func:`thresholds_of`.

    Raises:
        InputError: a slice has metrics and was not classified.
    """
    keys = [*TRAINING, "key"]
    decisions = rows[keys].assign(passed=passing(rows, thresholds).astype(float))
    passed = metrics.merge(decisions, on=keys, how="left", validate="many_to_one")["passed"]
    if passed.isna().any():
        row = metrics[passed.isna().to_numpy()].iloc[0]
        training = "/".join(str(row[name]) for name in TRAINING)
        raise InputError(
            f"{training}: slice {row['key']} was segmented and not classified; accepted: "
            "presence.tsv and metrics.tsv of the same trainings"
        )
    return _emptied(metrics, (passed == 0).to_numpy())


def _emptied(metrics: pd.DataFrame, stopped: NDArray[np.bool_]) -> pd.DataFrame:
    """The metrics, with nothing predicted on some slices."""
    out = metrics.copy()
    out.loc[stopped, list(PREDICTED)] = 0
    out.loc[stopped, "empty_prediction"] = 1
    out.loc[stopped, list(DISTANCES)] = math.nan
    pixels = [out.loc[stopped, c] for c in ("reference_px", "predicted_px", "intersection_px")]
    for convention in CONVENTIONS:
        for name, values in overlap_scores(convention, *pixels).items():
            out.loc[stopped, f"{name}_{convention}"] = values
    return out


def _decisions(part: pd.DataFrame) -> dict[str, pd.Series]:
    """By metric, whether each slice that counts for it was decided rightly; NaN for the others."""
    ill = part["present"] > 0
    return {"sensitivity": part["passed"].where(ill), "specificity": 1 - part["passed"].mask(ill)}


def _rankings(part: pd.DataFrame, names: list[str]) -> Iterator[Ranking]:
    """A ranking of each training's slices."""
    place = {name: number for number, name in enumerate(names)}
    for _, one in part.groupby(["fold", "seed"], sort=True):
        owners = one["patient"].map(place)
        yield Ranking(one["probability"], one["present"], owners, len(names))


def _area(part: pd.DataFrame) -> tuple[float, pd.Series]:
    """AUC, and the values of patients whose mean it is."""
    names = sorted(part["patient"].unique())
    found, values = area([ranking.wins() for ranking in _rankings(part, names)])
    return found, pd.Series(values, names)


def _area_estimate(part: pd.DataFrame, classes: pd.Series, resampling: Resampling) -> Estimate:
    found, values = _area(part)
    interval = Interval()
    if not math.isnan(found):
        interval = resampling.interval(values, classes[values.index], bounds=ANY)
    low, high = np.clip([interval.low, interval.high], 0, 1)
    return len(values), found, float(low), float(high)


def _estimate(
    values: pd.Series, strata: pd.Series, metric: str, resampling: Resampling
) -> Estimate:
    interval = resampling.interval(values, strata, bounds=bounds_of(metric))
    mean = weighted_mean(values, np.ones(len(values)))
    return len(values), mean, interval.low, interval.high


def _effect(part: pd.DataFrame, metric: str, gate: str, resampling: Resampling) -> Estimate:
    """A score with or without the gate, or the difference of both, paired by patient."""
    values = part[f"value_{gate}"]
    if gate != "difference":
        return _estimate(values, part["lung_rads"], metric, resampling)
    interval = resampling.difference(values, bounds=bounds_of(metric)).interval
    mean = weighted_mean(values, np.ones(len(values)))
    return len(values), mean, interval.low, interval.high


def _spread(values: list[float] | pd.Series) -> float:
    """SD over seeds; NaN for one."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


def _mean_curve(rankings: list[Ranking], rates: Values, counts: Values) -> Values:
    """(G,) sensitivity, patients being there ``counts`` times; NaN without a pair of patients."""
    curves = [ranking.sensitivity_at(rates, counts) for ranking in rankings]
    pairs = sum(weight for _, weight in curves)
    if pairs == 0:
        return np.full(len(rates), math.nan)
    return np.asarray(sum(weight * curve for curve, weight in curves) / pairs)


def _band(
    rankings: list[Ranking], rates: Values, strata: np.ndarray, resampling: Resampling
) -> tuple[Values, Values]:
    """(G,) lower and upper ends; NaN below the least number of patients."""
    nothing = np.full(len(rates), math.nan)
    if len(strata) < resampling.minimum:
        return nothing, nothing
    order = np.argsort(strata, kind="stable")
    sizes = merged_sizes(strata[order])
    counts = np.empty((resampling.n_resamples, len(strata)))
    counts[:, order] = resample_counts(sizes, resampling.n_resamples, resampling.seed)
    curves = np.stack([_mean_curve(rankings, rates, row) for row in counts])
    usable = curves[~np.isnan(curves[:, 0])]
    if not len(usable):
        return nothing, nothing
    tail = (1 - resampling.level) / 2
    low, high = np.quantile(usable, [tail, 1 - tail], axis=0)
    return low, high
