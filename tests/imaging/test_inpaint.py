"""Filled holes have the noise of their source and the density of their surroundings."""

from __future__ import annotations

import numpy as np

from lungaug.imaging.inpaint import transferred_texture


def noisy(level, shape=(60, 90)):
    return np.rint(level + np.random.default_rng(0).normal(0, 20, shape)).astype(np.int16)


def disc(shape, row, col, radius):
    rows, cols = np.mgrid[: shape[0], : shape[1]]
    return (rows - row) ** 2 + (cols - col) ** 2 <= radius**2


def test_a_hole_in_a_gradient_disappears():
    ramp = -950 + 3 * np.arange(90)
    hu = noisy(ramp)
    hole = disc(hu.shape, 30, 20, 4)
    hu[hole] = 300
    rows_cols = np.nonzero(hole)
    filled = transferred_texture(hu, rows_cols, (0, 50), hu < -300)
    rest = filled - ramp[rows_cols[1]]
    assert abs(rest.mean()) < 12
    assert 12 < rest.std() < 28


def test_the_hole_itself_does_not_count():
    hu = noisy(-850)
    hole = np.nonzero(disc(hu.shape, 30, 20, 3))
    usable = np.ones(hu.shape, bool)
    expected = transferred_texture(hu, hole, (0, 40), usable)
    hu[hole] = 3000
    np.testing.assert_array_equal(transferred_texture(hu, hole, (0, 40), usable), expected)


def test_works_at_the_corner_and_without_anything_usable():
    hu = noisy(-850)
    hole = np.nonzero(disc(hu.shape, 0, 0, 3))
    for usable in (np.ones(hu.shape, bool), np.zeros(hu.shape, bool)):
        filled = transferred_texture(hu, hole, (40, 60), usable)
        assert filled.dtype == np.int16
        assert abs(filled.mean() + 850) < 20


def test_stays_within_the_range_of_hu():
    hu = noisy(-1015)
    hole = np.nonzero(disc(hu.shape, 30, 20, 5))
    assert transferred_texture(hu, hole, (0, 50), hu < -300).min() >= -1024
