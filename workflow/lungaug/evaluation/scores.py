"""From one row a slice to the tables: seeds and slices within patients, then patients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.errors import InputError
from lungaug.evaluation.metrics import CONVENTIONS, OVERLAPS
from lungaug.evaluation.paired import (
    PATIENTS,
    TRAININGS,
    Inference,
    Test,
    bounded_test,
    joined,
    sign_flip_test,
    trainings_test,
)
from lungaug.evaluation.statistics import (
    ANY,
    MINIMUM_PATIENTS,
    NOT_NEGATIVE,
    SHARE,
    Bounds,
    Interval,
    holm,
    mean_interval,
    weighted_mean,
)

SCORE_COLUMNS = (
    "segmenter",
    "arm",
    "convention",
    "metric",
    "group",
    "n_patients",
    "n_slices",
    "estimate",
    "low",
    "high",
    "seed_sd",
)
COMPARISON_COLUMNS = (
    "segmenter",
    "arm",
    "baseline",
    "metric",
    "group",
    "n_patients",
    "difference",
    "low",
    "high",
    "p",
    "p_holm",
    "n_seeds",
    "n_seeds_baseline",
    "seed_sd",
    "seed_sd_baseline",
    "covers",
)
BASELINES = ("none", "online")
TESTED = ("dice", "pooled")  # metric and group of the only tests
DISTANCES = ("hd95_mm", "asd_mm")
SHARES = (*OVERLAPS, "empty_rate", "specificity", "lesion_sensitivity")

ANY_CONVENTION = "both"  # of scores that neither convention changes
_PATIENT = ["segmenter", "arm", "seed", "patient"]


def arm_order(arms: Iterable[str]) -> list[str]:
    """Each arm once: baselines first, the rest by name."""
    return sorted(set(arms), key=lambda arm: (BASELINES.index(arm) if arm in BASELINES else 9, arm))


def bounds_of(metric: str) -> Bounds:
    """Return what a score of a patient cannot be below or above."""
    return SHARE if metric in SHARES else NOT_NEGATIVE


@dataclass(frozen=True)
class Resampling:
    """How intervals and tests are computed."""

    seed: int = 0
    n_resamples: int = 10_000
    level: float = 0.95
    minimum: int = MINIMUM_PATIENTS
    test: Test = "sign_flip"

    def interval(
        self,
        values: pd.Series,
        strata: pd.Series,
        weights: NDArray[np.float64] | None = None,
        *,
        bounds: Bounds,
    ) -> Interval:
        return mean_interval(
            values,
            strata,
            weights,
            bounds=bounds,
            seed=self.seed,
            n_resamples=self.n_resamples,
            level=self.level,
            minimum=self.minimum,
        )

    def difference(
        self,
        values: pd.Series,
        weights: NDArray[np.float64] | None = None,
        *,
        bounds: Bounds,
    ) -> Inference:
        """Test paired differences of patients; the interval is the test's inverse.

        Args:
            values: (N,) differences.
            weights: (N,) weight of each patient; 1 each if not given.
            bounds: of the score, not of the difference.
        """
        if len(values) < self.minimum:
            return Inference()
        if self.test == "sign_flip":
            return sign_flip_test(
                values, weights, seed=self.seed, n_resamples=self.n_resamples, level=self.level
            )
        return bounded_test(
            values,
            weights,
            bounds=(-1.0, 1.0) if bounds == SHARE else ANY,
            seed=self.seed,
            n_resamples=self.n_resamples,
            level=self.level,
        )


def slice_scores(metrics: pd.DataFrame) -> pd.DataFrame:
    """Scores of each slice, NaN where a score is not for that slice.

    Overlaps (dice, iou, precision, recall) and ``empty_rate`` belong to slices with a nodule;
    ``specificity`` (nothing predicted) and ``false_positives_healthy`` to slices without;
    ``false_positive_mm2`` is the predicted area on the latter, where the spacing is known.
    ``false_positives`` belongs to all slices; ``hd95_mm`` and ``asd_mm`` to those where there is a
    nodule, something is predicted and the spacing is known, so that a missed nodule is not seen in
    them. Dice of a slice without a nodule says 0 or 1, not how good a lesion was outlined, and
    would let a cohort with many healthy slices set the score.

    Args:
        metrics: rows of ``metrics.tsv``.

    Returns:
        The rows' segmenter, arm, seed and patient, and a column ``<convention>/<metric>`` a score.
    """
    lesion = metrics["reference_px"] > 0
    empty = (metrics["predicted_px"] == 0).astype(float)
    components = metrics["false_positive_components"].astype(float)
    out = metrics[["segmenter", "arm", "seed", "patient"]].copy()
    for convention in CONVENTIONS:
        for name in OVERLAPS:
            out[f"{convention}/{name}"] = metrics[f"{name}_{convention}"].where(lesion)
    out[f"{ANY_CONVENTION}/empty_rate"] = empty.where(lesion)
    out[f"{ANY_CONVENTION}/specificity"] = empty.where(~lesion)
    out[f"{ANY_CONVENTION}/false_positives"] = components
    out[f"{ANY_CONVENTION}/false_positives_healthy"] = components.where(~lesion)
    area = metrics["false_positive_px"] * metrics["pixel_mm2"]
    out[f"{ANY_CONVENTION}/false_positive_mm2"] = area.where(~lesion)
    for name in DISTANCES:
        out[f"{ANY_CONVENTION}/{name}"] = metrics[name]
    return out


def lesion_sensitivity(metrics: pd.DataFrame) -> pd.DataFrame:
    """The share of a patient's lesions that were hit, a row a patient and seed.

    Lesions are counted over a patient's slices before the share is taken: a slice with one lesion
    weighs a fifth of one with five. In slices, the unit of the segmenters, a nodule that is seen on
    several of them is as many lesions.

    Args:
        metrics: rows of ``metrics.tsv``.

    Returns:
        segmenter, arm, seed, patient, score, value, n_slices; patients without lesions have no row.
    """
    lesion = metrics[metrics["n_lesions"] > 0]
    grouped = lesion.groupby(_PATIENT, as_index=False, sort=True)
    counts = grouped.agg(
        hit=("n_lesions_hit", "sum"), lesions=("n_lesions", "sum"), n_slices=("n_lesions", "size")
    )
    counts["score"] = f"{ANY_CONVENTION}/lesion_sensitivity"
    counts["value"] = counts["hit"] / counts["lesions"]
    return counts[[*_PATIENT, "score", "value", "n_slices"]]


def patient_scores(metrics: pd.DataFrame, classes: pd.Series) -> pd.DataFrame:
    """Mean over the slices of a patient and seed, and how many slices counted.

    Args:
        metrics: rows of ``metrics.tsv`` of the test role, all arms, segmenters, seeds and folds.
        classes: Lung-RADS class by patient.

    Returns:
        Long: segmenter, arm, seed, patient, lung_rads, score, value, n_slices; no NaN values.

    Raises:
        InputError: a slice is tested twice by one training set-up, or a patient has no class row.
    """
    twice = metrics.duplicated(["segmenter", "arm", "seed", "key"])
    if twice.any():
        row = metrics[twice].iloc[0]
        raise InputError(f"slice {row['key']} is tested twice in arm {row['arm']}; accepted: once")
    unknown = set(metrics["patient"]) - set(classes.index)
    if unknown:
        raise InputError(f"patient {min(unknown)} has metrics but is not in the split")
    long = slice_scores(metrics).melt(_PATIENT, var_name="score").dropna(subset="value")
    grouped = long.groupby([*_PATIENT, "score"], as_index=False, sort=True)
    means = grouped.agg(value=("value", "mean"), n_slices=("value", "size"))
    values = pd.concat([means, lesion_sensitivity(metrics)], ignore_index=True)
    values["lung_rads"] = values["patient"].map(classes)
    return values


def seed_means(values: pd.DataFrame) -> pd.DataFrame:
    """One value a patient: the mean over seeds, before anything is resampled."""
    keys = ["segmenter", "arm", "score", "lung_rads", "patient"]
    grouped = values.groupby(keys, as_index=False, sort=True)
    return grouped.agg(value=("value", "mean"), n_slices=("n_slices", "mean"))


def score_table(values: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """``scores.tsv``: every score of every arm, pooled, class-macro and by class.

    ``pooled`` weighs patients equally, ``macro`` the classes that have patients. ``slices`` and
    ``slices:<class>`` weigh slices equally, as published; their interval still resamples patients.

    Args:
        values: from :func:`patient_scores`.
        resampling: settings of the bootstrap.
    """
    means = seed_means(values)
    keys = ["segmenter", "arm", "score"]
    by_seed = {name: part for name, part in values.groupby(keys)}
    rows = []
    for name, part in means.groupby(keys):
        segmenter, arm, score = name
        convention, metric = str(score).split("/")
        spreads = seed_spreads(by_seed[name])
        for group, members, weights in groups(part, slices=convention == "reference"):
            interval = resampling.interval(
                members["value"], members["lung_rads"], weights, bounds=bounds_of(metric)
            )
            counts = (len(members), round(members["n_slices"].sum()))
            estimate = weighted_mean(members["value"], weights)
            found = (estimate, interval.low, interval.high, spreads.get(group, math.nan))
            rows.append((segmenter, arm, convention, metric, group, *counts, *found))
    return pd.DataFrame(rows, columns=list(SCORE_COLUMNS))


def seed_spreads(values: pd.DataFrame) -> dict[str, float]:
    """SD over seeds of each group's estimate, for one score of one arm; empty for one seed.

    It says how much luck of the training there is, and is kept apart from the interval, which says
    how much luck of the patients there is.
    """
    estimates: dict[str, list[float]] = {}
    if values["seed"].nunique() < 2:
        return {}
    for _, part in values.groupby("seed"):
        for group, members, weights in groups(part, slices=True):
            estimates.setdefault(group, []).append(weighted_mean(members["value"], weights))
    return {g: float(np.std(e, ddof=1)) for g, e in estimates.items() if len(e) > 1}


def groups(
    part: pd.DataFrame, *, slices: bool = False
) -> Iterator[tuple[str, pd.DataFrame, NDArray[np.float64]]]:
    """The groups of patients that a score is given for, with the weight of each patient.

    Args:
        part: rows of one score: patient, lung_rads, value, n_slices.
        slices: also the groups that weigh slices equally.
    """
    yield "pooled", part, np.ones(len(part))
    names = part["lung_rads"].to_numpy(object)
    by_class = [(c, part[names == c]) for c in CLASSES if (names == c).any()]
    if by_class:
        sizes = {name: len(members) for name, members in by_class}
        known = [name in sizes for name in names]
        yield "macro", part[known], np.array([1 / sizes[n] for n in names[known]])
    for name, members in by_class:
        yield name, members, np.ones(len(members))
    if slices:
        for name, members in [("slices", part), *((f"slices:{c}", m) for c, m in by_class)]:
            yield name, members, members["n_slices"].to_numpy(float)


def comparison_table(values: pd.DataFrame, resampling: Resampling) -> pd.DataFrame:
    """``comparisons.tsv``: each arm against ``none`` and ``online``, paired by patient.

    Differences are in the standard convention; each interval is the inverse of a test. Where both
    arms have two seeds or more, the difference must hold against patients and against trainings
    (``covers``); else against patients only. The p of the pooled Dice alone is given, and Holm's
    correction runs over all of them: every segmenter, arm and baseline of the table. Below the
    minimum of patients there is no test either.

    Args:
        values: from :func:`patient_scores`.
        resampling: settings of the tests.
    """
    means = seed_means(values)
    shown = means[~means["score"].str.startswith("reference/")]
    rows = []
    for segmenter, part in shown.groupby("segmenter"):
        seeds = _seeds_of(values[values["segmenter"] == segmenter])
        for baseline, arm in _pairs(sorted(part["arm"].unique())):
            for score, paired in _paired(part, arm, baseline).groupby("score"):
                metric = str(score).split("/")[1]
                both = paired.reset_index(drop=True)
                trained = [
                    seeds[name, str(score)].reindex(both["patient"]).to_numpy(float)
                    for name in (arm, baseline)
                ]
                for group, members, weights in groups(both):
                    head = (segmenter, arm, baseline, metric, group, len(members))
                    own = [scores[members.index] for scores in trained]
                    found = _difference(members, weights, metric, own, resampling)
                    rows.append((*head, *found))
    table = pd.DataFrame(rows, columns=list(COMPARISON_COLUMNS))
    untested = (table["metric"] != TESTED[0]) | (table["group"] != TESTED[1])
    p = table["p"].astype(float).mask(untested)
    return table.assign(p=p, p_holm=holm(p))


def _seeds_of(values: pd.DataFrame) -> dict[tuple[str, str], pd.DataFrame]:
    """By arm and score, the values of patients (rows) by seed (columns)."""
    return {
        (str(arm), str(score)): part.pivot(index="patient", columns="seed", values="value")
        for (arm, score), part in values.groupby(["arm", "score"])
    }


def _pairs(arms: list[str]) -> Iterator[tuple[str, str]]:
    """(baseline, arm); ``none`` against ``online`` would repeat ``online`` against ``none``."""
    for baseline in BASELINES:
        if baseline in arms:
            skipped = {baseline, "none"}
            yield from ((baseline, arm) for arm in arms if arm not in skipped)


def _paired(part: pd.DataFrame, arm: str, baseline: str) -> pd.DataFrame:
    """Differences of patients that both arms have a value for."""
    keys = ["score", "lung_rads", "patient"]
    ours, theirs = part[part["arm"] == arm], part[part["arm"] == baseline]
    both = ours.merge(theirs, on=keys, suffixes=("", "_baseline"))
    both["value"] = both["value"] - both["value_baseline"]
    return both


def _difference(
    members: pd.DataFrame,
    weights: NDArray[np.float64],
    metric: str,
    trained: list[NDArray[np.float64]],
    resampling: Resampling,
) -> tuple[object, ...]:
    """What a row says from the difference on; Holm's correction comes later.

    Args:
        members: patients and their differences.
        weights: (N,) of the patients.
        metric: name of the score.
        trained: (N, seeds) scores of either arm, NaN where a seed has none.
        resampling: settings of the tests.
    """
    values = members["value"]
    found = resampling.difference(values, weights, bounds=bounds_of(metric))
    ours, theirs = (_by_seed(scores, weights) for scores in trained)
    covers = TRAININGS if min(len(ours), len(theirs)) > 1 else PATIENTS
    if covers == TRAININGS and not math.isnan(found.p):
        strata, level = members["lung_rads"], resampling.level
        found = joined(found, trainings_test(values, strata, weights, (ours, theirs), level=level))
    ends = (weighted_mean(values, weights), found.interval.low, found.interval.high)
    spreads = (float(np.std(e, ddof=1)) if len(e) > 1 else math.nan for e in (ours, theirs))
    return *ends, found.p, math.nan, len(ours), len(theirs), *spreads, covers


def _by_seed(scores: NDArray[np.float64], weights: NDArray[np.float64]) -> list[float]:
    """The mean of patients in each seed, over those that have a value there."""
    known = ((column, ~np.isnan(column)) for column in scores.T)
    return [weighted_mean(c[there], weights[there]) for c, there in known if there.any()]
