"""Resampled patients for scores that are no means of patients, such as average precision."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lungaug.errors import InputError
from lungaug.evaluation.scores import Resampling
from lungaug.evaluation.statistics import (
    Interval,
    merged_sizes,
    resample_counts,
    student_t_quantile,
)


@dataclass(frozen=True)
class Draws:
    """How often each patient is drawn in each resample, within the Lung-RADS classes.

    Attributes:
        patients: (P,) names, by class and name.
        strata: (P,) their classes.
        counts: (R, P) how often each is drawn.
        resampling: that made them.
    """

    patients: pd.Index
    strata: NDArray[np.str_]
    counts: NDArray[np.float64]
    resampling: Resampling

    def columns(self, patients: ArrayLike) -> NDArray[np.intp]:
        """Where patients stand.

        Raises:
            InputError: one of them is not among those that are resampled.
        """
        names = np.asarray(patients, object)
        found = self.patients.get_indexer(pd.Index(names))
        if (found < 0).any():
            raise InputError(f"patient {names[found < 0][0]} has no row in the metrics of the run")
        return np.asarray(found, np.intp)

    def total(self, patients: ArrayLike, values: ArrayLike = 1.0) -> NDArray[np.float64]:
        """(P,) sum of the values of each patient; without values, the number of rows."""
        columns = self.columns(patients)
        weights = np.broadcast_to(np.asarray(values, np.float64), columns.shape)
        return np.bincount(columns, weights, len(self.patients)).astype(np.float64)

    def interval(self, estimates: NDArray[np.float64], speaking: NDArray[np.bool_]) -> Interval:
        """Expanded percentile interval of a score.

        The percentiles are moved outwards by as much as the normal interval of a mean of as many
        patients in as many classes is too short: resampling divides by n where the variance needs
        n - 1, and takes normal quantiles for Student's. One variance stands for all classes, since
        the score is no mean that could be split.

        Args:
            estimates: (R,) the score in each resample; NaN where it is undefined.
            speaking: (P,) the patients that the score is about.

        Returns:
            NaN for too few patients, and where all resamples agree.

        References:
            Hesterberg TC, What teachers should know about the bootstrap, Am Stat 69:371-386, 2015,
            section 3.4.
        """
        n, n_strata = int(speaking.sum()), len(merged_sizes(self.strata[speaking]))
        defined = estimates[~np.isnan(estimates)]
        if n < max(self.resampling.minimum, 2) or len(defined) == 0 or np.ptp(defined) < 1e-12:
            return Interval()
        degrees = n - n_strata
        quantile = student_t_quantile((1 + self.resampling.level) / 2, degrees)
        tail = NormalDist().cdf(-math.sqrt(n / degrees) * quantile)
        low, high = np.quantile(defined, [tail, 1 - tail])
        return Interval(float(low), float(high))


def patient_draws(patients: Iterable[str], classes: pd.Series, resampling: Resampling) -> Draws:
    """Resample patients within their classes; a class of one or two is drawn with its neighbour.

    Args:
        patients: of the test sets, each once.
        classes: Lung-RADS class by patient.
        resampling: seed and number.

    Raises:
        InputError: a patient has no class row.
    """
    found = sorted(patients)
    unknown = [name for name in found if name not in classes.index]
    if unknown:
        raise InputError(f"patient {unknown[0]} has metrics but is not in the split")
    names = sorted(found, key=lambda name: (str(classes[name]), name))
    strata = np.array([str(classes[name]) for name in names], np.str_)
    counts = resample_counts(merged_sizes(strata), resampling.n_resamples, resampling.seed)
    return Draws(pd.Index(names), strata, counts, resampling)
