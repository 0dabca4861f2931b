"""Tests of paired differences and the intervals that are their inverses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from lungaug.evaluation import paired
from lungaug.evaluation.paired import (
    Inference,
    bounded_test,
    joined,
    least_patients,
    sign_flip_test,
    trainings_test,
)
from lungaug.evaluation.statistics import Interval


def brute_p(differences: np.ndarray, weights: np.ndarray) -> float:
    signs = np.array(list(itertools.product([1, -1], repeat=len(differences))))
    products = weights * differences
    return float(np.mean(np.abs(signs @ products) >= abs(products.sum()) - 1e-12))


@pytest.mark.parametrize("n", [1, 2, 5, 8])
def test_sign_flips_are_exact(n: int) -> None:
    rng = np.random.default_rng(n)
    differences, weights = rng.normal(0.3, 1, n), rng.uniform(0.5, 2, n)
    found = sign_flip_test(differences, weights, seed=0)
    assert found.p == pytest.approx(brute_p(differences, weights))


def test_the_interval_is_where_shifted_differences_are_not_rejected() -> None:
    rng = np.random.default_rng(1)
    differences, weights = rng.normal(0.2, 1, 8), rng.uniform(0.5, 2, 8)
    found = sign_flip_test(differences, weights, seed=0).interval
    for end, inside in ((found.low, 1e-6), (found.high, -1e-6)):
        assert brute_p(differences - end - inside, weights) > 0.05
        assert brute_p(differences - end + inside, weights) <= 0.05


def test_the_interval_of_six_patients_by_hand() -> None:
    """Of 32 pairs of patterns one may be as extreme: the ends are the extreme single patients."""
    found = sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5, 0.7], seed=0)
    assert found.p == 2 / 2**6
    assert (found.interval.low, found.interval.high) == pytest.approx((0.1, 0.7))


def test_five_patients_cannot_be_significant_and_have_no_interval() -> None:
    found = sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5], seed=0)
    assert found.p == 2 / 2**5
    assert math.isnan(found.interval.low)
    assert (least_patients(0.95), least_patients(0.9)) == (6, 5)
    assert not math.isnan(sign_flip_test([0.1, 0.2, 0.3, 0.4, 0.5], seed=0, level=0.9).interval.low)


def test_nothing_and_no_spread() -> None:
    assert sign_flip_test([0.0] * 7, seed=0).p == 1
    assert math.isnan(sign_flip_test([], seed=0).p)
    assert math.isnan(bounded_test([], seed=0).p)
    equal = sign_flip_test([0.1] * 7, seed=0)
    assert equal.p == 2 / 2**7
    assert math.isnan(equal.interval.low)


def test_many_patients_are_sampled() -> None:
    differences = np.random.default_rng(0).normal(0.35, 1, 40)
    found = sign_flip_test(differences, seed=0)
    assert found == sign_flip_test(differences[::-1], seed=0)
    assert found != sign_flip_test(differences, seed=1)
    student = stats.ttest_1samp(differences, 0)
    assert found.p == pytest.approx(student.pvalue, abs=0.01)
    ends = student.confidence_interval()
    assert (found.interval.low, found.interval.high) == pytest.approx(tuple(ends), abs=0.02)
    assert sign_flip_test(np.linspace(1, 2, 60), seed=0).p == 1 / 10_001


def test_equal_sums_that_are_rounded_differently_count() -> None:
    """0.1 + 0.2 - 0.3 is not 0 in binary, and as extreme as the data."""
    rng = np.random.default_rng(0)
    for n in (6, 8, 17):
        for _ in range(20):
            whole = rng.integers(-5, 8, n)
            exact, rounded = (
                sign_flip_test(d, seed=0, n_resamples=300) for d in (whole * 1.0, whole * 0.1)
            )
            assert exact.p == rounded.p


def test_patterns_that_flip_nobody_or_everybody_are_as_extreme_as_any_hypothesis(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    values = np.linspace(10, 11, 20)
    some = np.random.default_rng(0).integers(0, 2, (37, 20)).astype(float)
    drawn = np.vstack([np.zeros(20), np.ones(20), some])
    monkeypatch.setattr(paired, "_subsets", lambda *_: drawn)
    found = sign_flip_test(values, seed=0)
    assert found.p == 3 / 40
    assert math.isnan(found.interval.low)


@pytest.mark.parametrize("n", [5, 7, 16, 17, 30])
def test_interval_and_test_never_contradict_each_other(n: int) -> None:
    rng = np.random.default_rng(n)
    rejected = 0
    for i in range(60):
        differences = np.round(rng.normal(rng.choice([0, 0.3, 1]), 0.5, n), 1 + i % 3)
        weights = rng.choice([1.0, 2.0], n)
        arms = tuple(rng.normal(0, 0.1, 3) for _ in range(2))
        flips = sign_flip_test(differences, weights, seed=0, n_resamples=500)
        bounded = bounded_test(differences, weights, bounds=(-3, 3), seed=0, n_resamples=500)
        two_way = trainings_test(differences, ["LR2"] * n, weights, arms)
        for found in (flips, bounded, two_way, joined(flips, two_way)):
            if math.isnan(found.interval.low):
                assert n < 6
                continue
            outside = not found.interval.low <= 0 <= found.interval.high
            assert outside == (found.p <= 0.05), (differences, found)
            rejected += outside
    assert n < 6 or rejected > 30


def test_gaffkes_bound_of_equal_gains_is_clopper_and_pearsons() -> None:
    """All but equal to 1 in [0, 1]: the lower end is alpha^(1/n)."""
    values = np.append(np.ones(11), 1 - 1e-6)
    found = bounded_test(values, bounds=(0, 1), seed=0, n_resamples=100_000)
    assert found.interval.low == pytest.approx(0.025 ** (1 / 12), abs=0.003)


def rare_loss(rng: np.random.Generator, n: int) -> np.ndarray:
    """Small gains and one large loss in ten; the mean is 0."""
    loss = rng.random(n) < 0.1
    return np.where(loss, -0.27, 0.03) + rng.normal(0, 0.01, n)


def test_a_rare_large_loss_misleads_flipped_signs_and_not_the_bound() -> None:
    rng = np.random.default_rng(0)
    samples = [rare_loss(rng, 8) for _ in range(150)]
    flips = np.mean([sign_flip_test(d, seed=0).p <= 0.05 for d in samples])
    bounded = [bounded_test(d, bounds=(-1, 1), seed=0, n_resamples=1000).p for d in samples]
    assert flips > 0.3
    assert np.mean(np.array(bounded) <= 0.05) <= 0.05


def test_the_bound_finds_a_large_difference() -> None:
    differences = np.random.default_rng(0).normal(0.3, 0.05, 20)
    assert bounded_test(differences, bounds=(-1, 1), seed=0).p < 0.05
    assert bounded_test(-differences, bounds=(-1, 1), seed=0).p < 0.05


def test_patients_and_trainings_by_hand() -> None:
    differences = [0.1, 0.2, 0.3, 0.2]  # variance 1/150 of four patients: 1/600
    arms = ([0.5, 0.7], [0.4, 0.4, 0.4])  # variance 0.02 of two seeds: 0.01; and none
    found = trainings_test(differences, ["LR2"] * 4, None, arms)
    variance = 1 / 600 + 0.01
    degrees = math.floor(variance**2 / ((1 / 600) ** 2 / 3 + 0.01**2 / 1))
    assert degrees == 1
    t = 0.2 / math.sqrt(variance)
    assert found.p == pytest.approx(2 * stats.t.sf(t, degrees))
    reach = stats.t.ppf(0.975, degrees) * math.sqrt(variance)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.2 - reach, 0.2 + reach))


def test_one_training_says_nothing_of_trainings() -> None:
    found = trainings_test([0.1, 0.2, 0.3], ["LR2"] * 3, None, ([0.5], [0.4, 0.5]))
    assert math.isnan(found.p)
    first = Inference(0.2, Interval(-1, 2))
    assert joined(first, found) == first
    assert joined(first, Inference(0.1, Interval(0, 3))) == Inference(0.2, Interval(-1, 3))
    assert math.isnan(joined(first, Inference(0.1)).interval.low)


def test_type_one_error_with_three_trainings_an_arm() -> None:
    """60 patients, trainings of SD 0.03: flipped signs alone reject in one of three."""
    rng = np.random.default_rng(2)
    alone, both = [], []
    for _ in range(200):
        shifts = rng.normal(0, 0.03, (2, 3))
        differences = rng.normal(0, 0.1, 60) + shifts[0].mean() - shifts[1].mean()
        flips = sign_flip_test(differences, seed=0, n_resamples=1000)
        two_way = trainings_test(differences, ["LR2"] * 60, None, (shifts[0], shifts[1]))
        alone.append(flips.p <= 0.05)
        both.append(joined(flips, two_way).p <= 0.05)
    assert np.mean(alone) > 0.2
    assert np.mean(both) < 0.08
