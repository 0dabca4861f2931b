"""Distances between two sets of nodules, for every resample of their patients at once.

Each takes two samples whose weights have the same number of rows R and gives (R,) distances; NaN
where a set is too small for one.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.realism.resampling import Sample
from lungaug.evaluation.statistics import Values

Distance = Callable[[Sample, Sample], Values]

_BLOCK = 2_000_000  # values held at once: 16 MB
KERNEL_DEGREE = 3


def kolmogorov_smirnov(first: Sample, second: Sample) -> Values:
    """Largest difference of the two distribution functions of values (N,); 0 to 1."""
    return _over_differences(first, second, lambda gap, _: gap.max(axis=1, initial=0.0))


def wasserstein(first: Sample, second: Sample) -> Values:
    """Area between the two distribution functions of values (N,), in the unit of the values."""
    return _over_differences(first, second, lambda gap, widths: gap[:, :-1] @ widths)


def frechet(first: Sample, second: Sample) -> Values:
    """Squared Frechet distance of normal distributions fitted to vectors (N, D).

    Covariances are shrunk (oracle approximating), since nodules are few. The distance grows as a
    set gets smaller: a small generated set looks worse than it is, never better.

    References:
        Dowson DC, Landau BV, J Multivariate Anal 12:450, 1982. Chen Y et al., Shrinkage algorithms
        for MMSE covariance estimation, IEEE Trans Signal Process 58:5016, 2010, eq. 23.
    """
    if min(len(first.values), len(second.values)) < 2:
        return np.full(len(first.weights), np.nan)
    # A resample may have drawn none of the patients who have vectors.
    drawn = (first.weights.sum(axis=1) > 0) & (second.weights.sum(axis=1) > 0)
    a, b = (dataclasses.replace(s, weights=s.weights[drawn]) for s in (first, second))
    found = np.full(len(drawn), np.nan)
    found[drawn] = normal_distance(*_moments(a), *_moments(b))
    return found


def normal_distance(mean_a: Values, cov_a: Values, mean_b: Values, cov_b: Values) -> Values:
    """Squared Frechet distance of normal distributions: means (R, D), covariances (R, D, D)."""
    shift = np.sum((mean_a - mean_b) ** 2, axis=-1)
    values, vectors = np.linalg.eigh(cov_a)
    root = (vectors * np.sqrt(np.maximum(values, 0))[..., None, :]) @ vectors.swapaxes(-1, -2)
    mixed = np.linalg.eigvalsh(root @ cov_b @ root)
    crossed = np.sqrt(np.maximum(mixed, 0)).sum(axis=-1)
    traces = np.trace(cov_a, axis1=-2, axis2=-1) + np.trace(cov_b, axis1=-2, axis2=-1)
    return np.asarray(np.maximum(shift + traces - 2 * crossed, 0))


def kernel_distance(first: Sample, second: Sample) -> Values:
    """Kernel inception distance of vectors (N, D): squared MMD of a cubic kernel, unbiased.

    Within a set only pairs of different patients count: neighbouring slices of one nodule are
    alike, and so are two copies that a resample drew. With one nodule a patient this is the
    published estimator. It may be negative. NaN where a set has fewer than two patients.

    References:
        Binkowski M et al., Demystifying MMD GANs, ICLR 2018, section 4.
    """
    n_rows = len(first.weights)
    if min(first.n_patients, second.n_patients) < 2:
        return np.full(n_rows, np.nan)
    counts_a, counts_b = first.weights * _sizes(first), second.weights * _sizes(second)
    across = np.sum((first.weights @ _kernel_sums(first, second)) * second.weights, axis=1)
    n_pairs = counts_a.sum(axis=1) * counts_b.sum(axis=1)
    across = np.divide(across, n_pairs, out=np.full(n_rows, np.nan), where=n_pairs > 0)
    return np.asarray(_within(first) + _within(second) - 2 * across)


def cubic_kernel(a: Values, b: Values) -> Values:
    """(x y / D + 1)^3 of all pairs: (N, D) and (M, D) to (N, M)."""
    return np.asarray((a @ b.T / a.shape[1] + 1) ** KERNEL_DEGREE)


def _over_differences(
    first: Sample, second: Sample, reduce: Callable[[Values, Values], Values]
) -> Values:
    n_rows = len(first.weights)
    if not len(first.values) or not len(second.values):
        return np.full(n_rows, np.nan)
    grid, cell = np.unique(np.concatenate([first.values, second.values]), return_inverse=True)
    counts = [
        _counts(sample, part, len(grid))
        for sample, part in zip((first, second), np.split(cell, [len(first.values)]), strict=True)
    ]
    found = np.empty(n_rows)
    for rows in _blocks(n_rows, len(grid)):
        a, b = (
            _distribution(sample.weights[rows], count)
            for sample, count in zip((first, second), counts, strict=True)
        )
        found[rows] = reduce(np.abs(a - b), np.diff(grid))
    return found


def _counts(sample: Sample, cell: NDArray[np.intp], n_cells: int) -> Values:
    """(P, n_cells): how many values of each patient lie where."""
    flat = np.bincount(sample.owner * n_cells + cell, minlength=sample.n_patients * n_cells)
    return flat.reshape(sample.n_patients, n_cells).astype(np.float64)


def _distribution(weights: Values, counts: Values) -> Values:
    summed = np.cumsum(weights @ counts, axis=1)
    return np.asarray(summed / summed[:, -1:])


def _blocks(n_rows: int, width: int) -> Iterator[slice]:
    step = max(1, _BLOCK // width)
    return (slice(start, min(start + step, n_rows)) for start in range(0, n_rows, step))


def _moments(sample: Sample) -> tuple[Values, Values]:
    """Means (R, D) and shrunk covariances (R, D, D), from the sums of each patient."""
    x = sample.values
    belongs = np.eye(sample.n_patients)[sample.owner].T
    n = sample.weights @ belongs.sum(axis=1)
    mean = sample.weights @ (belongs @ x) / n[:, None]
    products = np.einsum("pn,ni,nj->pij", belongs, x, x, optimize=True)
    second = np.tensordot(sample.weights, products, 1) / n[:, None, None]
    return mean, _shrunk(second - mean[:, :, None] * mean[:, None, :], n)


def _shrunk(cov: Values, n: Values) -> Values:
    d = cov.shape[-1]
    trace = np.trace(cov, axis1=-2, axis2=-1)
    squared = np.sum(cov**2, axis=(-2, -1))
    spread = (n + 1 - 2 / d) * (squared - trace**2 / d)
    wanted = (1 - 2 / d) * squared + trace**2
    share = np.divide(wanted, spread, out=np.ones_like(spread), where=spread > 0)
    share = np.clip(share, 0, 1)[:, None, None]
    return np.asarray((1 - share) * cov + share * (trace / d)[:, None, None] * np.eye(d))


def _sizes(sample: Sample) -> Values:
    return np.asarray(np.bincount(sample.owner, minlength=sample.n_patients), np.float64)


def _kernel_sums(first: Sample, second: Sample) -> Values:
    """(P, Q): the kernel summed over the nodules of each pair of patients."""
    kernel = cubic_kernel(first.values, second.values)
    left = np.eye(first.n_patients)[first.owner].T
    right = np.eye(second.n_patients)[second.owner]
    return np.asarray(left @ kernel @ right)


def _within(sample: Sample) -> Values:
    """(R,) mean of the kernel over pairs of nodules of different patients."""
    sums = _kernel_sums(sample, sample)
    sizes = _sizes(sample)
    np.fill_diagonal(sums, 0)
    pairs = np.outer(sizes, sizes)
    np.fill_diagonal(pairs, 0)
    total = np.sum((sample.weights @ sums) * sample.weights, axis=1)
    count = np.sum((sample.weights @ pairs) * sample.weights, axis=1)
    return np.asarray(np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0))
