"""A patch in the pixels of its host: turned, and of the diameter in mm that it shall have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.crops import equivalent_diameter_mm
from lungaug.insertion.protocol import Mask, Patch, Refused, known

Image = NDArray[np.float32]

N_FLIPS = 8
MARGIN_PX = 8
"""What a shape shows around its mask: room for the widest feather and for local means."""

_FINER = 4  # of the grid on which distances to the outline are measured


@dataclass(frozen=True, eq=False)
class Shape:
    """A nodule in host pixels, (h, w) each, with ``MARGIN_PX`` around its mask.

    Attributes:
        hu: float32, HU.
        mask: the nodule.
        distance: float32, pixels to the nodule's outline, which runs through pixels: the mean over
            each pixel; 0 within the outline.
    """

    hu: Image
    mask: Mask
    distance: Image


def in_host_pixels(patch: Patch, spacing_mm: tuple[float, float], flip: int) -> Shape | Refused:
    """Resample a patch, anti-aliased, so that its mask has the patch's diameter in the host.

    The mask is resampled as a share of each pixel; the pixels with the largest shares are the new
    mask, as many as the diameter asks for. A threshold at one half would lose thin nodules.

    Args:
        patch: HU and mask.
        spacing_mm: (row, column), of the host.
        flip: 0 to 7: quarter turns, and from 4 on a transposition before them.

    Returns:
        HU and mask, or a refusal: a spacing is unknown, or nothing of the mask is left.
    """
    if not (known(spacing_mm) and known(patch.spacing_mm)):
        return Refused(f"unknown spacing of the {'patch' if known(spacing_mm) else 'slice'}")
    if not patch.mask.any():
        return Refused("the patch has no mask")
    hu, mask, own_mm = turned(patch.hu, flip), turned(patch.mask, flip), patch.spacing_mm
    own_mm = own_mm[::-1] if (flip >= N_FLIPS // 2) != bool(flip % 2) else own_mm
    stretch = patch.diameter_mm / equivalent_diameter_mm(mask, own_mm)
    n_px = round(math.pi / 4 * patch.diameter_mm**2 / (spacing_mm[0] * spacing_mm[1]))
    if not n_px:
        return Refused("the mask vanishes in the slice's pixels")
    scale = (own_mm[0] / spacing_mm[0] * stretch, own_mm[1] / spacing_mm[1] * stretch)
    return _cut_out(*_resampled(hu, mask, scale), n_px)


def turned(image: NDArray[Any], flip: int) -> NDArray[Any]:
    """One of the eight ways in which a square lies on itself."""
    return np.rot90(image.T if flip >= N_FLIPS // 2 else image, flip % 4)


def _resampled(
    hu: NDArray[Any], mask: NDArray[Any], scale: tuple[float, float]
) -> tuple[Image, Image]:
    """HU and share of the mask, (h, w) each, around the mask's centre; scale in host pixels."""
    left, top, width, height = cv2.boundingRect(mask.astype(np.uint8))
    centre = (top + (height - 1) / 2, left + (width - 1) / 2)
    rows, cols = (
        math.ceil(n * by) + 2 * (MARGIN_PX + 1)
        for n, by in zip((height, width), scale, strict=True)
    )
    # From a pixel of the result to one of the patch; both count from the centre of a pixel.
    back = np.array(
        [
            [1 / scale[1], 0, centre[1] - (cols - 1) / 2 / scale[1]],
            [0, 1 / scale[0], centre[0] - (rows - 1) / 2 / scale[0]],
        ]
    )
    warp = partial(_warped, scale=scale, back=back, size=(cols, rows))
    # Other machines end sums in other digits, which must not decide a rank.
    return (
        np.round(warp(hu, order=cv2.INTER_CUBIC, border=cv2.BORDER_REPLICATE), 2),
        np.round(warp(mask, order=cv2.INTER_LINEAR, border=cv2.BORDER_CONSTANT), 4),
    )


def _warped(
    image: NDArray[Any],
    *,
    scale: tuple[float, float],
    back: NDArray[np.float64],
    size: tuple[int, int],
    order: int,
    border: int,
) -> Image:
    smooth = _anti_aliased(np.ascontiguousarray(image, np.float32), scale)
    flags = order | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(smooth, back, size, flags=flags, borderMode=border)
    return np.asarray(warped, np.float32)


def _anti_aliased(image: Image, scale: tuple[float, float]) -> Image:
    """Blurred as scikit-image's ``resize`` does before it leaves pixels out."""
    rows, cols = (max(0.0, (1 / by - 1) / 2) for by in scale)
    if not (rows or cols):
        return image
    along, down = (
        cv2.getGaussianKernel(2 * math.ceil(4 * sigma) + 1, sigma or 1e-6) for sigma in (cols, rows)
    )
    smooth = cv2.sepFilter2D(image, -1, along, down, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(smooth, np.float32)


def _cut_out(hu: Image, share: Image, n_px: int) -> Shape | Refused:
    """The ``n_px`` largest shares as mask, and the box around it with its margin."""
    share[:MARGIN_PX] = share[-MARGIN_PX:] = 0
    share[:, :MARGIN_PX] = share[:, -MARGIN_PX:] = 0
    order = np.argsort(-share, axis=None, kind="stable")
    n_px = min(n_px, int(np.count_nonzero(share)))
    if not n_px:
        return Refused("the mask vanishes in the slice's pixels")
    mask = np.zeros(share.shape, bool)
    mask.ravel()[order[:n_px]] = True
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = np.s_[
        top - MARGIN_PX : top + height + MARGIN_PX, left - MARGIN_PX : left + width + MARGIN_PX
    ]
    level = share.ravel()[order[n_px - 1 : n_px + 1]].mean()
    return Shape(hu[box], mask[box], _distance(share[box], float(level)))


def _distance(share: Image, level: float) -> Image:
    """(h, w) pixels to the outline at which the share falls below a level."""
    size = (share.shape[1] * _FINER, share.shape[0] * _FINER)
    outside = cv2.resize(share, size, interpolation=cv2.INTER_LINEAR) < level
    fine = cv2.distanceTransform(outside.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    mean = cv2.resize(fine, share.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(mean / _FINER, np.float32)
