"""What an operation is: settings, a function that draws and a pure function that applies.

Images are (H, W), rows from front to back, columns from the patient's right to left: HU as int16,
nodules as uint8 (0 background, k the k-th nodule), lungs as uint8 (0 outside, 1 lung, 2 vessel or
other obstacle).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

Hu: TypeAlias = NDArray[np.int16]
Labels: TypeAlias = NDArray[np.uint8]
Pair: TypeAlias = tuple[Hu, Labels]
Parameters: TypeAlias = dict[str, Any]


@dataclass(frozen=True)
class Inapplicable:
    """The operation cannot be carried out on this slice, and why."""

    reason: str


NO_NODULE = Inapplicable("no nodule")


class Draw(Protocol):
    """Draws what chance decides; the result is plain JSON and enough to apply the operation."""

    def __call__(
        self, hu: Hu, nodule: Labels, lung: Labels, *, settings: Any, rng: np.random.Generator
    ) -> Parameters | Inapplicable: ...


class Apply(Protocol):
    """A new pair from a pair and drawn parameters; what it is given stays as it is."""

    def __call__(self, hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair: ...


@dataclass(frozen=True)
class Operation:
    """One way to make a new training slice out of a slice with a nodule.

    Attributes:
        settings: class of its settings.
        draw, apply: see there.
        needs_lungs: whether ``draw`` looks at the lungs.
    """

    settings: type
    draw: Draw
    apply: Apply
    needs_lungs: bool = False
