"""Whether a probability means what it says: reliability of the pixels' probabilities, in bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.evaluation.counts import STORED


@dataclass(frozen=True)
class Reliability:
    """Pixels in equal bins of probability; the last bin holds 1 too. Sums over slices are exact.

    Attributes:
        n_px: (B,) pixels of the bin.
        probability_sum: (B,) sum of their probabilities.
        nodule_px: (B,) how many of them are nodule.
    """

    n_px: NDArray[np.int64]
    probability_sum: NDArray[np.float64]
    nodule_px: NDArray[np.int64]

    @classmethod
    def of(cls, stored: NDArray[np.int64], nodule: NDArray[np.int64], n_bins: int) -> Self:
        """Of one slice.

        Args:
            stored: :func:`lungaug.evaluation.counts.stored_counts` of its probabilities.
            nodule: the same of its nodule pixels.
            n_bins: of equal width.
        """
        values = STORED.astype(np.float64)
        bins = np.minimum((values * n_bins).astype(np.intp), n_bins - 1)
        sums = np.bincount(bins, stored * values, n_bins).astype(np.float64)
        return cls(_binned(stored, bins, n_bins), sums, _binned(nodule, bins, n_bins))

    def __add__(self, other: Reliability) -> Reliability:
        return Reliability(
            self.n_px + other.n_px,
            self.probability_sum + other.probability_sum,
            self.nodule_px + other.nodule_px,
        )


def _binned(counts: NDArray[np.int64], bins: NDArray[np.intp], n_bins: int) -> NDArray[np.int64]:
    # Whole numbers below 2^53: the weights of bincount are exact.
    return np.bincount(bins, counts, n_bins).astype(np.int64)


def expected_calibration_error(
    n_px: ArrayLike, probability_sum: ArrayLike, nodule_px: ArrayLike
) -> float:
    """Mean distance of probability and share of nodule over the bins, weighted by their pixels.

    Over whole slices nearly all pixels are background in the lowest bin, so that the error is small
    whatever the network does at nodules: leave that bin out, or show the bins beside it.

    Args:
        n_px, probability_sum, nodule_px: (B,), the columns of ``calibration.tsv``, summed by bin.

    Returns:
        Between 0 and 1; NaN without pixels.

    References:
        Guo C et al., On calibration of modern neural networks, ICML 2017, equation 3.
    """
    n, p, k = (np.asarray(v, np.float64) for v in (n_px, probability_sum, nodule_px))
    total = float(n.sum())
    return float(np.abs(p - k).sum()) / total if total > 0 else float("nan")
