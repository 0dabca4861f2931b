"""Rotate slice: the whole slice and its mask turned about the middle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import AIR_HU
from lungaug.metalung.protocol import (
    NO_NODULE,
    Hu,
    Inapplicable,
    Labels,
    Operation,
    Pair,
    Parameters,
)
from lungaug.metalung.regions import Box, bounding_box, labels_of
from lungaug.metalung.turning import AngleRange, matrix_of, turned, turned_labels
from lungaug.settings import setting

# A nodule of so many pixels holds two adjacent ones, which cannot both fall between the pixels.
SAFE_SIZE = 16


@dataclass(frozen=True)
class RotateSliceSettings(AngleRange):
    """Angles and what fills the corners; 0 to 90 degrees is the published range."""

    fill_hu: int = setting(
        AIR_HU, "HU of corners that come from outside the slice", minimum=-1024, maximum=32767
    )
    attempts: int = setting(16, "angles tried until the whole nodule stays in frame", minimum=1)


def draw(
    hu: Hu, nodule: Labels, lung: Labels, *, settings: RotateSliceSettings, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """An angle that keeps every nodule whole: none leaves the frame, none vanishes.

    Returns:
        ``degrees``, counter-clockwise; ``fill_hu``.
    """
    box = bounding_box(nodule)
    if box is None:
        return NO_NODULE
    for _ in range(settings.attempts):
        degrees = settings.draw(rng)
        if _in_frame(nodule, box, degrees) and _all_survive(nodule, box, degrees):
            return {"degrees": degrees, "fill_hu": settings.fill_hu}
    return Inapplicable(f"the nodule left the slice at each of {settings.attempts} angles")


def apply(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """HU and labels turned alike about the middle of the slice."""
    degrees, centre = float(parameters["degrees"]), _middle(hu.shape)
    box = bounding_box(nodule)
    turned_nodule = nodule.copy() if box is None else turned_labels(nodule, degrees, centre, box)
    return turned(hu, degrees, centre, int(parameters["fill_hu"])), turned_nodule


def _middle(shape: tuple[int, ...]) -> tuple[float, float]:
    return (shape[0] - 1) / 2, (shape[1] - 1) / 2


def _in_frame(nodule: Labels, box: Box, degrees: float) -> bool:
    matrix = matrix_of(degrees, _middle(nodule.shape))
    top, bottom, left, right = box[0].start, box[0].stop - 1, box[1].start, box[1].stop - 1
    corners = np.array([(left, left, right, right), (top, bottom, top, bottom)])
    if _are_in_frame(corners, matrix, nodule.shape):
        return True
    rows, cols = np.nonzero(nodule[box])
    return _are_in_frame(np.stack([cols + left, rows + top]), matrix, nodule.shape)


def _are_in_frame(
    points: NDArray[np.intp], matrix: NDArray[np.float64], shape: tuple[int, ...]
) -> bool:
    """Whether pixels, (2, N) columns and rows, stay inside when turned."""
    col, row = matrix[:, :2] @ points + matrix[:, 2:]
    # half a pixel short of the frame, so that the rounding of the turn cannot lose a pixel
    return bool(
        row.min() >= 0
        and col.min() >= 0
        and row.max() <= shape[0] - 1
        and col.max() <= shape[1] - 1
    )


def _all_survive(nodule: Labels, box: Box, degrees: float) -> bool:
    """Whether no label is lost: single pixels can fall between those of the turned grid."""
    sizes = np.bincount(nodule[box].ravel())[1:]
    if sizes[sizes > 0].min() >= SAFE_SIZE:
        return True
    after = turned_labels(nodule, degrees, _middle(nodule.shape), box)
    return labels_of(after) == labels_of(nodule)


ROTATE_SLICE = Operation(RotateSliceSettings, draw, apply)
