"""Turning by nearest neighbours, the same for HU and labels to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import SettingError
from lungaug.metalung.protocol import Labels
from lungaug.metalung.regions import Box
from lungaug.settings import setting


@dataclass(frozen=True)
class AngleRange:
    """Base of settings that draw an angle."""

    degrees: tuple[float, float] = setting(
        (0.0, 90.0), "lowest and highest angle, counter-clockwise; [-90, 90] turns both ways"
    )

    def __post_init__(self) -> None:
        low, high = self.degrees
        if not -360 <= low <= high <= 360:
            raise SettingError(
                f"degrees: got {list(self.degrees)}; accepted: lowest, highest within -360 to 360"
            )

    def draw(self, rng: np.random.Generator) -> float:
        """An angle in hundredths of a degree, so that the record is the angle itself."""
        return round(float(rng.uniform(*self.degrees)), 2)


def turned(
    image: NDArray[Any], degrees: float, centre: tuple[float, float], fill: int
) -> NDArray[Any]:
    """An image turned counter-clockwise within its frame, nearest neighbour.

    OpenCV rounds source positions differently for different pixel types (about 100 pixels of a
    512x512 slice), so everything passes through as 16-bit words: HU and labels that are turned
    alike stay aligned.

    Args:
        image: (H, W) of int16 or uint8.
        degrees: angle.
        centre: (row, col) of the pixel centre that stays in place.
        fill: value of pixels that come from outside the frame.
    """
    words = np.ascontiguousarray(image)
    words = words.view(np.uint16) if image.dtype == np.int16 else words.astype(np.uint16)
    result = _warped(words, matrix_of(degrees, centre), image.shape, fill % 65536)
    return result.view(np.int16) if image.dtype == np.int16 else result.astype(image.dtype)


def turned_labels(labels: Labels, degrees: float, centre: tuple[float, float], box: Box) -> Labels:
    """The same as ``turned(labels, degrees, centre, 0)``, without the empty part of the image.

    What lies right of and below the labels, before and afterwards, is left out. Both images keep
    their first row and column, from which OpenCV counts positions, and the result a width in whole
    vectors of any processor, so that positions are rounded as those of the whole image are.

    Args:
        labels: (H, W), zero outside ``box``.
        degrees: angle.
        centre: (row, col) of the pixel centre that stays in place.
        box: rows and columns that hold the labels.
    """
    matrix = matrix_of(degrees, centre)
    rows, cols = box
    corners = [(col, row, 1) for col in (cols.start, cols.stop) for row in (rows.start, rows.stop)]
    right, bottom = np.ceil(np.max(matrix @ np.transpose(corners), axis=1)).astype(int).tolist()
    height, width = (
        min(bottom + 2, labels.shape[0]),
        min(-(-(right + 2) // 64) * 64, labels.shape[1]),
    )
    result = np.zeros_like(labels)
    if height > 0 and width > 0:
        words = labels[: rows.stop, : cols.stop].astype(np.uint16)
        result[:height, :width] = _warped(words, matrix, (height, width), 0)
    return result


def turned_into(
    image: NDArray[np.float32],
    degrees: float,
    centre: tuple[float, float],
    corner: tuple[int, int],
    side: int,
) -> NDArray[np.float32]:
    """A square cut out of a turned image, nearest neighbour, -1 where nothing is.

    Args:
        image: (H, W).
        degrees: angle, counter-clockwise.
        centre: (row, col) that stays in place.
        corner: (row, col) of the square's first pixel; may lie outside the image.
        side: of the square, in pixels.
    """
    matrix = matrix_of(degrees, centre)
    # moved by a trifle: of positions halfway between two pixels, all fall to the same side
    matrix[:, 2] -= corner[1] - 1 / 256, corner[0] - 1 / 256
    return np.asarray(_warped(image, matrix, (side, side), -1), np.float32)


def _warped(
    image: NDArray[Any], matrix: NDArray[np.float64], shape: tuple[int, int], fill: int
) -> NDArray[Any]:
    return np.asarray(
        cv2.warpAffine(
            image,
            matrix,
            shape[::-1],
            flags=cv2.INTER_NEAREST,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=fill,
        )
    )


def matrix_of(degrees: float, centre: tuple[float, float]) -> NDArray[np.float64]:
    """The (2, 3) matrix that maps (col, row, 1) of the image to the turned (col, row)."""
    return np.asarray(cv2.getRotationMatrix2D((centre[1], centre[0]), degrees, 1.0))
