"""Blur smooths HU and leaves labels and density alone."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.errors import SettingError
from lungaug.metalung.blur import BLUR, BlurSettings
from metalung.cases import chest


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


def test_refuses_widths_upside_down():
    with pytest.raises(SettingError, match="sigma_px"):
        BlurSettings(sigma_px=(2, 1))
