"""Copies are found in any pose; other nodules are not taken for copies."""

from __future__ import annotations

import dataclasses
import math

import cv2
import numpy as np
import pytest

from evaluation.realism.nodules import textured_crop
from lungaug.evaluation.realism.memorisation import (
    Nearest,
    all_poses,
    copy_rate,
    copy_threshold,
    nearest_training,
)
from lungaug.imaging.crop import Crop

TRAINING = [textured_crop(seed) for seed in range(12)]
PATIENTS = [f"p{i}" for i in range(12)]
SQUARE = all_poses(4)


def posed(crop: Crop, flip: bool, quarter_turns: int) -> Crop:
    hu, mask = (x[:, ::-1] if flip else x for x in (crop.hu, crop.mask))
    turned = [np.ascontiguousarray(np.rot90(x, quarter_turns)) for x in (hu, mask)]
    return dataclasses.replace(crop, hu=turned[0], mask=turned[1])


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("quarter_turns", range(4))
def test_copies_under_flips_and_rotations(flip: bool, quarter_turns: int) -> None:
    copies = [posed(crop, flip, quarter_turns) for crop in TRAINING]
    found = nearest_training(copies, TRAINING, PATIENTS, SQUARE)
    assert found.crop.tolist() == list(range(12))
    assert found.distance.max() < 0.01
    others = [textured_crop(seed) for seed in range(100, 130)]
    threshold = copy_threshold(nearest_training(others, TRAINING, PATIENTS, SQUARE), 1, 30)
    assert copy_rate(found, threshold) == 1


def test_the_pose_makes_the_copy_of_the_training_crop() -> None:
    found = nearest_training([posed(TRAINING[3], False, 1)], TRAINING, PATIENTS, SQUARE)
    (pose,) = (SQUARE[i] for i in found.pose)
    assert (pose.flip, pose.degrees) in {(False, 90.0), (False, 270.0)}


def test_brightness_contrast_and_size_hide_no_copy() -> None:
    crop = TRAINING[5]
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), 0, 1.3)
    hu, mask = (
        cv2.warpAffine(x.astype(np.float32), matrix, (64, 64), borderValue=v)
        for x, v in ((crop.hu, -850), (crop.mask, 0))
    )
    larger = dataclasses.replace(
        crop, hu=(0.6 * hu - 200).astype(np.int16), mask=np.asarray(mask >= 0.5)
    )
    found = nearest_training([larger], TRAINING, PATIENTS, SQUARE)
    assert found.crop[0] == 5
    assert found.relative[0] < 0.6


def test_turned_by_another_angle_needs_more_poses() -> None:
    matrix = cv2.getRotationMatrix2D((31.5, 31.5), 45, 1)
    crop = TRAINING[2]
    hu, mask = (
        cv2.warpAffine(x.astype(np.float32), matrix, (64, 64), borderValue=v)
        for x, v in ((crop.hu, -850), (crop.mask, 0))
    )
    turned = dataclasses.replace(crop, hu=hu.astype(np.int16), mask=np.asarray(mask >= 0.5))
    few, many = (
        nearest_training([turned], TRAINING, PATIENTS, all_poses(n)).relative[0] for n in (4, 24)
    )
    assert many < 0.6 < few


def test_other_nodules_are_no_copies() -> None:
    others = [textured_crop(seed) for seed in range(100, 160)]
    found = nearest_training(others, TRAINING, PATIENTS, SQUARE)
    held_out, rest = found.take(slice(30)), found.take(slice(30, None))
    assert copy_rate(rest, copy_threshold(held_out, 5, 30)) < 0.25


def test_flat_nodules_are_alike() -> None:
    flat = [dataclasses.replace(c, hu=np.where(c.mask, 1, c.hu).astype(np.int16)) for c in TRAINING]
    found = nearest_training(flat[:2], flat, PATIENTS, SQUARE)
    np.testing.assert_allclose(found.distance, 0, atol=0.01)
    single = np.zeros((64, 64), bool)
    single[4, 4] = True
    point = dataclasses.replace(TRAINING[0], mask=single)
    assert np.isfinite(nearest_training([point], TRAINING, PATIENTS, SQUARE).distance).all()


def test_a_single_patient_or_no_held_out_nodule_gives_no_rate() -> None:
    alone = nearest_training(TRAINING[:2], TRAINING[:3], ["p", "p", "p"], SQUARE)
    assert np.isnan(alone.relative).all()
    assert math.isnan(copy_threshold(alone, 5, 9))
    nothing = nearest_training([], TRAINING, PATIENTS, SQUARE)
    assert math.isnan(copy_threshold(nothing, 5, 9))
    assert math.isnan(copy_rate(nothing, 0.5))
    assert isinstance(nothing.take(slice(1)), Nearest)


def test_nodules_of_too_few_patients_give_no_threshold() -> None:
    found = nearest_training(
        [textured_crop(s) for s in range(100, 130)], TRAINING, PATIENTS, SQUARE
    )
    assert math.isnan(copy_threshold(found, 5, 4))
    assert math.isfinite(copy_threshold(found, 5, 5))
