"""Intervals over patients, and ratios to the real-to-real distance."""

from __future__ import annotations

import math

import numpy as np
import pytest

from lungaug.evaluation.realism.resampling import Group, interval_of, ratio_of
from lungaug.evaluation.statistics import Interval


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
    values = np.linspace(0, 1, 101)
    assert interval_of(values, 0.9, 5) == Interval(pytest.approx(0.05), pytest.approx(0.95))
    assert math.isnan(interval_of(values, 0.9, 4).low)
    assert math.isnan(interval_of(np.where(values < 0.7, np.nan, values), 0.9, 9).low)


def test_ratio_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    real = np.append(1.0, rng.uniform(1.5, 2.5, 500))
    values = real * np.append(3.0, rng.uniform(1.0, 2.0, 500))
    ratio, interval = ratio_of(values, real, Interval(1.5, 2.5), 0.95, 8)
    assert ratio == 3
    # the resamples' ratios lie from 1 to 2 around 1.5: their spread, around 3
    assert interval.low == pytest.approx(2.05, abs=0.1)
    assert interval.high == pytest.approx(3.95, abs=0.1)


@pytest.mark.parametrize("real", [0.0, -0.1, math.nan])
def test_no_ratio_to_what_is_not_above_zero(real: float) -> None:
    ratio, interval = ratio_of(np.ones(9), np.full(9, real), Interval(), 0.95, 8)
    assert math.isnan(ratio)
    assert math.isnan(interval.low)


def test_no_interval_of_the_ratio_where_the_real_distance_reaches_zero() -> None:
    ratio, interval = ratio_of(np.ones(9), np.full(9, 0.5), Interval(-0.1, 1), 0.95, 8)
    assert ratio == 2
    assert math.isnan(interval.low)
