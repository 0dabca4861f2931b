"""The feather: pixels around an inserted nodule that are part nodule, part lung, as a real rim is.

It lies outside the mask only. Inside, a nodule of few pixels would lose the histogram that it was
given.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import SettingError
from lungaug.imaging.hu import CEILING_HU, FLOOR_HU
from lungaug.insertion.profile import fall_of
from lungaug.insertion.protocol import Hu, Labels, Mask
from lungaug.insertion.resize import Image, Shape
from lungaug.settings import setting

# Rings in which nothing of a nodule is left: what is there is what it lies in.
_BACKGROUND_PX = (4, 8)
_RIM_OF_OTHERS_PX = 2
_FEWEST_PX = 4
_FAINT = 0.03  # of the contrast: the noise of a median
_LEAST_CONTRAST_HU = 50
_SIGMA_PX = 1.5


@dataclass(frozen=True)
class FeatherSettings:
    """How wide the feather is, and what it is where no rim can be measured."""

    width_px: int = setting(3, "widest feather, in pixels of the host", minimum=1, maximum=3)
    measured: bool = setting(True, "profile of the donor's rim; false: always that of the PSF")
    psf_px: float = setting(
        0.8, "SD of the point spread where a rim cannot be measured, px", exclusiveMinimum=0
    )

    def __post_init__(self) -> None:
        if not math.isfinite(self.psf_px):
            raise SettingError(f"psf_px: got {self.psf_px}; accepted: a finite number")


def distance_outside(mask: Mask) -> NDArray[np.float32]:
    """(h, w) distance to the nearest pixel of the mask in pixels; 0 on the mask."""
    outside = (~mask).astype(np.uint8)
    return np.asarray(
        cv2.distanceTransform(outside, cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32
    )


def border_of(mask: Mask) -> Mask:
    """Pixels of the mask beside one that is not; the image's edge counts as none."""
    inner = cv2.erode(
        mask.view(np.uint8),
        cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)),
        borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return np.asarray(mask & (inner == 0))


def psf_profile(settings: FeatherSettings) -> tuple[float, ...]:
    """The rim of a sharp edge behind a Gaussian point spread, relative to the border pixel's.

    A border pixel lies half a pixel inside the edge, ring d lies d - 1/2 outside.
    """
    inside = _gaussian_tail(-0.5 / settings.psf_px)
    rings = range(1, settings.width_px + 1)
    return _cleaned([_gaussian_tail((d - 0.5) / settings.psf_px) / inside for d in rings])


def measured(
    hu: Hu, nodule: Labels, lung: Labels, label: int, settings: FeatherSettings
) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """How a real nodule passes into the lung: its rim outside the mask, its fall inside.

    The rim is how far the surroundings lie between lung (0) and the nodule's border (1), ring by
    ring, never rising outwards. What lies beside the chest wall, a vessel or another nodule is left
    out, and medians over the rest of a ring leave a vessel that ends there no say.

    Args:
        hu, nodule, lung: (H, W), the nodule's slice.
        label: of the nodule.
        settings: the widest feather.

    Returns:
        Shares at 1, 2, … pixels, as many as are not 0, at least one, those of the point spread
        where too little lung is around the nodule or it is as faint as lung; and the fall, as
        :func:`lungaug.insertion.profile.fall_of` has it.
    """
    box = _around(nodule == label, _BACKGROUND_PX[1])
    own = nodule[box] == label
    ring = np.rint(distance_outside(own)).astype(int)
    alone = ~_beside_others(own, nodule[box], lung[box], ring)
    fall = tuple(fall_of(hu[box], own, alone))
    if not settings.measured:
        return psf_profile(settings), fall
    return _rim(hu[box], own, alone & (nodule[box] == 0), ring, settings), fall


def _rim(
    hu: Hu, own: Mask, free: Mask, ring: NDArray[np.intp], settings: FeatherSettings
) -> tuple[float, ...]:
    near, far = _BACKGROUND_PX
    background = hu[free & (ring >= near) & (ring <= far)]
    border = hu[border_of(own) & _grown(free, 1)]
    rings = [hu[free & (ring == d)] for d in range(1, settings.width_px + 1)]
    if min(map(len, [background, border, *rings])) < _FEWEST_PX:
        return psf_profile(settings)
    low, high = float(np.median(background)), float(np.median(border))
    if high - low < _LEAST_CONTRAST_HU:
        return psf_profile(settings)
    return _cleaned([(float(np.median(each)) - low) / (high - low) for each in rings])


def feathered(hu: Hu, shape: Shape, profile: tuple[float, ...], lung_mean: Image) -> Hu:
    """Lift the pixels around an inserted nodule towards its border.

    The lift is a share of what the border has above the host's local mean, so the host's noise and
    structure stay; it never darkens. Rings are counted from the outline, which runs through
    pixels, rather than from the mask: the mask's steps do not show.

    Args:
        hu: (h, w), the host with the nodule in it.
        shape: (h, w), the nodule.
        profile: shares at 1, 2, … pixels.
        lung_mean: (h, w), the host's local mean.
    """
    width = len(profile)
    # The middle of the first ring is half a pixel from the outline.
    share = np.interp(shape.distance + 0.5, np.arange(width + 2), [1.0, *profile, 0.0])
    lift = np.maximum(_extended(hu, border_of(shape.mask)) - lung_mean, 0) * share
    lifted = np.clip(np.rint(hu + lift), FLOOR_HU, CEILING_HU)
    rim = footprint(shape.mask, width) & ~shape.mask
    return np.where(rim, lifted, hu).astype(np.int16)


def footprint(mask: Mask, width_px: int) -> Mask:
    """(h, w) mask and feather: what lies up to ``width_px`` from a pixel of the mask."""
    return np.asarray(distance_outside(mask) < width_px + 0.5, np.bool_)


def _extended(hu: Hu, border: Mask) -> NDArray[np.float32]:
    """The border's HU carried outwards: a Gaussian mean of its pixels."""
    reach = 2 * math.ceil(4 * _SIGMA_PX) + 1
    weights, values = border.astype(np.float32), np.where(border, hu, 0).astype(np.float32)
    total, summed = (
        cv2.GaussianBlur(each, (reach, reach), _SIGMA_PX, borderType=cv2.BORDER_CONSTANT)
        for each in (weights, values)
    )
    return np.asarray(summed / np.maximum(total, np.float32(1e-6)), np.float32)


def _cleaned(profile: list[float]) -> tuple[float, ...]:
    """Between 0 and 1, never rising, to three digits, without the faint end."""
    falling = np.minimum.accumulate(np.clip(profile, 0, 1)).round(3)
    n = max(int(np.count_nonzero(falling >= _FAINT)), 1)
    return tuple(falling[:n].tolist())


def _beside_others(own: Mask, nodule: Labels, lung: Labels, ring: NDArray[np.intp]) -> Mask:
    """What is not the nodule's rim alone: chest wall, other nodules and vessels, with their rims.

    The nodule's own rim is dense enough to be called an obstacle; what still is beyond the widest
    rim is a vessel.
    """
    others = (lung == 0) | ((nodule > 0) & ~own) | ((lung == 2) & (ring >= _BACKGROUND_PX[0]))
    return _grown(others & ~own, _RIM_OF_OTHERS_PX)


def _grown(mask: Mask, by_px: int) -> Mask:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by_px + 1, 2 * by_px + 1))
    return cv2.dilate(mask.view(np.uint8), disc).view(np.bool_)


def _around(mask: Mask, margin_px: int) -> tuple[slice, slice]:
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(top - margin_px, 0), top + height + margin_px),
        slice(max(left - margin_px, 0), left + width + margin_px),
    )


def _gaussian_tail(x: float) -> float:
    return 0.5 * math.erfc(x / math.sqrt(2))
