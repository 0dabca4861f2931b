"""Free places are exactly those without overlap."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.insertion.placement import any_place, free_places, nearest_free_place

PIXEL = np.ones((1, 1), bool)
NINE = np.ones((9, 9), bool)


def brute_force(free, shape):
    height, width = shape.shape
    places = np.zeros(free.shape, bool)
    for row in range(free.shape[0] - height + 1):
        for col in range(free.shape[1] - width + 1):
            places[row, col] = free[row : row + height, col : col + width][shape].all()
    return places


@pytest.mark.parametrize("seed", range(8))
def test_equals_trying_every_place(seed):
    rng = np.random.default_rng(seed)
    free = rng.random((23, 31)) < 0.9
    shape = rng.random(tuple(rng.integers(1, 6, 2))) < 0.7
    shape[rng.integers(shape.shape[0]), rng.integers(shape.shape[1])] = True
    np.testing.assert_array_equal(free_places(free, shape), brute_force(free, shape))


def test_takes_views_and_shapes_as_large_as_the_space():
    free = np.ones((10, 12), bool)[2:8, 3:9]
    assert free_places(free, np.ones((6, 6), bool)).sum() == 1
    assert not free_places(free, np.ones((7, 6), bool)).any()


def test_nothing_to_choose_from():
    nowhere = np.zeros((4, 5), bool)
    rng = np.random.default_rng(0)
    assert any_place(nowhere, rng=rng) is None
    assert nearest_free_place(nowhere, PIXEL, (0, 0), 3, rng=rng) is None


def test_near_places_are_the_nearest():
    places = np.ones((20, 20), bool)
    places[10, 10] = False
    found = {
        nearest_free_place(places, PIXEL, (10, 10), 4, rng=np.random.default_rng(s))
        for s in range(60)
    }
    assert found == {(9, 10), (11, 10), (10, 9), (10, 11)}


@pytest.mark.parametrize("to", [(15, 20), (20, 15)])
@pytest.mark.parametrize("way", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_close_by_reaches_as_far_to_every_side(to, way):
    free = np.zeros((40, 40), bool)
    near, far = (tuple(np.add(to, np.multiply(way, n)).tolist()) for n in (7, -8))
    free[near] = free[far] = True
    assert nearest_free_place(free, PIXEL, to, 1, rng=np.random.default_rng(0)) == near


def test_ties_fall_in_reading_order():
    found = {
        nearest_free_place(NINE, PIXEL, (4, 4), 2, rng=np.random.default_rng(s)) for s in range(40)
    }
    assert found == {(4, 4), (3, 4)}


@pytest.mark.parametrize("seed", range(12))
def test_far_places_count_where_close_ones_are_few(seed):
    rng = np.random.default_rng(seed)
    free = rng.random((70, 80)) < rng.choice([0.02, 0.3, 0.9])
    to, n = tuple(rng.integers(-5, 75, 2).tolist()), int(rng.integers(1, 20))
    shape = np.ones(rng.integers(1, 3, 2) * (1, 4), bool)
    places = np.argwhere(free_places(free, shape))
    order = np.argsort(((places - to) ** 2).sum(axis=1), kind="stable")[:n]
    found = {nearest_free_place(free, shape, to, n, rng=rng) for _ in range(30 * n)}
    assert found == set(map(tuple, places[order].tolist())) or found == {None}
    assert (None in found) == (not len(places))
