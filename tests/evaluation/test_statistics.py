"""Intervals, tests and corrections: against brute force, by hand, and by simulation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lungaug.evaluation.statistics import (
    bootstrap_interval,
    holm,
    sign_flip_test,
    student_t_quantile,
    weighted_mean,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def plain_percentile(values: np.ndarray, n_resamples: int = 2000) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    drawn = rng.choice(values, (n_resamples, len(values))).mean(axis=1)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30])
def test_student_quantile_is_scipys(degrees: int) -> None:
    assert student_t_quantile(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), 1e-9)


@pytest.mark.parametrize(
    ("draw", "mean"),
    [(lambda rng, n: rng.normal(size=n), 0.0), (lambda rng, n: rng.beta(0.6, 0.6, n), 0.5)],
    ids=["normal", "U-shaped, as Dice is"],
)
def test_coverage_at_five_patients_is_better_than_the_plain_percentile(
    draw: Draw, mean: float
) -> None:
    rng = np.random.default_rng(3)
    hits = {"ours": 0, "plain": 0}
    n_simulations = 400
    for _ in range(n_simulations):
        values = draw(rng, 5)
        ours = bootstrap_interval(values, ["LR2"] * 5, seed=0, n_resamples=4000)
        low, high = plain_percentile(values)
        hits["ours"] += ours.low <= mean <= ours.high
        hits["plain"] += low <= mean <= high
    assert hits["plain"] / n_simulations < 0.88
    assert hits["ours"] / n_simulations > 0.90


def test_coverage_with_four_classes_of_five_patients() -> None:
    rng = np.random.default_rng(4)
    strata = np.repeat(["LR2", "LR3", "LR4A", "LR4B"], 5)
    centres, spreads = np.repeat([0.1, 0.3, 0.5, 0.7], 5), np.repeat([0.05, 0.2, 0.1, 0.2], 5)
    hits = 0
    for _ in range(300):
        found = bootstrap_interval(rng.normal(centres, spreads), strata, seed=0, n_resamples=2000)
        hits += found.low <= 0.4 <= found.high
    assert hits / 300 > 0.92


def test_one_class_gets_hesterbergs_interval() -> None:
    values = np.array([0.1, 0.3, 0.35, 0.5, 0.9, 0.2])
    n = len(values)
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(0.975, n - 1))
    resamples = np.random.default_rng(1).choice(values, (200_000, n)).mean(axis=1)
    expected = np.quantile(resamples, [tail, 1 - tail])
    found = bootstrap_interval(values, ["LR2"] * n, seed=0, n_resamples=200_000)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.01)


def test_stratification_takes_the_spread_between_classes_out() -> None:
    values = np.array([0.1, 0.11, 0.12, 0.13, 0.8, 0.81, 0.82, 0.83])
    together = bootstrap_interval(values, ["LR2"] * 8, seed=0)
    apart = bootstrap_interval(values, ["LR2"] * 4 + ["LR4B"] * 4, seed=0)
    assert apart.high - apart.low < 0.1 * (together.high - together.low)


def test_a_single_patient_of_a_class_still_has_spread() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.9]
    alone = bootstrap_interval(values, ["LR2"] * 4 + ["LR4B"], seed=0)
    together = bootstrap_interval(values, ["LR2"] * 5, seed=0)
    assert alone == together


def test_below_five_patients_there_is_no_interval() -> None:
    assert math.isnan(bootstrap_interval([0.1, 0.2, 0.4, 0.6], ["LR2"] * 4, seed=0).low)
    assert not math.isnan(bootstrap_interval([0.1, 0.2, 0.4, 0.6, 0.7], ["LR2"] * 5, seed=0).low)


def test_equal_values_tell_nothing_of_the_spread() -> None:
    assert math.isnan(bootstrap_interval([0.0] * 9, ["LR2"] * 9, seed=0).low)
    assert math.isnan(bootstrap_interval([], [], seed=0).low)


def test_order_of_patients_does_not_matter_and_the_seed_repeats() -> None:
    rng = np.random.default_rng(5)
    values, strata = rng.random(9), np.array(["LR2"] * 4 + ["LR3"] * 5)
    order = rng.permutation(9)
    first = bootstrap_interval(values, strata, seed=7)
    assert bootstrap_interval(values[order], strata[order], seed=7) == first
    assert bootstrap_interval(values, strata, seed=8) != first


def test_weights_count_slices() -> None:
    assert weighted_mean([1.0, 0.0], [3, 1]) == 0.75
    assert math.isnan(weighted_mean([], []))
    values, strata = [0.1, 0.2, 0.5, 0.6, 0.9], ["LR2"] * 5
    heavy = bootstrap_interval(values, strata, [1, 1, 1, 1, 50], seed=0)
    assert heavy.high == pytest.approx(0.9, abs=0.01)


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="as many strata"):
        bootstrap_interval([1, 2, 3, 4, 5], ["LR2"], seed=0)


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flips_are_exact(n: int) -> None:
    differences = np.random.default_rng(n).normal(0.3, 1, n)
    signs = np.array(list(itertools.product([1, -1], repeat=n)))
    sums = np.abs(signs @ differences)
    expected = np.mean(sums >= abs(differences.sum()) - 1e-12)
    assert sign_flip_test(differences, seed=0) == pytest.approx(expected)


def test_five_patients_cannot_be_significant() -> None:
    assert sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5], seed=0) == 2 / 2**5
    assert sign_flip_test([0.0, 0.0], seed=0) == 1
    assert math.isnan(sign_flip_test([], seed=0))


def test_many_patients_are_sampled() -> None:
    differences = np.random.default_rng(0).normal(0.35, 1, 40)
    p = sign_flip_test(differences, seed=0)
    assert p == sign_flip_test(differences, seed=0)
    assert p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)
    assert sign_flip_test(np.ones(60), seed=0) == 1 / 20_001


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, then the running maximum.
    p = [0.04, 0.01, math.nan, 0.03, 0.02]
    expected = [0.06, 0.04, math.nan, 0.06, 0.06]
    assert holm(p) == pytest.approx(expected, nan_ok=True)
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0
