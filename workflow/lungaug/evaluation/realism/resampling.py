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

from lungaug.evaluation.statistics import MINIMUM_PATIENTS, Interval

Values = NDArray[np.float64]


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


def interval_of(resamples: Values, level: float, n_patients: int) -> Interval:
    """Percentile interval of a distance over resampled patients; NaN below five of them.

    It shows how far two draws of such patients differ. It is no confidence interval of the
    distance between populations: a distance is never negative, and resampling adds to it, so that
    the interval lies above the estimate where that is small. What it serves for is a yardstick: a
    value below its upper end is one that real patients give as well.

    Args:
        resamples: (R,) distances of the resamples; NaN where one has none.
        level: nominal coverage.
        n_patients: of the smaller side.
    """
    usable = resamples[np.isfinite(resamples)]
    if n_patients < MINIMUM_PATIENTS or len(usable) < max(2, len(resamples) // 2):
        return Interval()
    low, high = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
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
        its interval, NaN where that of the real distance reaches 0. Resampling adds more, in
        proportion, to the smaller distance, so that ratios of resamples lie too low; the interval
        has their spread around the estimate (their median brought to it by a factor).
    """
    if not real[0] > 0:
        return math.nan, Interval()
    ratio = float(values[0] / real[0])
    if not real_interval.low > 0:
        return ratio, Interval()
    positive = real[1:] > 0
    resamples = np.divide(values[1:], real[1:], out=np.full(len(real) - 1, np.nan), where=positive)
    usable = resamples[np.isfinite(resamples)]
    centre = float(np.median(usable)) if len(usable) else math.nan
    if not (centre > 0 and ratio > 0):
        return ratio, Interval()
    return ratio, interval_of(resamples * (ratio / centre), level, n_patients)
