"""Coverage of the intervals of scores by simulation: ``python -m benchmarks.coverage``.

Prints the table of ``docs/statistics.md``: the share of intervals that hold the mean of the law,
and their mean width, for the interval that is used and for its peers.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.statistics import (
    SHARE,
    Bounds,
    Interval,
    mean_interval,
    mean_variance,
    merged_sizes,
    ordered,
    resample_counts,
    student_t_quantile,
    weighted_mean,
)

Values = NDArray[np.float64]
SIZES = (5, 8, 12, 20, 40, 60)
RESAMPLES = 2000
METHODS = ("used", "Student", "percentile")


@dataclass(frozen=True)
class Law:
    """A law of the patients' scores, its mean and bounds."""

    name: str
    draw: Callable[[np.random.Generator, int], Values]
    mean: float
    bounds: Bounds = SHARE


def with_zeros(zeros: float, a: float, b: float) -> Law:
    """Zeros, and a beta law for the others."""
    return Law(
        f"{zeros:.0%} zeros, else beta({a:g}, {b:g})".replace("%", " %"),
        lambda rng, n: np.where(rng.random(n) < zeros, 0.0, rng.beta(a, b, n)),
        (1 - zeros) * a / (a + b),
    )


LAWS = (
    Law("normal (0.5, SD 0.15)", lambda rng, n: rng.normal(0.5, 0.15, n), 0.5),
    with_zeros(0.2, 5, 2),
    with_zeros(0.4, 5, 2),
    Law("U-shaped, beta(0.6, 0.6)", lambda rng, n: rng.beta(0.6, 0.6, n), 0.5),
    Law("beta(0.3, 2)", lambda rng, n: rng.beta(0.3, 2, n), 0.3 / 2.3),
    with_zeros(0.1, 9, 1),
    Law(
        "unbounded: exponential",
        lambda rng, n: rng.exponential(size=n),
        1.0,
        (0.0, math.inf),
    ),
    Law(
        "unbounded: lognormal, sigma 1",
        lambda rng, n: np.exp(rng.normal(size=n)),
        math.exp(0.5),
        (0.0, math.inf),
    ),
)


def designs(n: int) -> dict[str, tuple[NDArray[np.str_], Values]]:
    """Classes and weights of n patients: one class, classes of two, and these weighted alike."""
    n_small = min(3, n // 2 - 1)
    sizes = [2] * n_small + [n - 2 * n_small]
    classes = np.repeat([f"LR{i}" for i in range(len(sizes))], sizes)
    alike = np.repeat([1 / size for size in sizes], sizes)
    ones = np.ones(n)
    return {
        "one class": (np.repeat("LR0", n), ones),
        "classes of two": (classes, ones),
        "macro": (classes, alike),
    }


def interval(method: str, law: Law, value: Values, strata: Values, weight: Values) -> Interval:
    """Return the interval of one sample by one method."""
    if method == "used":
        return mean_interval(
            value, strata, weight, bounds=law.bounds, seed=0, n_resamples=RESAMPLES
        )
    value, weight, stratum = ordered(value, strata, weight)
    mean = weighted_mean(value, weight)
    if method == "Student":
        variance, degrees = mean_variance(value, weight, merged_sizes(stratum))
        if math.isnan(degrees):
            return Interval()
        reach = student_t_quantile(0.975, max(1, math.floor(degrees))) * math.sqrt(variance)
        return Interval(mean - reach, mean + reach)
    return _expanded_percentiles(value, weight, stratum)


def _expanded_percentiles(value: Values, weight: Values, stratum: NDArray[np.str_]) -> Interval:
    """Hesterberg's expanded percentiles within all classes (Am Stat 69:371, 2015)."""
    sizes = tuple(np.unique(stratum, return_counts=True)[1].tolist())
    mean = weighted_mean(value, weight)
    residuals = weight * (value - mean)
    variance, degrees = mean_variance(value, weight, sizes)
    parts = np.split(residuals, np.cumsum(sizes)[:-1])
    shrunk = sum(float(np.sum((part - part.mean()) ** 2)) for part in parts)
    if math.isnan(degrees) or shrunk == 0:
        return Interval()
    quantile = student_t_quantile(0.975, max(1, math.floor(degrees + 1e-9)))
    tail = NormalDist().cdf(-math.sqrt(variance * weight.sum() ** 2 / shrunk) * quantile)
    counts = resample_counts(sizes, RESAMPLES, 0)
    means = mean + (counts @ residuals) / (counts @ weight)
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(low), float(high))


def simulated(n_repeats: int) -> Iterator[tuple[str, ...]]:
    """Rows of the table: design, law, patients, then coverage and width of each method."""
    for n in SIZES:
        for design, (strata, weight) in designs(n).items():
            for law in LAWS:
                rng = np.random.default_rng([n, *law.name.encode()])
                samples = [law.draw(rng, n) for _ in range(n_repeats)]
                cells = []
                for method in METHODS:
                    found = [interval(method, law, x, strata, weight) for x in samples]
                    known = [i for i in found if not math.isnan(i.low)]
                    hits = np.mean([i.low <= law.mean <= i.high for i in known])
                    cells.append(f"{hits:.2f} ({np.mean([i.high - i.low for i in known]):.2f})")
                yield design, law.name, str(n), *cells


def wide_table(rows: list[tuple[str, ...]]) -> str:
    """Markdown: a row a design, law and method, a column a number of patients."""
    lines = ["| design | law | interval | " + " | ".join(map(str, SIZES)) + " |"]
    lines.append("|" + "---|" * (3 + len(SIZES)))
    cells = {(design, law, n): found for design, law, n, *found in rows}
    for design in dict.fromkeys(row[0] for row in rows):
        for law in LAWS:
            for i, method in enumerate(METHODS):
                shown = [cells[design, law.name, str(n)][i] for n in SIZES]
                lines.append(f"| {design} | {law.name} | {method} | {' | '.join(shown)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.coverage", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, help="samples of each law and size")
    print(wide_table(list(simulated(parser.parse_args().repeats))))


if __name__ == "__main__":
    main()
