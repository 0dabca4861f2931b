"""Lungs on drawn slices: what is inside, what is not, where the image ends, mirrored slices."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.thorax import AIR, LUNG, TISSUE, dice, ellipse, thorax
from lungaug.imaging.lungs import LungSettings, segment_lungs

SPACING = np.array([1.5, 1.5], np.float32)
UNKNOWN = np.array([np.nan, np.nan], np.float32)
AS_PUBLISHED = LungSettings(closing_mm=0)


@pytest.mark.parametrize("shape", [(160, 200), (96, 96), (128, 301), (300, 200)])
@pytest.mark.parametrize("spacing", [SPACING, UNKNOWN])
def test_both_lungs_with_their_vessels(shape, spacing):
    hu, lungs = thorax(shape)
    found = segment_lungs(hu, spacing)
    assert found.status == "ok"
    assert found.mask.dtype == np.bool_
    assert dice(found.mask, lungs) > 0.99


def test_without_closing_the_mask_is_the_filled_air():
    hu, lungs = thorax()
    assert np.array_equal(segment_lungs(hu, SPACING, AS_PUBLISHED).mask, lungs)


def test_the_trachea_is_not_lung():
    hu, _ = thorax()
    assert not segment_lungs(hu, SPACING).mask[ellipse(hu.shape, 0.45, 0.5, 0.05, 0.04)].any()


def test_a_trachea_that_a_thin_wall_fails_to_part_from_the_lung_is_not_lung():
    shape = (320, 400)
    hu, lungs = thorax(shape, trachea=False)
    wall, lumen = (ellipse(shape, 0.5, 0.45, r, 0.8 * r) for r in (0.06, 0.05))
    hu[wall] = -500
    hu[lumen] = AIR
    mask = segment_lungs(hu, SPACING / 2).mask
    assert not mask[lumen].any()
    assert dice(mask, lungs & ~wall) > 0.98


@pytest.mark.parametrize(("row", "column"), [(0.5, 0.11), (0.19, 0.27), (0.5, 0.89)])
def test_a_mass_on_the_pleura_stays_inside(row, column):
    hu, lungs = thorax((320, 400))
    mass = ellipse(hu.shape, row, column, 0.06, 0.05) & lungs
    hu[mass] = TISSUE
    spacing = SPACING / 2
    without = segment_lungs(hu, spacing, AS_PUBLISHED).mask
    mask = segment_lungs(hu, spacing).mask
    assert np.count_nonzero(without & mass) < 0.5 * np.count_nonzero(mass)
    assert np.count_nonzero(mask & mass) >= 0.99 * np.count_nonzero(mass)
    assert dice(mask, lungs) > 0.99


def test_the_heart_is_not_taken_for_a_mass():
    hu, lungs = thorax((320, 400))
    heart = ellipse(hu.shape, 0.5, 0.57, 0.17, 0.14)
    hu[heart] = TISSUE
    mask = segment_lungs(hu, SPACING / 2).mask
    assert np.count_nonzero(mask & heart) < 0.1 * np.count_nonzero(heart)
    assert dice(mask, lungs & ~heart) > 0.98


def test_closing_adds_no_more_than_allowed():
    hu, _ = thorax((320, 400))
    hu[ellipse(hu.shape, 0.5, 0.11, 0.25, 0.1)] = TISSUE
    before = segment_lungs(hu, SPACING, AS_PUBLISHED).mask.sum()
    for gain in (0.0, 0.05, 0.25):
        mask = segment_lungs(hu, SPACING, LungSettings(largest_gain=gain)).mask
        assert before <= mask.sum() <= (1 + gain) * before + 2


def test_lungs_that_meet_in_front_and_behind_do_not_swallow_the_mediastinum():
    hu, lungs = thorax((320, 400))
    bridges = np.zeros(hu.shape, np.bool_)
    bridges[100:106, 120:280] = bridges[210:214, 120:280] = True
    hu[bridges & (hu > -300)] = LUNG
    mask = segment_lungs(hu, SPACING, AS_PUBLISHED).mask
    assert not mask[ellipse(hu.shape, 0.45, 0.5, 0.08, 0.02)].any()
    assert dice(mask, lungs | bridges) > 0.99


@pytest.mark.parametrize(
    "crop", [np.s_[:, 20:], np.s_[:, :-20], np.s_[:, 20:-20], np.s_[14:-14], np.s_[35:-35, 25:-25]]
)
def test_a_field_of_view_that_cuts_body_or_lungs(crop):
    hu, lungs = thorax((160, 200))
    found = segment_lungs(np.ascontiguousarray(hu[crop]), SPACING)
    assert found.status == "ok"
    assert dice(found.mask, lungs[crop]) > 0.97


def test_a_padded_circle_that_cuts_the_lungs():
    hu, lungs = thorax((160, 200))
    circle = ellipse(hu.shape, 0.5, 0.5, 0.42, 0.33)
    hu[~circle] = -1024
    found = segment_lungs(hu, SPACING)
    assert found.status == "ok"
    assert dice(found.mask, lungs & circle) > 0.96


def test_air_between_body_and_table_is_not_lung():
    hu, lungs = thorax((160, 200))
    hu[150:153, :] = 300
    hu[140:150, :][hu[140:150, :] < -300] = -900
    assert dice(segment_lungs(hu, SPACING).mask, lungs) > 0.99


def test_one_lung_is_said_to_be_one():
    hu, lungs = thorax(sides=(0.27,))
    found = segment_lungs(hu, SPACING)
    assert found.status == "one_lung"
    assert dice(found.mask, lungs) > 0.99


@pytest.mark.parametrize("spacing", [SPACING, UNKNOWN])
def test_a_slice_without_lungs_has_an_empty_mask(spacing):
    for sides_hu in (AIR, TISSUE):
        hu, _ = thorax(sides=())
        hu[ellipse(hu.shape, 0.3, 0.6, 0.06, 0.08)] = sides_hu
        found = segment_lungs(hu, spacing)
        assert found.status == "no_lungs"
        assert not found.mask.any()


@pytest.mark.parametrize("value", [-1024, -1000, LUNG, TISSUE])
@pytest.mark.parametrize("shape", [(1, 1), (3, 90), (64, 64)])
def test_slices_of_one_value_hold_no_lungs(value, shape):
    assert segment_lungs(np.full(shape, value, np.int16), SPACING).status == "no_lungs"


@pytest.mark.parametrize("flip", [np.fliplr, np.flipud])
def test_the_mirror_of_a_slice_gives_the_mirrored_mask(flip):
    hu, _ = thorax((161, 200))
    hu[ellipse(hu.shape, 0.5, 0.11, 0.06, 0.05)] = TISSUE
    mirrored = np.ascontiguousarray(flip(hu))
    exact = segment_lungs(hu, SPACING, AS_PUBLISHED)
    assert np.array_equal(segment_lungs(mirrored, SPACING, AS_PUBLISHED).mask, flip(exact.mask))
    # Closing draws polygons, whose edges OpenCV rounds to one side.
    closed = segment_lungs(hu, SPACING)
    assert dice(segment_lungs(mirrored, SPACING).mask, flip(closed.mask)) > 0.999


def test_same_slice_same_mask_and_input_untouched():
    hu, _ = thorax()
    before = hu.copy()
    assert np.array_equal(segment_lungs(hu, SPACING).mask, segment_lungs(hu, SPACING).mask)
    assert np.array_equal(hu, before)
