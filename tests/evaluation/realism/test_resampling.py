"""Intervals over patients, and ratios to the real-to-real distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungaug.evaluation.realism.distances import frechet
from lungaug.evaluation.realism.resampling import (
    Group,
    dealt_again,
    interval_of,
    ratio_of,
)
from lungaug.evaluation.statistics import ANY, Interval


def test_the_first_row_is_the_set_and_patients_are_drawn_whole() -> None:
    group = Group.of(["b", "a", "b", "c"], 50, rng=np.random.default_rng(0))
    assert group.owner.tolist() == [1, 0, 1, 2]
    assert (group.weights[0] == 1).all()
    assert (group.weights.sum(axis=1) == 3).all()
    pooled = group.pooled([np.arange(2), np.arange(3), np.empty(0), np.arange(1)])
    assert pooled.owner.tolist() == [1, 1, 0, 0, 0, 2]


def test_those_that_are_left_keep_their_patients_weights() -> None:
    group = Group.of(["a", "b", "c", "c"], 20, rng=np.random.default_rng(0))
    part = group.take(np.array([False, True, False, True]))
    assert part.owner.tolist() == [0, 1]
    np.testing.assert_array_equal(part.weights, group.weights[:, 1:])


def test_interval_needs_five_patients_and_enough_resamples() -> None:
    values = np.append(0.5, np.linspace(0, 1, 101))
    assert interval_of(values, 0.9, 5) == Interval(pytest.approx(0.05), pytest.approx(0.95))
    assert math.isnan(interval_of(values, 0.9, 4).low)
    assert math.isnan(interval_of(np.where(values < 0.7, np.nan, values), 0.9, 9).low)


def test_interval_is_moved_by_what_resampling_adds_and_ends_at_the_bounds() -> None:
    resamples = np.linspace(2, 3, 101)
    low, high = (lambda i: (i.low, i.high))(interval_of(np.append(0.6, resamples), 0.9, 5))
    assert (low, high) == (pytest.approx(0.15), pytest.approx(1.05))
    assert interval_of(np.append(0.3, resamples), 0.9, 5).low == 0
    assert interval_of(np.append(0.3, resamples), 0.9, 5, ANY).low == pytest.approx(-0.15)
    assert interval_of(np.append(0.9, resamples), 0.9, 5, (0.0, 1.0)).high == 1


def test_the_interval_of_a_distance_surrounds_it() -> None:
    rng = np.random.default_rng(0)
    patients = [f"p{i}" for i in range(28)]
    a, b = (Group.of(patients, 200, rng=rng).sample(rng.normal(0, 1, (28, 12))) for _ in range(2))
    values = frechet(a, b)
    assert values[0] < np.quantile(values[1:], 0.025)  # the plain percentiles leave it out
    interval = interval_of(values, 0.95, 28)
    assert interval.low < values[0] < interval.high


def test_real_patients_are_dealt_out_once_to_sides_of_the_same_sizes() -> None:
    rng = np.random.default_rng(0)
    first = Group.of(list("aabc"), 30, rng=rng).sample(np.arange(4.0))
    second = Group.of(list("xyzzw"), 30, rng=rng).sample(np.arange(4.0, 9.0))
    left, right = dealt_again(first, second, rng=np.random.default_rng(1))
    assert left.weights.shape == (30, 7)
    assert (left.weights.sum(axis=1) == 3).all()
    np.testing.assert_array_equal(left.weights + right.weights, 1)
    assert left.owner.tolist() == [0, 0, 1, 2, 4, 5, 6, 6, 3]
    assert len(np.unique(left.weights, axis=0)) > 10
    again, _ = dealt_again(first, second, rng=np.random.default_rng(1))
    np.testing.assert_array_equal(left.weights, again.weights)


def test_ratio_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    real = np.append(1.0, rng.uniform(1.5, 2.5, 500))
    values = real * np.append(3.0, rng.uniform(1.0, 2.0, 500))
    ratio, interval = ratio_of(values, real, Interval(0.5, 1.5), 0.95, 8)
    assert ratio == 3
    # the resamples' ratios lie from 1 to 2 around 1.5: as far from 3, not twice as far
    assert interval.low == pytest.approx(2.525, abs=0.05)
    assert interval.high == pytest.approx(3.475, abs=0.05)


@pytest.mark.parametrize("real", [0.0, -0.1, math.nan])
def test_no_ratio_to_what_is_not_above_zero(real: float) -> None:
    ratio, interval = ratio_of(np.ones(9), np.full(9, real), Interval(), 0.95, 8)
    assert math.isnan(ratio)
    assert math.isnan(interval.low)


def test_no_interval_of_the_ratio_where_the_real_distance_reaches_zero() -> None:
    ratio, interval = ratio_of(np.ones(9), np.full(9, 0.5), Interval(0.0, 1), 0.95, 8)
    assert ratio == 2
    assert math.isnan(interval.low)
