"""Stored values from the bits that hold them.

Of the bits of a pixel only some are its value: BitsStored of them, up to HighBit. The others may
hold overlays or nothing. Writers get these tags wrong, and then the value is not known: such images
are refused, never guessed.

References:
    DICOM PS3.5 2024e, 8.1.1; in editions before 2014, 8.2 also for overlays in unused bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.sources.codestream import StreamHeader


@dataclass(frozen=True)
class Bits:
    """Which bits of a pixel are its value.

    Attributes:
        allocated: bits of a pixel.
        stored: bits of its value.
        high: the highest of them, from 0.
        signed: two's complement.
        overlays: bits that hold overlays.
    """

    allocated: int
    stored: int
    high: int
    signed: bool
    overlays: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not 1 <= self.stored <= self.high + 1 <= self.allocated <= 32:
            raise ValueError("BitsAllocated, BitsStored and HighBit contradict each other")


def to_values(
    pixels: NDArray[np.integer[Any]], bits: Bits, stream: StreamHeader | None = None
) -> NDArray[Any]:
    """Return the values of pixels: without unused bits, and with their sign.

    Args:
        pixels: as they are stored or decoded, of any integer type.
        bits: what the headers say of them.
        stream: what a compressed frame says of itself.

    Raises:
        ValueError: the headers contradict the pixels, so that the values cannot be known.
    """
    if pixels.dtype.kind not in "iu":
        raise ValueError("pixels that are no integers")
    raw: NDArray[Any] = pixels.astype(np.int32 if bits.allocated <= 16 else np.int64)
    if stream is not None and bits.signed and not stream.signed:
        _check_sign(raw, bits, stream.precision)
    shift = bits.high + 1 - bits.stored
    if shift and (raw & ((1 << shift) - 1)).any():
        raise ValueError("HighBit contradicts the pixels")
    raw >>= shift
    values: NDArray[Any] = raw & ((1 << bits.stored) - 1)
    if bits.signed:
        values -= (values >> (bits.stored - 1)) << bits.stored
    return _without_unused(raw, values, bits) if (raw != values).any() else values


def _check_sign(raw: NDArray[Any], bits: Bits, precision: int) -> None:
    """Raise ValueError if the top bit of an unsigned stream may be a sign or a part of the value.

    JPEG and JPEG-LS have no signs. Writers put two's complement of as many bits into them as the
    stream says, which need not be BitsStored.
    """
    if precision < bits.stored and (raw >> (precision - 1) & 1).any():
        raise ValueError("BitsStored contradicts the precision of the compressed frame")


def _without_unused(raw: NDArray[Any], values: NDArray[Any], bits: Bits) -> NDArray[Any]:
    """Return the values where the unused bits above them are no part of them.

    They may hold overlays that the headers announce, the sign, or the same in every pixel. Where
    they are set in some pixels of unsigned values, all of them, those lie below 0: writers store
    what is below the intercept as it is.

    Raises:
        ValueError: they hold something else, so that the values cannot be known.
    """
    ones = (1 << (bits.allocated - bits.high - 1)) - 1
    above = raw >> bits.stored & ones
    for position in bits.overlays:
        if position > bits.high:
            above &= ~(1 << (position - bits.high - 1))
    if above.min() == above.max():
        return values
    if bits.signed and (above == (raw >> (bits.stored - 1) & 1) * ones).all():
        return values
    if not bits.signed and ones > 1 and np.isin(above, (0, ones)).all():
        return np.where(above == ones, values - (1 << bits.stored), values)
    raise ValueError("values that do not fit in BitsStored, or overlays nobody announced")
