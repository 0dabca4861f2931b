"""The slice and its labels turn alike."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from lungaug.errors import SettingError
from lungaug.metalung.operations import Inapplicable
from lungaug.metalung.regions import bounding_box
from lungaug.metalung.rotate_slice import ROTATE_SLICE, RotateSliceSettings
from lungaug.metalung.turning import turned, turned_labels
from metalung.cases import chest, drawn


def rotated(hu, nodule, degrees, fill_hu=-1000):
    return ROTATE_SLICE.apply(hu, nodule, {"degrees": degrees, "fill_hu": fill_hu})


def test_nothing_happens_at_zero_degrees():
    hu, nodule, _ = chest()
    for before, after in zip((hu, nodule), rotated(hu, nodule, 0), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("side", [32, 33])
def test_quarter_turns_are_exact(side):
    hu, nodule, _ = chest((side, side))
    for before, after in zip((hu, nodule), rotated(hu, nodule, 90), strict=True):
        np.testing.assert_array_equal(np.rot90(before), after)


@pytest.mark.parametrize("degrees", [1.0, 17.3, 45.0, 88.88, -30.0])
def test_labels_turn_with_the_hu_pixel_for_pixel(degrees):
    """HU that encode the label show whether both images went through the same rounding."""
    rng = np.random.default_rng(0)
    nodule = rng.integers(0, 4, (301, 257)).astype(np.uint8)
    hu, labels = rotated(nodule.astype(np.int16) * 7 - 500, nodule, degrees, fill_hu=-500)
    np.testing.assert_array_equal(hu, labels.astype(np.int16) * 7 - 500)


def test_agrees_with_scipy_but_for_rounding():
    hu, nodule, _ = chest((128, 128))
    ours, _ = rotated(hu, nodule, 33.3)
    peer = ndimage.rotate(hu, 33.3, order=0, reshape=False, cval=-1000)
    assert np.mean(ours == peer) > 0.99


def test_fills_corners_and_keeps_every_value_a_value_of_the_source():
    hu, nodule, _ = chest()
    hu[50, 60], hu[51, 60] = -32768, 32767
    after, _ = rotated(hu, nodule, 45, fill_hu=-777)
    assert after[-1, 0] == -777
    assert set(np.unique(after)) <= set(np.unique(hu)) | {-777}
    assert {-32768, 32767} & set(np.unique(after))


def test_published_range_is_the_default_and_the_symmetric_one_a_setting():
    case = chest()
    angles = [drawn("rotate_slice", case, seed)["degrees"] for seed in range(60)]
    assert 0 <= min(angles) < 15
    assert 75 < max(angles) <= 90
    both = [drawn("rotate_slice", case, s, degrees=(-20.0, 20.0))["degrees"] for s in range(40)]
    assert min(both) < 0 < max(both)


def test_draws_again_until_the_nodule_stays_in_frame():
    hu, nodule, lung = chest(nodules=((4, 64, 2, 2), (48, 4, 2, 2)))
    for seed in range(20):
        parameters = drawn("rotate_slice", (hu, nodule, lung), seed, attempts=200)
        _, labels = ROTATE_SLICE.apply(hu, nodule, parameters)
        assert abs(np.count_nonzero(labels) - np.count_nonzero(nodule)) <= 6
    refused = drawn("rotate_slice", (hu, nodule, lung), degrees=(80.0, 90.0))
    assert isinstance(refused, Inapplicable)
    assert "left the slice" in refused.reason


def test_draws_again_when_a_single_pixel_would_vanish():
    hu, nodule, lung = chest(nodules=())
    nodule[30, 40] = 9
    vanishing = [d for d in np.arange(0, 90, 0.5) if not turned(nodule, d, (47.5, 63.5), 0).any()]
    assert vanishing
    for large in (False, True):
        nodule[40:50, 50:60] = 3 * large
        for seed in range(30):
            parameters = drawn("rotate_slice", (hu, nodule, lung), seed)
            assert 9 in ROTATE_SLICE.apply(hu, nodule, parameters)[1]


def test_a_nodule_that_fills_the_slice_stays_where_nothing_turns():
    nodule = np.ones((20, 30), np.uint8)
    case = nodule.astype(np.int16), nodule, nodule
    assert isinstance(drawn("rotate_slice", case, degrees=(0.0, 0.0)), dict)


@pytest.mark.parametrize("degrees", [7.5, -33.0, 60.0, 98.0, 171.0])
@pytest.mark.parametrize("shape", [(96, 128), (61, 61)])
def test_an_angle_serves_if_every_pixel_of_every_nodule_stays(degrees, shape):
    """Worked out pixel by pixel; the turn is about the middle between the outer pixels."""
    middle = (np.array(shape) - 1) / 2
    angle = np.radians(degrees)
    outcomes = set()
    for row in range(0, shape[0] - 5, 6):
        for col in range(0, shape[1] - 4, 7):
            nodule = np.zeros(shape, np.uint8)
            nodule[row : row + 5, col : col + 4] = 1
            down, right = (np.argwhere(nodule) - middle).T
            turned_rows = middle[0] + down * np.cos(angle) - right * np.sin(angle)
            turned_cols = middle[1] + down * np.sin(angle) + right * np.cos(angle)
            slack = min(
                turned_rows.min(),
                turned_cols.min(),
                shape[0] - 1 - turned_rows.max(),
                shape[1] - 1 - turned_cols.max(),
            )
            if abs(slack) < 1e-6:
                continue
            case = np.zeros(shape, np.int16), nodule, nodule
            found = drawn("rotate_slice", case, degrees=(degrees, degrees), attempts=1)
            assert isinstance(found, dict) == (slack > 0)
            outcomes.add(slack > 0)
    assert outcomes == {True, False}


def test_only_the_corner_of_a_box_may_leave_the_frame():
    """A nodule of which no pixel leaves is turned though its box would."""
    nodule = np.zeros((101, 101), np.uint8)
    rows, cols = np.indices(nodule.shape)
    nodule[np.hypot(rows - 50, cols - 50) <= 50] = 1
    assert isinstance(drawn("rotate_slice", (nodule * 0, nodule, nodule), degrees=(45, 45)), dict)
    nodule[0, 0] = 1
    refused = drawn("rotate_slice", (nodule * 0, nodule, nodule), degrees=(45, 45))
    assert isinstance(refused, Inapplicable)


@pytest.mark.parametrize("degrees", [(30, 10), (-361, 0), (0, 361)])
def test_refuses_a_range_upside_down_or_of_more_than_a_turn(degrees):
    with pytest.raises(SettingError, match=rf"\[{degrees[0]}, {degrees[1]}\]"):
        RotateSliceSettings(degrees=degrees)


def test_takes_a_whole_turn_and_one_angle():
    for degrees in ((-360, 360), (0, 0)):
        assert RotateSliceSettings(degrees=degrees).degrees == degrees
    found = drawn("rotate_slice", chest(), degrees=(0.0, 1.0))["degrees"]
    assert found == round(found, 2) != round(found, 1)


@pytest.mark.parametrize("seed", range(12))
def test_labels_turned_in_part_are_those_turned_whole(seed):
    """Wherever they lie, and whatever falls out of the frame."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((201, 333), np.uint8)
    top, left = rng.integers(0, 190), rng.integers(0, 320)
    piece = labels[top : top + rng.integers(1, 150), left : left + rng.integers(1, 150)]
    piece[:] = rng.integers(0, 4, piece.shape)
    piece[0, 0] = 1
    for degrees in rng.uniform(-360, 360, 10):
        whole = turned(labels, degrees, (100.0, 166.0), 0)
        in_part = turned_labels(labels, degrees, (100.0, 166.0), bounding_box(labels))
        np.testing.assert_array_equal(in_part, whole)
        assert in_part.dtype == whole.dtype == np.uint8
