"""Nodule masks in PNG files: what they mark, and how large that is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.sources.png import read_labels

MAX_LABEL = 255
MAX_SHARE = 0.5
"""Of a slice; a lung fills less."""

Values = Literal["components", "labels"]
Mark = tuple[int, int]
"""A label on a slice: index of the slice, label."""


def read_mask(path: Path, shape: tuple[int, int], values: Values) -> NDArray[np.uint8]:
    """Labels of the nodules on one slice.

    Args:
        path: a PNG, see :func:`lungaug.sources.png.read_labels`.
        shape: (H, W) of its image.
        values: ``components``: whatever is not 0 is nodule, each connected piece (diagonals count)
            one; ``labels``: each value that is not 0 is one nodule.

    Returns:
        (H, W) uint8, 0 background, 1 to k.

    Raises:
        InputError: the file is no PNG, of another size, does not say what it marks, or marks more
            than half of the slice or 255 nodules. The message does not name it.
    """
    found = read_labels(path, shape)
    check_share(found > 0)
    if values == "components":
        found = np.asarray(cv2.connectedComponents((found > 0).astype(np.uint8), connectivity=8)[1])
    if found.max() > MAX_LABEL:
        raise InputError(f"mask with {found.max()} nodules; accepted: at most {MAX_LABEL}")
    return found.astype(np.uint8)


def check_share(marked: NDArray[np.bool_]) -> None:
    """Raise InputError if more of a slice is marked, (H, W), than nodules can fill."""
    share = float(marked.mean())
    if share > MAX_SHARE:
        raise InputError(
            f"mask of {100 * share:.0f} % of the slice; accepted: at most {100 * MAX_SHARE:.0f} %. "
            "Is it inverted, or a picture that is no mask?"
        )


def max_feret_mm(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> float:
    """Largest diameter of a region, see :func:`feret_of_pixels_mm`.

    Args:
        mask: (H, W), not empty.
        spacing_mm: distance of rows, distance of columns.
    """
    eroded = cv2.erode(
        mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_CONSTANT,
        borderValue=0,
    )  # fmt: skip
    return feret_of_pixels_mm(np.argwhere(mask & (eroded == 0)), spacing_mm)


def feret_of_pixels_mm(pixels: NDArray[np.integer], spacing_mm: Sequence[float]) -> float:
    """Largest distance between two points of the outline of a region of one slice.

    The outline goes through the middle of pixel edges, as in scikit-image's
    ``feret_diameter_max``: one pixel measures its own width, and a digitised disc up to about one
    pixel more than its diameter.

    Args:
        pixels: (N, 2) rows and columns, N > 0; those of the region's rim suffice.
        spacing_mm: distance of rows, distance of columns.

    Returns:
        Diameter in mm; NaN where the spacing is NaN.
    """
    edges = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
    points = (pixels[:, None] + edges).reshape(-1, 2)
    hull = cv2.convexHull(points.astype(np.float32)).reshape(-1, 2).astype(np.float64)
    hull *= np.asarray(spacing_mm, np.float64)
    return float(np.sqrt(((hull[:, None] - hull[None]) ** 2).sum(-1).max()))


def link(labels: Mapping[int, NDArray[np.uint8]]) -> dict[Mark, int]:
    """Number the nodules of a series: labels that overlap on neighbouring slices are one nodule.

    Args:
        labels: label image (H, W) by index of the slice.

    Returns:
        Nodule, from 1, by index and label; numbered in the order of their first slice.
    """
    leaders: dict[Mark, Mark] = {}
    for index in sorted(labels):
        here = labels[index]
        for label in np.unique(here[here > 0]).tolist():
            leaders[index, label] = (index, label)
        if index - 1 in labels:
            both = (here > 0) & (labels[index - 1] > 0)
            pairs = np.stack([labels[index - 1][both], here[both]], axis=1)
            for before, after in np.unique(pairs, axis=0).tolist():
                first, second = sorted(
                    (_leader(leaders, (index - 1, before)), _leader(leaders, (index, after)))
                )
                leaders[second] = first
    numbers: dict[Mark, int] = {}
    for key in sorted(leaders):
        numbers.setdefault(_leader(leaders, key), len(numbers) + 1)
    return {key: numbers[_leader(leaders, key)] for key in sorted(leaders)}


def _leader(leaders: Mapping[Mark, Mark], key: Mark) -> Mark:
    while leaders[key] != key:
        key = leaders[key]
    return key
