"""The operations by name, their randomness and their replay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from lungaug.errors import InputError
from lungaug.insertion.protocol import rng_of
from lungaug.metalung.blur import BLUR
from lungaug.metalung.mirror import MIRROR
from lungaug.metalung.noise import NOISE_NODULE, NOISE_SLICE
from lungaug.metalung.protocol import Hu, Inapplicable, Labels, Operation, Pair
from lungaug.metalung.replace import REPLACE
from lungaug.metalung.rotate_nodule import ROTATE_NODULE
from lungaug.metalung.rotate_slice import ROTATE_SLICE

__all__ = ["DEFAULT_OPERATIONS", "OPERATIONS", "Inapplicable", "Operation", "replay", "rng_for"]

OPERATIONS: dict[str, Operation] = {
    "mirror": MIRROR,
    "replace": REPLACE,
    "rotate_slice": ROTATE_SLICE,
    "rotate_nodule": ROTATE_NODULE,
    "noise_slice": NOISE_SLICE,
    "noise_nodule": NOISE_NODULE,
    "blur": BLUR,
}

DEFAULT_OPERATIONS = (
    "mirror", "replace", "rotate_slice", "rotate_nodule", "noise_slice", "noise_nodule"
)  # fmt: skip
"""The six published ones: what arm ``metalung`` adds."""


def rng_for(seed: int, key: str, operation: str, copy: int) -> np.random.Generator:
    """The generator of one result: the same in whatever batch, order or process it is made.

    Args:
        seed: of the run.
        key: the slice's ``slice_key``.
        operation: its name.
        copy: 0, 1, … for several results of one operation on one slice.
    """
    return rng_of(seed, key, operation, copy)


def replay(origin: str, hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """A result made again from its source and its recorded parameters, pixel for pixel.

    Args:
        origin: as recorded, ``metalung:<operation>``.
        hu: (H, W), HU of the source.
        nodule: (H, W), labels of the source.
        parameters: as recorded; keys that the operation does not know are ignored.

    Raises:
        InputError: the origin is none of these operations, or a parameter is missing.
    """
    kind, _, name = origin.partition(":")
    if kind != "metalung" or name not in OPERATIONS:
        accepted = ", ".join(f"metalung:{known}" for known in OPERATIONS)
        raise InputError(f"origin '{origin}'; accepted: {accepted}")
    try:
        return OPERATIONS[name].apply(hu, nodule, parameters)
    except KeyError as error:
        raise InputError(f"{origin}: parameter {error} is not recorded") from error
