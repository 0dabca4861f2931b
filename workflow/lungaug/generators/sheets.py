"""Sample sheets: what a generator makes while it learns, to be looked at."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.aside import written_aside
from lungaug.generators.channels import Window

_SCALE = 2  # screen pixels a crop's pixel
_GAP = 4  # between crops, in screen pixels
_OUTLINE = (60, 200, 255)  # blue, green, red
_BACKGROUND = 40


def write_sheet(
    path: Path, hu: NDArray[np.floating], mask: NDArray[np.floating], window: Window
) -> None:
    """Write crops as one PNG, each as it is and beside it with the mask's outline.

    Args:
        path: written aside and renamed.
        hu: (N, S, S), HU.
        mask: (N, S, S), the nodule where it is at least a half.
        window: HU that are black and white.
    """
    tiles = [_tile(*pair, window) for pair in zip(hu, mask, strict=True)]
    columns = max(math.ceil(math.sqrt(len(tiles) / 2)), 1)
    rows = math.ceil(len(tiles) / columns)
    side = _SCALE * hu.shape[1]
    sheet = np.full((rows * (side + _GAP), columns * (2 * side + _GAP), 3), _BACKGROUND, np.uint8)
    for i, tile in enumerate(tiles):
        row, column = divmod(i, columns)
        top, left = row * (side + _GAP), column * (2 * side + _GAP)
        sheet[top : top + side, left : left + 2 * side] = tile
    _write_png(path, sheet)


def _tile(
    hu: NDArray[np.floating], mask: NDArray[np.floating], window: Window
) -> NDArray[np.uint8]:
    """(side, 2 side, 3): the crop, and again with an outline."""
    low, high = window
    grey = np.rint(255 * np.clip((hu - low) / (high - low), 0, 1)).astype(np.uint8)
    plain = cv2.cvtColor(_enlarged(grey), cv2.COLOR_GRAY2BGR)
    nodule = _enlarged((mask >= 0.5).astype(np.uint8))
    contours, _ = cv2.findContours(nodule, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    outlined = cv2.drawContours(plain.copy(), contours, -1, _OUTLINE, 1)
    return np.asarray(np.concatenate([plain, outlined], axis=1), np.uint8)


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    side = _SCALE * image.shape[0], _SCALE * image.shape[1]
    return np.asarray(cv2.resize(image, side[::-1], interpolation=cv2.INTER_NEAREST), np.uint8)


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    _, data = cv2.imencode(".png", image)
    with written_aside(path) as part:
        part.write_bytes(data.tobytes())
