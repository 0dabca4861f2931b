"""Errors of the tests of differences by simulation: ``python -m benchmarks.type_one``.

Prints three tables of ``docs/statistics.md``: type I error and power with trainings that differ,
type I error of laws of differences, and how often interval and test contradict each other.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage import LAWS, interval
from lungaug.evaluation.paired import (
    Inference,
    bounded_test,
    joined,
    sign_flip_test,
    trainings_test,
)
from lungaug.evaluation.statistics import student_t_p

Values = NDArray[np.float64]
ALPHA = 0.05
TRAININGS_SD = 0.03
NOISE_SD = 0.12  # of a patient's score in one training
RESAMPLES = 1000


def trained(rng: np.random.Generator, n: int, n_seeds: int, effect: float) -> tuple[Values, Values]:
    """Scores (seeds, patients) of both arms; the first is better by ``effect``."""
    arms = [
        rng.normal(0, TRAININGS_SD, (n_seeds, 1)) + rng.normal(0, NOISE_SD, (n_seeds, n))
        for _ in range(2)
    ]
    return arms[0] + effect, arms[1]


def over_trainings(ours: Values, theirs: Values) -> tuple[Inference, Inference]:
    """The test of patients alone, and that of patients and trainings where it can be had."""
    differences = ours.mean(axis=0) - theirs.mean(axis=0)
    alone = sign_flip_test(differences, seed=0, n_resamples=RESAMPLES)
    arms = ours.mean(axis=1).tolist(), theirs.mean(axis=1).tolist()
    return alone, joined(alone, trainings_test(differences, ["LR2"] * len(differences), None, arms))


def trainings_table(n_repeats: int) -> str:
    """Type I error and power by seeds and patients."""
    rows = []
    for n_seeds in (1, 2, 3, 5, 10):
        for n in (8, 20, 60):
            rng = np.random.default_rng([n_seeds, n])
            shares = []
            for effect in (0.0, 0.1):
                found = [
                    over_trainings(*trained(rng, n, n_seeds, effect)) for _ in range(n_repeats)
                ]
                shares += [np.mean([pair[i].p <= ALPHA for pair in found]) for i in (0, 1)]
            rows.append((n_seeds, n, *(f"{share:.2f}" for share in shares)))
    heading = ("seeds an arm", "patients", "type I, patients alone", "type I, used")
    return _markdown((*heading, "power at +0.1, patients alone", "power at +0.1, used"), rows)


def rare_loss(rng: np.random.Generator, n: int) -> Values:
    """A small gain, and in one of ten patients a large loss; the mean is 0."""
    return np.where(rng.random(n) < 0.1, -0.27, 0.03) + rng.normal(0, 0.01, n)


DIFFERENCES: dict[str, Callable[[np.random.Generator, int], Values]] = {
    "normal, SD 0.1": lambda rng, n: rng.normal(0, 0.1, n),
    "rare large loss": rare_loss,
    "power: normal, +0.1": lambda rng, n: rng.normal(0.1, 0.1, n),
    "power: normal, +0.2": lambda rng, n: rng.normal(0.2, 0.1, n),
}


def student(d: Values) -> float:
    """P of Student's paired t test."""
    return student_t_p(float(d.mean() / d.std(ddof=1)) * math.sqrt(len(d)), len(d) - 1)


def skew_corrected(d: Values) -> float:
    """P of Hall's monotone transform of t (J R Stat Soc B 54:221, 1992)."""
    n, scale = len(d), float(d.std(ddof=1))
    skew = float(np.mean((d - d.mean()) ** 3)) / scale**3
    t = float(d.mean()) / scale
    moved = t + skew * t**2 / 3 + skew**2 * t**3 / 27 + skew / (6 * n)
    return student_t_p(math.sqrt(n) * moved, n - 1)


TESTS: dict[str, Callable[[Values], float]] = {
    "sign_flip": lambda d: sign_flip_test(d, seed=0, n_resamples=RESAMPLES).p,
    "Student": student,
    "skew-corrected t": skew_corrected,
    "bounded": lambda d: bounded_test(d, bounds=(-1, 1), seed=0, n_resamples=RESAMPLES).p,
}


def laws_table(n_repeats: int) -> str:
    """Rejections of each test by law and patients."""
    rows = []
    for law, draw in DIFFERENCES.items():
        for n in (8, 20, 40, 60):
            rng = np.random.default_rng([n, 7])
            samples = [draw(rng, n) for _ in range(n_repeats)]
            shares = (np.mean([test(d) <= ALPHA for d in samples]) for test in TESTS.values())
            rows.append((law, n, *(f"{share:.2f}" for share in shares)))
    return _markdown(("law", "patients", *TESTS), rows)


def contradictions_table(n_repeats: int) -> str:
    """How often an interval and the sign-flip test say different things of a true 0."""
    rows = []
    for n in (5, 8, 20):
        rng = np.random.default_rng([n, 3])
        samples = [rng.normal(0, 0.1, n) for _ in range(n_repeats)]
        shares = []
        for apart in (True, False):
            contradict = 0
            for d in samples:
                found = sign_flip_test(d, seed=0, n_resamples=RESAMPLES)
                held = found.interval
                if apart:
                    held = interval("percentile", LAWS[0], d, np.repeat("LR2", n), np.ones(n))
                outside = held.low > 0 or held.high < 0
                contradict += outside != (found.p <= ALPHA)
            shares.append(f"{contradict / n_repeats:.3f}")
        rows.append((n, *shares))
    return _markdown(("patients", "percentile interval", "used"), rows)


def _markdown(heading: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.type_one", description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000, help="simulated comparisons a cell")
    n_repeats = parser.parse_args().repeats
    for table in (trainings_table, laws_table, contradictions_table):
        print(table(n_repeats), end="\n\n")


if __name__ == "__main__":
    main()
