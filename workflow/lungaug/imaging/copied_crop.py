"""Crops copied in another pose, and made again from the pose that was recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU
from lungaug.imaging.pieces import largest_piece, mask_of


@dataclass(frozen=True)
class CopyPose:
    """How a crop is copied: flipped left to right, turned, scaled; and the area of its mask."""

    flip: bool
    degrees: float
    scale: float
    n_pixels: int

    @property
    def text(self) -> str:
        """As it is recorded: JSON whose numbers are exact."""
        return json.dumps(asdict(self), separators=(",", ":"))

    @classmethod
    def of(cls, recorded: Mapping[str, Any]) -> Self:
        """The pose that was recorded.

        Raises:
            TypeError, ValueError: it is none.
        """
        pose = cls(**recorded)
        if not (isinstance(pose.flip, bool) and np.isfinite(pose.degrees) and pose.scale > 0):
            raise ValueError(f"{pose}; accepted: what a copy was drawn with")
        return pose


def apply_pose(
    hu: NDArray[np.int16], mask: NDArray[np.bool_], pose: CopyPose
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, S) HU and probability of a crop flipped left to right, rotated, scaled; resampled once.

    HU are interpolated by cubics, which keep more of the noise than lines do, within the crop's
    own range. What lies outside the crop is its reflection: tissue with the crop's own texture,
    where a repeated edge would draw streaks. It comes into view in the corners and where a nodule
    is shrunk, far from the nodule, and is never pasted. The mask has the drawn area to the pixel,
    since interpolated edges would make small nodules smaller.

    Args:
        hu: (S, S), HU.
        mask: (S, S), the nodule.
        pose: what to do.
    """
    if pose.flip:
        hu, mask = np.ascontiguousarray(hu[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    if pose.degrees == 0 and pose.scale == 1:
        return hu.astype(np.float32), mask.astype(np.float32)
    height, width = hu.shape
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, pose.degrees, pose.scale)
    turned = cv2.warpAffine(
        hu.astype(np.float32),
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    soft = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height))
    return np.clip(turned, hu.min(), hu.max()), _with_area(soft, pose.n_pixels)


def as_stored(
    hu: NDArray[np.floating], probability: NDArray[np.floating]
) -> tuple[NDArray[np.int16], NDArray[np.bool_]]:
    """(S, S) HU and mask as patches keep them: whole HU, and the nodule's largest piece."""
    whole = np.clip(np.rint(hu), FLOOR_HU, np.iinfo(np.int16).max).astype(np.int16)
    return whole, largest_piece(mask_of(probability))


def _with_area(soft: NDArray[Any], n_pixels: int) -> NDArray[np.float32]:
    """A soft mask moved up or down so that ``n_pixels`` of it are at least a half."""
    order = np.argsort(-soft, axis=None, kind="stable")[: max(n_pixels, 1)]
    chosen = np.zeros(soft.shape, bool)
    chosen.flat[order] = True
    moved = np.clip(soft - soft.flat[order[-1]] + 0.5, 0, 1)
    # of equally covered pixels, those that are one too many stay just below a half
    moved = np.where(chosen, moved, np.minimum(moved, np.nextafter(np.float32(0.5), 0)))
    return np.asarray(np.where(soft > 0, moved, 0), np.float32)
