"""Which generated masks are a nodule, and why the others are not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.imaging.pieces import largest_piece, mask_of
from lungaug.settings import setting

NOT_FINITE = "not finite"
EMPTY = "empty"
FRAGMENTED = "fragmented"
AT_BORDER = "touches the border"
TOO_SMALL = "too small"
REASONS = (NOT_FINITE, EMPTY, FRAGMENTED, AT_BORDER, TOO_SMALL)


@dataclass(frozen=True)
class QualitySettings:
    """What a mask must be to be taken for a nodule."""

    outside_share: float = setting(
        0.05,
        "share of the mask's pixels that may lie outside its largest piece; they are dropped",
        minimum=0,
        maximum=1,
    )
    border_px: int = setting(
        1, "width of the crop's edge that the mask must not touch, pixels", minimum=0
    )
    # 8 pixels of the default crop are a circle of 2.4 mm: below 3 mm nothing is called a nodule
    min_px: int = setting(8, "fewest pixels of the mask's largest piece", minimum=1)


def reject_reason(
    probability: NDArray[np.floating], settings: QualitySettings, hu: ArrayLike = ()
) -> str | None:
    """Why a generated nodule cannot be used, one of ``REASONS``; None if it can.

    The first reason in their order is given.

    Args:
        probability: (S, S), of the nodule, 0 to 1.
        settings: what is accepted.
        hu: (S, S) HU of the same sample, looked at for values that are no number.
    """
    if not (np.isfinite(probability).all() and np.isfinite(np.asarray(hu)).all()):
        return NOT_FINITE
    mask = mask_of(probability)
    n_pixels = np.count_nonzero(mask)
    if n_pixels == 0:
        return EMPTY
    piece = largest_piece(mask)
    n_piece = np.count_nonzero(piece)
    if n_pixels - n_piece > settings.outside_share * n_pixels:
        return FRAGMENTED
    if _touches_border(piece, settings.border_px):
        return AT_BORDER
    return TOO_SMALL if n_piece < settings.min_px else None


def _touches_border(mask: NDArray[np.bool_], width: int) -> bool:
    height, breadth = mask.shape
    inner = mask[width : height - width, width : breadth - width]
    return bool(np.count_nonzero(inner) < np.count_nonzero(mask))


def count_reasons(reasons: Iterable[str | None]) -> dict[str, int]:
    """How often each reason was given, in the order of ``REASONS``; None is none."""
    counts = Counter(reasons)
    return {reason: counts[reason] for reason in REASONS if counts[reason]}
