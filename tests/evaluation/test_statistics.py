"""Intervals and corrections: by hand, against other tools, and by simulation."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from lungaug.evaluation.statistics import (
    ANY,
    NOT_NEGATIVE,
    SHARE,
    extremes,
    holm,
    mean_interval,
    mean_variance,
    merged_sizes,
    random_weights,
    student_t_p,
    student_t_quantile,
    weighted_mean,
)

Draw = Callable[[np.random.Generator, int], np.ndarray]


def mostly(zeros: float, a: float, b: float) -> Draw:
    return lambda rng, n: np.where(rng.random(n) < zeros, 0.0, rng.beta(a, b, n))


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 7, 30])
def test_student_is_scipys(degrees: int) -> None:
    assert student_t_quantile(0.975, degrees) == pytest.approx(stats.t.ppf(0.975, degrees), 1e-9)
    for t in (0.0, -1.3, 2.5):
        assert student_t_p(t, degrees) == pytest.approx(2 * stats.t.sf(abs(t), degrees), abs=1e-9)


@pytest.mark.parametrize(
    ("draw", "mean"),
    [
        (mostly(0.1, 9, 1), 0.81),  # Student's interval: 0.72
        (mostly(0.2, 5, 2), 0.8 * 5 / 7),
        (lambda rng, n: rng.beta(0.3, 2, n), 0.3 / 2.3),
        (lambda rng, n: rng.beta(0.6, 0.6, n), 0.5),
    ],
    ids=["rare zeros", "zeros", "low", "U-shaped"],
)
@pytest.mark.parametrize("size", [8, 2], ids=["one class", "classes of two"])
def test_coverage_of_eight_patients(draw: Draw, mean: float, size: int) -> None:
    rng = np.random.default_rng(3)
    strata = [f"LR{i // size}" for i in range(8)]
    found = [
        mean_interval(draw(rng, 8), strata, bounds=SHARE, seed=0, n_resamples=500)
        for _ in range(400)
    ]
    hits = np.mean([interval.low <= mean <= interval.high for interval in found])
    assert hits >= 0.93
    assert np.mean([interval.high - interval.low for interval in found]) < 0.6


def test_coverage_with_four_classes_of_three_patients() -> None:
    """Dirichlet weights alone spread too little in small classes: 0.91."""
    rng = np.random.default_rng(1)
    draw, strata = mostly(0.4, 5, 2), np.repeat(["LR2", "LR3", "LR4A", "LR4B"], 3)
    hits = 0
    for _ in range(500):
        found = mean_interval(draw(rng, 12), strata, bounds=SHARE, seed=0, n_resamples=500)
        hits += found.low <= 0.6 * 5 / 7 <= found.high
    assert hits / 500 > 0.93


def test_coverage_of_a_mean_that_few_patients_make() -> None:
    """Two classes of two and one of 56, weighted alike."""
    rng = np.random.default_rng(2)
    draw, sizes = mostly(0.4, 5, 2), (2, 2, 56)
    strata = np.repeat(["LR2", "LR3", "LR4A"], sizes)
    weights = np.repeat([1 / size for size in sizes], sizes)
    hits = 0
    for _ in range(500):
        values = draw(rng, 60)
        found = mean_interval(values, strata, weights, bounds=SHARE, seed=0, n_resamples=500)
        hits += found.low <= 0.6 * 5 / 7 <= found.high
    assert hits / 500 > 0.94


def test_coverage_with_four_classes_of_five_patients() -> None:
    rng = np.random.default_rng(4)
    strata = np.repeat(["LR2", "LR3", "LR4A", "LR4B"], 5)
    centres, spreads = np.repeat([0.1, 0.3, 0.5, 0.7], 5), np.repeat([0.05, 0.2, 0.1, 0.2], 5)
    hits = 0
    for _ in range(300):
        found = mean_interval(rng.normal(centres, spreads), strata, seed=0, n_resamples=1000)
        hits += found.low <= 0.4 <= found.high
    assert hits / 300 > 0.92


def test_zeros_and_ones_get_nearly_jeffreys_interval() -> None:
    values = [1.0] * 30 + [0.0] * 10
    found = mean_interval(values, ["LR2"] * 40, bounds=SHARE, seed=0, n_resamples=20_000)
    expected = stats.beta.ppf([0.025, 0.975], 30.5, 10.5)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.02)


def test_many_patients_get_the_normal_interval_and_little_more() -> None:
    values = np.random.default_rng(0).beta(5, 5, 300)
    found = mean_interval(values, ["LR2"] * 300, bounds=SHARE, seed=0)
    normal = 1.96 * values.std(ddof=1) / math.sqrt(300)
    assert 1 < (found.high - found.low) / 2 / normal < 1.15


def test_the_extra_observation_lies_at_the_bounds() -> None:
    values = np.array([0.4, 0.5, 0.6])
    assert extremes(values, SHARE) == (0, 1)
    assert extremes(values, ANY) == pytest.approx((0.2, 0.8))
    assert extremes(values, NOT_NEGATIVE) == pytest.approx((0.2, 0.8))
    assert extremes(np.array([1.0, 5.0]), NOT_NEGATIVE) == (0, 9)


def test_an_interval_stays_within_its_bounds() -> None:
    found = mean_interval([1.0, 1, 1, 1, 0.98, 0.2], ["LR2"] * 6, bounds=SHARE, seed=0)
    assert 0 <= found.low < found.high <= 1
    few = mean_interval([0.0, 0, 0, 0, 0, 9], ["LR2"] * 6, bounds=NOT_NEGATIVE, seed=0)
    assert few.low >= 0
    assert few.high > 3


def test_stratification_takes_the_spread_between_classes_out() -> None:
    values = np.concatenate([np.linspace(0.1, 0.2, 20), np.linspace(0.8, 0.9, 20)])
    together, apart = (
        mean_interval(values, strata, bounds=SHARE, seed=0)
        for strata in (["LR2"] * 40, np.repeat(["LR2", "LR4B"], 20))
    )
    assert apart.high - apart.low < 0.5 * (together.high - together.low)


def test_classes_below_three_are_merged_with_a_neighbour() -> None:
    def sizes(*classes: int) -> tuple[int, ...]:
        return merged_sizes(np.repeat([f"LR{i}" for i in range(len(classes))], classes))

    assert sizes(2, 2, 2, 2) == (4, 4)
    assert sizes(2, 2, 2) == (6,)
    assert sizes(2, 2, 2, 14) == (4, 16)
    assert sizes(3, 1, 5) == (3, 6)
    assert sizes(5, 3, 1) == (5, 4)
    assert sizes(3, 3, 3) == (3, 3, 3)
    assert sizes(2) == (2,)


def test_the_spread_of_a_pair_is_that_of_its_neighbours_too() -> None:
    values = [0.1, 0.2, 0.3, 0.4, 0.9]
    alone = mean_interval(values, ["LR2"] * 3 + ["LR4B"] * 2, seed=0)
    assert alone == mean_interval(values, ["LR2"] * 5, seed=0)


def test_variance_of_a_mean_by_hand() -> None:
    value, weight = np.array([1.0, 2.0, 3.0, 6.0]), np.ones(4)
    # Sample variance 14/3 of four; then two pairs, with variances 1/2 and 9/2.
    assert mean_variance(value, weight, (4,)) == pytest.approx((14 / 3 / 4, 3))
    assert mean_variance(value, weight, (2, 2)) == pytest.approx((10 / 16, 100 / 82))
    assert math.isnan(mean_variance(np.ones(3), np.ones(3), (3,))[1])


def test_below_five_patients_there_is_no_interval() -> None:
    assert math.isnan(mean_interval([0.1, 0.2, 0.4, 0.6], ["LR2"] * 4, seed=0).low)
    assert not math.isnan(mean_interval([0.1, 0.2, 0.4, 0.6, 0.7], ["LR2"] * 5, seed=0).low)
    assert math.isnan(mean_interval([0.1, 0.2], ["LR2"] * 2, seed=0, minimum=3).low)


def test_equal_values_tell_nothing_of_the_spread() -> None:
    for value in (0.0, 0.1, 1.0):
        assert math.isnan(mean_interval([value] * 9, ["LR2"] * 9, bounds=SHARE, seed=0).low)
    assert math.isnan(mean_interval([], [], seed=0).low)


def test_order_of_patients_does_not_matter_and_the_seed_repeats() -> None:
    rng = np.random.default_rng(5)
    values, strata = rng.random(9), np.array(["LR2"] * 4 + ["LR3"] * 5)
    order = rng.permutation(9)
    first = mean_interval(values, strata, seed=7)
    random_weights.cache_clear()
    assert mean_interval(values[order], strata[order], seed=7) == first
    assert mean_interval(values, strata, seed=8) != first


def test_weights_count_slices() -> None:
    assert weighted_mean([1.0, 0.0], [3, 1]) == 0.75
    assert math.isnan(weighted_mean([], []))
    values, strata = [0.1, 0.2, 0.5, 0.6, 0.9], ["LR2"] * 5
    plain = mean_interval(values, strata, bounds=SHARE, seed=0)
    heavy = mean_interval(values, strata, [1, 1, 1, 1, 50], bounds=SHARE, seed=0)
    # One patient has nearly all the weight: the mean is near, and the interval wide.
    assert heavy.high > 0.9 > plain.high
    assert heavy.high - heavy.low > plain.high - plain.low


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="as many strata"):
        mean_interval([1, 2, 3, 4, 5], ["LR2"], seed=0)


def test_holm_by_hand() -> None:
    # Sorted: 0.01 x 4, 0.02 x 3, 0.03 x 2, 0.04 x 1, then the running maximum.
    p = [0.04, 0.01, math.nan, 0.03, 0.02]
    expected = [0.06, 0.04, math.nan, 0.06, 0.06]
    assert holm(p) == pytest.approx(expected, nan_ok=True)
    assert holm([0.6, 0.7]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0
