"""Gaussian blur: compared by the thesis, but not one of the six operations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from lungaug.errors import SettingError
from lungaug.metalung.protocol import (
    NO_NODULE,
    Hu,
    Inapplicable,
    Labels,
    Operation,
    Pair,
    Parameters,
)
from lungaug.metalung.regions import bounding_box
from lungaug.settings import setting


@dataclass(frozen=True)
class BlurSettings:
    """How wide; the published width is not known."""

    sigma_px: tuple[float, float] = setting(
        (0.5, 1.5), "smallest and largest standard deviation of the Gaussian, in pixels"
    )

    def __post_init__(self) -> None:
        low, high = self.sigma_px
        if not 0 <= low <= high <= 50:
            raise SettingError(
                f"sigma_px: got {list(self.sigma_px)}; accepted: smallest, largest within 0 to 50"
            )


def draw(
    hu: Hu, nodule: Labels, lung: Labels, *, settings: BlurSettings, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """A width.

    Returns:
        ``sigma_px``, in thousandths of a pixel, so that the record is the width itself.
    """
    if bounding_box(nodule) is None:
        return NO_NODULE
    return {"sigma_px": round(float(rng.uniform(*settings.sigma_px)), 3)}


def apply(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """HU smoothed and rounded, reflected at the border; the nodules' labels as they were."""
    sigma = float(parameters["sigma_px"])
    blurred = cv2.GaussianBlur(hu, (0, 0), sigma) if sigma else hu.copy()
    return np.asarray(blurred, np.int16), nodule.copy()


BLUR = Operation(BlurSettings, draw, apply)
