"""The blurred edge: which pixels belong to it, and its record."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.metalung.edges import MAXIMUM_BITS, edge_in, joined, packed, rim_of, unpacked
from lungaug.metalung.regions import pixels_of


@pytest.mark.parametrize("width", [0, 1, 2, 3])
@pytest.mark.parametrize("place", [(8, 9), (0, 0), (15, 19), (1, 17)])
def test_the_rim_is_what_lies_near_and_has_no_label(width, place):
    nodule = np.zeros((16, 20), np.uint8)
    nodule[place] = nodule[max(place[0] - 1, 0), place[1]] = 1
    nodule[6:9, 11] = 2
    rows, cols = np.indices(nodule.shape)
    own = np.argwhere(nodule == 1)
    away = np.hypot(rows[..., None] - own[:, 0], cols[..., None] - own[:, 1]).min(axis=2)
    found = np.zeros(nodule.shape, bool)
    found[rim_of(nodule, pixels_of(nodule, 1), width)] = True
    # OpenCV's discs are a little wider than true ones at odd rows.
    assert (found | (nodule > 0) | (away > width)).all()
    assert not (found & ((nodule > 0) | (away > width + 0.5))).any()


def test_the_edge_is_lung_and_fainter_than_three_quarters_of_the_nodule():
    hu = np.array([[0, 10, 20, 30, 40], [9, 10, 11, -800, -800]], np.int16)
    lung = np.array([[2, 2, 2, 2, 2], [2, 1, 1, 1, 0]], np.uint8)
    core = np.zeros(5, int), np.arange(5)
    rim = np.ones(5, int), np.arange(5)
    assert edge_in(hu, lung, core, rim).tolist() == [True, False, False, True, False]


@pytest.mark.parametrize("n", range(1, 10))
def test_the_faintest_quarter_is_that_of_numpy(n):
    rng = np.random.default_rng(n)
    hu = np.concatenate([rng.integers(-900, 100, n), np.arange(-900, 100)]).astype(np.int16)[None]
    core, rim = (np.zeros(n, int), np.arange(n)), (np.zeros(1000, int), np.arange(n, n + 1000))
    expected = hu[rim] < np.percentile(hu[core], 25)
    np.testing.assert_array_equal(edge_in(hu, np.ones_like(hu), core, rim), expected)


def test_a_rim_too_long_for_the_record_moves_nothing():
    hu = np.zeros((2, MAXIMUM_BITS + 1), np.int16)
    hu[0] = 100
    core = np.zeros(9, int), np.arange(9)
    for n, moves in ((MAXIMUM_BITS, True), (MAXIMUM_BITS + 1, False)):
        rim = np.ones(n, int), np.arange(n)
        found = edge_in(hu, np.ones_like(hu), core, rim)
        assert found.shape == (n,)
        assert found.all() == found.any() == moves


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 20])
def test_the_record_of_bits_comes_back(n):
    bits = np.random.default_rng(n).random(n) < 0.5
    assert unpacked(packed(bits), n).tolist() == bits.tolist()


def test_the_core_comes_before_the_chosen_pixels_of_the_rim():
    core, rim = (np.array([1, 2]), np.array([3, 4])), (np.array([5, 6, 7]), np.array([8, 9, 10]))
    rows, cols = joined(core, rim, np.array([True, False, True]))
    assert (rows.tolist(), cols.tolist()) == ([1, 2, 5, 7], [3, 4, 8, 10])
