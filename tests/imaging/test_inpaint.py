"""Filled holes have the noise of their source and the density of their surroundings."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

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


@pytest.mark.parametrize("sigma_px", [2.0, 3.0])
def test_it_is_the_source_less_its_local_mean_plus_the_one_here(sigma_px):
    """Gaussian means of usable pixels, the hole's excepted, worked out on the whole image."""
    rng = np.random.default_rng(1)
    hu = np.rint(rng.normal(-850, 60, (60, 90)) + 2 * np.arange(90)).astype(np.int16)
    hole, usable = disc(hu.shape, 30, 25, 3), rng.random(hu.shape) < 0.8
    counted = usable & ~hole
    blurred = [
        ndimage.gaussian_filter(np.where(counted, image, 0.0), sigma_px)
        for image in (hu, np.ones(hu.shape))
    ]
    mean = blurred[0] / blurred[1]
    rows, cols = np.nonzero(hole)
    expected = hu[rows - 4, cols + 40] - mean[rows - 4, cols + 40] + mean[rows, cols]
    given = {} if sigma_px == 2 else {"sigma_px": sigma_px}
    found = transferred_texture(hu, (rows, cols), (-4, 40), usable, **given)
    assert np.abs(found - expected).max() < 1.5
    assert abs((found - expected).mean()) < 0.2


def test_far_from_anything_usable_it_has_the_mean_of_the_surroundings():
    hu = noisy(-850)
    hole = np.nonzero(disc(hu.shape, 30, 20, 3))
    usable = np.zeros(hu.shape, bool)
    usable[:, 45:] = True
    filled = transferred_texture(hu, hole, (0, 45), usable)
    assert abs(filled.mean() + 850) < 15


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
