"""Noise and local means."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from lungaug.insertion.noise import local_mean, missing_noise, noise_sd


def test_the_local_mean_leaves_out_what_does_not_count() -> None:
    hu = np.full((20, 20), -850)
    hu[8:12, 8:12] = 50
    assert local_mean(hu, hu < -500) == pytest.approx(-850, abs=0.01)


def test_the_local_mean_is_a_gaussian_one_of_what_counts() -> None:
    rng = np.random.default_rng(0)
    hu, usable = rng.normal(-850, 60, (30, 34)), rng.random((30, 34)) < 0.7
    blurred = [
        gaussian_filter(np.where(usable, image, 0.0), 1.5, mode="constant", truncate=4)
        for image in (hu, np.ones(hu.shape))
    ]
    np.testing.assert_allclose(local_mean(hu, usable), blurred[0] / blurred[1], atol=0.02)
    nothing = local_mean(hu, np.zeros(hu.shape, bool))
    assert not nothing.any()


def test_noise_is_measured_where_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    image = np.concatenate([rng.normal(0, 10, (60, 60)), rng.normal(0, 40, (60, 60))])
    left = np.zeros(image.shape, bool)
    left[2:58] = True
    assert noise_sd(image, left) == pytest.approx(10, rel=0.08)
    assert noise_sd(image, np.flipud(left)) == pytest.approx(40, rel=0.08)


def test_a_straight_edge_is_no_noise() -> None:
    step = np.where(np.arange(40) < 20, -850, 50)[None].repeat(40, axis=0)
    near = np.abs(np.arange(40) - 19.5) < 1
    assert noise_sd(step, np.broadcast_to(near, step.shape)) < 1e-6
    assert noise_sd(step.T, np.broadcast_to(near, step.shape).T) < 1e-6


def test_noise_is_told_from_structure() -> None:
    rng = np.random.default_rng(0)
    rows, cols = np.indices((60, 60))
    smooth = 0.4 * (rows - 30) ** 2 - 12 * cols
    everywhere = np.ones((60, 60), bool)
    assert noise_sd(smooth, everywhere) < 3
    assert noise_sd(smooth + rng.normal(0, 25, (60, 60)), everywhere) == pytest.approx(25, rel=0.1)


def test_what_is_missing_brings_the_variance_up() -> None:
    assert missing_noise(0, 20) == 1
    assert missing_noise(12, 20) == pytest.approx(0.8)
    assert missing_noise(30, 20) == 0
    assert missing_noise(0, 0) == 0
