"""Crops: what stays of a nodule, in pixels and in mm, and its type."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.transform import resize

from lungaug.crops import equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.imaging.crop import CropSettings, cut, kind_of

LUNG_HU, SOLID_HU, GLASS_HU = -850, 20, -600
NATIVE = CropSettings(size=64, fov_mm=48.0)
NATIVE_MM = 0.75
PUBLISHED = CropSettings(variant="published")


def ellipse(shape, centre, radii):
    """Pixels of an ellipse, (H, W), all in pixels."""
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    return ((rows - centre[0]) / radii[0]) ** 2 + ((cols - centre[1]) / radii[1]) ** 2 <= 1


def slice_with(mask, seed=0, hu=SOLID_HU):
    """Noisy lung with one nodule, and its labels."""
    image = np.random.default_rng(seed).normal(LUNG_HU, 30, mask.shape)
    image[mask] += hu - LUNG_HU
    return image.astype(np.int16), mask.astype(np.uint8)


@pytest.mark.parametrize("radii", [(4, 4), (4.5, 6.5), (3, 9)])
@pytest.mark.parametrize("shift", [0, 0.5])
def test_a_crop_at_the_spacing_of_the_slice_is_its_pixels(radii, shift):
    hu, nodule = slice_with(ellipse((120, 140), (60 + shift, 70 + shift), radii))
    crop = cut(hu, nodule, 1, (NATIVE_MM, NATIVE_MM), NATIVE)
    rows, cols = np.nonzero(nodule)
    at = np.nonzero(crop.mask)
    top, left = rows.min() - at[0].min(), cols.min() - at[1].min()
    window = slice(top, top + 64), slice(left, left + 64)
    np.testing.assert_array_equal(crop.hu, hu[window])
    np.testing.assert_array_equal(crop.mask, nodule[window] > 0)
    assert abs(at[0].min() + at[0].max() - 63) <= 1
    assert abs(at[1].min() + at[1].max() - 63) <= 1


@given(
    row_mm=st.floats(0.4, 1.2),
    col_mm=st.floats(0.4, 1.2),
    radius_mm=st.floats(2.5, 15),
    aspect=st.floats(0.6, 1.0),
)
@settings(max_examples=40, deadline=None)
def test_size_and_aspect_in_mm_survive_any_spacing(row_mm, col_mm, radius_mm, aspect):
    mask = ellipse((150, 150), (75, 75), (radius_mm / row_mm, aspect * radius_mm / col_mm))
    hu, nodule = slice_with(mask)
    crop = cut(hu, nodule, 1, (row_mm, col_mm))
    assert crop.diameter_mm == pytest.approx(equivalent_diameter_mm(mask, (row_mm, col_mm)))
    kept = equivalent_diameter_mm(crop.mask, crop.spacing_mm)
    assert kept == pytest.approx(crop.diameter_mm, rel=0.03)
    for axis, native_mm in ((1, row_mm), (0, col_mm)):
        extent = np.count_nonzero(crop.mask.any(axis)) * crop.spacing_mm[0]
        native = np.count_nonzero(mask.any(axis)) * native_mm
        # A pixel of either grid at the tips, and half of one of the crop where they are thin.
        assert abs(extent - native) <= 1.5 * 0.75 + native_mm


def test_anti_aliasing_leaves_no_trace_of_a_pattern_finer_than_its_pixels():
    hu, nodule = slice_with(ellipse((400, 400), (200, 200), (12, 12)))
    hu[:, ::2], hu[:, 1::2] = -1000, 0
    crop = cut(hu, nodule, 1, (0.25, 0.25))
    assert np.abs(crop.hu + 500).max() < 60


def test_resampling_moves_nothing():
    mask = ellipse((200, 200), (100, 100), (20, 20))
    hu = np.where(mask, 0, -1000).astype(np.int16)
    crop = cut(hu, mask.astype(np.uint8), 1, (0.375, 0.375))
    weight = crop.hu + 1000.0
    centre = (weight * np.arange(64)).sum() / weight.sum(), (weight.T * np.arange(64)).sum()
    middle = np.argwhere(crop.mask).mean(axis=0)
    np.testing.assert_allclose((centre[1] / weight.sum(), centre[0]), middle, atol=0.15)


@pytest.mark.parametrize("centre", [(3, 60), (60, 3), (116, 60), (60, 116), (2, 2)])
def test_a_nodule_at_the_border_is_padded_with_air(centre):
    mask = ellipse((120, 120), centre, (6, 6))
    hu, nodule = slice_with(mask)
    crop = cut(hu, nodule, 1, (NATIVE_MM, NATIVE_MM), NATIVE)
    assert np.count_nonzero(crop.mask) == np.count_nonzero(mask)
    assert np.count_nonzero(crop.hu == -1000) >= 20 * 64
    assert np.sort(crop.hu[crop.mask]).tolist() == np.sort(hu[mask]).tolist()


def test_the_mask_is_that_of_one_nodule_and_its_neighbour_stays_in_the_picture():
    mask = ellipse((120, 120), (60, 50), (5, 5))
    other = ellipse((120, 120), (60, 70), (4, 4))
    hu, nodule = slice_with(mask | other)
    nodule[other] = 2
    crop = cut(hu, nodule, 1, (NATIVE_MM, NATIVE_MM), NATIVE)
    assert np.count_nonzero(crop.mask) == np.count_nonzero(mask)
    assert np.count_nonzero(crop.hu > -300) == np.count_nonzero(mask | other)


def test_same_crop_wherever_the_nodule_lies_on_the_slice():
    first, second = (ellipse((160, 160), centre, (5, 8)) for centre in ((80, 80), (70, 93)))
    crops = [
        cut(np.where(mask, 0, -900).astype(np.int16), mask.astype(np.uint8), 1, (0.6, 0.7))
        for mask in (first, second)
    ]
    np.testing.assert_array_equal(crops[0].hu, crops[1].hu)
    np.testing.assert_array_equal(crops[0].mask, crops[1].mask)


@pytest.mark.parametrize(
    ("spacing", "found"),
    [
        ((np.nan, 0.7), "unknown"),
        ((np.inf, 0.7), "unknown"),
        ((0.7, 0.0), "0.7 x 0 mm"),
        ((-1.0, 0.7), "-1 x 0.7 mm"),
        ((0.7, 0.049), "0.7 x 0.049 mm"),
    ],
)
def test_scaled_needs_a_spacing(spacing, found):
    hu, nodule = slice_with(ellipse((64, 64), (32, 32), (5, 5)))
    with pytest.raises(InputError, match=rf"spacing {found}; accepted: known, at least 0\.05 mm"):
        cut(hu, nodule, 1, spacing)


def test_published_does_not_need_a_spacing_but_then_has_no_size():
    hu, nodule = slice_with(ellipse((64, 64), (32, 32), (5, 5)))
    crop = cut(hu, nodule, 1, (np.nan, np.nan), PUBLISHED)
    assert np.isnan(crop.diameter_mm)
    assert np.isnan(crop.spacing_mm).all()


@pytest.mark.parametrize("radii", [(40, 8), (30, 30), (32, 5)])
def test_a_nodule_larger_than_the_field_of_view_is_named(radii):
    hu, nodule = slice_with(ellipse((200, 200), (100, 100), radii))
    with pytest.raises(InputError, match=r"spans .* mm; accepted: within the field of view"):
        cut(hu, nodule, 1, (0.8, 0.8))


def test_a_nodule_that_just_fits_is_refused_where_it_touches_the_border():
    hu, nodule = slice_with(ellipse((120, 120), (60, 60), (30, 3)))
    assert cut(hu, nodule, 1, (NATIVE_MM, NATIVE_MM), NATIVE).mask.any()
    hu, nodule = slice_with(ellipse((120, 120), (60, 60), (31.5, 3)))
    with pytest.raises(InputError, match=r"spans 47\.2 mm; .* off its border"):
        cut(hu, nodule, 1, (NATIVE_MM, NATIVE_MM), NATIVE)


def test_names_a_label_that_is_not_there_and_a_mask_that_vanishes():
    hu, nodule = slice_with(ellipse((64, 64), (32, 32), (0.5, 0.5)))
    with pytest.raises(InputError, match="no pixel has the label 2"):
        cut(hu, nodule, 2, (0.5, 0.5))
    with pytest.raises(InputError, match="nothing is left of 1 nodule pixels"):
        cut(hu, nodule, 1, (0.5, 0.5))


@pytest.mark.parametrize("radii", [(4, 9), (12, 7), (40, 35)])
def test_published_equals_its_formula(radii):
    hu, nodule = slice_with(ellipse((160, 160), (80, 78), radii), hu=-300)
    crop = cut(hu, nodule, 1, (0.5, 0.5), PUBLISHED)
    roi = hu.astype(float) * nodule
    rows, cols = np.nonzero(roi)
    part = roi[rows.min() - 10 : rows.max() + 10, cols.min() - 10 : cols.max() + 10]
    expected = resize(part, (64, 64), anti_aliasing=True)
    expected[expected == 0] = 2000
    np.testing.assert_array_equal(crop.hu, np.rint(expected))
    assert crop.spacing_mm == pytest.approx(np.multiply(part.shape, 0.5 / 64))
    assert (crop.hu[crop.mask] < 0).all()


def test_published_loses_what_the_published_code_loses():
    hu, nodule = slice_with(ellipse((120, 120), (6, 60), (5, 5)))
    with pytest.raises(InputError, match="empty where a nodule lies within 10 pixels"):
        cut(hu, nodule, 1, (0.7, 0.7), PUBLISHED)
    assert cut(hu, nodule, 1, (0.7, 0.7)).mask.any()
    with pytest.raises(InputError, match="0 HU"):
        cut(np.zeros_like(hu), nodule, 1, (0.7, 0.7), PUBLISHED)


def blurred_nodule(radius, hu, core=0.0):
    """HU of a nodule whose edge is half lung, and the mask that a generous reader draws."""
    rows, cols = np.ogrid[:48, :48]
    distance = np.hypot(rows - 24, cols - 24)
    share = np.clip((radius - distance) / 4 + 0.5, 0, 1)
    image = LUNG_HU + share * (hu - LUNG_HU)
    dense = np.clip((core - distance) / 4 + 0.5, 0, 1) if core else 0
    image = image + dense * (SOLID_HU - image)
    noise = np.random.default_rng(1).normal(0, 25, image.shape)
    return (image + noise).astype(np.int16), share >= 0.3


@pytest.mark.parametrize("radius", [2.5, 4, 8, 14])
def test_a_soft_edge_makes_no_ground_glass(radius):
    assert kind_of(*blurred_nodule(radius, SOLID_HU)) == "solid"
    assert kind_of(*blurred_nodule(radius, GLASS_HU)) == "ground_glass"


@pytest.mark.parametrize("radius", [6, 9, 14])
def test_a_core_in_ground_glass_is_part_solid(radius):
    assert kind_of(*blurred_nodule(radius, GLASS_HU, core=0.5 * radius)) == "part_solid"


def test_a_vessel_through_ground_glass_is_no_core():
    hu, mask = blurred_nodule(12, GLASS_HU)
    hu[:, 24] = 40
    assert kind_of(hu, mask) == "ground_glass"


def test_an_empty_mask_has_no_type():
    with pytest.raises(InputError, match="at least one pixel"):
        kind_of(np.zeros((4, 4), np.int16), np.zeros((4, 4), bool))
