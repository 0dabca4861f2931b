"""Poses: recorded to the digit, applied to HU and mask alike."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lungaug.imaging.copied_crop import CopyPose, apply_pose, as_stored

STILL = CopyPose(flip=False, degrees=0, scale=1, n_pixels=12)


def crop() -> tuple[np.ndarray, np.ndarray]:
    """A block of 3 x 4 pixels left of the middle, 9 HU up a column, on another gradient."""
    hu = np.tile(np.arange(24, dtype=np.int16) * 9 - 900, (24, 1))
    mask = np.zeros(hu.shape, bool)
    mask[10:13, 4:8] = True
    hu[mask] += 500
    return hu, mask


def test_a_pose_is_recorded_to_the_digit() -> None:
    pose = CopyPose(flip=True, degrees=-12.345678901234567, scale=1.0000000000000002, n_pixels=7)
    assert CopyPose.of(json.loads(pose.text)) == pose


def test_no_change_is_the_crop_itself() -> None:
    hu, mask = crop()
    copied, probability = apply_pose(hu, mask, STILL)
    np.testing.assert_array_equal(copied, hu)
    np.testing.assert_array_equal(probability, mask)


def test_flipped_left_to_right() -> None:
    hu, mask = crop()
    copied, probability = apply_pose(hu, mask, CopyPose(True, 0, 1, 12))
    np.testing.assert_array_equal(copied, hu[:, ::-1])
    np.testing.assert_array_equal(probability, mask[:, ::-1])


def test_turned_against_the_clock_by_degrees() -> None:
    hu, mask = crop()
    copied, probability = apply_pose(hu, mask, CopyPose(False, 90, 1, 12))
    np.testing.assert_array_equal(probability >= 0.5, np.rot90(mask))
    np.testing.assert_allclose(copied, np.rot90(hu), atol=1)


def test_the_area_is_the_recorded_one() -> None:
    hu, mask = crop()
    for n_pixels in (5, 12, 31):
        _, probability = apply_pose(hu, mask, CopyPose(False, 30, 1.4, n_pixels))
        assert np.count_nonzero(probability >= 0.5) == n_pixels


def test_patches_keep_whole_hu_above_the_floor_and_the_largest_piece() -> None:
    probability = np.zeros((8, 8), np.float32)
    probability[1:4, 1:4], probability[6, 6] = 0.5, 0.9
    hu, mask = as_stored(np.full((8, 8), [-5000, -0.6, 2.5, 1e6] * 2), probability)
    assert hu[0].tolist()[:4] == [-1024, -1, 2, 32767]
    assert hu.dtype == np.int16
    expected = np.zeros((8, 8), bool)
    expected[1:4, 1:4] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("changes", [{"scale": -1.0}, {"degrees": float("inf")}, {"flip": 1}])
def test_what_no_copy_was_drawn_with_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="accepted: what a copy was drawn with"):
        CopyPose.of({**json.loads(STILL.text), **changes})
