"""Ordinary augmentation in the loader: flip, rotate, scale. On HU, before the network's door.

On HU, because equalisation does not commute with turning, and the network is tested on slices that
were equalised as they stand; and because the MetaLung operations, with which this is compared, work
on HU too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU
from lungaug.training.settings import OnlineSettings


@dataclass(frozen=True)
class Pose:
    """What was drawn for one slice."""

    flip: bool = False
    degrees: float = 0.0
    scale: float = 1.0


def draw_pose(settings: OnlineSettings, *, rng: np.random.Generator) -> Pose:
    """Draw a pose; always three numbers from ``rng``, whatever the settings."""
    flip, turn, size = rng.random(3)
    return Pose(
        flip=bool(flip < settings.flip),
        degrees=float((2 * turn - 1) * settings.rotation_degrees),
        scale=float(1 + (2 * size - 1) * settings.scale),
    )


def pose_hu(hu: NDArray[np.int16], pose: Pose) -> NDArray[np.int16]:
    """(H, W) HU, flipped left to right, then rotated and scaled about the centre.

    Between pixels linear, outside air.
    """
    flipped = np.ascontiguousarray(hu[:, ::-1]) if pose.flip else hu
    return np.asarray(_turned(flipped, pose, cv2.INTER_LINEAR, float(FLOOR_HU)), np.int16)


def pose_labels(nodule: NDArray[np.uint8], pose: Pose) -> NDArray[np.uint8]:
    """(H, W) labels, moved as :func:`pose_hu` does. Between pixels the nearest, outside 0."""
    flipped = np.ascontiguousarray(nodule[:, ::-1]) if pose.flip else nodule
    return np.asarray(_turned(flipped, pose, cv2.INTER_NEAREST, 0.0), np.uint8)


def _turned(image: NDArray[Any], pose: Pose, flags: int, outside: float) -> NDArray[Any]:
    if pose.degrees == 0 and pose.scale == 1:
        return image
    height, width = image.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), pose.degrees, pose.scale)
    turned = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderValue=outside)
    return np.asarray(turned)
