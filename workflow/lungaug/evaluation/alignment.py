"""Bring two slices onto each other and compare their noise: is one a changed copy of the other?

A copy that was shifted, turned, scaled, mirrored, blurred, or given other HU keeps the noise and
the smallest vessels of its original, in another place. Two patients have the same large shapes and
independent noise, however alike they look. So slices are first brought to one pose by the outline
of the body or of the lungs, then aligned, and what is compared is the fine structure where nothing
large changes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.pieces import largest_piece

Image = NDArray[Any]
Matrix = NDArray[Any]

WORKING_PX = 128
"""Longest side at which slices are compared: 3 mm of a chest, still with its vessels."""
SIDE_PX = 32
"""Side of the small picture by which candidates are found."""
MIRRORED = tuple(np.diag([x, y, 1.0]) for x in (1.0, -1.0) for y in (1.0, -1.0))
"""The four ways in which a body whose long axis is known can lie."""
_LOW_HU, _HIGH_HU = -1000.0, 300.0
_BODY_HU = -500.0
_REACH = 1.3  # of the small picture, in units of the body's size
_LEAST_PX = 100  # of a region, and of what is compared
_FLATTEST = 0.4  # the share of the body that is compared: away from edges, which all patients have
_STOP = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 40, 1e-4)


@dataclass(frozen=True)
class View:
    """A slice at working resolution.

    Attributes:
        hu: (H, W), HU within a window.
        body: (H, W) bool, what lies inside the skin, lungs included; all where
            there is no body.
        frames: (3, 3) each, from units of a region's size around its centre, along its long axis,
            to pixels (x, y): of the image, then of the body and the lungs where there are any.
    """

    hu: Image
    body: NDArray[np.bool_]
    frames: tuple[Matrix, ...]

    @classmethod
    def of(cls, hu: NDArray[np.int16]) -> Self:
        """Shrink a slice, (H, W) in HU, and find its body and lungs."""
        small: Image = np.clip(hu, _LOW_HU, _HIGH_HU).astype(np.float32)
        scale = WORKING_PX / max(hu.shape)
        if scale < 1:
            size = (max(1, round(hu.shape[1] * scale)), max(1, round(hu.shape[0] * scale)))
            small = cv2.resize(small, size, interpolation=cv2.INTER_AREA)
        smooth = cv2.GaussianBlur(small, (0, 0), 1)
        body = _filled(largest_piece(smooth > _BODY_HU, connectivity=4))
        lungs = body & (smooth < _BODY_HU)
        found = [_frame(region) for region in (body, lungs) if region.sum() >= _LEAST_PX]
        seen = body if body.any() else np.ones(small.shape, bool)
        return cls(small, seen, (_image_frame(small.shape), *found))

    def pictures(self) -> Image:
        """(F, 32 * 32): a small picture in each frame, of length 1, without its large shapes."""
        return np.stack([self._picture(frame) for frame in self.frames])

    def _picture(self, frame: Matrix) -> Image:
        step = 2 * _REACH / (SIDE_PX - 1)
        to_unit = np.array([[step, 0, -_REACH], [0, step, -_REACH], [0, 0, 1]])
        matrix = (frame @ to_unit)[:2]
        pixels = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
        soft = cv2.GaussianBlur(self.hu, (0, 0), max(pixels / 2, 0.3))
        picture = warped(soft, matrix, (SIDE_PX, SIDE_PX), cv2.INTER_LINEAR)
        picture = _fine(picture, 3, 5)[0] * _window()
        picture -= picture.mean()
        return np.asarray(picture / max(float(np.linalg.norm(picture)), 1e-6)).ravel()


def mirrored(pictures: NDArray[np.float32]) -> NDArray[np.float32]:
    """(4, F, 32 * 32) small pictures as they are in the poses of ``MIRRORED``."""
    square = pictures.reshape(-1, SIDE_PX, SIDE_PX)
    poses = (square, square[:, ::-1], square[:, :, ::-1], square[:, ::-1, ::-1])
    return np.stack([pose.reshape(len(square), -1) for pose in poses])


def likeness(first: View, second: View, start: Matrix) -> float:
    """Correlation of the fine structure of two slices, brought onto each other; 0 where they fail.

    Fine structure is what a narrow blur takes away, divided by its own local strength.

    Args:
        first, second: the slices.
        start: (3, 3) from pixels of the first to those of the second, near enough to begin with.
    """
    coarse = [_fine(view.hu, 4, 8)[0] for view in (first, second)]
    matrix = aligned(coarse[0], coarse[1], start)
    if matrix is None:
        return 0.0
    height, width = first.hu.shape
    moved = warped(second.hu, matrix, (width, height), cv2.INTER_CUBIC)
    inside = warped(second.body.astype(np.float32), matrix, (width, height), cv2.INTER_NEAREST, 0)
    margin = max(3, round(0.04 * max(first.hu.shape)))
    return _correlation(first.hu, moved, _shrunk(first.body & (inside > 0), margin))


def _correlation(first: Image, second: Image, inside: NDArray[np.bool_]) -> float:
    """Of the fine structure of two images in the flattest part of a region."""
    fine, strength = zip(*(_fine(image, 1.5, 4) for image in (first, second)), strict=True)
    if np.count_nonzero(inside) < _LEAST_PX:
        return 0.0
    strongest = np.maximum(*strength)
    chosen = inside & (strongest <= np.quantile(strongest[inside], _FLATTEST))
    a, b = (values[chosen] - values[chosen].mean() for values in fine)
    return float(a @ b / max(float(np.sqrt((a @ a) * (b @ b))), 1e-6))


def _fine(image: Image, narrow: float, wide: float) -> tuple[Image, Image]:
    """What a blur of ``narrow`` pixels takes away, by its strength within ``wide``, and that."""
    detail = image - cv2.GaussianBlur(image, (0, 0), narrow)
    strength = np.sqrt(cv2.GaussianBlur(detail * detail, (0, 0), wide))
    return detail / (strength + 10), strength


def aligned(first: Image, second: Image, start: Matrix) -> Image | None:
    """Find the (2, 3) affine map from pixels of the first image to those of the second.

    Args:
        first, second: (H, W) each.
        start: (3, 3) map to begin with.

    Returns:
        The map that maximises the enhanced correlation coefficient; None where the search fails.

    References:
        Evangelidis GD, Psarakis EZ, Parametric image alignment using enhanced correlation
        coefficient maximization, IEEE Trans Pattern Anal Mach Intell 30:1858-1865, 2008.
    """
    matrix = start[:2].astype(np.float32)
    try:
        found = cv2.findTransformECC(first, second, matrix, cv2.MOTION_AFFINE, _STOP)
    except cv2.error:  # it did not converge: no affine map brings one onto the other
        return None
    return np.asarray(found[1])


def warped(
    image: Image,
    matrix: Matrix | Image,
    size: tuple[int, int],
    flags: int,
    outside: float = _LOW_HU,
) -> Image:
    """Resample an image at (x, y) = matrix (x', y', 1); ``size`` is (width, height)."""
    return np.asarray(
        cv2.warpAffine(
            image, matrix, size, flags=flags | cv2.WARP_INVERSE_MAP, borderValue=(outside,)
        )
    )


def _window() -> Image:
    axis = np.linspace(-_REACH, _REACH, SIDE_PX)
    square = axis[:, None] ** 2 + axis[None, :] ** 2
    return np.exp(-((square / 1.1) ** 2)).astype(np.float32)


def _filled(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The region with its holes; thin parts such as a couch that touches it are taken off."""
    padded = np.pad(region.astype(np.uint8), 1)
    cv2.floodFill(padded, None, (0, 0), 2)
    solid = (padded[1:-1, 1:-1] != 2).astype(np.uint8)
    return cv2.morphologyEx(solid, cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0


def _shrunk(region: NDArray[np.bool_], margin: int) -> NDArray[np.bool_]:
    kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
    return cv2.erode(region.astype(np.uint8), kernel, borderValue=(0,)) > 0


def _image_frame(shape: tuple[int, ...]) -> Matrix:
    """As :func:`_frame` of the whole image, whose axes are known."""
    height, width = shape
    size = np.sqrt((height**2 + width**2) / 6)
    centre = (width - 1) / 2, (height - 1) / 2
    return np.array([[size, 0, centre[0]], [0, size, centre[1]], [0, 0, 1]])


def _frame(region: NDArray[np.bool_]) -> Matrix:
    """Centre, long axis and size of a region, as a map from its units to pixels (x, y)."""
    rows, columns = np.nonzero(region)
    centre = np.array([columns.mean(), rows.mean()])
    values, axes = np.linalg.eigh(np.cov(np.stack([columns, rows])))
    long = axes[:, 1] if axes[0, 1] >= 0 else -axes[:, 1]
    size = 2 * np.sqrt(values.mean())
    out = np.eye(3)
    out[:2, :2] = size * np.array([[long[0], -long[1]], [long[1], long[0]]])
    out[:2, 2] = centre
    return out
