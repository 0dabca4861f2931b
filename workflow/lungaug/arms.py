"""The names of arms: parts joined by ``+``. Standard library only, since the Snakefile reads them.

``none`` adds nothing; ``online`` is ordinary augmentation in the loader; ``metalung`` is the
default set of MetaLung operations; the name of an operation is that operation alone; the name of a
generator is slices with its nodules; ``mixed`` is metalung and all generators. So
``metalung+online`` and ``dcgan+mirror`` are arms too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lungaug.errors import SettingError

GENERATORS = ("vqvae", "dcgan", "copypaste", "gaussian")
"""Every generator. Here, since stages without torch must know the names."""


@dataclass(frozen=True)
class Arm:
    """What an arm trains with besides the real slices."""

    name: str
    operations: tuple[str, ...]
    generators: tuple[str, ...]
    online: bool

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
        name: for example ``metalung+online``.
        known: what its parts may be.

    Raises:
        SettingError: a part is unknown, repeated, or ``none`` is joined with another.
    """
    parts = name.split("+")
    accepted = ["none", "online", "metalung", "mixed", *known.generators, *known.operations]
    wrong = [part for part in parts if part not in accepted]
    alone = "none" in parts and len(parts) > 1
    if wrong or alone or len(set(parts)) != len(parts):
        parts_text = ", ".join(accepted[1:])
        raise SettingError(
            f"arm '{name}': accepted: none, or different parts of {parts_text} joined by +"
        )
    sets = {
        "metalung": known.default_operations,
        "mixed": (*known.default_operations, *known.mixed_generators),
    }
    chosen = [one for part in parts for one in sets.get(part, (part,))]
    unique = dict.fromkeys(chosen)
    return Arm(
        name,
        tuple(one for one in unique if one in known.operations),
        tuple(one for one in unique if one in known.generators),
        "online" in parts,
    )
