"""Whether pixels can be Hounsfield units of a body, by what every CT of one has.

The limits were set on 16 series of eight public collections (GE, Siemens and Toshiba; chest and
abdomen; 512 x 512): of the pixels above -1024 HU, which are no padding, at least 25 %
are air or lung up to -700 HU on every slice, and 25 % soft tissue of -200 to 200 HU; none to
speak of exceeds 4,000 HU, though metal reaches 5,622. The same series with the intercept lost or
applied twice, with the sign lost, halved, inverted, or as 8-bit pictures have below 1 % of air or
of soft tissue, or over 70 % beyond. Neighbouring rows differ by at most 245 HU on average, and
beyond 2,000 HU in five pixels; where a frame of padding ends, by 1,064 HU at most.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU

AIR_UP_TO_HU = -700
SOFT_TISSUE_HU = (-200, 200)
HIGHEST_HU = 4000
METAL_HU = 20_000

_LEAST_SIDE = 64  # smaller images show no body, and tests have them
_LEAST_SHARE = 0.02
_MOST_BEYOND = 0.005
_MOST_METAL = 0.0005
_LEAST_IMAGE = 0.1  # of the pixels are no padding, or there is nothing to judge
_ROW_MEAN_HU = 1200
_TORN_HU, _TORN_SHARE = 2000, 0.3
_CLIP_HU = 8000  # metal


def torn(hu: NDArray[np.int16]) -> str:
    """Return why a slice cannot be an image, '' if it can: neighbouring rows have little in common.

    Damaged streams and wrong byte orders look so: a wrong difference shifts all that follows.

    Args:
        hu: (H, W), HU.
    """
    if min(hu.shape) < _LEAST_SIDE:
        return ""
    steps = np.abs(np.diff(hu.clip(FLOOR_HU, _CLIP_HU).astype(np.int32), axis=0))
    mean = float(steps.mean(axis=1).max())
    share = float((steps > _TORN_HU).mean(axis=1).max())
    if mean > _ROW_MEAN_HU or share > _TORN_SHARE:
        return "implausible pixels: neighbouring rows differ as in no CT; the file is damaged"
    return ""


class Judgement:
    """What the HU of a series are like, slice by slice."""

    def __init__(self) -> None:
        self._total = self._image = self._air = self._soft = self._beyond = self._metal = 0

    def add(self, hu: NDArray[np.int16]) -> None:
        """Count a slice, (H, W) in HU; one of less than 64 pixels a side says nothing."""
        if min(hu.shape) < _LEAST_SIDE:
            return
        counts = np.bincount(hu.ravel().astype(np.int32) - FLOOR_HU)
        before = np.concatenate([[0], np.cumsum(counts)])

        def up_to(value: int) -> int:
            return int(before[min(max(value - FLOOR_HU + 1, 0), len(counts))])

        low, high = SOFT_TISSUE_HU
        self._total += hu.size
        self._image += hu.size - up_to(FLOOR_HU)
        self._air += up_to(AIR_UP_TO_HU) - up_to(FLOOR_HU)
        self._soft += up_to(high) - up_to(low - 1)
        self._beyond += hu.size - up_to(HIGHEST_HU)
        self._metal += hu.size - up_to(METAL_HU)

    def fault(self) -> str:
        """Return why the values of the series are no HU; '' where nothing speaks against it."""
        if self._image <= _LEAST_IMAGE * self._total:
            return "no HU: nearly all pixels are -1024 or below" if self._total else ""
        for n, most, limit in (
            (self._beyond, _MOST_BEYOND, HIGHEST_HU),
            (self._metal, _MOST_METAL, METAL_HU),
        ):
            if n > most * self._image:
                return self._no_hu(n, f"exceed {limit} HU")
        for n, what in ((self._air, "are air or lung"), (self._soft, "are soft tissue")):
            if n < _LEAST_SHARE * self._image:
                return self._no_hu(n, what)
        return ""

    def _no_hu(self, n: int, what: str) -> str:
        share = f"{100 * n / self._image:.2f} % of the pixels {what}"
        return f"values are no HU: {share}; RescaleSlope, RescaleIntercept or the sign is wrong"
