"""How alike the crops of one set are: structural similarity of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lungaug.evaluation.realism.window import HIGH_HU, LOW_HU

Values = NDArray[np.float64]

KERNEL_PX = 11
KERNEL_SD = 1.5
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
_C1, _C2 = 0.01**2, 0.03**2


def scale_weights(size: int) -> Values:
    """Published weights of as many scales as fit into a side, made to sum to 1: three at 64 px."""
    n = 1
    while n < len(SCALE_WEIGHTS) and size // 2**n >= KERNEL_PX:
        n += 1
    weights = np.array(SCALE_WEIGHTS[:n])
    return np.asarray(weights / weights.sum())


def ms_ssim(first: Values, second: Values) -> Values:
    """Multi-scale structural similarity of pairs of images: (N, S, S) each, 0 to 1, to (N,).

    Negative terms count as 0, as others have it, since they cannot be raised to a power.

    Args:
        first, second: at least 11 pixels a side.

    References:
        Wang Z, Simoncelli EP, Bovik AC, Multiscale structural similarity for image quality
        assessment, Asilomar 2003, eq. 7.
    """
    weights = scale_weights(first.shape[-1])
    result = np.ones(len(first))
    for scale, weight in enumerate(weights):
        similarity, contrast = _terms(first, second)
        last = scale == len(weights) - 1
        result *= np.maximum(similarity if last else contrast, 0) ** weight
        first, second = _halved(first), _halved(second)
    return result


def intra_set_similarity(
    hu: NDArray[np.int16], owners: Sequence[str], n_pairs: int, *, rng: np.random.Generator
) -> float:
    """Mean MS-SSIM of drawn pairs of crops (N, S, S): 1 where all are alike; NaN without a pair.

    Pairs of one patient are left out: slices of one nodule are alike in real sets too.

    Args:
        hu: (N, S, S), HU.
        owners: (N,) patient of each; '' where there is none.
        n_pairs: how many pairs.
        rng: draws them.
    """
    pairs = different_pairs(owners, n_pairs, rng=rng)
    if not len(pairs):
        return math.nan
    unit = (np.clip(hu, LOW_HU, HIGH_HU).astype(np.float64) - LOW_HU) / (HIGH_HU - LOW_HU)
    return float(ms_ssim(unit[pairs[:, 0]], unit[pairs[:, 1]]).mean())


def different_pairs(
    owners: Sequence[str], n_pairs: int, *, rng: np.random.Generator
) -> NDArray[np.intp]:
    """(M, 2) different positions that no patient owns both of; each pair once, at most n_pairs."""
    names = np.asarray(owners, np.str_)
    first, second = np.triu_indices(len(names), 1)
    allowed = np.flatnonzero((names[first] != names[second]) | (names[first] == ""))
    chosen = np.sort(rng.permutation(allowed)[:n_pairs])
    return np.stack([first[chosen], second[chosen]], axis=1)


def _terms(first: Values, second: Values) -> tuple[Values, Values]:
    """(N,) means of similarity and of its contrast and structure part."""
    mean_a, mean_b = _smooth(first), _smooth(second)
    var_a, var_b = _smooth(first**2) - mean_a**2, _smooth(second**2) - mean_b**2
    both = _smooth(first * second) - mean_a * mean_b
    contrast = (2 * both + _C2) / (var_a + var_b + _C2)
    light = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    return (light * contrast).mean(axis=(1, 2)), contrast.mean(axis=(1, 2))


def _smooth(images: Values) -> Values:
    """Gaussian means wherever the whole kernel lies inside."""
    reach = KERNEL_PX // 2
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / KERNEL_SD) ** 2)
    kernel /= kernel.sum()
    rows = ndimage.correlate1d(images, kernel, axis=1)[:, reach:-reach]
    return np.asarray(ndimage.correlate1d(rows, kernel, axis=2)[:, :, reach:-reach])


def _halved(images: Values) -> Values:
    n, height, width = images.shape
    even = images[:, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(even.reshape(n, height // 2, 2, width // 2, 2).mean(axis=(2, 4)))
