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

from dataclasses import astuple, dataclass

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


@dataclass(frozen=True)
class _Counts:
    """Pixels of some slices: all, those that are no padding, and of these the kinds."""

    total: int = 0
    image: int = 0
    air: int = 0
    soft: int = 0
    beyond: int = 0
    metal: int = 0

    @classmethod
    def of(cls, hu: NDArray[np.int16]) -> _Counts:
        above = hu.ravel().clip(FLOOR_HU).astype(np.int32) - FLOOR_HU
        before = np.cumsum(np.bincount(above))

        def up_to(value: int) -> int:
            return int(before[min(value - FLOOR_HU, len(before) - 1)])

        low, high = SOFT_TISSUE_HU
        floor = up_to(FLOOR_HU)
        return cls(
            total=hu.size,
            image=hu.size - floor,
            air=up_to(AIR_UP_TO_HU) - floor,
            soft=up_to(high) - up_to(low - 1),
            beyond=hu.size - up_to(HIGHEST_HU),
            metal=hu.size - up_to(METAL_HU),
        )

    def __add__(self, other: _Counts) -> _Counts:
        return _Counts(*(a + b for a, b in zip(astuple(self), astuple(other), strict=True)))

    def fault(self) -> str:
        if self.image <= _LEAST_IMAGE * self.total:
            return "values are no HU: nearly all pixels are -1024 or below" if self.total else ""
        for n, most, limit in (
            (self.beyond, _MOST_BEYOND, HIGHEST_HU),
            (self.metal, _MOST_METAL, METAL_HU),
        ):
            if n > most * self.image:
                return self._no_hu(n, f"exceed {limit} HU")
        for n, what in ((self.air, "are air or lung"), (self.soft, "are soft tissue")):
            if n < _LEAST_SHARE * self.image:
                return self._no_hu(n, what)
        return ""

    def _no_hu(self, n: int, what: str) -> str:
        share = f"{100 * n / self.image:.2f} % of the pixels {what}"
        return f"values are no HU: {share}; RescaleSlope, RescaleIntercept or the sign is wrong"


class Judgement:
    """What the HU of a series are like, slice by slice."""

    def __init__(self) -> None:
        self._sound, self._torn = _Counts(), _Counts()

    def add(self, hu: NDArray[np.int16]) -> str:
        """Count a slice, (H, W) in HU, and return why it cannot be an image, '' if it can.

        An image of less than 64 pixels a side says nothing.
        """
        if min(hu.shape) < _LEAST_SIDE:
            return ""
        fault = torn(hu)
        if fault:
            self._torn += _Counts.of(hu)
        else:
            self._sound += _Counts.of(hu)
        return fault

    def fault(self) -> str:
        """Return why the values of the series are no HU; '' where nothing speaks against it.

        Slices that cannot be images are left out, unless most of them are such.
        """
        most_torn = self._torn.total > self._sound.total
        return (self._sound + self._torn if most_torn else self._sound).fault()
