"""The network's door: range, determinism, independence of the neighbours."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.exposure import equalize_adapthist

from imaging.thorax import thorax
from lungaug.errors import SettingError
from lungaug.imaging.contrast import ContrastSettings, network_input

PLAIN = ContrastSettings(equalise=False)


@pytest.mark.parametrize("scale", ["window", "slice"])
@pytest.mark.parametrize("shape", [(160, 200), (97, 131), (5, 3), (1, 1)])
@pytest.mark.parametrize("equalise", [True, False])
def test_range_type_and_shape(scale, shape, equalise):
    hu = np.random.default_rng(0).integers(-1024, 3000, shape).astype(np.int16)
    seen = network_input(hu, ContrastSettings(scale=scale, equalise=equalise))
    assert seen.shape == shape
    assert seen.dtype == np.float32
    assert seen.min() >= 0
    assert seen.max() <= 1


def test_the_window_is_linear_and_clipped():
    hu = np.array([[-1024, -1000, -300, 400, 3000]], np.int16)
    assert network_input(hu, PLAIN).tolist() == [[0, 0, 0.5, 1, 1]]


def test_a_slice_spans_its_own_minimum_to_maximum():
    hu = np.array([[-900, -400, 100, 1100]], np.int16)
    settings = ContrastSettings(scale="slice", equalise=False)
    assert network_input(hu, settings).tolist() == [[0, 0.25, 0.5, 1]]


def test_the_default_is_a_lung_window_equalised_in_eight_by_eight_tiles():
    default = ContrastSettings("window", -1000, 400, equalise=True, tiles=8, clip_limit=0.01)
    assert ContrastSettings() == default


def test_metal_elsewhere_changes_no_other_pixel_within_the_window():
    hu, _ = thorax()
    metal = hu.copy()
    metal[0, 0] = 20000
    assert np.array_equal(network_input(hu, PLAIN)[1:], network_input(metal, PLAIN)[1:])
    by_slice = ContrastSettings(scale="slice", equalise=False)
    assert network_input(metal, by_slice)[80].max() < 0.1


@pytest.mark.parametrize("scale", ["window", "slice"])
@pytest.mark.parametrize("value", [-1024, -700, 3000])
def test_a_constant_image_stays_constant(scale, value):
    seen = network_input(np.full((50, 70), value, np.int16), ContrastSettings(scale=scale))
    assert np.ptp(seen) == 0


def test_same_slice_same_bytes_and_input_untouched():
    hu, _ = thorax()
    before = hu.copy()
    assert np.array_equal(network_input(hu), network_input(hu))
    assert np.array_equal(hu, before)


@pytest.mark.parametrize("clip_limit", [0.01, 0.03, 0.1])
def test_equalising_agrees_with_scikit_image(clip_limit):
    hu, _ = thorax((256, 320))
    ours = network_input(hu, ContrastSettings(clip_limit=clip_limit))
    theirs = equalize_adapthist(network_input(hu, PLAIN), clip_limit=clip_limit)
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.993
    assert np.abs(ours - theirs).mean() < 0.03


def test_equalising_what_is_equal_already_changes_no_grey_level():
    ramp = np.tile(np.linspace(-1000, 400, 256).astype(np.int16), (16, 1))
    seen = network_input(ramp, ContrastSettings(tiles=1, clip_limit=1.0))
    np.testing.assert_allclose(seen, network_input(ramp, PLAIN), atol=1.1 / 255)
    assert len(np.unique(seen)) == 255
    assert seen.max() == 1


def test_an_empty_window_is_refused():
    with pytest.raises(SettingError, match="low_hu"):
        ContrastSettings(low_hu=400, high_hu=400)
