"""Mirror: the slice flipped left to right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lungaug.metalung.protocol import (
    NO_NODULE,
    Hu,
    Inapplicable,
    Labels,
    Operation,
    Pair,
    Parameters,
)


@dataclass(frozen=True)
class MirrorSettings:
    """Nothing to set: there is one anatomically plausible mirror."""


def draw(
    hu: Hu, nodule: Labels, lung: Labels, *, settings: MirrorSettings, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """Nothing to draw; a slice without a nodule is refused as by every operation."""
    return {} if cv2.hasNonZero(nodule) else NO_NODULE


def apply(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """The slice about its own vertical middle, W / 2: left and right change places.

    A flip of the rows, which the published results table names, would put the spine in front.
    """
    return np.asarray(cv2.flip(hu, 1), np.int16), np.asarray(cv2.flip(nodule, 1), np.uint8)


MIRROR = Operation(MirrorSettings, draw, apply)
