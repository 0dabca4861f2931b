"""Which cavities are lung: one rule a test, on either side of its bound."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.thorax import AIR, LUNG, TISSUE, dice, ellipse, thorax
from lungaug.imaging.lungs import LungSettings, segment_lungs

SHAPE = (320, 400)
BODY = 0.44 * 0.48  # radii of the drawn body, as fractions of the image
SPACING = np.array([0.8, 0.8], np.float32)
UNKNOWN = np.array([np.nan, np.nan], np.float32)
AS_PUBLISHED = LungSettings(closing_mm=0)


def blob(row: float, column: float, share: float, flatness: float = 1.0) -> np.ndarray:
    """An ellipse of a share of the body's area, so many times longer than wide in pixels."""
    width = np.sqrt(share * BODY * SHAPE[0] * SHAPE[1] / flatness)
    return ellipse(SHAPE, row, column, flatness * width / SHAPE[0], width / SHAPE[1])


def found_of(hu: np.ndarray, piece: np.ndarray, settings: LungSettings = AS_PUBLISHED) -> float:
    """The share of a piece that is taken for lung."""
    return float(segment_lungs(hu, SPACING, settings).mask[piece].mean())


def one_lung(piece: np.ndarray, value: float = LUNG, gas: float = 0.0) -> np.ndarray:
    """A chest with its left lung, and a piece whose upper part is gas."""
    hu, _ = thorax(SHAPE, sides=(0.27,), trachea=False)
    rows = np.flatnonzero(piece.any(axis=1))
    hu[piece] = value
    hu[piece & (np.arange(SHAPE[0])[:, None] < rows[0] + gas * len(rows))] = AIR
    return hu


@pytest.mark.parametrize(("share", "is_lung"), [(0.0022, False), (0.0036, True), (0.02, True)])
def test_a_piece_of_lung_has_three_thousandths_of_the_body(share, is_lung):
    piece = blob(0.5, 0.75, share)
    assert found_of(one_lung(piece), piece) == is_lung


@pytest.mark.parametrize(
    ("share", "gas", "is_lung"),
    [
        (0.02, 0.1, True),
        (0.02, 0.4, False),
        (0.04, 0.4, False),
        (0.06, 0.4, True),
        (0.06, 0.75, True),
        (0.06, 0.97, False),
        (0.2, 0.97, False),
    ],
)
def test_how_much_gas_a_lung_may_hold_depends_on_its_size(share, gas, is_lung):
    """Emphysema leaves a lung a lung; a stomach or a bowel is mostly gas."""
    piece = blob(0.5, 0.73, share)
    assert found_of(one_lung(piece, gas=gas), piece) == is_lung


@pytest.mark.parametrize(
    ("column", "flatness", "is_lung"),
    [(0.5, 1, False), (0.56, 1, False), (0.6, 1, True), (0.5, 4, True)],
)
def test_a_trachea_less_empty_than_air_is_known_by_place_and_form(column, flatness, is_lung):
    piece = blob(0.4, column, 0.006, flatness)
    assert found_of(one_lung(piece, value=-900), piece) == is_lung


def scarce(
    pieces: list[np.ndarray], share: float, *, spine: float = 0.8, arm: float | None = None
) -> np.ndarray:
    """Two lungs of a share each in the middle, pieces, a spine, and an arm at the left."""
    hu, _ = thorax(SHAPE, sides=(), trachea=False)
    hu[ellipse(SHAPE, 0.8, 0.5, 0.07, 0.06)] = TISSUE
    hu[ellipse(SHAPE, spine, 0.5, 0.06, 0.05)] = 400
    if arm is not None:
        hu[ellipse(SHAPE, arm, 0.2, 0.1, 0.08)] = 400
    for piece in (blob(0.5, 0.3, share), blob(0.5, 0.7, share), *pieces):
        hu[piece] = LUNG
    return hu


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(
    ("row", "column", "share", "is_lung"),
    [
        (0.72, 0.32, 0.03, True),
        (0.61, 0.2, 0.03, True),
        (0.56, 0.2, 0.03, False),
        (0.3, 0.32, 0.03, False),
        (0.3, 0.32, 0.045, True),
    ],
)
def test_where_lungs_are_scarce_a_piece_lies_towards_the_spine(row, column, share, is_lung, flip):
    """At the base, what lies in front is bowel; a patient may lie on back or front."""
    piece = blob(row, column, 0.006)
    hu = scarce([piece], share, arm=0.3)
    if flip:
        hu, piece = (np.ascontiguousarray(np.flipud(image)) for image in (hu, piece))
    assert found_of(hu, piece) == is_lung


@pytest.mark.parametrize(("share", "is_lung"), [(0.009, True), (0.0055, False)])
def test_at_the_apex_pieces_are_of_like_size(share, is_lung):
    piece = blob(0.3, 0.38, share, flatness=3)
    assert found_of(scarce([piece], 0.0115), piece) == is_lung


def test_the_smallest_lung_is_a_setting():
    hu = scarce([], 0.012)
    assert segment_lungs(hu, SPACING, AS_PUBLISHED).status == "ok"
    larger = LungSettings(closing_mm=0, smallest_share=0.02)
    assert segment_lungs(hu, SPACING, larger).status == "no_lungs"
    exact = scarce([blob(0.3, 0.38, 0.022, flatness=3)], 0.012)
    assert segment_lungs(exact, SPACING, larger).status == "one_lung"


@pytest.mark.parametrize(
    ("rows", "width", "is_lung"), [(60, 60, True), (30, 20, False), (180, 12, False)]
)
def test_what_the_edge_of_the_field_cuts_is_lung_if_large_and_plump(rows, width, is_lung):
    """A small or thin space at the edge is air beside the skin or an arm."""
    hu, _ = thorax(SHAPE, sides=(0.73,), trachea=False)
    hu = np.ascontiguousarray(hu[:, 40:])
    hu[60:260, :90] = TISSUE
    piece = np.zeros(hu.shape, bool)
    piece[160 - rows // 2 : 160 + rows // 2, :width] = True
    hu[piece] = LUNG
    mask = segment_lungs(hu, SPACING, AS_PUBLISHED).mask
    assert mask[piece].mean() == pytest.approx(int(is_lung), abs=0.01)


def with_airway(radius_px: float, *, lumen: int = AIR, wall: int = -500, flatness: float = 1.0):
    """A round space with a thin wall that opens into the left lung near the middle."""
    hu, lungs = thorax(SHAPE, trachea=False)
    place = 0.5, 0.45
    inner, outer = (
        ellipse(SHAPE, *place, flatness * r / SHAPE[0], r / SHAPE[1])
        for r in (radius_px, radius_px + 3)
    )
    hu[outer] = wall
    hu[inner] = lumen
    return hu, lungs, inner


@pytest.mark.parametrize(
    ("radius_px", "is_airway"), [(4, False), (7, True), (16, True), (19, True), (23, False)]
)
def test_an_airway_has_the_size_of_a_bronchus_or_a_trachea(radius_px, is_airway):
    hu, lungs, inner = with_airway(radius_px)
    mask = segment_lungs(hu, SPACING, AS_PUBLISHED).mask
    assert mask[inner].mean() == pytest.approx(int(not is_airway), abs=0.02)
    assert dice(mask, lungs) > 0.95


def test_a_flat_bronchus_is_an_airway_and_a_bulla_without_wall_is_lung():
    for changes, is_airway in (
        ({"flatness": 3.0}, True),
        ({"flatness": 11.0}, False),
        ({"wall": LUNG}, False),
        ({"lumen": -930}, False),
    ):
        hu, _, inner = with_airway(5 if "flatness" in changes else 12, **changes)
        mask = segment_lungs(hu, SPACING, AS_PUBLISHED).mask
        assert mask[inner].mean() == pytest.approx(int(not is_airway), abs=0.03), changes


def test_an_airway_far_from_the_middle_is_a_bronchus_of_the_lung():
    hu, lungs = thorax(SHAPE, trachea=False)
    wall, lumen = (ellipse(SHAPE, 0.6, 0.25, r / 320, r / 400) for r in (15, 12))
    hu[wall], hu[lumen] = -500, AIR
    np.testing.assert_array_equal(segment_lungs(hu, SPACING, AS_PUBLISHED).mask, lungs)


@pytest.mark.parametrize("arm", [0, 120])
@pytest.mark.parametrize("flip", [False, True])
def test_lungs_that_meet_are_parted_between_them_wherever_the_body_is(arm, flip):
    """An arm at one side moves the body's middle, not that of the chest."""
    hu, lungs = thorax(SHAPE, trachea=False)
    bridges = np.zeros(SHAPE, bool)
    bridges[100:106, 120:280] = bridges[210:214, 120:280] = True
    hu[bridges & (hu > -300)] = LUNG
    expected = lungs | bridges
    hu, expected = (np.pad(x, ((0, 0), (arm, 0)), constant_values=v)
                    for x, v in ((hu, AIR), (expected, False)))  # fmt: skip
    hu[140:180, 10 : arm + 20] = TISSUE
    if flip:
        hu, expected = (np.ascontiguousarray(np.fliplr(x)) for x in (hu, expected))
    found = segment_lungs(hu, SPACING, AS_PUBLISHED)
    assert found.status == "ok"
    np.testing.assert_array_equal(found.mask, expected)


def notched(rows_px: int = 8) -> np.ndarray:
    """Two lungs, the left one with a slit that opens to the middle."""
    hu, _ = thorax(SHAPE, trachea=False)
    hu[160 - rows_px // 2 : 160 + rows_px // 2, 130:200] = TISSUE
    return hu


@pytest.mark.parametrize(("row_mm", "closes"), [(0.8, True), (1.1, True), (1.6, False)])
def test_the_disc_is_in_mm_along_each_axis(row_mm, closes):
    hu = notched()
    settings = LungSettings(closing_mm=5.0, largest_gain=0.2)
    slit = np.s_[156:164, 132:160]
    square = segment_lungs(hu, np.array([row_mm, row_mm]), settings).mask[slit]
    oblong = segment_lungs(hu, np.array([row_mm, 2 * row_mm]), settings).mask[slit]
    for mask in (square, oblong):
        assert bool(mask.all()) == closes


@pytest.mark.parametrize("sides", [(0.27, 0.73), (0.27,)])
def test_without_a_spacing_lungs_have_the_width_of_an_adults(sides):
    hu, _ = thorax(SHAPE, sides=sides, trachea=False)
    hu[156:164, 130:200] = TISSUE
    columns = np.flatnonzero(segment_lungs(hu, UNKNOWN, AS_PUBLISHED).mask.any(axis=0))
    width = columns[-1] + 1 - columns[0]
    mm = (260 if len(sides) == 2 else 130) / width
    for closing_mm in (4.0, 9.0):
        settings = LungSettings(closing_mm=closing_mm)
        masks = [
            segment_lungs(hu, np.array(spacing), settings).mask
            for spacing in ((mm, mm), (np.nan, mm), (0.0, 0.0), (-1.0, mm), (mm, np.inf))
        ]
        for mask in masks[1:]:
            np.testing.assert_array_equal(mask, masks[0])


def test_the_defaults_are_those_of_the_documentation():
    default = LungSettings(threshold_hu=-300, smallest_share=0.01, closing_mm=5.0, largest_gain=0.6)
    assert LungSettings() == default
