"""What the answers of the blinded reading say: rates, AUC, tests, agreement.

A reader's answer to a case is one signed number: the confidence, 1 to 5, positive where the reader
says inserted and negative where real. Everything else is counted from it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from lungaug.evaluation.statistics import SHARE, Interval, mean_interval
from lungaug.settings import setting

RATES = ("accuracy", "sensitivity", "specificity", "auc", "agreement", "kappa")
SCORE_COLUMNS = (
    *("kind", "reader", "generator", "n", "n_inserted", "n_real", "n_unanswered"),
    *(f"{rate}{suffix}" for rate in RATES for suffix in ("", "_low", "_high")),
    *("p", "seconds", "interval"),
)
ALL = "all"
BINOMIAL = "Clopper-Pearson"
RESAMPLED = "bootstrap over cases"

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Reading:
    """What one reader said of the cases of a key.

    Attributes:
        reader: name.
        signed: (N,) confidence, negative for real; NaN where there is no answer.
        seconds: (N,) time spent on each case; NaN where unknown.
    """

    reader: str
    signed: Values
    seconds: Values


@dataclass(frozen=True)
class ScoreSettings:
    """How the answers are judged."""

    level: float = setting(
        0.95, "coverage of the intervals", exclusiveMinimum=0, exclusiveMaximum=1
    )
    n_resamples: int = setting(10_000, "orders of the test, and bootstrap samples", minimum=100)
    seed: int = setting(0, "seed of what is drawn", minimum=0)


def score_rows(
    generators: Sequence[str], readings: Sequence[Reading], settings: ScoreSettings
) -> list[dict[str, Any]]:
    """Rows of the table: each reader, all readers pooled, each pair of readers.

    Sensitivity is the share of inserted cases that were called inserted, specificity that of real
    ones called real. A generator is judged by its own cases and all real ones, so that only its
    sensitivity and AUC compare with another's. The AUC is that of the signed confidence, pooled as
    the mean over readers, with DeLong's interval on the logit scale. ``p`` is a two-sided
    permutation test of the AUC against 1/2: the truth is shuffled over the cases. It is not
    corrected; the test that was planned is that of all generators, pooled.

    Args:
        generators: (N,) what made each case of the key; '' for a real one.
        readings: one a reader.
        settings: level and resampling.

    References:
        DeLong ER, DeLong DM, Clarke-Pearson DL, Biometrics 44:837-845, 1988. Clopper CJ, Pearson
        ES, Biometrika 26:404-413, 1934.
    """
    made_by = np.asarray(generators, np.str_)
    names = [ALL, *sorted(set(made_by[made_by != ""].tolist()))]
    groups = [*(("reader", [r]) for r in readings), ("pooled", list(readings))]
    rows = [_row(kind, group, name, made_by, settings) for kind, group in groups for name in names]
    pairs = itertools.combinations(readings, 2)
    return rows + [_pair_row(first, second, settings) for first, second in pairs]


def _row(
    kind: str, group: list[Reading], name: str, made_by: NDArray[np.str_], settings: ScoreSettings
) -> dict[str, Any]:
    of_row = (made_by == "") | (made_by == name) | (name == ALL)
    signed = np.stack([r.signed for r in group])[:, of_row]
    seconds = np.concatenate([r.seconds[of_row] for r in group])
    truth = made_by[of_row] != ""
    answered = ~np.isnan(signed)
    row = {
        "kind": kind,
        "reader": group[0].reader if kind == "reader" else ALL,
        "generator": name,
        "n": int(answered.sum()),
        "n_inserted": int(answered[:, truth].sum()),
        "n_real": int(answered[:, ~truth].sum()),
        "n_unanswered": int((~answered).sum()),
        "p": auc_p(signed, truth, n_resamples=settings.n_resamples, seed=settings.seed),
        "seconds": _median(seconds),
        "interval": BINOMIAL if len(group) == 1 else RESAMPLED,
    }
    correct = answered & ((signed > 0) == truth)
    for rate, part in (("accuracy", truth | True), ("sensitivity", truth), ("specificity", ~truth)):
        row |= _rate(rate, correct[:, part], answered[:, part], truth[part], settings)
    estimate, interval = auc(signed, truth, settings.level)
    return row | _columns("auc", estimate, interval)


def _rate(
    name: str,
    correct: NDArray[np.bool_],
    answered: NDArray[np.bool_],
    strata: NDArray[np.bool_],
    settings: ScoreSettings,
) -> dict[str, float]:
    """Share of answers that are correct; several readers of one case are no independent answers."""
    n, k = int(answered.sum()), int(correct.sum())
    estimate = k / n if n else math.nan
    if len(answered) == 1:
        return _columns(name, estimate, clopper_pearson(k, n, settings.level))
    weights = answered.sum(0).astype(float)
    seen = weights > 0
    interval = mean_interval(
        correct.sum(0)[seen] / weights[seen],
        strata[seen],
        weights[seen],
        bounds=SHARE,
        seed=settings.seed,
        n_resamples=settings.n_resamples,
        level=settings.level,
    )
    return _columns(name, estimate, interval)


def _columns(name: str, estimate: float, interval: Interval) -> dict[str, float]:
    return {name: estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}


def _median(values: Values) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else math.nan


def clopper_pearson(k: int, n: int, level: float = 0.95) -> Interval:
    """Exact binomial interval of ``k`` in ``n``; NaN without any."""
    if n == 0:
        return Interval()
    tail = (1 - level) / 2
    low = stats.beta.ppf(tail, k, n - k + 1) if k else 0.0
    high = stats.beta.ppf(1 - tail, k + 1, n - k) if k < n else 1.0
    return Interval(float(low), float(high))


def auc(signed: Values, truth: NDArray[np.bool_], level: float = 0.95) -> tuple[float, Interval]:
    """Mean over readers of the area under the ROC curve, with DeLong's interval.

    Args:
        signed: (R, N) answers; NaN where there is none.
        truth: (N,) True for inserted.
        level: nominal coverage.

    Returns:
        NaN without a reader who answered both kinds; no interval at 0, at 1 and below two cases of
        either kind, where the variance is zero or unknown.
    """
    usable = [row for row in signed if _both(row[truth]) and _both(row[~truth])]
    if not usable:
        return math.nan, Interval()
    parts = [_placements(row[truth], row[~truth]) for row in usable]
    estimate = float(np.mean([np.nanmean(above) for above, _ in parts]))
    variance = _variance([p[0] for p in parts]) + _variance([p[1] for p in parts])
    if not 0 < estimate < 1 or not variance > 0:
        return estimate, Interval()
    logit = math.log(estimate / (1 - estimate))
    reach = float(stats.norm.ppf((1 + level) / 2)) * math.sqrt(variance)
    reach /= estimate * (1 - estimate)
    low, high = (1 / (1 + math.exp(-x)) for x in (logit - reach, logit + reach))
    return estimate, Interval(low, high)


def _both(answers: Values) -> bool:
    return bool((~np.isnan(answers)).any())


def _placements(positive: Values, negative: Values) -> tuple[Values, Values]:
    """For each case the share of the other kind that it beats, ties half; NaN without an answer."""
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    wins[np.isnan(positive)] = np.nan
    wins[:, np.isnan(negative)] = np.nan
    kept = ~np.isnan(negative), ~np.isnan(positive)
    above = np.full(len(positive), np.nan)
    below = np.full(len(negative), np.nan)
    above[kept[1]] = wins[kept[1]][:, kept[0]].mean(1)
    below[kept[0]] = wins[kept[1]][:, kept[0]].mean(0)
    return above, below


def _variance(placements: list[Values]) -> float:
    """Variance of the readers' mean placement over the cases of one kind."""
    values = np.stack(placements)
    n = values.shape[1]
    if n < 2:
        return math.nan
    answered = np.count_nonzero(~np.isnan(values), axis=1)[:, None]
    centred = np.nan_to_num((values - np.nanmean(values, axis=1)[:, None]) * n / answered)
    return float(np.sum(centred.mean(0) ** 2) / (n - 1) / n)


def auc_p(
    signed: Values, truth: NDArray[np.bool_], *, n_resamples: int = 10_000, seed: int
) -> float:
    """Two-sided permutation p of :func:`auc` against 1/2; the observed order counts as one.

    Args:
        signed: (R, N) answers; NaN where there is none.
        truth: (N,) True for inserted.
        n_resamples: orders drawn.
        seed: of the orders.
    """
    seen = ~np.isnan(signed).all(0)
    signed, truth = signed[:, seen], truth[seen]
    observed = _rank_auc(signed, truth[None])[0]
    if math.isnan(observed):
        return math.nan
    rng = np.random.default_rng(seed)
    drawn = rng.permuted(np.repeat(truth[None], n_resamples, axis=0), axis=1)
    distance = np.abs(_rank_auc(signed, drawn) - 0.5)
    extreme = np.count_nonzero(distance >= abs(observed - 0.5) - 1e-9)
    return float((1 + extreme) / (1 + n_resamples))


def _rank_auc(signed: Values, truths: NDArray[np.bool_]) -> Values:
    """(B,) mean AUC over readers for (B, N) truths, from the ranks of the answers."""
    total, count = np.zeros(len(truths)), np.zeros(len(truths))
    for row in signed:
        answered = ~np.isnan(row)
        truth = truths[:, answered].astype(float)
        positive = truth.sum(1)
        pairs = positive * (answered.sum() - positive)
        wins = truth @ stats.rankdata(row[answered]) - positive * (positive + 1) / 2
        total += np.divide(wins, pairs, out=np.zeros_like(wins), where=pairs > 0)
        count += pairs > 0
    return np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)


def _pair_row(first: Reading, second: Reading, settings: ScoreSettings) -> dict[str, Any]:
    shared = ~np.isnan(first.signed) & ~np.isnan(second.signed)
    a, b = first.signed[shared] > 0, second.signed[shared] > 0
    n, same = int(shared.sum()), int(np.count_nonzero(a == b))
    cells = np.bincount(2 * a + b, minlength=4).astype(float)
    row = {
        "kind": "pair",
        "reader": f"{first.reader} & {second.reader}",
        "generator": ALL,
        "n": n,
        "n_unanswered": len(shared) - n,
        "interval": f"{BINOMIAL}; kappa: {RESAMPLED}",
    }
    row |= _columns(
        "agreement", same / n if n else math.nan, clopper_pearson(same, n, settings.level)
    )
    return row | _columns("kappa", float(kappa(cells[None])[0]), _kappa_interval(cells, settings))


def kappa(cells: Values) -> Values:
    """(B,) Cohen's kappa of (B, 4) counts: neither, second, first, both; NaN by chance alone.

    References:
        Cohen J, Educ Psychol Meas 20:37-46, 1960.
    """
    n = cells.sum(1)
    neither, second, first, both = (
        np.divide(c, n, out=np.full_like(n, np.nan), where=n > 0) for c in cells.T
    )
    chance = (both + first) * (both + second) + (neither + first) * (neither + second)
    observed = neither + both
    room = 1 - chance
    unknown = np.full_like(n, np.nan)
    return np.asarray(np.divide(observed - chance, room, out=unknown, where=room > 1e-12))


def _kappa_interval(cells: Values, settings: ScoreSettings) -> Interval:
    n = int(cells.sum())
    if n < 2 or np.count_nonzero(cells) < 2:
        return Interval()
    rng = np.random.default_rng(settings.seed)
    drawn = kappa(rng.multinomial(n, cells / n, settings.n_resamples).astype(float))
    tail = (1 - settings.level) / 2
    low, high = np.nanquantile(drawn, [tail, 1 - tail])
    return Interval(float(low), float(high))
