"""What an insertion changed where it should not have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Hu = NDArray[np.int16]


def changed_outside(inserted: Hu, host: Hu, nodule: NDArray[np.uint8], feather_px: int) -> int:
    """Pixels, (H, W), that differ from the host further from every nodule than the feather.

    Args:
        inserted: (H, W), HU.
        host: (H, W), HU of the slice before.
        nodule: (H, W), labels of what was inserted.
        feather_px: width of the feather in whole pixels; it holds what is nearer than half a pixel
            more.
    """
    different = inserted != host
    if not different.any():
        return 0
    if not nodule.any():
        return int(np.count_nonzero(different))
    distance = ndimage.distance_transform_edt(nodule == 0)
    return int(np.count_nonzero(different & (distance >= feather_px + 0.5)))
