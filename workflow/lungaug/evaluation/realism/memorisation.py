"""Copies of training nodules: the nearest training crop of every generated one, in any pose."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.realism.window import HIGH_HU, LOW_HU
from lungaug.evaluation.statistics import MINIMUM_PATIENTS
from lungaug.imaging.crop import Crop

Values = NDArray[np.float64]
Vectors = NDArray[np.float32]

SIDE_PX = 24
_MARGIN = 1.15  # of the circle around the nodule
_N_OTHERS = 10


@dataclass(frozen=True)
class Pose:
    """Flipped left to right, or not, then turned."""

    flip: bool
    degrees: float


@dataclass(frozen=True)
class Nearest:
    """The nearest training crop of each crop.

    Attributes:
        distance: (N,), 0 for a copy.
        relative: (N,) the same divided by the mean distance of the nearest crops of other patients:
            what tells a copy of a nodule from a nodule that looks like many; NaN without others.
        crop: (N,) row of the training crop.
        pose: (N,) position in the list of poses that it was nearest in.
    """

    distance: Values
    relative: Values
    crop: NDArray[np.intp]
    pose: NDArray[np.intp]

    def take(self, chosen: slice) -> Nearest:
        """Some of the crops."""
        return Nearest(
            self.distance[chosen], self.relative[chosen], self.crop[chosen], self.pose[chosen]
        )


def all_poses(n_turns: int) -> list[Pose]:
    """Both flips in ``n_turns`` equal turns; 4 are the flips and rotations of a square."""
    return [Pose(flip, 360 / n_turns * k) for flip in (False, True) for k in range(n_turns)]


def nearest_training(
    crops: Sequence[Crop],
    training: Sequence[Crop],
    patients: Sequence[str],
    poses: Sequence[Pose],
) -> Nearest:
    """For each crop, the training crop that is most like it in any of the poses.

    A nodule is brought to one size by the circle around it. The distance is sqrt(1 - (r + o) / 2),
    with r the correlation of the HU inside the masks around their means, and o the overlap of the
    masks (its cosine): neither brightness nor contrast nor size hides a copy.

    Args:
        crops: (N) to be looked up.
        training: (M) what may have been copied.
        patients: (M,) whose each is.
        poses: of the training crops.

    References:
        Carlini N et al., Extracting training data from diffusion models, USENIX Security 2023,
        section 5.1: distances relative to those of the nearest others.
    """
    if not len(crops):
        return Nearest(np.empty(0), np.empty(0), np.empty(0, np.intp), np.empty(0, np.intp))
    wanted = np.concatenate([descriptions(crop, [Pose(False, 0.0)]) for crop in crops])
    likeness = np.empty((len(crops), len(training)), np.float32)
    posed = np.empty(likeness.shape, np.intp)
    for column, crop in enumerate(training):
        alike = wanted @ descriptions(crop, poses).T
        posed[:, column] = alike.argmax(axis=1)
        likeness[:, column] = alike.max(axis=1)
    distance = np.sqrt(np.maximum(1 - likeness.astype(np.float64), 0))
    found = distance.argmin(axis=1)
    rows = np.arange(len(crops))
    nearest = distance[rows, found]
    names = np.asarray(patients, np.str_)
    others = [_mean_of_others(d, names != names[i]) for d, i in zip(distance, found, strict=True)]
    return Nearest(nearest, nearest / np.array(others), found, posed[rows, found])


def descriptions(crop: Crop, poses: Sequence[Pose]) -> Vectors:
    """(P, 2 * 24 * 24) of length 1: HU around their mean within the mask, and the mask."""
    size, flags = (SIDE_PX, SIDE_PX), cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    hu = np.clip(crop.hu, LOW_HU, HIGH_HU).astype(np.float32)
    inside = crop.mask.astype(np.float32)
    turned, mask = np.empty((2, len(poses), SIDE_PX * SIDE_PX), np.float32)
    for i, matrix in enumerate(to_square(crop.mask, poses)):
        warped = cv2.warpAffine(hu, matrix, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
        turned[i] = warped.ravel()
        mask[i] = cv2.warpAffine(inside, matrix, size, flags=flags).ravel()
    mean = np.sum(mask * turned, axis=1, keepdims=True) / np.sum(mask, axis=1, keepdims=True)
    texture = mask * (turned - mean)
    # A flat nodule has no texture: two of them are alike in that.
    texture = np.where(_lengths(texture) < 1e-3 * _lengths(mask), mask, texture)
    parts = [part / (_lengths(part) * math.sqrt(2)) for part in (texture, mask)]
    return np.concatenate(parts, axis=1).astype(np.float32)


def copy_threshold(held_out: Nearest, percentile: float, n_patients: int) -> float:
    """Relative distance below which a nodule counts as a copy, from nodules that cannot be copies.

    Args:
        held_out: nodules of patients that nothing learned from, looked up in the training crops.
        percentile: of their distances; so many in a hundred of them count as copies by chance.
        n_patients: whose they are.

    Returns:
        The threshold; NaN below five patients, whose percentiles say nothing of others.
    """
    if n_patients < MINIMUM_PATIENTS:
        return math.nan
    known = held_out.relative[np.isfinite(held_out.relative)]
    return float(np.percentile(known, percentile)) if len(known) else math.nan


def copy_rate(found: Nearest, threshold: float) -> float:
    """Share of crops relatively nearer to a training crop than the threshold; NaN without one."""
    if not len(found.relative) or math.isnan(threshold):
        return math.nan
    return float(np.mean(found.relative < threshold))


def _mean_of_others(distances: Values, others: NDArray[np.bool_]) -> float:
    nearest = np.sort(distances[others])[:_N_OTHERS]
    return float(nearest.mean()) if len(nearest) else math.nan


def _lengths(vectors: Vectors) -> Vectors:
    return np.asarray(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def to_square(mask: NDArray[np.bool_], poses: Sequence[Pose]) -> Iterator[Values]:
    """Yield (2, 3) each, from pixels (x, y) of the small square to those of the crop."""
    rows, cols = np.nonzero(mask)
    centre = np.array([cols.mean(), rows.mean()])
    radius = float(np.hypot(cols - centre[0], rows - centre[1]).max()) + 0.5
    scale = 2 * _MARGIN * radius / SIDE_PX
    for pose in poses:
        angle = math.radians(pose.degrees)
        cosine, sine = scale * math.cos(angle), scale * math.sin(angle)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        if pose.flip:
            turn[:, 0] *= -1
        yield np.column_stack([turn, centre - turn @ np.full(2, (SIDE_PX - 1) / 2)])
