"""Resampled patients: within their classes, each as often as drawn."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.draws import patient_draws
from lungaug.evaluation.scores import Resampling

RESAMPLING = Resampling(seed=1, n_resamples=4000)


def classes(**sizes: int) -> pd.Series:
    return pd.Series({f"{name}-{i}": name for name, n in sizes.items() for i in range(n)})


def test_patients_are_drawn_within_their_classes() -> None:
    known = classes(LR4B=3, LR2=4)
    draws = patient_draws(known.index[::-1], known, RESAMPLING)
    assert list(draws.patients[:4]) == [f"LR2-{i}" for i in range(4)]
    assert (draws.counts[:, :4].sum(axis=1) == 4).all()
    assert (draws.counts[:, 4:].sum(axis=1) == 3).all()
    assert draws.counts.mean() == pytest.approx(1)


def test_totals_are_of_patients() -> None:
    known = classes(LR2=3)
    draws = patient_draws(known.index, known, RESAMPLING)
    assert draws.total(["LR2-2", "LR2-0", "LR2-2"]).tolist() == [1, 0, 2]
    assert draws.total(["LR2-2", "LR2-0"], [0.5, 3]).tolist() == [3, 0, 0.5]
    assert draws.total([]).tolist() == [0, 0, 0]


def test_a_mean_gets_its_student_interval() -> None:
    known = classes(LR2=10)
    draws = patient_draws(known.index, known, RESAMPLING)
    values = np.random.default_rng(0).normal(0, 1, 10)
    interval = draws.interval(draws.counts @ values / 10, np.ones(10, bool))
    reach = 2.262 * values.std(ddof=1) / math.sqrt(10)
    assert interval.high - interval.low == pytest.approx(2 * reach, rel=0.08)


def test_few_patients_or_no_spread_give_no_interval() -> None:
    known = classes(LR2=8)
    draws = patient_draws(known.index, known, RESAMPLING)
    estimates = draws.counts[:, 0]
    everyone = np.ones(8, bool)
    assert math.isfinite(draws.interval(estimates, everyone).low)
    assert math.isnan(draws.interval(estimates, np.arange(8) < 4).low)
    assert math.isnan(draws.interval(np.ones(4000), everyone).low)
    assert math.isnan(draws.interval(np.full(4000, np.nan), everyone).low)


def test_strangers_are_refused() -> None:
    known = classes(LR2=2)
    with pytest.raises(InputError, match="patient x has metrics but is not in the split"):
        patient_draws(["x"], known, RESAMPLING)
    draws = patient_draws(known.index, known, RESAMPLING)
    with pytest.raises(InputError, match="patient x has no row in the metrics"):
        draws.columns(["LR2-0", "x"])
