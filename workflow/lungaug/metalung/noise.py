"""Noise on the whole slice, or on the nodules only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.hu import FLOOR_HU
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

# Pixels made noisy at a time, a multiple of 4: what is made meanwhile stays in the cache.
_BLOCK = 1 << 16

Distribution = Literal["zero_mean", "published"]


@dataclass(frozen=True)
class NoiseSettings:
    """Strength and kind; 20 is the published strength."""

    intensity: int = setting(
        20, "number of HU over which a pixel's noise is spread", minimum=0, maximum=1024
    )
    distribution: Distribution = setting(
        "zero_mean", "zero_mean keeps the density; published adds 0 to intensity - 1"
    )


def draw(
    hu: Hu, nodule: Labels, lung: Labels, *, settings: NoiseSettings, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """A seed, from which the whole field of noise follows.

    Returns:
        ``seed``, ``intensity``, ``distribution``.
    """
    if not cv2.hasNonZero(nodule):
        return NO_NODULE
    return {
        "seed": int(rng.integers(2**63)),
        "intensity": settings.intensity,
        "distribution": settings.distribution,
    }


def apply_to_slice(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """Independent noise on every pixel; see :func:`with_noise`."""
    return with_noise(hu.ravel(), parameters).reshape(hu.shape), nodule.copy()


def apply_to_nodule(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """Independent noise on the pixels of all nodules, in reading order; none elsewhere."""
    noisy = hu.copy()
    box = bounding_box(nodule)
    if box is not None:
        inside = nodule[box] != 0
        noisy[box][inside] = with_noise(hu[box][inside], parameters)
    return noisy, nodule.copy()


def with_noise(hu: Hu, parameters: Mapping[str, Any]) -> Hu:
    """HU plus noise, whole numbers, saturated at the ends of int16.

    Zero-mean noise near the floor of -1024 HU is held within the distance to the floor on both
    sides: clipping below alone would make air denser. Padding, at the floor, stays untouched.

    Args:
        hu: (N,), HU.
        parameters: ``seed``, ``intensity``, ``distribution``.
    """
    words = np.random.SFC64(int(parameters["seed"]))
    intensity, zero_mean = int(parameters["intensity"]), parameters["distribution"] != "published"
    noisy = np.empty_like(hu)
    for first in range(0, len(hu), _BLOCK):
        block = hu[first : first + _BLOCK]
        noise = _noise(words, len(block), intensity, zero_mean)
        if zero_mean and int(block.min()) < FLOOR_HU + intensity // 2:
            _hold_above_floor(noise, block)
        cv2.add(block[None], noise[None], noisy[first : first + _BLOCK][None])
    return noisy


def _hold_above_floor(noise: NDArray[np.int16], hu: Hu) -> None:
    """Limit noise, in place, to the distance from the floor on both sides."""
    room = np.clip(hu, FLOOR_HU, 0)
    room -= np.int16(FLOOR_HU)
    np.minimum(noise, room, out=noise)
    np.negative(room, out=room)
    np.maximum(noise, room, out=noise)


def _noise(words: np.random.SFC64, n: int, intensity: int, zero_mean: bool) -> NDArray[np.int16]:
    """(n,) whole numbers, uniform over 0 to intensity - 1, or about 0 with the same spread.

    Raw words of the generator, scaled by multiplication: numpy promises that these never change,
    which it does not for ``Generator.integers``, and they come five times as fast. The mean is
    off by less than a thousandth of the step.

    About 0, an odd intensity has as many values below as above; an even one gets half weight on
    both ends, since a uniform choice among an even number of whole numbers has its mean between
    two. Their standard deviation is intensity / sqrt(12), nearly or exactly.
    """
    bits = words.random_raw(-(-n // 4)).astype("<u8", copy=False).view("<u2")[:n]
    scaled = bits.astype(np.int32)
    scaled *= np.int32(intensity)
    if zero_mean:
        scaled += np.int32((1 - intensity % 2 << 15) - (intensity // 2 << 16))
    scaled >>= 16
    return scaled.astype(np.int16)


NOISE_SLICE = Operation(NoiseSettings, draw, apply_to_slice)
NOISE_NODULE = Operation(NoiseSettings, draw, apply_to_nodule)
