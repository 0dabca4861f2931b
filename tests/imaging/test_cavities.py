"""The body and its cavities: what is measured of them, and where the field of view ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from imaging.thorax import AIR, LUNG, TISSUE, ellipse, thorax
from lungaug.imaging.cavities import find_body, plumpness, roundness


def slab(*cavities: tuple[slice, slice], hu: int = LUNG) -> np.ndarray:
    """(100, 160) room air with a body of 80 x 120 pixels and rectangular cavities in it."""
    image = np.full((100, 160), AIR, np.int16)
    image[10:90, 20:140] = TISSUE
    for cavity in cavities:
        image[cavity] = hu
    return image


LARGE, SMALL = np.s_[30:50, 40:70], np.s_[60:66, 100:108]
BODY_AREA = 79 * 119  # of the outline, which runs through pixels


def test_a_body_without_tissue_is_none():
    assert find_body(np.full((8, 9), AIR, np.int16), -300, 0.003) is None


def test_box_centre_and_area_are_those_of_the_largest_piece():
    image = slab()
    image[50:60, 150:158] = TISSUE  # an arm
    body = find_body(image, -300, 0.003)
    assert body.box == (10, 20, 80, 120)
    assert body.centre == (49.5, 79.5)
    assert body.area == BODY_AREA
    assert body.cavities == ()
    np.testing.assert_array_equal(body.tissue, image == TISSUE)


def test_a_pixel_at_the_threshold_is_tissue():
    assert find_body(slab(LARGE, hu=-300), -300, 0.003).cavities == ()
    assert len(find_body(slab(LARGE, hu=-301), -300, 0.003).cavities) == 1


def test_cavities_come_by_size_with_their_share_and_middle():
    large, small = find_body(slab(SMALL, LARGE), -300, 0.003).cavities
    # The outline runs on the tissue around and cuts its corners.
    assert large.share == pytest.approx((21 * 31 - 2) / BODY_AREA)
    assert small.share == pytest.approx((7 * 9 - 2) / BODY_AREA)
    assert (large.centre, small.centre) == ((39.5, 54.5), (62.5, 103.5))
    assert not large.at_edge
    assert len(find_body(slab(SMALL, LARGE), -300, small.share).cavities) == 2
    assert len(find_body(slab(SMALL, LARGE), -300, 1.01 * small.share).cavities) == 1


def test_cavities_of_like_size_come_from_the_top():
    twins = np.s_[60:66, 30:38], np.s_[20:26, 100:108]
    found = find_body(slab(*twins), -300, 0.003).cavities
    assert [cavity.centre for cavity in found] == [(22.5, 103.5), (62.5, 33.5)]


@pytest.mark.parametrize(("rows", "share"), [(0, 0.0), (10, 0.5), (20, 1.0)])
def test_the_share_of_gas_is_that_of_inner_pixels(rows, share):
    image = slab(LARGE)
    image[30 : 30 + rows, 40:70] = AIR
    image[38:42, 52:54] = TISSUE  # contents do not count
    (cavity,) = find_body(image, -300, 0.003).cavities
    assert cavity.gas_share == pytest.approx(share, abs=0.08)


def test_roundness_and_plumpness_are_those_of_simple_figures():
    image = np.full((120, 160), TISSUE, np.int16)
    image[ellipse(image.shape, 0.5, 0.25, 30 / 120, 30 / 160)] = LUNG
    image[20:60, 90:130], image[80:84, 90:150] = LUNG, LUNG
    disc, square, line = find_body(image, -300, 0.003).cavities
    assert disc.roundness == pytest.approx(1, abs=0.12)
    assert square.roundness == pytest.approx(math.pi / 4, abs=0.03)
    assert line.roundness == pytest.approx(4 * math.pi * 5 * 61 / 130**2, abs=0.03)
    assert roundness(line.outline) == line.roundness
    assert plumpness(disc.outline) == pytest.approx(0.94, abs=0.05)
    # OpenCV's quick distance counts 0.955 for a pixel.
    square_share, line_share = (
        math.pi * (0.955 * radius) ** 2 / area
        for radius, area in ((21, 42**2 - 4), (3, 6 * 62 - 4))
    )
    assert plumpness(square.outline) == pytest.approx(square_share, abs=0.004)
    for outline in (line.outline, np.ascontiguousarray(line.outline[..., ::-1])):
        assert plumpness(outline) == pytest.approx(line_share, abs=0.004)


def test_gas_in_the_bend_of_a_cavity_is_not_its_own():
    image = slab(LARGE)
    image[30:42, 52:70] = TISSUE
    image[30:38, 58:70] = AIR
    bent, pocket = find_body(image, -300, 0.003).cavities
    assert (bent.gas_share, pocket.gas_share) == (0, 1)


@pytest.mark.parametrize(
    ("cut", "where"),
    [
        (np.s_[:, 55:], "left"),
        (np.s_[:, :-55], "right"),
        (np.s_[48:], "top"),
        (np.s_[:-48], "bottom"),
    ],
)
def test_a_lung_that_the_field_cuts_is_a_cavity_up_to_the_edge(cut, where):
    """On either side, or at an end of the field."""
    hu, lungs = thorax((160, 200), trachea=False)
    body = find_body(np.ascontiguousarray(hu[cut]), -300, 0.003)
    assert len(body.cavities) == 2
    (height, width), cut_ones = hu[cut].shape, [c for c in body.cavities if c.at_edge]
    assert len(cut_ones) == (1 if width < 200 else 2)
    for cavity in cut_ones:
        x, y = cavity.outline[:, 0].T
        ends = {"left": x.min(), "right": x.max(), "top": y.min(), "bottom": y.max()}
        edge = {"left": 0, "right": width - 1, "top": 0, "bottom": height - 1}
        assert [name for name in ends if ends[name] == edge[name]] == [where]
    total = sum(cavity.share for cavity in body.cavities) * body.area
    assert total == pytest.approx(np.count_nonzero(lungs[cut]), rel=0.06)


def corner_piece(hu_inside: int, *, corner: bool) -> np.ndarray:
    """A body that touches two sides of the field, or one side twice, and what it encloses there."""
    hu, _ = thorax((160, 200), sides=(0.7,), trachea=False)
    part = np.ascontiguousarray(hu[20:, 12:])
    rows, columns = np.indices(part.shape)
    if corner:
        part[(rows < 60) & (columns < 60)] = TISSUE
        part[(rows < 40) & (columns < 40)] = hu_inside
    else:
        part[(rows > 40) & (rows < 100) & (columns < 50)] = TISSUE
        part[(rows > 50) & (rows < 90) & (columns < 40)] = hu_inside
    return part


@pytest.mark.parametrize(
    ("corner", "hu_inside", "n"), [(False, LUNG, 2), (True, LUNG, 1), (False, AIR, 1)]
)
def test_room_air_and_corners_of_the_image_are_no_cut_lung(corner, hu_inside, n):
    body = find_body(corner_piece(hu_inside, corner=corner), -300, 0.003)
    assert sum(cavity.share > 0.01 for cavity in body.cavities) == n


@pytest.mark.parametrize(("rows", "n"), [(5, 2), (14, 1)])
def test_a_lung_may_be_empty_along_a_fifth_of_its_cut(rows, n):
    part = corner_piece(LUNG, corner=False)
    part[51 : 51 + rows, :40] = AIR
    body = find_body(part, -300, 0.003)
    assert sum(cavity.share > 0.01 for cavity in body.cavities) == n


def test_the_edge_of_a_field_that_lies_inside_the_chest_is_a_wall():
    hu, lungs = thorax((160, 200), trachea=False)
    inside = np.s_[40:120, 30:170]
    body = find_body(np.ascontiguousarray(hu[inside]), -300, 0.003)
    total = sum(cavity.share for cavity in body.cavities) * body.area
    assert total == pytest.approx(np.count_nonzero(lungs[inside]), rel=0.05)


@pytest.mark.parametrize("corners", [4, 3])
def test_a_padded_circle_is_the_field_only_with_all_four_corners(corners):
    hu, lungs = thorax((160, 200), trachea=False)
    circle = ellipse(hu.shape, 0.5, 0.5, 0.42, 0.33)
    hu[~circle] = -1024
    if corners == 3:
        hu[-1, -1] = AIR
    body = find_body(hu, -300, 0.003)
    assert (len(body.cavities) == 2) == (corners == 4)
    if corners == 4:
        total = sum(cavity.share for cavity in body.cavities) * body.area
        assert total == pytest.approx(np.count_nonzero(lungs & circle), rel=0.1)
