"""Ordinary augmentation in the loader: flip, rotate, scale. On HU, before the network's door.

On HU, because equalisation does not commute with turning, and the network is tested on slices that
were equalised as they stand; and because the MetaLung operations, with which this is compared, work
on HU too.
"""

from __future__ import annotations

from dataclasses import dataclass

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


def apply_pose(
    hu: NDArray[np.int16], nodule: NDArray[np.uint8], pose: Pose
) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """Flip left to right, then rotate and scale about the centre.

    Args:
        hu: (H, W), HU; between pixels linear, outside air.
        nodule: (H, W), labels; between pixels the nearest, outside 0.
        pose: what to do; the default pose changes nothing.
    """
    if pose.flip:
        hu, nodule = np.ascontiguousarray(hu[:, ::-1]), np.ascontiguousarray(nodule[:, ::-1])
    if pose.degrees == 0 and pose.scale == 1:
        return hu, nodule
    height, width = hu.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), pose.degrees, pose.scale)
    turned = cv2.warpAffine(
        hu, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=float(FLOOR_HU)
    )
    labels = cv2.warpAffine(nodule, matrix, (width, height), flags=cv2.INTER_NEAREST)
    return np.asarray(turned, np.int16), np.asarray(labels, np.uint8)
