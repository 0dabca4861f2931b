"""Intervals and tests on patients: few of them, in classes, and never flattered.

Whoever calls this has averaged the slices and the seeds of a patient: one value a patient.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

MINIMUM_PATIENTS = 5
EXACT_LIMIT = 16
_BLOCK = 2_000_000  # values drawn at once: 16 MB

Values = NDArray[np.float64]


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


def bootstrap_interval(
    values: ArrayLike,
    strata: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int,
    n_resamples: int = 10_000,
    level: float = 0.95,
    minimum: int = MINIMUM_PATIENTS,
) -> Interval:
    """Interval of a weighted mean of patients, resampled within their classes.

    The plain percentile interval of few patients is too short, since resampling divides by n where
    the variance needs n - 1, and takes normal quantiles for Student's. Here the percentiles are
    moved outwards until a normal mean would get its Student interval (the expanded percentile
    interval); with strata, the two variances are summed over them and the degrees of freedom are
    Welch and Satterthwaite's. A class with one patient has no variance of its own and is resampled
    with its neighbour.

    Args:
        values: (N,) one value a patient, none of them NaN.
        strata: (N,) class of each patient.
        weights: (N,) weight of each patient; 1 each if not given.
        seed: of the resampling; the same for every arm, so that differences are not those of luck.
        n_resamples: how many.
        level: nominal coverage.
        minimum: fewer patients get no interval.

    Returns:
        The interval; NaN below ``minimum`` patients, and where all contributions are equal, since
        resampling then knows nothing of the spread.

    References:
        Hesterberg TC, What teachers should know about the bootstrap, Am Stat 69:371-386, 2015,
        section 3.4 (expanded percentile interval). Satterthwaite FE, Biometrics Bull 2:110, 1946.
    """
    value, weight, stratum = _ordered(values, strata, weights)
    if len(value) < max(minimum, 2):
        return Interval()
    sizes = merged_sizes(stratum)
    centre = weighted_mean(value, weight)
    residuals = weight * (value - centre)
    tail = _tail(residuals, sizes, level)
    if math.isnan(tail):
        return Interval()
    means = centre + _resampled_ratio(residuals, weight, sizes, n_resamples, seed)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def sign_flip_test(differences: ArrayLike, *, seed: int, n_resamples: int = 20_000) -> float:
    """Two-sided p of a mean paired difference: signs are exchangeable if the arms do not differ.

    Exact up to 16 patients, all 2^n sign patterns; else a seeded sample of them, where the observed
    pattern counts as one (Phipson and Smyth 2010). Five patients cannot go below p = 0.0625.

    Args:
        differences: (N,) one difference a patient, none of them NaN.
        seed: of the sampled patterns.
        n_resamples: how many patterns.

    Returns:
        p; NaN without patients.
    """
    values = np.asarray(differences, np.float64)
    if values.size == 0:
        return math.nan
    # A pattern as extreme as the observed one must count although its sum is rounded differently.
    observed = abs(float(values.sum())) - 1e-9 * float(np.abs(values).sum())
    if values.size <= EXACT_LIMIT:
        return float(np.mean(np.abs(_all_signed_sums(values)) >= observed))
    extreme = sum(
        int(np.count_nonzero(np.abs(sums) >= observed))
        for sums in _signed_sums(values, n_resamples, np.random.default_rng(seed))
    )
    return (1 + extreme) / (1 + n_resamples)


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


def _ordered(
    values: ArrayLike, strata: ArrayLike, weights: ArrayLike | None
) -> tuple[Values, Values, NDArray[np.str_]]:
    """Sorted by class and value: the order in which patients come must not matter."""
    value = np.asarray(values, np.float64)
    weight = np.ones(len(value)) if weights is None else np.asarray(weights, np.float64)
    stratum = np.asarray(strata, np.str_)
    if not len(value) == len(weight) == len(stratum):
        raise ValueError(f"got {len(value)} values; accepted: as many strata and weights")
    order = np.lexsort((weight, value, stratum))
    return value[order], weight[order], stratum[order]


def merged_sizes(stratum: NDArray[np.str_]) -> tuple[int, ...]:
    """Patients in each stratum of a sorted list, single ones counted to a neighbour."""
    sizes: list[int] = []
    for size in np.unique(stratum, return_counts=True)[1].tolist():
        if sizes and (size == 1 or sizes[-1] == 1):
            sizes[-1] += size
        else:
            sizes.append(size)
    return tuple(sizes)


def _tail(residuals: Values, sizes: tuple[int, ...], level: float) -> float:
    """The share to cut off at either end of the resampled means; NaN without spread."""
    shrunk, unbiased, satterthwaite = 0.0, 0.0, 0.0
    for part in np.split(residuals, np.cumsum(sizes)[:-1]):
        variance = float(np.sum((part - part.mean()) ** 2))
        shrunk += variance
        corrected = variance * len(part) / (len(part) - 1)
        unbiased += corrected
        satterthwaite += corrected**2 / (len(part) - 1)
    if shrunk <= 1e-18 * max(float(np.sum(residuals**2)), 1e-300) or satterthwaite == 0:
        return math.nan
    degrees = max(1, math.floor(unbiased**2 / satterthwaite + 1e-9))
    quantile = student_t_quantile((1 + level) / 2, degrees)
    return NormalDist().cdf(-math.sqrt(unbiased / shrunk) * quantile)


def _resampled_ratio(
    residuals: Values, weights: Values, sizes: tuple[int, ...], n_resamples: int, seed: int
) -> Values:
    """(n_resamples,) sums of resampled residuals over sums of resampled weights."""
    counts = resample_counts(sizes, n_resamples, seed)
    if np.ptp(weights) == 0:
        return np.asarray(counts @ residuals / weights.sum())
    return np.asarray((counts @ residuals) / (counts @ weights))


@functools.lru_cache(maxsize=4)
def resample_counts(sizes: tuple[int, ...], n_resamples: int, seed: int) -> Values:
    """(n_resamples, N): how often each patient is drawn, as many from a class as it has."""
    rng = np.random.default_rng(seed)
    drawn = [rng.multinomial(n, np.full(n, 1 / n), size=n_resamples) for n in sizes]
    return np.concatenate(drawn, axis=1).astype(np.float64)


def _all_signed_sums(values: Values) -> Values:
    """(2^(N-1),) sums over the sign patterns; the mirrored half has the same absolute values."""
    sums = values[:1]
    for value in values[1:]:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def _signed_sums(values: Values, n: int, rng: np.random.Generator) -> list[Values]:
    """Sums over ``n`` drawn sign patterns, in blocks that bound the memory."""
    rows = max(1, _BLOCK // values.size)
    blocks = [min(rows, n - start) for start in range(0, n, rows)]
    return [(1 - 2 * rng.integers(0, 2, (b, values.size))) @ values for b in blocks]
