"""Intervals and tests on patients: few of them, in classes, and never flattered.

Whoever calls this has averaged the slices and the seeds of a patient: one value a patient.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

MINIMUM_PATIENTS = 5
SMALLEST_CLASS = 3  # patients whose spread is resampled on its own

Values = NDArray[np.float64]
Bounds = tuple[float, float]

SHARE: Bounds = (0.0, 1.0)
NOT_NEGATIVE: Bounds = (0.0, math.inf)
ANY: Bounds = (-math.inf, math.inf)


@dataclass(frozen=True)
class Interval:
    """An interval of an estimate; NaN where none can be given."""

    low: float = math.nan
    high: float = math.nan


def weighted_mean(values: ArrayLike, weights: ArrayLike) -> float:
    """Mean of (N,) values by (N,) weights; NaN without values."""
    weight = np.asarray(weights, np.float64)
    total = float(weight.sum())
    return float(np.asarray(values, np.float64) @ weight) / total if total > 0 else math.nan


def mean_interval(
    values: ArrayLike,
    strata: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bounds: Bounds = ANY,
    seed: int,
    n_resamples: int = 10_000,
    level: float = 0.95,
    minimum: int = MINIMUM_PATIENTS,
) -> Interval:
    """Return an interval of a weighted mean of patients, with half a patient more at the bound.

    Resampling few patients cannot show what they lack: of eight patients, none has the zero that
    one in ten has. Here patients get random weights (Dirichlet, the Bayesian bootstrap) within
    their classes, and one further observation of half a patient's weight, the greatest one, lies
    at the bound: at the lower one for the lower end, at the upper one for the upper end. For zeros
    and ones this is close to Jeffreys' interval; with a whole patient it would be Gaffke's, which
    is wider. Where a bound is missing, the observation lies one range of the values beyond them.

    Classes of fewer than three patients are merged with a neighbour, since the spread of two is
    all but unknown. Deviations from the class mean are widened by sqrt((n + 1) / (n - 1)), n the
    effective number of its patients, so that the variance of the drawn mean is the unbiased one.

    Args:
        values: (N,) one value a patient, none of them NaN.
        strata: (N,) class of each patient.
        weights: (N,) weight of each patient; 1 each if not given.
        bounds: what a value cannot be below or above.
        seed: of the draws; the same for every arm, so that differences are not those of luck.
        n_resamples: number of draws.
        level: nominal coverage.
        minimum: fewer patients get no interval.

    Returns:
        The interval; NaN below ``minimum`` patients, and where no class has any spread, since
        nothing is known of it then.

    References:
        Gaffke N, Three test statistics for a nonparametric one-sided hypothesis on the mean of a
        nonnegative variable, Math Methods Stat 14:451, 2005. Learned-Miller E, Thomas PS, A new
        confidence interval for the mean of a bounded random variable, arXiv:1905.06208, 2019.
        Rubin DB, The Bayesian bootstrap, Ann Stat 9:130, 1981. Simulated coverage:
        ``benchmarks/coverage.py``.
    """
    value, weight, stratum = ordered(values, strata, weights)
    if len(value) < max(minimum, 2):
        return Interval()
    means = _drawn_means(value, weight, merged_sizes(stratum), n_resamples, seed)
    if means is None:
        return Interval()
    # What was not seen may be a patient of the greatest weight.
    extra = _extra_shares(round(float(weight.sum() / weight.max()), 9), n_resamples, seed)
    ends = [
        float(np.quantile((1 - extra) * means + extra * end, tail))
        for end, tail in zip(
            extremes(value, bounds), ((1 - level) / 2, (1 + level) / 2), strict=True
        )
    ]
    low, high = np.clip(ends, *bounds)
    return Interval(float(low), float(high))


def effective_number(weight: Values) -> float:
    """Return how many patients of equal weight have the variance of these (Kish): above 1."""
    return float(weight.sum() ** 2 / (weight @ weight))


def extremes(values: Values, bounds: Bounds) -> Bounds:
    """Return the bounds; without two of them, one range beyond the values but within bounds."""
    if all(map(math.isfinite, bounds)):
        return bounds
    low, high = float(values.min()), float(values.max())
    return max(bounds[0], 2 * low - high), min(bounds[1], 2 * high - low)


def holm(p_values: ArrayLike) -> Values:
    """Holm's step-down correction of (N,) p values; NaN is no test and stays NaN.

    References:
        Holm S, A simple sequentially rejective multiple test procedure, Scand J Stat 6:65, 1979.
    """
    p = np.asarray(p_values, np.float64)
    corrected = np.full(p.shape, np.nan)
    tested = np.flatnonzero(~np.isnan(p))
    order = tested[np.argsort(p[tested], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    corrected[order] = np.minimum(np.maximum.accumulate(factors * p[order]), 1.0)
    return corrected


def student_t_quantile(probability: float, degrees: int) -> float:
    """Quantile of Student's t with whole degrees of freedom, without scipy's start-up time.

    Args:
        probability: above 0.5 and below 1.
        degrees: degrees of freedom, at least 1.

    References:
        Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    low, high = 0.0, math.pi / 2
    for _ in range(80):  # the distribution is monotone in the angle atan(t / sqrt(degrees))
        middle = (low + high) / 2
        if _student_t_centre(middle, degrees) < 2 * probability - 1:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(low)


def student_t_p(t: float, degrees: int) -> float:
    """Return the two-sided p of Student's t with whole degrees of freedom, at least 1."""
    return 1 - _student_t_centre(math.atan(abs(t) / math.sqrt(degrees)), degrees)


def _student_t_centre(angle: float, degrees: int) -> float:
    """P(|T| < t) for t = sqrt(degrees) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term = cosine if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(2 + odd, degrees, 2):
        term *= (k - 1) / k * cosine**2
        total += term
    return 2 / math.pi * (angle + sine * total) if odd else sine * total


def ordered(
    values: ArrayLike, strata: ArrayLike, weights: ArrayLike | None
) -> tuple[Values, Values, NDArray[np.str_]]:
    """Return values, weights and strata sorted: the order in which patients come must not matter.

    Raises:
        ValueError: their numbers differ.
    """
    value = np.asarray(values, np.float64)
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, np.float64)
    stratum = np.asarray(strata, np.str_)
    if not len(value) == len(weight) == len(stratum):
        raise ValueError(f"got {len(value)} values; accepted: as many strata and weights")
    order = np.lexsort((weight, value, stratum))
    return value[order], weight[order], stratum[order]


def merged_sizes(stratum: NDArray[np.str_]) -> tuple[int, ...]:
    """Return the patients of each stratum of a sorted list.

    One of fewer than three counts to the next, the last one to the one before.
    """
    sizes: list[int] = []
    for size in np.unique(stratum, return_counts=True)[1].tolist():
        if sizes and sizes[-1] < SMALLEST_CLASS:
            sizes[-1] += size
        else:
            sizes.append(size)
    if len(sizes) > 1 and sizes[-1] < SMALLEST_CLASS:
        sizes[-2:] = [sum(sizes[-2:])]
    return tuple(sizes)


def mean_variance(value: Values, weight: Values, sizes: tuple[int, ...]) -> tuple[float, float]:
    """Return the variance of a weighted mean of sorted patients, and its degrees of freedom.

    The variances of the strata are added; the degrees are those of Welch and Satterthwaite, NaN
    where there is no spread.

    References:
        Satterthwaite FE, An approximate distribution of estimates of variance components,
        Biometrics Bull 2:110, 1946.
    """
    residuals = weight * (value - weighted_mean(value, weight)) / weight.sum()
    total, satterthwaite = 0.0, 0.0
    for part in np.split(residuals, np.cumsum(sizes)[:-1]):
        variance = len(part) * float(part.var(ddof=1))
        total += variance
        satterthwaite += variance**2 / (len(part) - 1)
    return total, total**2 / satterthwaite if satterthwaite > 0 else math.nan


def _drawn_means(
    value: Values, weight: Values, sizes: tuple[int, ...], n_resamples: int, seed: int
) -> Values | None:
    """(n_resamples,) means with random weights within the strata; None without any spread."""
    drawn = random_weights(len(value), n_resamples, seed)
    means, spread, start = np.full(n_resamples, weighted_mean(value, weight)), 0.0, 0
    for size in sizes:
        part = slice(start, start + size)
        start += size
        own = weight[part]
        deviations = value[part] - weighted_mean(value[part], own)
        spread += float(np.sum((own * deviations) ** 2))
        share = float(own.sum() / weight.sum())
        number = effective_number(own)
        widened = math.sqrt((number + 1) / (number - 1)) * deviations
        means += share * (drawn[:, part] @ (own * widened)) / (drawn[:, part] @ own)
    nothing = 1e-18 * max(float(np.sum((weight * value) ** 2)), 1e-300)
    return means if spread > nothing else None


@functools.lru_cache(maxsize=4)
def random_weights(n: int, n_resamples: int, seed: int) -> Values:
    """(n_resamples, n) exponential weights: those of a Bayesian bootstrap, once divided by sums."""
    return np.random.default_rng(seed).exponential(size=(n_resamples, n))


@functools.lru_cache(maxsize=64)
def _extra_shares(others: float, n_resamples: int, seed: int) -> Values:
    """(n_resamples,) share of half an observation among so many others."""
    return np.random.default_rng([seed, *b"extra"]).beta(0.5, others, n_resamples)


@functools.lru_cache(maxsize=4)
def resample_counts(sizes: tuple[int, ...], n_resamples: int, seed: int) -> Values:
    """(n_resamples, N): how often each patient is drawn, as many from a class as it has."""
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in sizes]
    return np.concatenate(drawn, axis=1).astype(np.float64)
