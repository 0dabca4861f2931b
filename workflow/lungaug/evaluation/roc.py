"""Receiver operating characteristic of slices, where patients weigh equally.

The slices of a patient that are positive weigh 1 together, and so do those that are not: a patient
with many slices says no more than another, as in the pooled scores of segmenters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.errors import InputError

Values = NDArray[np.float64]

_ROUNDING = 1e-9  # of sums of weights


class Roc(NamedTuple):
    """A curve from nothing to everything, (K,) each.

    Slices of equal probability come at once, so that ties make slanted pieces.
    """

    thresholds: Values  # descending, the first infinite; a slice is in from the threshold on
    false_positive_rate: Values
    sensitivity: Values


class Wins(NamedTuple):
    """Pairs of a positive and another slice that are ranked right, ties counting half; (P,) each.

    Of P patients, in units of pairs of patients.
    """

    of_positive: Values  # won by a patient's positive slices
    of_negative: Values  # won by its others
    has_positive: Values  # 1 or 0
    has_negative: Values

    @property
    def pairs(self) -> float:
        """Pairs of patients, a patient with himself included."""
        return float(self.has_positive.sum() * self.has_negative.sum())


class Ranking:
    """Slices of one classifier, ordered by their probability.

    Args:
        probability: (N,).
        present: (N,) whether a slice is positive.
        owners: (N,) its patient, from 0.
        n_patients: P; patients may be without slices.
    """

    def __init__(
        self, probability: ArrayLike, present: ArrayLike, owners: ArrayLike, n_patients: int
    ) -> None:
        score = np.asarray(probability, np.float64)
        order = np.argsort(-score, kind="stable")
        self._score, self._owner = score[order], np.asarray(owners, np.intp)[order]
        self._n = n_patients
        positive = np.asarray(present, bool)[order]
        self._positive = self._weights(positive)
        self._negative = self._weights(~positive)
        last = np.append(np.diff(self._score) != 0, True)
        self._ends = np.flatnonzero(last[: len(score)])
        self._run = np.searchsorted(self._ends, np.arange(len(score)))

    def roc(self) -> Roc:
        """The curve; NaN where all slices are of one kind."""
        true, false = self._sums(self._positive), self._sums(self._negative)
        with np.errstate(invalid="ignore"):
            rates = false / false[-1], true / true[-1]
        return Roc(np.append(math.inf, self._score[self._ends]), *rates)

    def wins(self) -> Wins:
        """What the area under the curve is made of, patient by patient."""
        true, false = self._sums(self._positive), self._sums(self._negative)
        above = (true[:-1] + true[1:])[self._run] / 2
        below = false[-1] - (false[:-1] + false[1:])[self._run] / 2
        return Wins(
            self._by_patient(self._positive * below),
            self._by_patient(self._negative * above),
            self._by_patient(self._positive),
            self._by_patient(self._negative),
        )

    def sensitivity_at(self, rates: Values, counts: Values) -> tuple[Values, float]:
        """Sensitivity at false-positive rates, where patients are there more or less than once.

        Args:
            rates: (G,).
            counts: (P,) how often each patient is there.

        Returns:
            (G,), and the pairs of patients that it rests on; zeros where there is no pair.
        """
        times = counts[self._owner]
        true, false = self._sums(self._positive * times), self._sums(self._negative * times)
        pairs = float(true[-1] * false[-1])
        if pairs == 0:
            return np.zeros(len(rates)), 0.0
        return _sensitivity(rates, false / false[-1], true / true[-1]), pairs

    def _weights(self, chosen: NDArray[np.bool_]) -> Values:
        """(N,) weights of the chosen slices; those of a patient sum to 1."""
        sizes = np.bincount(self._owner[chosen], minlength=self._n)
        return np.where(chosen, 1 / np.maximum(sizes, 1)[self._owner], 0.0)

    def _sums(self, weights: Values) -> Values:
        """(K,) weight of the slices from each threshold on."""
        return np.append(0.0, np.cumsum(weights)[self._ends])

    def _by_patient(self, values: Values) -> Values:
        return np.asarray(np.bincount(self._owner, values, self._n), np.float64)


def ranking(probability: ArrayLike, present: ArrayLike, patients: ArrayLike) -> Ranking:
    """The ranking of slices whose patients are given by name, (N,) each."""
    names, owners = np.unique(np.asarray(patients, np.str_), return_inverse=True)
    return Ranking(probability, present, owners, len(names))


def auc(probability: ArrayLike, present: ArrayLike, patients: ArrayLike) -> float:
    """Chance that a positive slice of one patient is ranked above another slice of any patient.

    Args:
        probability: (N,).
        present: (N,) whether a slice is positive.
        patients: (N,) names.

    Returns:
        The area under the curve, ties counting half; NaN where all slices are of one kind.

    References:
        Hanley JA, McNeil BJ, Radiology 143:29, 1982: the area is Mann and Whitney's statistic.
    """
    return area([ranking(probability, present, patients).wins()])[0]


def area(trainings: Sequence[Wins]) -> tuple[float, Values]:
    """AUC of several trainings together, slices being compared within a training only.

    Args:
        trainings: wins of the same P patients; those that a training did not test have none.

    Returns:
        The AUC, NaN without a pair; and (P,) values whose mean it is, one a patient, by the
        influence of each: their spread over patients is that of the AUC.

    References:
        DeLong ER, DeLong DM, Clarke-Pearson DL, Biometrics 44:837, 1988, equation 4 (components of
        the area); Obuchowski NA, Biometrics 53:567, 1997 (summed within patients).
    """
    pairs = sum(wins.pairs for wins in trainings)
    if pairs == 0:
        return math.nan, np.full(len(trainings[0].of_positive), math.nan)
    found = float(sum(wins.of_positive.sum() for wins in trainings)) / pairs
    influence = sum(
        wins.of_positive
        + wins.of_negative
        - found * wins.has_positive * wins.has_negative.sum()
        - found * wins.has_negative * wins.has_positive.sum()
        for wins in trainings
    )
    return found, np.asarray(found + influence * len(influence) / pairs)


def operating_threshold(
    probability: ArrayLike, present: ArrayLike, patients: ArrayLike, *, sensitivity: float
) -> float:
    """The largest threshold with at least this sensitivity; to be chosen on validation slices.

    Args:
        probability: (N,).
        present: (N,) whether a slice is positive.
        patients: (N,) names.
        sensitivity: above 0, at most 1.

    Returns:
        The threshold; a slice is in from it on.

    Raises:
        InputError: no slice is positive.
    """
    if not np.any(present):
        raise InputError("no validation slice has a nodule; accepted: at least one")
    curve = ranking(probability, present, patients).roc()
    return float(curve.thresholds[np.argmax(curve.sensitivity >= sensitivity - _ROUNDING)])


def _sensitivity(rates: Values, false: Values, true: Values) -> Values:
    """The curve at false-positive rates, its highest point where it rises straight up."""
    after = np.searchsorted(false, rates, side="right").clip(max=len(false) - 1)
    before = np.maximum(after - 1, 0)
    step = false[after] - false[before]
    share = np.divide(rates - false[before], step, out=np.ones(len(rates)), where=step > 0)
    return np.asarray(true[before] + share * (true[after] - true[before]))
