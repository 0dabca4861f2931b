"""The values of the donor in the order of the patch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.insertion.standardise import quantiles, standardised

hu = st.integers(-1024, 400)


@given(st.lists(hu, min_size=1, max_size=60), st.data())
def test_as_many_values_are_the_donors_own(donor: list[int], data: st.DataObject) -> None:
    donor_hu = np.sort(np.array(donor, np.int16))
    n = len(donor)
    values = np.array(data.draw(st.lists(st.floats(-2000, 2000), min_size=n, max_size=n)))
    result = standardised(values, donor_hu)
    assert np.sort(result).tolist() == donor_hu.tolist()
    assert (np.diff(result[np.argsort(values, kind="stable")]) >= 0).all()


@given(st.lists(hu, min_size=1, max_size=60), st.integers(1, 80))
def test_quantiles_ascend_within_the_donors_range(donor: list[int], n: int) -> None:
    found = quantiles(np.sort(np.array(donor, np.int16)), n)
    assert found.dtype == np.int16
    assert len(found) == n
    assert (np.diff(found) >= 0).all()
    assert min(donor) <= found[0]
    assert found[-1] <= max(donor)


def test_mean_and_spread_are_kept_whatever_the_number() -> None:
    donor_hu = np.sort(np.random.default_rng(0).normal(-100, 200, 120)).astype(np.int16)
    found = quantiles(donor_hu, 37)
    assert found.mean() == pytest.approx(donor_hu.mean(), abs=5)
    assert found.std() == pytest.approx(donor_hu.std(), rel=0.05)


def test_quantiles_lie_at_the_middle_of_equal_shares() -> None:
    donor_hu = np.array([-100, 0, 100, 200], np.int16)
    assert quantiles(donor_hu, 2).tolist() == [-50, 150]
    assert quantiles(donor_hu, 8).tolist() == [-100, -75, -25, 25, 75, 125, 175, 200]
    assert quantiles(np.array([0, 10], np.int16), 8).tolist() == [0, 0, 1, 4, 6, 9, 10, 10]
    assert quantiles(donor_hu[:1], 3).tolist() == [-100] * 3


def test_equal_values_keep_their_order() -> None:
    found = standardised(np.zeros(4), np.array([1, 2, 3, 4], np.int16))
    assert found.tolist() == [1, 2, 3, 4]


def test_without_a_donor_values_are_rounded() -> None:
    values = np.array([1.4, 1.6, -2.4, -2.6])
    assert standardised(values, None).tolist() == [1, 2, -2, -3]
