"""HU standardisation: the values of one real nodule, in the order that the patch gives them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quantiles(donor_hu: NDArray[np.int16], n: int) -> NDArray[np.int16]:
    """``n`` quantiles of a nodule's HU, whole numbers, ascending.

    They lie at (i + 1/2) / n, and the values of the donor at (j + 1/2) / m: as many quantiles as
    values are the values themselves.

    Args:
        donor_hu: (m,), HU of a real nodule, ascending; at least one.
        n: how many.
    """
    m = len(donor_hu)
    values = np.interp((np.arange(n) + 0.5) / n, (np.arange(m) + 0.5) / m, donor_hu)
    return np.asarray(np.rint(values), np.int16)


def standardised(
    values: NDArray[np.floating], donor_hu: NDArray[np.int16] | None
) -> NDArray[np.int16]:
    """Replace sorted values by the quantiles of a donor's; equal values keep their order.

    A class's pooled quantiles would make every nodule the same mixture; those of one nodule keep
    what makes nodules differ.

    Args:
        values: (n,), HU of the patch, in reading order.
        donor_hu: (m,), of a real nodule, ascending; None leaves the values, rounded.
    """
    if donor_hu is None:
        return np.asarray(np.rint(values), np.int16)
    result = np.empty(len(values), np.int16)
    result[np.argsort(values, kind="stable")] = quantiles(donor_hu, len(values))
    return result
