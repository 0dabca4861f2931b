"""The rim that is measured and the feather that is made of it."""

from __future__ import annotations

import numpy as np
import pytest

from insertion.scene import SPACING_MM, disc, patch, slice_with_nodule
from lungaug.errors import SettingError
from lungaug.insertion.blend import (
    FeatherSettings,
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


def test_a_vessel_in_the_feather_is_not_darkened() -> None:
    shape = in_host_pixels(patch(), SPACING_MM, 0)
    assert not isinstance(shape, Refused)
    hu = np.full(shape.mask.shape, -850, np.int16)
    hu[~shape.mask] = 200
    hu[shape.mask] = -600
    lifted = feathered(hu, shape, (0.5,), np.full(hu.shape, 200, np.float32))
    assert np.array_equal(lifted, hu)
