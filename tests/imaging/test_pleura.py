"""Closing one lung's outline: what faces the chest wall is filled, the mediastinum stays open."""

from __future__ import annotations

import numpy as np
import pytest

from imaging.thorax import ellipse
from lungaug.imaging.pleura import close_outline

SHAPE = (200, 160)
MIDDLE = (99.5, 170.0)  # of the chest, to the right of the lung
NONE = (0.0, 0.0)


def lung_of() -> np.ndarray:
    return ellipse(SHAPE, 0.5, 0.5, 0.42, 0.34).astype(np.uint8)


def closed(lung, radius=NONE, gain=0.6, centre=MIDDLE):
    found = close_outline(lung, centre, radius, gain)
    assert found.dtype == lung.dtype
    assert (found >= lung).all()
    return found


def mass_at(degrees: float, radius: float = 14.0) -> np.ndarray:
    """A disc on the outline, degrees from the lateral side, towards the front."""
    angle = np.radians(degrees)
    row = 99.5 - 0.42 * 200 * np.sin(angle)
    column = 79.5 - 0.34 * 160 * np.cos(angle)
    rows, columns = np.indices(SHAPE)
    return np.hypot(rows - row, columns - column) <= radius


def test_a_lung_without_dents_stays_as_it_is():
    lung = lung_of()
    np.testing.assert_array_equal(closed(lung), lung)


@pytest.mark.parametrize("degrees", [-60, -30, 0, 25, 50, 75])
@pytest.mark.parametrize("radius", [6, 14, 22])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_dent_in_the_chest_wall_is_filled_along_the_wall(degrees, radius, mirrored):
    lung, mass = lung_of(), mass_at(degrees, radius)
    dented = lung * ~mass
    centre = MIDDLE
    if mirrored:
        lung, mass, dented = (np.ascontiguousarray(np.fliplr(x)) for x in (lung, mass, dented))
        centre = MIDDLE[0], SHAPE[1] - 1 - MIDDLE[1]
    found = closed(dented, centre=centre)
    missing = np.count_nonzero(lung & ~found & mass)
    added = np.count_nonzero(found & ~lung & 1)
    assert missing <= 0.03 * np.count_nonzero(lung & mass) + 4
    assert added <= 4 * radius
    far = ~mass_at(degrees, radius + 8)
    far = np.fliplr(far) if mirrored else far
    np.testing.assert_array_equal(found[far], dented[far])


@pytest.mark.parametrize("degrees", [180, 150, -150])
def test_a_wide_dent_towards_the_mediastinum_stays_open(degrees):
    dented = lung_of() * ~mass_at(degrees, 20)
    np.testing.assert_array_equal(closed(dented), dented)


def slit(rows: slice, columns: slice) -> np.ndarray:
    lung = np.zeros(SHAPE, np.uint8)
    lung[40:160, 40:120] = 1
    lung[rows, columns] = 0
    return lung


@pytest.mark.parametrize(
    ("where", "radius", "fills"),
    [
        (np.s_[95:105, 90:120], (5.0, 0.0), True),
        (np.s_[95:105, 90:120], (5.4, 0.4), True),
        (np.s_[95:105, 90:120], (4.4, 0.0), False),
        (np.s_[95:105, 90:120], (0.0, 5.0), False),
        (np.s_[95:99, 90:120], (2.0, 0.0), True),
        (np.s_[95:99, 90:120], (1.6, 0.0), True),
        (np.s_[95:99, 90:120], (1.4, 0.0), False),
        (np.s_[95:105, 90:120], (5.0, 1.0), True),
        (np.s_[130:160, 95:105], (1.0, 5.0), True),
        (np.s_[130:160, 95:105], (0.0, 5.0), True),
        (np.s_[130:160, 95:105], (5.0, 0.0), False),
        (np.s_[130:160, 95:105], (0.0, 4.0), False),
    ],
)
def test_the_disc_closes_what_is_narrower_than_itself(where, radius, fills):
    lung = slit(*where)
    # Each slit opens towards the middle, where only the disc may close it.
    centre = (500.0, 99.5) if where[0].stop == 160 else (99.5, 500.0)
    found = closed(lung, radius, centre=centre)
    # Of a slit that it closes, the disc may still reach into the opening.
    assert (found[where].mean() > 0.95) == fills
    assert (found[where].mean() < 0.75) != fills


def test_what_the_disc_encloses_is_filled():
    lung = slit(np.s_[98:102], np.s_[100:120])
    lung[80:120, 70:100] = 0
    found = closed(lung, (3.0, 3.0), gain=0.6)
    assert found[80:120, 70:100].all()


def test_the_disc_may_reach_out_of_the_image():
    lung = np.ones((40, 50), np.uint8)
    lung[18:22, 30:] = 0
    assert closed(lung, (6.0, 6.0)).all()


def test_the_smaller_dent_is_filled_first_where_both_are_too_much():
    small, large = mass_at(45, 8), mass_at(-20, 24)
    lung = lung_of()
    dented = lung * ~(small | large)
    one = np.count_nonzero(lung & small)
    area = np.count_nonzero(dented)
    found = closed(dented, gain=1.5 * one / area)
    assert found[small & (lung == 1)].mean() > 0.95
    assert found[large & (lung == 1)].mean() < 0.1
    assert closed(dented)[large & (lung == 1)].mean() > 0.95
    np.testing.assert_array_equal(closed(dented, gain=0.0), dented)


def test_a_disc_that_would_add_too_much_closes_nothing():
    lung = slit(np.s_[90:110], np.s_[60:120])
    radius, centre = (12.0, 12.0), (99.5, 500.0)
    whole = closed(lung, radius, centre=centre)
    area = np.count_nonzero(lung)
    added = np.count_nonzero(whole) - area
    # All but what a disc can reach from the opening.
    assert 0.85 * 20 * 60 < added < 20 * 60
    np.testing.assert_array_equal(closed(lung, radius, (added - 2) / area, centre), lung)
    np.testing.assert_array_equal(closed(lung, radius, (added + 2) / area, centre), whole)
