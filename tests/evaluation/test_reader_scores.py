"""What answers say: against counts by hand, definitions and exact intervals."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from lungaug.evaluation.reader_scores import (
    SCORE_COLUMNS,
    Reading,
    ScoreSettings,
    auc,
    auc_p,
    clopper_pearson,
    kappa,
    score_rows,
)

SETTINGS = ScoreSettings(n_resamples=500)
MADE_BY = ["", "", "", "", "a", "a", "b", "b"]


def reading(signed: list[float], reader: str = "ann") -> Reading:
    values = np.array(signed, float)
    return Reading(reader, values, np.full(len(values), 4.0))


def rows_of(*readings: Reading) -> dict[tuple[str, str, str], dict[str, float]]:
    rows = score_rows(MADE_BY, readings, SETTINGS)
    assert all(set(row) <= set(SCORE_COLUMNS) for row in rows)
    return {(r["kind"], r["reader"], r["generator"]): r for r in rows}


def test_rates_by_hand() -> None:
    rows = rows_of(reading([-5, -4, -1, 2, 5, 3, -2, math.nan]))
    everything = rows["reader", "ann", "all"]
    assert (everything["n"], everything["n_real"], everything["n_unanswered"]) == (7, 4, 1)
    assert everything["accuracy"] == pytest.approx(5 / 7)
    assert everything["sensitivity"] == pytest.approx(2 / 3)
    assert everything["specificity"] == pytest.approx(3 / 4)
    assert everything["seconds"] == 4
    of_a = rows["reader", "ann", "a"]
    assert (of_a["n_inserted"], of_a["sensitivity"], of_a["auc"]) == (2, 1, 1)
    assert math.isnan(of_a["auc_low"])  # perfect on six cases: the spread is not known
    assert rows["reader", "ann", "b"]["auc"] == pytest.approx(1 / 2)


def test_generators_have_their_rows_in_order() -> None:
    """In a set their order would differ from run to run."""
    names = ["vqvae", "gaussian", "flow", "dcgan", "copypaste", "dagan", "sdm"]
    answers = reading([-1.0, 2.0] * len(names))
    rows = score_rows([name for one in names for name in ("", one)], [answers], SETTINGS)
    assert [row["generator"] for row in rows] == 2 * ["all", *sorted(names)]


def test_clopper_pearson_is_the_exact_interval() -> None:
    for k, n in ((0, 8), (3, 8), (8, 8)):
        expected = stats.binomtest(k, n).proportion_ci(method="exact")
        found = clopper_pearson(k, n)
        assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert math.isnan(clopper_pearson(0, 0).low)


answers = st.lists(st.sampled_from([-5, -3, -1, 1, 3, 5]), min_size=2, max_size=8)


@settings(max_examples=40, deadline=None)
@given(answers, answers)
def test_auc_is_the_chance_that_inserted_scores_higher(
    positive: list[int], negative: list[int]
) -> None:
    signed = np.array([positive + negative], float)
    truth = np.arange(signed.shape[1]) < len(positive)
    found, interval = auc(signed, truth)
    wins = [(p > n) + (p == n) / 2 for p, n in itertools.product(positive, negative)]
    assert found == pytest.approx(np.mean(wins))
    assert auc(-signed, truth)[0] == pytest.approx(1 - found)
    assert math.isnan(interval.low) or 0 <= interval.low <= found <= interval.high <= 1


def test_auc_of_several_readers_is_their_mean_and_gaps_do_not_count() -> None:
    rng = np.random.default_rng(0)
    signed, truth = rng.normal(size=(2, 30)), np.arange(30) < 15
    alone = [auc(row[None], truth)[0] for row in signed]
    assert auc(signed, truth)[0] == pytest.approx(np.mean(alone))
    twice = auc(np.repeat(signed[:1], 2, axis=0), truth)
    assert twice == auc(signed[:1], truth)  # the same reader again is no further evidence
    gaps = signed[:1].copy()
    gaps[0, [0, 29]] = np.nan
    rest = np.arange(1, 29)
    expected = auc(signed[:1, rest], truth[rest])
    found = auc(gaps, truth)
    assert found[0] == pytest.approx(expected[0])
    assert found[1].low == pytest.approx(expected[1].low, abs=0.01)


def test_delong_covers() -> None:
    rng = np.random.default_rng(1)
    truth = np.arange(60) < 30
    expected = float(stats.norm.cdf(1 / math.sqrt(2)))
    intervals = [auc(rng.normal(size=(1, 60)) + truth, truth)[1] for _ in range(200)]
    covered = np.mean([i.low <= expected <= i.high for i in intervals])
    assert 0.9 <= covered <= 0.99


def test_p_is_exact_where_it_can_be_counted_and_uniform_by_chance() -> None:
    truth = np.arange(8) < 4
    separated = np.where(truth, 3.0, -3.0)[None]
    # 2 of the 70 orders are as extreme: all right, and all wrong.
    assert auc_p(separated, truth, n_resamples=20_000, seed=0) == pytest.approx(2 / 70, abs=0.005)
    assert auc_p(np.ones((1, 8)), truth, n_resamples=100, seed=0) == 1
    assert math.isnan(auc_p(np.ones((1, 8)), np.ones(8, bool), n_resamples=100, seed=0))
    rng = np.random.default_rng(2)
    chance = [
        auc_p(rng.normal(size=(2, 20)), np.arange(20) < 10, n_resamples=200, seed=i)
        for i in range(100)
    ]
    assert stats.kstest(chance, "uniform").pvalue > 0.01


def test_kappa_by_hand() -> None:
    # 35 of 50 agree, and half would by chance.
    assert kappa(np.array([[15.0, 10, 5, 20]]))[0] == pytest.approx(0.4)
    assert kappa(np.array([[4.0, 0, 0, 4]]))[0] == 1
    assert math.isnan(kappa(np.array([[0.0, 0, 0, 8]]))[0])
    assert math.isnan(kappa(np.zeros((1, 4)))[0])


def test_pairs_and_the_pooled_row() -> None:
    ann = reading([-5, -4, -1, 2, 5, 3, -2, 1])
    bob = reading([-1, 4, -1, 2, 5, -3, math.nan, 1], "bob")
    rows = rows_of(ann, bob)
    pair = rows["pair", "ann & bob", "all"]
    assert (pair["n"], pair["n_unanswered"]) == (7, 1)
    assert pair["agreement"] == pytest.approx(5 / 7)
    assert -1 <= pair["kappa_low"] <= pair["kappa"] <= pair["kappa_high"] <= 1
    pooled = rows["pooled", "all", "all"]
    assert pooled["n"] == 15
    both = rows["reader", "ann", "all"], rows["reader", "bob", "all"]
    assert pooled["auc"] == pytest.approx(np.mean([row["auc"] for row in both]))
    assert pooled["accuracy"] == pytest.approx(sum(row["accuracy"] * row["n"] for row in both) / 15)
    assert 0 <= pooled["accuracy_low"] <= pooled["accuracy"] <= pooled["accuracy_high"] <= 1
    assert "bootstrap" in str(pooled["interval"])
