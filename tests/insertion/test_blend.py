"""The rim that is measured and the feather that is made of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from insertion.scene import SPACING_MM, disc, patch, slice_with_nodule
from lungaug.errors import SettingError
from lungaug.insertion.blend import (
    FeatherSettings,
    border_of,
    distance_outside,
    feathered,
    footprint,
    measured,
    psf_profile,
)
from lungaug.insertion.protocol import Refused
from lungaug.insertion.resize import Shape, in_host_pixels

SETTINGS = FeatherSettings()


@pytest.mark.parametrize("rim", [(0.6, 0.3, 0.1), (0.4,), (0.5, 0.2)])
def test_a_rim_is_measured_as_it_was_made(rim: tuple[float, ...]) -> None:
    profile, _ = measured(*slice_with_nodule(rim), 1, SETTINGS)
    assert profile == pytest.approx(rim, abs=0.01)


def test_a_vessel_and_the_pleura_beside_the_nodule_have_no_say() -> None:
    hu, nodule, lung = slice_with_nodule((0.5, 0.2))
    vessel = disc(hu.shape, (35, 41), 2.5) & (nodule == 0)
    vessel |= (
        np.isin(np.arange(hu.shape[1]), range(41, 58))[None]
        & (np.abs(np.arange(hu.shape[0]) - 35) < 2)[:, None]
    )
    hu[vessel & (nodule == 0)], lung[vessel & (nodule == 0)] = 30, 2
    hu[:29], lung[:29] = 40, 0
    profile, _ = measured(hu, nodule, lung, 1, SETTINGS)
    assert profile == pytest.approx((0.5, 0.2), abs=0.02)


def test_a_profile_never_rises_outwards() -> None:
    profile, _ = measured(*slice_with_nodule((0.3, 0.6, 0.1)), 1, SETTINGS)
    assert profile == pytest.approx((0.3, 0.3, 0.1), abs=0.01)


def test_the_fall_is_that_of_the_border() -> None:
    hu, nodule, lung = slice_with_nodule()
    inner = disc(hu.shape, (35, 34), 4) & (nodule > 0)
    hu[(nodule > 0) & ~inner] -= 300
    _, fall = measured(hu, nodule, lung, 1, SETTINGS)
    assert fall[0] > 200
    assert list(fall) == sorted(fall, reverse=True)


@pytest.mark.parametrize("faint", ["as faint as lung", "no lung around"])
def test_the_point_spread_serves_where_no_rim_can_be_measured(faint: str) -> None:
    hu, nodule, lung = slice_with_nodule((0.5,))
    if faint == "as faint as lung":
        hu[:] = -850
    else:
        lung[nodule == 0] = 0
    assert measured(hu, nodule, lung, 1, SETTINGS)[0] == psf_profile(SETTINGS)


def test_settings_choose_the_point_spread() -> None:
    settings = FeatherSettings(measured=False, psf_px=1.2)
    profile = measured(*slice_with_nodule((0.9, 0.8)), 1, settings)[0]
    assert profile == psf_profile(settings)
    assert 0.4 < profile[0] < 0.6
    assert psf_profile(FeatherSettings(width_px=1)) == psf_profile(SETTINGS)[:1]


@pytest.mark.parametrize("psf_px", [0.5, 0.8, 1.6])
def test_a_point_spread_is_that_of_a_sharp_edge(psf_px: float) -> None:
    """Relative to the border's pixel, half a pixel inside; what is faint is left out."""
    spread = norm.sf(np.array([-0.5, 0.5, 1.5, 2.5]) / psf_px)
    wanted = [share for share in (spread[1:] / spread[0]).round(3).tolist() if share >= 0.03]
    found = psf_profile(FeatherSettings(psf_px=psf_px))
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize(
    ("rim", "kept"), [((0.5, 0.035), (0.5, 0.035)), ((0.5, 0.02), (0.5,)), ((0.01,), (0.01,))]
)
def test_the_faint_end_of_a_rim_is_left_out_but_not_all_of_it(
    rim: tuple[float, ...], kept: tuple[float, ...]
) -> None:
    profile, _ = measured(*slice_with_nodule(rim), 1, SETTINGS)
    assert profile == pytest.approx(kept, abs=0.002)


@pytest.mark.parametrize(("contrast", "is_measured"), [(45, False), (55, True)])
def test_a_rim_is_measured_of_what_stands_out(contrast: int, is_measured: bool) -> None:
    hu, nodule, lung = slice_with_nodule()
    hu[:] = -850
    hu[nodule > 0] += contrast
    lung[lung == 2] = 1
    profile, _ = measured(hu, nodule, lung, 1, SETTINGS)
    assert (profile == psf_profile(SETTINGS)) != is_measured


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_rim_is_as_wide_as_the_settings_have_it(width: int) -> None:
    rim = (0.6, 0.4, 0.2)
    profile, _ = measured(*slice_with_nodule(rim), 1, FeatherSettings(width_px=width))
    assert profile == pytest.approx(rim[:width], abs=0.01)


def test_vessels_beyond_the_rim_are_no_background() -> None:
    """However much of it they fill: what is left of the lung around is."""
    hu, nodule, lung = slice_with_nodule((0.5, 0.2))
    vessels = (distance_outside(nodule > 0) >= 4) & (np.arange(hu.shape[0]) < 38)[:, None]
    hu[vessels & (lung > 0)], lung[vessels & (lung > 0)] = 30, 2
    profile, _ = measured(hu, nodule, lung, 1, SETTINGS)
    assert profile == pytest.approx((0.5, 0.2), abs=0.02)


def test_another_nodule_and_what_is_near_it_have_no_say() -> None:
    hu, nodule, lung = slice_with_nodule((0.5, 0.2))
    other = disc(hu.shape, (35, 44), 3) & (nodule == 0)
    hu[footprint(other, 1) & (nodule == 0)] = 100
    nodule[other] = 2
    profile, _ = measured(hu, nodule, lung, 1, SETTINGS)
    assert profile == pytest.approx((0.5, 0.2), abs=0.01)


def test_border_and_footprint_are_those_of_every_pixel_tried() -> None:
    mask = np.random.default_rng(0).random((14, 17)) < 0.5
    padded = np.pad(mask, 1)
    beside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    np.testing.assert_array_equal(border_of(mask), mask & ~beside)
    one = disc((19, 23), (9, 11), 2.2)
    rows, cols = np.indices(one.shape)
    own = np.argwhere(one)
    away = np.hypot(rows[..., None] - own[:, 0], cols[..., None] - own[:, 1]).min(axis=2)
    np.testing.assert_allclose(distance_outside(one), away, atol=1e-4)
    for width in (1, 2, 3):
        np.testing.assert_array_equal(footprint(one, width), away < width + 0.5)


def test_a_point_spread_is_a_finite_number() -> None:
    with pytest.raises(SettingError, match="psf_px"):
        FeatherSettings(psf_px=float("inf"))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_only_the_feather_is_lifted_and_noise_stays(width: int) -> None:
    shape = in_host_pixels(patch(), SPACING_MM, 0)
    assert not isinstance(shape, Refused)
    rng = np.random.default_rng(0)
    noise = np.rint(rng.normal(0, 30, shape.mask.shape)).astype(np.int16)
    hu = (noise - 850).astype(np.int16)
    hu[shape.mask] = -50
    mean = np.full(hu.shape, -850, np.float32)
    lifted = feathered(hu, shape, (0.6, 0.3, 0.1)[:width], mean)
    rim = footprint(shape.mask, width) & ~shape.mask
    assert np.array_equal(lifted[~rim], hu[~rim])
    assert (lifted[rim] >= hu[rim]).all()
    assert (lifted[rim] - hu[rim]).max() <= 800
    quiet = feathered(hu - np.where(shape.mask, 0, noise), shape, (0.6, 0.3, 0.1)[:width], mean)
    assert np.abs((lifted - quiet)[rim] - noise[rim]).max() <= 1


def test_each_ring_has_its_share_of_the_borders_contrast() -> None:
    """The outline runs half a pixel outside the mask's last pixel, a ring's middle another half."""
    mask = disc((31, 31), (15, 15), 5)
    shape = Shape(np.zeros(mask.shape), mask, np.maximum(distance_outside(mask) - 0.5, 0))
    hu = np.where(mask, -50, -850).astype(np.int16)
    lifted = feathered(hu, shape, (0.6, 0.3, 0.1), np.full(hu.shape, -850, np.float32))
    assert lifted[15, 19:26].tolist() == [-50, -50, -370, -610, -770, -850, -850]
    assert lifted[:11, 15].tolist()[::-1] == [-50, -370, -610, -770, *[-850] * 7]


def test_the_feather_follows_the_border_beside_it() -> None:
    mask = disc((41, 41), (20, 20), 9)
    shape = Shape(np.zeros(mask.shape), mask, np.maximum(distance_outside(mask) - 0.5, 0))
    hu = np.where(mask, np.where(np.arange(41) < 20, -50, -450), -850).astype(np.int16)
    lifted = feathered(hu, shape, (0.5,), np.full(hu.shape, -850, np.float32))
    assert lifted[20, 10] == pytest.approx(-850 + 0.5 * 800, abs=5)
    assert lifted[20, 30] == pytest.approx(-850 + 0.5 * 400, abs=5)


def test_the_feather_stays_within_the_range_of_hu() -> None:
    mask = disc((21, 21), (10, 10), 4)
    shape = Shape(np.zeros(mask.shape), mask, np.maximum(distance_outside(mask) - 0.5, 0))
    hu = np.where(mask, 32767, 32000).astype(np.int16)
    lifted = feathered(hu, shape, (0.9,), np.full(hu.shape, -850, np.float32))
    assert lifted.min() == 32000
    assert lifted[10, 15] == 32767


def test_a_vessel_in_the_feather_is_not_darkened() -> None:
    shape = in_host_pixels(patch(), SPACING_MM, 0)
    assert not isinstance(shape, Refused)
    hu = np.full(shape.mask.shape, -850, np.int16)
    hu[~shape.mask] = 200
    hu[shape.mask] = -600
    lifted = feathered(hu, shape, (0.5,), np.full(hu.shape, 200, np.float32))
    assert np.array_equal(lifted, hu)
