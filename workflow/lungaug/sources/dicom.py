"""Pixels of one CT image, as Hounsfield units."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU, to_hu
from lungaug.sources.decoding import UnreadablePixels, decode
from lungaug.sources.dicom_header import Header

AIR_LIMIT_HU = -1000
"""Padding above this value could be tissue."""

# Writers of unsigned pixels store what lies below the intercept as it is: -6 becomes 65530. As a
# value it would be over 40,000 HU, which nothing has.
_WRAPPED = (1 << 16) - 8192
_LEAST_SLOPE = 0.75

Decode = Callable[[Path, int], NDArray[Any]]
"""See :func:`lungaug.sources.decoding.decode`."""


def read_hu(path: Path, header: Header, isolated: Decode = decode) -> NDArray[np.int16]:
    """HU of one image, (H, W): padding and what lies below -1024 at -1024.

    Pixels that hold the padding value count as padding wherever they are if that value is below
    -1000 HU. Above, where it may also be tissue (0 in files that store HU), only those connected
    with the image's edge count.

    Args:
        path: the DICOM file.
        header: what :func:`lungaug.sources.dicom_header.read_headers` said of it.
        isolated: decodes compressed pixels; an ``IsolatedDecoder`` survives damaged ones.

    Raises:
        UnreadablePixels: they cannot be opened or decoded, or have another size than announced.
    """
    if header.cut:
        raise UnreadablePixels(f"unreadable pixels (truncated: {header.cut})")
    stored = (isolated if header.compressed else decode)(path, header.frame)
    if stored.shape != (header.rows, header.columns):
        raise UnreadablePixels(f"pixels of shape {stored.shape} in an image of another size")
    hu = _padded(stored, header)
    if header.intercept <= AIR_LIMIT_HU and header.slope >= _LEAST_SLOPE:
        hu[stored >= _WRAPPED] = FLOOR_HU
    return hu


def _padded(stored: NDArray[Any], header: Header) -> NDArray[np.int16]:
    padding = (header.padding[0], header.padding[-1]) if header.padding else None
    if padding is None or max(padding) * header.slope + header.intercept < AIR_LIMIT_HU:
        return to_hu(stored, header.slope, header.intercept, padding)
    hu = to_hu(stored, header.slope, header.intercept)
    hu[_at_edge((stored >= min(padding)) & (stored <= max(padding)))] = FLOOR_HU
    return hu


def _at_edge(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The parts of a mask (H, W) that touch the image's edge."""
    count, parts = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    touching = np.zeros(count, bool)
    for line in (parts[0], parts[-1], parts[:, 0], parts[:, -1]):
        touching[line] = True
    touching[0] = False
    return np.asarray(touching[parts])
