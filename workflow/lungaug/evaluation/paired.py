"""Intervals and tests of paired differences: each interval is the inverse of its test.

An interval of a level and its test agree by construction: the interval leaves out 0 exactly where p
is at most 1 - level.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.evaluation.statistics import (
    ANY,
    Bounds,
    Interval,
    Values,
    extremes,
    mean_variance,
    merged_sizes,
    ordered,
    random_weights,
    student_t_p,
    student_t_quantile,
    weighted_mean,
)

EXACT_LIMIT = 16
Test = Literal["sign_flip", "bounded"]
PATIENTS, TRAININGS = "patients", "patients and trainings"


@dataclass(frozen=True)
class Inference:
    """A test of a difference, and the interval of the values that it does not reject.

    Attributes:
        p: two-sided; NaN without a test.
        interval: NaN where no finite one has the level, or the values have no spread.
    """

    p: float = math.nan
    interval: Interval = Interval()


def sign_flip_test(
    differences: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    seed: int,
    n_resamples: int = 10_000,
    level: float = 0.95,
) -> Inference:
    """Test a mean paired difference by flipping the signs of patients.

    This is a test of symmetry: where the arms do not differ, a patient's difference is as often
    above 0 as below by as much. A mean of 0 does not say that, and with many small gains and rare
    large losses the test rejects far too often (``benchmarks/type_one.py``; :func:`bounded_test`
    does not). Dividing by the standard error changes nothing: the sum of squares is that of every
    sign pattern, so both order the patterns alike.

    Exact up to 16 patients, all 2^n patterns; else a seeded sample, where the observed pattern
    counts as one (Phipson and Smyth 2010). Five patients cannot go below p = 0.0625 and have no
    interval of 95 %.

    A hypothesis t is as extreme as the data under a pattern where the mean of the flipped patients
    or that of the others is beyond t: the interval is read off the sorted means of all subsets.

    Args:
        differences: (N,) one difference a patient, none of them NaN.
        weights: (N,) weight of each patient; 1 each if not given.
        seed: of the sampled patterns.
        n_resamples: number of sampled patterns.
        level: of the interval.

    References:
        Hartigan JA, Using subsample values as typical values, J Am Stat Assoc 64:1303, 1969.
    """
    value, weight, _ = ordered(differences, [""] * np.size(differences), weights)
    if value.size == 0:
        return Inference()
    if value.size <= EXACT_LIMIT:
        sums, masses = _subset_sums(weight * value), _subset_sums(weight)
    else:
        chosen = _subsets(len(value), n_resamples, seed)
        sums, masses = chosen @ (weight * value), chosen @ weight
    rest = weight.sum() - masses
    means = _divided(sums, masses), _divided(float(weight @ value) - sums, rest)
    proper = (masses > 0) & (rest > 0)
    lows = np.where(proper, np.minimum(*means), -math.inf)
    highs = np.where(proper, np.maximum(*means), math.inf)
    return _inverted(value, weighted_mean(value, weight), lows, highs, 1, level)


def bounded_test(
    differences: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    bounds: Bounds = ANY,
    seed: int,
    n_resamples: int = 10_000,
    level: float = 0.95,
) -> Inference:
    """Test a mean paired difference of bounded scores, whatever the law of the differences.

    Patients get random weights, and a further one lies at the bound that the alternative leads
    away from (Gaffke's bound): a rare large loss that few patients cannot show is taken into
    account. Few patients then prove large differences only: with a Dice of 0 to 1, eight patients
    about 0.4, sixty 0.06.

    Args:
        differences, weights, seed, n_resamples, level: as in :func:`sign_flip_test`.
        bounds: of a difference; without two, one range of the values beyond them.

    References:
        Gaffke N, Math Methods Stat 14:451, 2005.
    """
    value, weight, _ = ordered(differences, [""] * np.size(differences), weights)
    if value.size == 0:
        return Inference()
    drawn = random_weights(len(value) + 1, n_resamples, seed)
    extra = drawn[:, -1] * float(weight @ weight / weight.sum())
    total = drawn[:, :-1] @ weight + extra
    own = drawn[:, :-1] @ (weight * value)
    lows, highs = ((own + extra * end) / total for end in extremes(value, bounds))
    return _inverted(value, weighted_mean(value, weight), lows, highs, 2, level)


def trainings_test(
    differences: ArrayLike,
    strata: ArrayLike,
    weights: ArrayLike | None,
    estimates: tuple[Sequence[float], Sequence[float]],
    *,
    level: float = 0.95,
) -> Inference:
    """Test a mean paired difference against patients and trainings, both taken as drawn.

    The variance is that of the patients, within their classes, and that of each arm's mean over
    its seeds. Seeds of different arms are taken as independent.

    Args:
        differences: (N,) one difference a patient, means over seeds.
        strata: (N,) class of each patient.
        weights: (N,) weight of each patient; 1 each if not given.
        estimates: of either arm, the score by seed.
        level: of the interval.

    Returns:
        No test where an arm has one seed, or neither patients nor trainings differ.

    References:
        Satterthwaite FE, Biometrics Bull 2:110, 1946.
    """
    if min(map(len, estimates)) < 2:
        return Inference()
    value, weight, stratum = ordered(differences, strata, weights)
    parts = [mean_variance(value, weight, merged_sizes(stratum))]
    parts += [(float(np.var(arm, ddof=1)) / len(arm), len(arm) - 1.0) for arm in estimates]
    variance = sum(part for part, _ in parts)
    if not variance > 0:
        return Inference()
    inverse = sum((part / variance) ** 2 / degrees for part, degrees in parts if part > 0)
    degrees = max(1, math.floor(1 / inverse + 1e-9))
    mean, error = weighted_mean(value, weight), math.sqrt(variance)
    reach = student_t_quantile((1 + level) / 2, degrees) * error
    return Inference(student_t_p(mean / error, degrees), Interval(mean - reach, mean + reach))


def joined(first: Inference, second: Inference) -> Inference:
    """Reject only what both tests reject: the larger p, the interval over both.

    Without one of the intervals there is none; without the second test, the first is all there is.
    """
    if math.isnan(second.p):
        return first
    a, b = first.interval, second.interval
    known = not math.isnan(a.low + b.low)
    interval = Interval(min(a.low, b.low), max(a.high, b.high)) if known else Interval()
    return Inference(max(first.p, second.p), interval)


def least_patients(level: float) -> int:
    """Return the fewest patients whose sign flips can reject at 1 - level: 6 at 95 %."""
    return math.ceil(math.log2(2 / (1 - level)) - 1e-9)


def _inverted(
    value: Values, mean: float, lows: Values, highs: Values, sides: int, level: float
) -> Inference:
    """Test and interval from what each of R resamples has for its limits.

    Args:
        value: (N,) differences.
        mean: of them.
        lows, highs: (R,) the hypotheses below and above the mean that a resample is as extreme as.
        sides: 1 where a resample counts for both tails, 2 where it counts for one.
        level: of the interval.
    """
    nothing = 1e-9 * float(np.abs(value).max())  # equal means are rounded differently
    lows, highs = (np.where(np.abs(x) <= nothing, 0.0, x) for x in (lows, highs))
    beyond = np.count_nonzero(lows <= 0) if mean > 0 else np.count_nonzero(highs >= 0)
    p = 1.0 if abs(mean) <= nothing else min(1.0, sides * (1 + int(beyond)) / (1 + len(lows)))
    place = math.floor((1 - level) * (1 + len(lows)) / sides + 1e-9)
    if place < 1 or np.ptp(value) <= nothing:
        return Inference(p)
    low, high = np.partition(lows, place - 1)[place - 1], np.partition(highs, -place)[-place]
    finite = math.isfinite(low) and math.isfinite(high)
    return Inference(p, Interval(float(low), float(high)) if finite else Interval())


def _divided(sums: Values, masses: Values) -> Values:
    return np.divide(sums, masses, out=np.zeros_like(sums), where=masses > 0)


def _subset_sums(values: Values) -> Values:
    """(2^(N-1) - 1,) sums over the subsets without the first value, but for the empty one."""
    sums = np.zeros(1)
    for value in values[1:]:
        sums = np.concatenate([sums, sums + value])
    return sums[1:]


@functools.lru_cache(maxsize=4)
def _subsets(n: int, n_resamples: int, seed: int) -> NDArray[np.float64]:
    """(n_resamples, n) zeros and ones: drawn subsets."""
    return np.random.default_rng(seed).integers(0, 2, (n_resamples, n)).astype(np.float64)
