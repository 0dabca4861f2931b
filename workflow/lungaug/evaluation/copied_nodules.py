"""Generated nodules that are changed copies of held-out ones: turned, of other HU, a little moved.

The nearest held-out crop in any pose is aligned with the nodule; then the nodules must agree, and
what is around them must: two nodules look alike often, two surroundings do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.alignment import Image, Matrix, aligned, warped
from lungaug.evaluation.realism.memorisation import all_poses, nearest_training, to_square
from lungaug.evaluation.realism.window import HIGH_HU, LOW_HU
from lungaug.imaging.crop import Crop

N_TURNS = 24  # every 15 degrees: near enough for the alignment
_LEAST_PX = 30
_NOT_AIR_HU = 20
_REACH = 0.45  # of the side of a crop
_AS_IT_IS = all_poses(1)[0]


@dataclass(frozen=True)
class Copied:
    """Row of a crop, row of the held-out crop that is most like it, and how like it is."""

    crop: int
    held_out: int
    likeness: float


def nearest_held_out(crops: Sequence[Crop], held_out: Sequence[Crop]) -> Iterator[Copied]:
    """Yield for each crop with a nodule the held-out crop that it may be a changed copy of.

    Args:
        crops: what a generator made.
        held_out: real crops that it cannot have seen.
    """
    usable = [row for row, crop in enumerate(crops) if crop.mask.any()]
    if not usable or not held_out:
        return
    poses = all_poses(N_TURNS)
    own = [crops[row] for row in usable]
    nearest = nearest_training(own, held_out, [""] * len(held_out), poses)
    for crop, row, at, pose in zip(own, usable, nearest.crop, nearest.pose, strict=True):
        other = held_out[int(at)]
        (here,) = to_square(crop.mask, [_AS_IT_IS])
        (there,) = to_square(other.mask, [poses[int(pose)]])
        start = _whole(there) @ np.linalg.inv(_whole(here))
        yield Copied(row, int(at), likeness(crop, other, start))


def likeness(first: Crop, second: Crop, start: Matrix) -> float:
    """Correlation of two crops brought onto each other: the lesser of inside and around.

    Around the nodules it is of what is finer than a sixteenth of the crop. A part of fewer than 30
    pixels does not count.

    Args:
        first, second: the crops.
        start: (3, 3) from pixels (x, y) of the first to those of the second, to begin with.
    """
    soft = [_soft(crop.hu) for crop in (first, second)]
    matrix = aligned(soft[0], soft[1], start)
    if matrix is None:
        return 0.0
    height, width = first.hu.shape
    size = (width, height)
    moved = warped(soft[1], matrix, size, cv2.INTER_CUBIC)
    seen = warped(np.ones_like(soft[1]), matrix, size, cv2.INTER_NEAREST, 0) > 0
    other = warped(second.mask.astype(np.float32), matrix, size, cv2.INTER_NEAREST, 0) > 0
    tissue = np.minimum(soft[0], moved) > LOW_HU + _NOT_AIR_HU  # all air beyond a slice is the same
    side = max(height, width)
    near = _grown(first.mask | other, side // 32)
    fine = [image - cv2.GaussianBlur(image, (0, 0), side / 16) for image in (soft[0], moved)]
    parts = (
        (fine[0], fine[1], _middle(first.hu.shape) & ~_grown(~seen, 2) & ~near & tissue),
        (soft[0], moved, first.mask & other),
    )
    found = [
        _correlation(a[chosen], b[chosen])
        for a, b, chosen in parts
        if np.count_nonzero(chosen) >= _LEAST_PX
    ]
    return min(found, default=0.0)


def _soft(hu: NDArray[np.int16]) -> Image:
    return cv2.GaussianBlur(np.clip(hu, LOW_HU, HIGH_HU).astype(np.float32), (0, 0), 1)


def _whole(matrix: Matrix) -> Matrix:
    return np.vstack([matrix, [0, 0, 1]])


def _grown(region: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    kernel = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return cv2.dilate(region.astype(np.uint8), kernel) > 0


def _middle(shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """The circle that stays in view when a crop is turned."""
    rows, columns = (np.arange(n) - (n - 1) / 2 for n in shape)
    return np.asarray(np.hypot(rows[:, None], columns[None, :]) <= _REACH * min(shape))


def _correlation(first: Image, second: Image) -> float:
    a, b = first - first.mean(), second - second.mean()
    return float(a @ b / max(float(np.sqrt((a @ a) * (b @ b))), 1e-6))
