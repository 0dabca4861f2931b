"""The names of arms: parts joined by ``+``. Standard library only, since the Snakefile reads them.

``none`` adds nothing; ``online`` is ordinary augmentation in the loader; ``metalung`` is the
default set of MetaLung operations; the name of an operation is that operation alone; the name of a
generator is slices with its nodules; ``mixed`` is metalung and all generators. So
``metalung+online`` and ``dcgan+mirror`` are arms too. ``metalung@0.5`` adds no more than half a
slice for each real one with a nodule.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lungaug.errors import SettingError
from lungaug.suggestions import did_you_mean

GENERATORS = ("vqvae", "dcgan", "copypaste", "gaussian")
"""Every generator. Here, since stages without torch must know the names."""


@dataclass(frozen=True)
class Arm:
    """What an arm trains with besides the real slices."""

    name: str
    operations: tuple[str, ...]
    generators: tuple[str, ...]
    online: bool
    ratio: float | None = None  # slices added for each real one with a nodule; None: all there are

    @property
    def adds(self) -> bool:
        """Whether it adds slices."""
        return bool(self.operations or self.generators)

    @property
    def origins(self) -> tuple[str, ...]:
        """Origins of the slices that it adds."""
        moved = (f"metalung:{name}" for name in self.operations)
        return (*moved, *(f"inserted:{name}" for name in self.generators))


@dataclass(frozen=True)
class Parts:
    """What arms are made of.

    Attributes:
        operations: every known MetaLung operation.
        default_operations: what ``metalung`` stands for.
        generators: every known generator.
        mixed_generators: those that ``mixed`` holds besides ``metalung``.
    """

    operations: Sequence[str]
    default_operations: Sequence[str]
    generators: Sequence[str]
    mixed_generators: Sequence[str]


def parse_arm(name: str, known: Parts) -> Arm:
    """Read an arm's name.

    Args:
        name: for example ``metalung+online`` or ``dcgan@0.5``.
        known: what its parts may be.

    Raises:
        SettingError: a part is unknown, repeated, or ``none`` is joined with another; or a ratio
            is no positive number, or that of an arm that adds nothing.
    """
    summed, at, ratio = name.partition("@")
    parts = summed.split("+")
    accepted = ["none", "online", "metalung", "mixed", *known.generators, *known.operations]
    wrong = [part for part in parts if part not in accepted]
    alone = "none" in parts and len(parts) > 1
    if wrong or alone or len(set(parts)) != len(parts):
        parts_text = ", ".join(accepted[1:])
        meant = did_you_mean(wrong[0], accepted) if wrong else ""
        raise SettingError(
            f"arm '{name}'{meant}: accepted: none, or different parts of {parts_text} joined by +"
        )
    sets = {
        "metalung": known.default_operations,
        "mixed": (*known.default_operations, *known.mixed_generators),
    }
    unique = dict.fromkeys(one for part in parts for one in sets.get(part, (part,)))
    arm = Arm(
        name,
        tuple(one for one in unique if one in known.operations),
        tuple(one for one in unique if one in known.generators),
        "online" in parts,
        _ratio(name, ratio) if at else None,
    )
    if at and not arm.adds:
        raise SettingError(f"arm '{name}': it adds no slices; accepted: {summed}, without a ratio")
    return arm


def _ratio(name: str, text: str) -> float:
    # Two ways to write a number would be two arms.
    if not re.fullmatch(r"(0|[1-9]\d*)(\.\d*[1-9])?", text) or float(text) == 0:
        raise SettingError(
            f"arm '{name}': accepted after @: a positive number as in @0.5 or @2, the slices added "
            "for each real one with a nodule"
        )
    return float(text)
