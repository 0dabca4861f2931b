"""What insertion works on. Images are (H, W): HU as int16, nodules as uint8 (0 background, k the
k-th nodule), lungs as uint8 (0 outside, 1 lung, 2 vessel or other obstacle).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import Crops

Hu: TypeAlias = NDArray[np.int16]
Labels: TypeAlias = NDArray[np.uint8]
Mask: TypeAlias = NDArray[np.bool_]
Pair: TypeAlias = tuple[Hu, Labels]
Parameters: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Refused:
    """Nothing is inserted, and why."""

    reason: str


@dataclass(frozen=True, eq=False)
class Patch:
    """A nodule to insert.

    Attributes:
        index: its row in the file of patches.
        hu: (S, S) int16, HU.
        mask: (S, S) bool, the nodule.
        spacing_mm: (2,), of its pixels (row, column); NaN where unknown.
        diameter_mm: what it shall be in the host.
        kind, lung_rads: see ``crops.Conditions``.
        source: key of the slice that its pixels come from; '' where a network made them.
    """

    index: int
    hu: Hu
    mask: Mask
    spacing_mm: tuple[float, float]
    diameter_mm: float
    kind: str
    lung_rads: str
    source: str

    @classmethod
    def of(cls, crops: Crops, index: int) -> Self:
        """One row of a file of patches."""
        row_mm, col_mm = crops.spacing_mm[index].tolist()
        return cls(
            index,
            crops.hu[index],
            crops.mask[index],
            (row_mm, col_mm),
            float(crops.diameter_mm[index]),
            str(crops.kind[index]),
            str(crops.lung_rads[index]),
            str(crops.donor[index]),
        )


@dataclass(frozen=True, eq=False)
class Host:
    """A slice to insert into: its key, images and spacing (row, column) in mm, NaN if unknown."""

    key: str
    hu: Hu
    nodule: Labels
    lung: Labels
    spacing_mm: tuple[float, float]


def known(spacing_mm: tuple[float, float]) -> bool:
    """Whether a spacing (row, column) in mm can be reckoned with."""
    return all(math.isfinite(mm) and mm > 0 for mm in spacing_mm)


def rng_of(*words: object) -> np.random.Generator:
    """A generator that depends on what it is named by and on nothing else."""
    digest = hashlib.sha256("\n".join(map(str, words)).encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, "<u4").astype(np.uint32, copy=False))
