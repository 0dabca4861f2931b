"""Blur smooths HU and leaves labels and density alone."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.errors import SettingError
from lungaug.metalung.blur import BLUR, BlurSettings
from metalung.cases import chest, drawn


def test_flat_stays_flat_to_the_border_also_below_zero():
    hu = np.full((20, 30), -999, np.int16)
    blurred, _ = BLUR.apply(hu, np.zeros((20, 30), np.uint8), {"sigma_px": 1.5})
    np.testing.assert_array_equal(blurred, hu)


def test_smooths_keeps_the_mean_and_the_labels():
    hu, nodule, _ = chest()
    blurred, labels = BLUR.apply(hu, nodule, {"sigma_px": 1.0})
    assert (
        np.abs(np.diff(blurred.astype(int))).mean() < 0.6 * np.abs(np.diff(hu.astype(int))).mean()
    )
    assert blurred.mean() == pytest.approx(hu.mean(), abs=2)
    np.testing.assert_array_equal(labels, nodule)


def test_nothing_happens_at_width_zero():
    hu, nodule, _ = chest()
    np.testing.assert_array_equal(BLUR.apply(hu, nodule, {"sigma_px": 0})[0], hu)


@pytest.mark.parametrize("sigma", [0.7, 1.5])
def test_a_point_spreads_by_the_width(sigma):
    hu = np.zeros((41, 41), np.int16)
    hu[20, 20] = 32000
    blurred = BLUR.apply(hu, np.zeros_like(hu, np.uint8), {"sigma_px": sigma})[0].astype(float)
    away = np.arange(41) - 20
    for axis in (0, 1):
        profile = blurred.sum(axis=axis)
        assert np.sqrt((profile * away**2).sum() / profile.sum()) == pytest.approx(sigma, rel=0.03)


def test_widths_are_drawn_in_thousandths_of_a_pixel():
    widths = [drawn("blur", chest(), seed)["sigma_px"] for seed in range(60)]
    assert 0.5 <= min(widths) < 0.6
    assert 1.4 < max(widths) <= 1.5
    assert all(width == round(width, 3) for width in widths)
    assert any(width != round(width, 2) for width in widths)


@pytest.mark.parametrize("widths", [(2, 1), (-0.1, 1), (1, 50.1)])
def test_refuses_widths_upside_down_or_out_of_range(widths):
    with pytest.raises(SettingError, match="sigma_px"):
        BlurSettings(sigma_px=widths)


@pytest.mark.parametrize("widths", [(0, 0), (1, 1), (50, 50)])
def test_takes_widths_up_to_both_bounds(widths):
    assert BlurSettings(sigma_px=widths).sigma_px == widths
