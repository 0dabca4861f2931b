"""Held-out nodules as generated ones: turned, moved, of other HU, and nodules that only look so."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lungaug.evaluation.copied_nodules import likeness, nearest_held_out
from lungaug.evaluation.patch_audit import COPIED
from lungaug.imaging.crop import Crop, cut
from phantom_slices import phantom_slices


def crops() -> list[tuple[str, Crop]]:
    return [
        (patient, cut(hu, nodule, 1, (2.0, 2.0)))
        for patient, hu, nodule in phantom_slices()
        if (nodule == 1).sum() >= 30
    ]


def turned(crop: Crop, degrees: float, scale: float = 1, add: int = 0) -> Crop:
    centre = ((crop.hu.shape[1] - 1) / 2, (crop.hu.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(centre, degrees, scale)
    hu, mask = (
        cv2.warpAffine(
            image.astype(np.float32),
            matrix,
            crop.hu.shape[::-1],
            flags=cv2.INTER_CUBIC,
            borderMode=cv2.BORDER_REFLECT_101,
        )
        for image in (crop.hu, crop.mask)
    )
    return Crop(np.round(hu + add).astype(np.int16), mask > 0.5, 5.0, "solid", crop.spacing_mm)


def held_out() -> list[Crop]:
    return [crop for patient, crop in crops() if patient.endswith(("0", "1"))]


CHANGES: dict[str, Callable[[Crop], Crop]] = {
    "as it is": lambda crop: crop,
    "HU + 1": lambda crop: turned(crop, 0, add=1),
    "13 degrees": lambda crop: turned(crop, 13),
    "13 degrees, HU + 20": lambda crop: turned(crop, 13, add=20),
    "quarter turn": lambda crop: turned(crop, 90),
    "200 degrees, smaller": lambda crop: turned(crop, 200, 0.95),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_held_out_nodule_is_found(change: str) -> None:
    known = held_out()
    found = list(nearest_held_out([CHANGES[change](crop) for crop in known], known))
    assert [one.crop for one in found] == list(range(len(known)))
    assert np.mean([one.likeness >= 0.9 for one in found]) >= 0.8
    # which one it is, but for neighbouring slices of the same nodule
    right = [one.held_out == one.crop for one in found if one.likeness >= COPIED]
    assert np.mean(right) >= 0.8


def test_nodules_of_other_patients_are_no_copies() -> None:
    others = [crop for patient, crop in crops() if not patient.endswith(("0", "1"))]
    poses = [(0, 1.0), (37, 0.9), (-120, 1.15), (180, 1.0)]
    made = [turned(crop, degrees, scale) for crop in others for degrees, scale in poses]
    found = list(nearest_held_out(made, held_out()))
    assert len(found) == len(made)
    assert max(one.likeness for one in found) < COPIED


def test_a_crop_without_a_nodule_is_left_out() -> None:
    known = held_out()
    empty = Crop(known[0].hu, np.zeros_like(known[0].mask), 0.0, "solid", (1.0, 1.0))
    assert [one.crop for one in nearest_held_out([empty, known[1]], known)] == [1]
    assert list(nearest_held_out(known, [])) == []


def test_a_flat_crop_is_like_nothing() -> None:
    (_, crop), *_ = crops()
    flat = Crop(np.full_like(crop.hu, -800), crop.mask, 5.0, "solid", (1.0, 1.0))
    assert abs(likeness(flat, crop, np.eye(3))) < 0.1
