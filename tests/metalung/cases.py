"""Small slices with known lungs, vessels and nodules."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lungaug.metalung.operations import OPERATIONS, rng_for
from lungaug.metalung.protocol import Inapplicable, Parameters

Slice = tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8]]


def chest(
    shape: tuple[int, int] = (96, 128),
    nodules: tuple[tuple[int, int, int, int], ...] = ((50, 30, 5, 3),),
    seed: int = 0,
) -> Slice:
    """HU, nodules and lungs of a slice with two lungs, a vessel in each, and elliptic nodules.

    Args:
        shape: (H, W).
        nodules: row, column and both radii of each, in pixels.
        seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    row, col = np.mgrid[:height, :width]
    lung = np.zeros(shape, np.uint8)
    for middle in (0.27, 0.73):
        reach = ((row - 0.5 * height) / (0.4 * height)) ** 2
        reach = reach + ((col - middle * width) / (0.2 * width)) ** 2
        lung[reach < 1] = 1
    hu = np.where(lung == 1, -850, 40) + rng.normal(0, 20, shape)
    hu[:4] = -1024
    vessel = (lung == 1) & (abs(row - 0.3 * height) < 2)
    hu[vessel] = 50
    lung[vessel] = 2
    nodule = np.zeros(shape, np.uint8)
    for label, (r, c, down, right) in enumerate(nodules, start=1):
        inside = ((row - r) / down) ** 2 + ((col - c) / right) ** 2 <= 1
        nodule[inside] = label
        hu[inside] = -100 + rng.normal(0, 60, int(inside.sum())) + 5 * (row + 2 * col)[inside]
        lung[inside & (lung > 0)] = 2
    return np.rint(hu).astype(np.int16), nodule, lung


def drawn(name: str, case: Slice, seed: int = 0, **values: object) -> Parameters | Inapplicable:
    """Parameters of one operation on a case."""
    operation = OPERATIONS[name]
    return operation.draw(
        *case, settings=operation.settings(**values), rng=rng_for(seed, "a/b/0001", name, 0)
    )
