"""The threshold of a training, chosen on its validation patients and on nobody else."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.evaluation.chosen_by import FALLBACK
from lungaug.evaluation.counts import STORED, reaches

# Fixed and coarse: a handful of validation patients cannot tell neighbouring values apart.
GRID = tuple(k / 20 for k in range(1, 20))
_DECIMALS = 12  # sums of the same Dice in another order are a tie


def dice_at_grid(stored: NDArray[np.int64], nodule: NDArray[np.int64]) -> NDArray[np.float64]:
    """Dice of one slice at every threshold of ``GRID``, in the standard convention.

    All thresholds are read off two histograms, and agree to the pixel with the masks of
    :func:`lungaug.evaluation.counts.predicted_mask`.

    Args:
        stored: :func:`lungaug.evaluation.counts.stored_counts` of the slice's probabilities.
        nodule: the same of its nodule pixels, of which there are some.

    Returns:
        (len(GRID),) Dice.
    """
    return np.asarray(2 * _at_least(nodule) / (nodule.sum() + _at_least(stored)))


def choose_threshold(dice: ArrayLike, patients: ArrayLike) -> float:
    """The threshold of ``GRID`` with the highest mean Dice of patients.

    Args:
        dice: (N, len(GRID)), of validation slices with a nodule.
        patients: (N,), whose they are.

    Returns:
        The threshold; of equal ones the nearest to 0.5, then the lower one; 0.5 without slices.
    """
    values, names = np.asarray(dice, np.float64), np.asarray(patients)
    if not len(names):
        return FALLBACK
    _, owner, sizes = np.unique(names, return_inverse=True, return_counts=True)
    sums = np.zeros((len(sizes), len(GRID)))
    np.add.at(sums, owner, values)
    means = np.round((sums / sizes[:, None]).mean(axis=0), _DECIMALS)
    ranked = sorted(range(len(GRID)), key=lambda t: (-means[t], abs(t - GRID.index(FALLBACK)), t))
    return GRID[ranked[0]]


def _at_least(counts: NDArray[np.int64]) -> NDArray[Any]:
    """(len(GRID),) pixels from each threshold on, of ``stored_counts``."""
    # STORED ascends: the first that reaches a threshold is as many places on as do not reach it.
    first = np.count_nonzero(~reaches(STORED, np.asarray(GRID)[:, None]), axis=1)
    from_each_on = np.asarray(counts[::-1].cumsum()[::-1])
    return np.asarray(from_each_on[first])
