"""Obstacles: what inside the lungs is not free to receive a nodule."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import SettingError
from lungaug.settings import setting


@dataclass(frozen=True)
class ObstacleSettings:
    """Which HU inside the lungs block a place.

    The default blocks vessels, bronchial walls and scars down to ground glass. The narrower
    published band is ``low_hu: -100, high_hu: 150``; its own upper end freed calcifications and
    bone, so ``dense_too`` blocks those as well.
    """

    low_hu: int = setting(-500, "lowest HU that blocks", minimum=-1024, maximum=32767)
    high_hu: int | None = setting(None, "HU from which it no longer blocks; null: none does")
    dense_too: bool = setting(True, "block everything at or above high_hu as well")

    def __post_init__(self) -> None:
        if self.high_hu is not None and self.high_hu <= self.low_hu:
            raise SettingError(
                f"high_hu: got {self.high_hu}; accepted: above low_hu, which is {self.low_hu}"
            )


def find_obstacles(
    hu: NDArray[np.int16], lung: NDArray[np.bool_], settings: ObstacleSettings | None = None
) -> NDArray[np.bool_]:
    """Pixels of the lungs that hold a vessel or anything else as dense.

    Args:
        hu: (H, W), HU. A pixel of exactly 0 HU is tissue like any other.
        lung: (H, W), the lungs with all that they contain.
        settings: the band of HU.

    Returns:
        (H, W) bool, true only where ``lung`` is.
    """
    settings = settings or ObstacleSettings()
    blocked = hu >= settings.low_hu
    if settings.high_hu is not None and not settings.dense_too:
        blocked &= hu < settings.high_hu
    blocked &= lung
    return blocked
