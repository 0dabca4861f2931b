"""Sets of nodules whose patients are resampled: what every distance is computed on.

Row 0 of the weights is the set as it is, the others are bootstrap resamples of its patients; a
distance computed row by row is the estimate and its resamples at once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.statistics import (
    MINIMUM_PATIENTS,
    NOT_NEGATIVE,
    Bounds,
    Interval,
    Values,
)


@dataclass(frozen=True)
class Sample:
    """Values of a set of nodules.

    Attributes:
        values: (N,) or (N, D).
        owner: (N,) which patient each belongs to, from 0.
        weights: (R, P) how often each patient counts; row 0 is all ones.
    """

    values: Values
    owner: NDArray[np.intp]
    weights: Values

    @property
    def n_patients(self) -> int:
        return int(self.weights.shape[1])


@dataclass(frozen=True)
class Group:
    """Patients of a set of nodules, and how they are resampled.

    Attributes:
        owner: (N,) which patient each nodule belongs to, from 0.
        weights: (R, P), row 0 is all ones.
    """

    owner: NDArray[np.intp]
    weights: Values

    @classmethod
    def of(cls, owners: Sequence[str], n_resamples: int, *, rng: np.random.Generator) -> Self:
        """Patients drawn with replacement, as many as there are.

        Args:
            owners: (N,) name of each nodule's patient.
            n_resamples: rows besides the first.
            rng: draws them.
        """
        names, owner = np.unique(np.asarray(owners, np.str_), return_inverse=True)
        n = len(names)
        weights = np.ones((n_resamples + 1, n))
        if n:
            weights[1:] = rng.multinomial(n, np.full(n, 1 / n), n_resamples)
        return cls(owner, weights)

    @property
    def n_patients(self) -> int:
        return int(self.weights.shape[1])

    def sample(self, values: Any) -> Sample:
        """One value, or one vector, a nodule."""
        return Sample(np.asarray(values, np.float64), self.owner, self.weights)

    def pooled(self, parts: Sequence[NDArray[Any]]) -> Sample:
        """Many values a nodule: all of them side by side."""
        lengths = [len(part) for part in parts]
        values = np.concatenate([np.empty(0), *parts])
        return Sample(values, np.repeat(self.owner, lengths), self.weights)

    def take(self, chosen: NDArray[np.bool_]) -> Self:
        """Some of the nodules; patients without one stay away from every sum."""
        kept, owner = np.unique(self.owner[chosen], return_inverse=True)
        return type(self)(owner, self.weights[:, kept])


def dealt_again(
    first: Sample, second: Sample, *, rng: np.random.Generator
) -> tuple[Sample, Sample]:
    """All patients of two sets, dealt out at random, as many to each side as it has.

    Nobody is drawn twice, so that distances between the sides are those of sets of this size with
    nothing added: what is to be expected where the sets differ by chance alone.

    Args:
        first, second: sets of different patients, of R rows of weights.
        rng: deals.

    Returns:
        Both sides with R - 1 rows of weights, each another deal.
    """
    n, m = first.n_patients, second.n_patients
    dealt = np.tile(np.repeat([1.0, 0.0], [n, m]), (len(first.weights) - 1, 1))
    weights = rng.permuted(dealt, axis=1)
    values = np.concatenate([first.values, second.values])
    owner = np.concatenate([first.owner, second.owner + n])
    return Sample(values, owner, weights), Sample(values, owner, 1 - weights)


def spread_of_patients(sample: Sample) -> float:
    """Return the SD between the patients' means of values (N,); every patient has a value."""
    sums = np.bincount(sample.owner, sample.values)
    return float(np.std(sums / np.bincount(sample.owner), ddof=1))


def percentiles_of(values: Values, level: float) -> Interval:
    """The middle ``level`` of (R,) values; NaN where fewer than half of them are finite."""
    usable = values[np.isfinite(values)]
    if len(usable) < max(2, len(values) // 2):
        return Interval()
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))


def interval_of(
    values: Values, level: float, n_patients: int, bounds: Bounds = NOT_NEGATIVE
) -> Interval:
    """Percentile interval over resampled patients less the bootstrap's bias; NaN below five.

    Resampling adds to a distance: a set that lacks some patients and has others twice is farther
    from any other. What it adds is estimated by the mean of the resamples minus the estimate, and
    both percentiles are moved down by it. The interval then covers the expected distance of sets
    of so many patients, which is above 0 where their populations are the same; it does not cover
    the distance of the populations (``benchmarks/realism_power.py`` has both). The width is that
    of the resamples, and remains too short for few patients.

    Args:
        values: (R + 1,) the distance, and those of its resamples.
        level: nominal coverage.
        n_patients: of the smaller side.
        bounds: what the distance cannot be below or above; the interval ends there.

    References:
        Efron B, Tibshirani RJ, An introduction to the bootstrap, 1993, chapter 10 (bias, and its
        correction by subtraction).
    """
    estimate, resamples = float(values[0]), values[1:]
    spread = percentiles_of(resamples, level)
    if n_patients < MINIMUM_PATIENTS or math.isnan(estimate) or math.isnan(spread.low):
        return Interval()
    bias = float(np.mean(resamples[np.isfinite(resamples)])) - estimate
    low, high = np.clip([spread.low - bias, spread.high - bias], *bounds)
    return Interval(float(low), float(high))


def ratio_of(
    values: Values, real: Values, real_interval: Interval, level: float, n_patients: int
) -> tuple[float, Interval]:
    """A distance divided by the real-to-real one, resample by resample.

    Args:
        values: (R,) distances of the generated nodules, the estimate first.
        real: (R,) distances between real patients, the estimate first, of the same resamples.
        real_interval: of the latter.
        level: nominal coverage.
        n_patients: of the smallest of the three sets.

    Returns:
        The ratio, NaN where the real distance is not above 0 (an unbiased one may be below); and
        its interval by :func:`interval_of`, NaN where that of the real distance reaches 0, since a
        ratio to what may be nothing has no upper end.
    """
    if not real[0] > 0:
        return math.nan, Interval()
    ratio = float(values[0] / real[0])
    if not real_interval.low > 0:
        return ratio, Interval()
    ratios = np.divide(values, real, out=np.full(len(real), np.nan), where=real > 0)
    return ratio, interval_of(ratios, level, n_patients)
